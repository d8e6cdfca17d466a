"""Tokenizers in files and from the hub: what is counted, and what is refused in one clear line."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from tokenizers import Tokenizer as Parsed
from tokenizers import models

from shoal.errors import ConfigError
from shoal.routing import tokenizer as module
from shoal.routing.tokenizer import Tokenizer, names_file, open_tokenizer
from tiny_tokenizer import bytes_tokenizer, words_tokenizer, write

PLACE = "models.gpt.tokenizer"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(bytes_tokenizer(), tmp_path / "tokenizer.json")


def opened(path: Path) -> Tokenizer:
    return open_tokenizer(str(path), PLACE)


def refusal(source: str) -> str:
    with pytest.raises(ConfigError) as caught:
        open_tokenizer(source, PLACE)
    (line,) = str(caught.value).splitlines()
    assert len(line) < 700
    return line


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [([], 0), ([""], 0), (["hi"], 2), (["Grüße 🐟", "x"], 13), (["half \ud83d"], 6)],
)
def test_texts_are_counted_each_by_itself(file: Path, texts: list[str], tokens: int) -> None:
    tokenizer = opened(file)
    assert tokenizer.count(texts) == tokens
    assert tokenizer.count(texts, marked=True) == tokens + 2 * len(texts)


def test_nothing_is_cut_off_or_filled_up(tmp_path: Path) -> None:
    """As tokenizers of encoders have it in their files."""
    parsed = bytes_tokenizer()
    parsed.enable_truncation(128)
    parsed.enable_padding(length=128)
    tokenizer = opened(write(parsed, tmp_path / "tokenizer.json"))
    assert tokenizer.count(["x" * 1_000]) == 1_000
    assert tokenizer.count(["x"]) == 1


def test_a_file_is_read_once_however_many_models_name_it(file: Path, tmp_path: Path) -> None:
    first = opened(file)
    assert opened(write(bytes_tokenizer(), tmp_path / "b" / "tokenizer.json")) is first
    other = opened(write(words_tokenizer(), tmp_path / "c" / "tokenizer.json"))
    assert other.count(["two words"]) == 2
    del first, other
    gc.collect()
    assert not module._known


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"BPE"', b'"XXX"'))


def become(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "no such file"),
        (make_folder, "is a folder; expected a tokenizer.json"),
        (make_pipe, "is no regular file; expected a tokenizer.json"),
        (cut, "is damaged, or no tokenizer: "),
        (spoil, "is damaged, or no tokenizer: "),
        (become(""), "is damaged, or no tokenizer: "),
        (become("{}"), "is damaged, or no tokenizer: "),
        (become("[models.gpt]\n"), "is damaged, or no tokenizer: "),
        (become('{"model_type":"bert",\n"hidden_size":384}'), "is damaged, or no tokenizer: "),
        (lambda path: path.write_bytes(b"GGUF\3\0\0\0" * 9), "is damaged, or no tokenizer: "),
        (lambda path: os.truncate(path, 100_000_001), "has 100 MB; expected a tokenizer.json"),
        (lambda path: write(words_tokenizer("<none>"), path), "is damaged, or no tokenizer: "),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(
    file: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(file)
    assert refusal(str(file)).startswith(f"{PLACE}: {file}: {said}")


def test_a_tokenizer_that_finds_nothing_would_make_all_calls_free(tmp_path: Path) -> None:
    empty = write(Parsed(models.BPE()), tmp_path / "tokenizer.json")
    assert "finds no token in English prose" in refusal(str(empty))


def test_a_panic_of_the_package_is_told_like_the_rest(file: Path) -> None:
    """It is no Exception, and ends a program that expects only those."""
    text = '{"type":"Precompiled"}'
    file.write_text(file.read_text().replace('"normalizer": null', f'"normalizer": {text}'))
    assert "precompiled_charsmap" in refusal(str(file))


def test_what_has_no_token_is_an_error_of_its_own(file: Path) -> None:
    parsed = words_tokenizer("<none>")
    with pytest.raises(ValueError, match="vocabulary"):
        Tokenizer(parsed).count(["The fox"])


@pytest.mark.parametrize(
    ("source", "is_file"),
    [
        ("tokenizer.json", True),
        ("models/qwen/tokenizer.json", True),
        ("./qwen", True),
        ("../qwen", True),
        ("/srv/qwen", True),
        ("there", True),
        ("Qwen/Qwen3-8B", False),
        ("gpt2", False),
        ("x" * 5_000, False),
        ("nul\0", False),
    ],
)
def test_what_names_a_file(tmp_path: Path, source: str, is_file: bool) -> None:
    (tmp_path / "there").mkdir()
    assert names_file(source, tmp_path) is is_file


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, and no connection to the hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_repository_of_the_hub(hub: Path) -> None:
    repository = hub / "models--org--small"
    write(bytes_tokenizer(), repository / "snapshots" / "0a" / "tokenizer.json")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0a")
    assert open_tokenizer("org/small", PLACE).count(["hi"]) == 2
    cut(repository / "snapshots" / "0a" / "tokenizer.json")
    assert "tokenizer.json: is damaged, or no tokenizer: " in refusal("org/small")


@pytest.mark.parametrize("source", ["org/none", "none", "a/b/c", "a..b", "-x", "org/ x"])
def test_what_the_hub_does_not_have(hub: Path, source: str) -> None:
    said = f"{PLACE}: {source!r} is no file here, and its tokenizer.json not to be had from the hub"
    assert refusal(source).startswith(f"{said}: ")


def test_the_gateway_loads_no_tokenizer_unless_it_is_named() -> None:
    asked = "import sys, shoal.gateway, shoal.assembly, shoal.config; print(sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "shoal.routing.tokenizer" in run.stdout
    assert "'tokenizers'" not in run.stdout
    assert "'huggingface_hub'" not in run.stdout
