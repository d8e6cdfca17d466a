"""``shoal models``: files taken from here and from a hub, endpoints found, what fits."""

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Desk

from fake_hub import COMMIT, FakeHub, served
from shoal.config import read_config
from shoal.engines.weights import endpoints
from shoal.engines.weights.kept import KeptModels

REPOSITORY = "maker/small-GGUF"
FILE = "small-Q4_K_M.gguf"


def gguf(size: int, kind: str = "model", template: bool = True) -> bytes:
    """A file whose head is a model's, with one tensor of ``size`` bytes."""

    def text(said: str) -> bytes:
        return struct.pack("<Q", len(said)) + said.encode()

    told = {"general.type": kind, "general.architecture": "llama", "tokenizer.ggml.model": "gpt2"}
    told |= {"tokenizer.chat_template": "{{ messages }}"} if template else {}
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(told))
    for key, value in told.items():
        head += text(key) + struct.pack("<I", 8) + text(value)
    head += text("output.weight") + struct.pack("<IQIQ", 1, size // 4, 0, 0)
    return head + bytes(-len(head) % 32) + bytes(range(256)) * (size // 256)


CONTENT = gguf(7_680_000)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {FILE: CONTENT, "small-Q8_0.gguf": CONTENT * 2, "README.md": b"words"}
    with served(FakeHub(REPOSITORY, files)) as found:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield found


def adding(desk: Desk, hub: FakeHub) -> subprocess.Popen[str]:
    """``shoal models add`` in a process of its own, to be killed."""
    own = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "shoal", "models", "add", "small", f"{REPOSITORY}/{FILE}"),
            *("-c", str(desk.config)),
        ],
        env=os.environ | own | {"HF_HOME": str(desk.folder / "hf")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_of_the_hub_is_fetched_named_and_removed(desk: Desk, hub: FakeHub) -> None:
    out = desk.printed("models", "add", "small", f"{REPOSITORY}:q4_k_m", "-c", str(desk.config))
    assert "models.small" in out
    settings = read_config(desk.config)
    kept = KeptModels(settings.store.path / "models").get("small")
    assert Path(kept.path).read_bytes() == CONTENT
    assert (kept.revision, kept.sha256) == (COMMIT, hashlib.sha256(CONTENT).hexdigest())
    assert settings.models["small"].engine == "local"
    assert "exists already" in desk.refused(
        "models", "add", "small", kept.path, "-c", str(desk.config)
    )
    desk.printed("models", "remove", "small", "-c", str(desk.config))
    assert "small" not in read_config(desk.config).models
    assert not Path(kept.path).exists()


@pytest.mark.slow
def test_what_was_killed_goes_on_where_it_was(desk: Desk, hub: FakeHub) -> None:
    before = desk.config.read_text()
    hub.pause_at = 6_000_000
    first = adding(desk, hub)
    assert hub.paused.wait(60)
    while not any(part.stat().st_size for part in desk.folder.rglob("*.part")):
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert desk.config.read_text() == before, "nothing half-added"
    second = adding(desk, hub)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    kept = KeptModels(read_config(desk.config).store.path / "models").get("small")
    assert Path(kept.path).read_bytes() == CONTENT
    assert hub.ranges[0] == "bytes=0-"
    assert int(hub.ranges[1].removeprefix("bytes=").rstrip("-")) > 0, "it began from nothing"


def test_what_is_not_what_the_hub_told_is_refused(desk: Desk, hub: FakeHub) -> None:
    hub.tells = "0" * 64
    args = ("models", "add", "small", f"{REPOSITORY}/{FILE}", "-c", str(desk.config))
    assert "not what the hub told" in desk.refused(*args)
    assert "small" not in read_config(desk.config).models


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"{REPOSITORY}:Q2_K", "no such file; there are:"),
        (f"{REPOSITORY}/other.gguf", "no such file; there are:"),
        ("maker/nothing-GGUF", "not to be had from the hub"),
    ],
)
def test_what_the_hub_has_not(desk: Desk, hub: FakeHub, source: str, said: str) -> None:
    assert said in desk.refused("models", "add", "small", source, "-c", str(desk.config))


def test_a_file_stays_where_it_is(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(CONTENT)
    desk.printed("models", "add", "mine", str(file), "-c", str(desk.config))
    rows = json.loads(desk.printed("models", "list", "--check", "--json", "-c", str(desk.config)))
    (row,) = [row for row in rows if row["name"] == "mine"]
    assert (row["kept"]["path"], row["wrong"]) == (str(file), "")
    file.write_bytes(CONTENT[:-1] + b"?")
    shown = desk.printed("models", "list", "--check", "-c", str(desk.config))
    assert "changed since it was added" in shown or "digest" in shown
    desk.printed("models", "remove", "mine", "-c", str(desk.config))
    assert file.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\3\4 a zip", "no GGUF file"),
        (b"", "no GGUF file"),
        (CONTENT[:-1], "is truncated"),
        (gguf(256, template=False), "holds no chat template"),
        (gguf(256, "adapter"), "is an adapter: name the local model"),
    ],
)
def test_a_file_that_is_none_changes_nothing(
    desk: Desk, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "odd.gguf"
    file.write_bytes(content)
    before = desk.config.read_text()
    assert said in desk.refused("models", "add", "odd", str(file), "-c", str(desk.config))
    assert desk.config.read_text() == before


def test_settings_changed_by_hand_are_left(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(CONTENT)
    desk.printed("models", "add", "mine", str(file), "-c", str(desk.config))
    desk.config.write_text(desk.config.read_text() + "input_price = 0.5\n\n[learn]\n")
    changed = desk.config.read_text().replace('engine = "local"', 'engine   = "local"')
    desk.config.write_text(changed)
    shown = desk.printed("models", "remove", "mine", "-c", str(desk.config))
    assert "changed by hand" in shown
    assert desk.config.read_text() == changed


def test_programs_on_the_usual_ports_are_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def found() -> list[endpoints.Endpoint]:
        return [endpoints.Endpoint("ollama", "http://127.0.0.1:11434/v1", ("gpt", "granite4:3b"))]

    monkeypatch.setattr("shoal.cli.models.found_endpoints", found)
    shown = desk.printed("models", "find", "-c", str(desk.config))
    assert '[models."granite4:3b"]' in shown
    assert '[models."gpt"]' not in shown, "it is named already"
    desk.printed("models", "find", "--add", "-c", str(desk.config))
    assert read_config(desk.config).models["granite4:3b"].engine == "remote"


def test_what_fits_is_told_without_settings(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.config.unlink()
    told = json.loads(desk.printed("models", "fit", "--json", "-c", str(desk.config)))
    assert {one["verdict"] for one in told["fits"]} <= {"well", "slowly", "hardly", "too large"}
    assert "no model called" in desk.refused("models", "fit", "gpt-9", "-c", str(desk.config))


@pytest.mark.parametrize("name", ["gpt+vote:3", "cache", "shoal/mine", "a b", 'a"b', "", "x" * 101])
def test_a_name_that_no_gateway_takes(desk: Desk, tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(gguf(256))
    before = desk.config.read_text()
    desk.refused("models", "add", name, str(file), "-c", str(desk.config))
    assert desk.config.read_text() == before


def test_odd_names_are_quoted(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted" \\ folder'
    folder.mkdir()
    file = folder / "möglich é.gguf"
    file.write_bytes(gguf(256))
    name = "maker/größe@v1.5:q4+x"
    desk.printed("models", "add", name, str(file), "-c", str(desk.config))
    assert read_config(desk.config).models[name].path == file  # type: ignore[union-attr]
    desk.printed("models", "remove", name, "-c", str(desk.config))
    raw = os.fsencode(folder) + b"/\xff.gguf"
    Path(os.fsdecode(raw)).write_bytes(gguf(256))
    told = desk.refused("models", "add", "odd", os.fsdecode(raw), "-c", str(desk.config))
    assert "rename it" in told
    assert "odd" not in read_config(desk.config).models


def test_what_others_name_is_not_removed(desk: Desk, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / f"{name}.gguf").write_bytes(gguf(256))
        desk.printed("models", "add", name, str(tmp_path / f"{name}.gguf"), "-c", str(desk.config))
    own = """
[models.writer]
engine = "adapter"
base = "mine"
path = "w.gguf"
[models.desk]
engine = "mixture"
of = ["writer", "mine"]
[cascade]
models = ["other+vote:3"]
"""
    desk.config.write_text(desk.config.read_text() + own)
    told = desk.refused("models", "remove", "mine", "-c", str(desk.config))
    assert "models.writer.base, models.desk.of names it" in told
    told = desk.refused("models", "remove", "other", "-c", str(desk.config))
    assert "cascade.models names it" in told
    shown = desk.printed("models", "list", "-c", str(desk.config)).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in shown}
    assert rows["writer"][:2] == ["adapter", "yes"]
    assert rows["desk"] == ["mixture", "yes", "writer,", "mine"]


def test_a_settings_file_that_is_read_only_or_a_link(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(gguf(256))
    real = tmp_path / "real.toml"
    desk.config.rename(real)
    desk.config.symlink_to(real)
    desk.printed("models", "add", "mine", str(file), "-c", str(desk.config))
    assert desk.config.is_symlink()
    assert "mine" in read_config(real).models
    monkeypatch.setattr("shoal.cli.settings_block.os.access", lambda _, how: how != os.W_OK)
    for command in (("remove", "mine"), ("add", "again", str(file))):
        assert "is read-only" in desk.refused("models", *command, "-c", str(desk.config))
    assert KeptModels(read_config(real).store.path / "models").get("mine")


def test_the_template_that_a_file_lacks(desk: Desk, tmp_path: Path) -> None:
    file, template = tmp_path / "mine.gguf", tmp_path / "mine.jinja"
    file.write_bytes(gguf(256, template=False))
    template.write_text("{{ messages }}")
    args = (str(file), "-c", str(desk.config), "--chat-template")
    desk.printed("models", "add", "one", *args, "chatml")
    desk.printed("models", "add", "two", *args, str(template))
    models = read_config(desk.config).models
    assert models["one"].chat_template == "chatml"  # type: ignore[union-attr]
    assert models["two"].chat_template == str(template)  # type: ignore[union-attr]
    assert "cannot be read" in desk.refused("models", "add", "x", *args, str(tmp_path / "no.jinja"))


def test_an_adapter_and_how_fast_it_is(desk: Desk, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    from tiny_gguf import write_adapter, write_model

    write_model(tmp_path / "tiny.gguf")
    write_adapter(tmp_path / "one.gguf")
    args = ("-c", str(desk.config))
    desk.add_settings('[models.far]\nengine = "remote"\npreset = "openai"\n')  # has no key here
    desk.printed("models", "add", "tiny", str(tmp_path / "tiny.gguf"), *args)
    assert "--base (tiny)" in desk.refused(
        "models", "add", "one", str(tmp_path / "one.gguf"), *args
    )
    desk.printed("models", "add", "one", str(tmp_path / "one.gguf"), "--base", "tiny", *args)
    told = json.loads(desk.printed("models", "bench", "one", "--tokens", "256", "--json", *args))
    assert told["writing"] > 1
    assert told["reading"] > 1
    kept = KeptModels(read_config(desk.config).store.path / "models").get("one")
    assert kept.speed is not None
    assert "not a model on this machine" in desk.refused("models", "bench", "far", *args)
    assert "no model named 'none'" in desk.refused("models", "bench", "none", *args)
    shown = desk.printed("models", "list", *args)
    assert "tokens/s" in shown
    assert " MB" in shown


@pytest.mark.parametrize(
    "name", ["../../evil.gguf", "/etc/evil.gguf", "a\\evil.gguf", "a/./e.gguf"]
)
def test_a_hub_that_names_a_file_elsewhere_is_refused(desk: Desk, hub: FakeHub, name: str) -> None:
    hub.files[name] = CONTENT
    args = ("models", "add", "small", f"{REPOSITORY}:q4_k_m", "-c", str(desk.config))
    assert "no name of a file there" in desk.refused(*args)
    assert not [*desk.folder.rglob("*.gguf")]


def test_what_was_changed_by_hand_keeps_its_files(desk: Desk, hub: FakeHub) -> None:
    desk.printed("models", "add", "small", f"{REPOSITORY}/{FILE}", "-c", str(desk.config))
    kept = KeptModels(read_config(desk.config).store.path / "models").get("small")
    before = desk.config.read_text()
    desk.config.write_text(before.replace('engine = "local"', 'engine   = "local"'))
    desk.printed("models", "remove", "small", "-c", str(desk.config))
    assert Path(kept.path).exists(), "the settings still name it"
    desk.config.write_text(before.replace(kept.block, ""))
    desk.printed("models", "remove", "small", "-c", str(desk.config))
    assert not Path(kept.path).exists()


def test_a_folder_is_no_file(desk: Desk, tmp_path: Path) -> None:
    assert "cannot be read" in desk.refused(
        "models", "add", "odd", str(tmp_path), "-c", str(desk.config)
    )
