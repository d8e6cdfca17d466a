"""Blocks that commands write into ``shoal.toml``: what people wrote there stays as it was."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.cli import settings_block
from shoal.cli.settings_block import append, block, take_out
from shoal.errors import ConfigError

BLOCK = block("granite", {"engine": "local"}, "from a file")


@given(st.text(min_size=1, max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_any_name_and_remark_is_read_back(name: str, value: str, remark: str) -> None:
    read = tomllib.loads(block(name, {"path": value}, remark))
    assert read == {"models": {name: {"path": value}}}


@pytest.mark.parametrize("before", [b"", b"a = 1", b"a = 1\n", b"a = 1\r\n# b\r\n", b"a = 1\n\n"])
def test_what_stood_there_stays_byte_for_byte(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "shoal.toml"
    path.write_bytes(before)
    append(path, BLOCK)
    assert path.read_bytes().startswith(before)
    assert tomllib.loads(path.read_text())["models"] == {"granite": {"engine": "local"}}
    assert take_out(path, BLOCK)
    assert path.read_bytes().rstrip(b"\n") == before.rstrip(b"\n")
    assert not take_out(path, BLOCK)
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_stays_one(tmp_path: Path) -> None:
    real, path = tmp_path / "real" / "own.toml", tmp_path / "shoal.toml"
    real.parent.mkdir()
    real.write_text("a = 1\n")
    real.chmod(0o600)
    path.symlink_to(real)
    append(path, BLOCK)
    assert path.is_symlink()
    assert BLOCK in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600


def test_what_is_edited_meanwhile_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shoal.toml"
    path.write_text("a = 1\n")

    def edited(text: str) -> None:
        path.write_text("a = 2\n")

    monkeypatch.setattr(settings_block.tomllib, "loads", edited)
    with pytest.raises(ConfigError, match="changed meanwhile"):
        append(path, BLOCK)
    assert path.read_text() == "a = 2\n"
    assert [*tmp_path.iterdir()] == [path]


def test_what_would_be_no_toml_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "shoal.toml"
    path.write_text(BLOCK)
    with pytest.raises(ConfigError, match="no TOML any more"):
        append(path, BLOCK)
    assert path.read_text() == BLOCK
