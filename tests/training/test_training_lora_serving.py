"""From lessons to a specialist: what is made is whole, of the way that was asked for, and made on
nothing that judges."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shoal.chat import Answer, Message
from shoal.errors import ArtifactError, EngineUnreachable, MissingExtra
from shoal.specialists.generated import ADAPTER, MODEL, GeneratedSpecialist
from shoal.tasks import TextContract
from shoal.training.checkpoints import checkpoint_form
from shoal.training.lora import serving
from shoal.training.lora.chat_examples import ChatExample
from shoal.training.lora.options import TuningOptions
from shoal.training.lora.outcome import Report, Tuned
from shoal.training.lora.serving import Way, tuned_specialist

pytest.importorskip("xllamacpp")

from tiny_gguf import write_adapter, write_model

LESSONS = [
    ChatExample((Message("user", f"What is {n}?"),), Answer(text=f"number {n}")) for n in range(30)
]
CONTRACT = TextContract()


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Way:
    """One that trains nothing: each stage writes a random file."""
    base = tmp_path / "odd [name]"
    base.mkdir()
    (base / "config.json").write_text("{}")

    def fine_tune(*_: object, **__: object) -> Tuned:
        report = Report("id", "lora", 1, 0, {}, 1, 1, [], 0, 0.0, 0.0)
        return Tuned(tmp_path / "adapter", report)

    def to_gguf(folder: Path, path: Path, precision: str) -> Path:
        return write_model(path)

    def adapter_to_gguf(adapter: Path, base: Path, path: Path) -> Path:
        return write_adapter(path)

    def merge(base: Path, adapter: Path, folder: Path) -> Path:
        folder.mkdir()
        return folder

    for stage in (fine_tune, to_gguf, adapter_to_gguf, merge):
        monkeypatch.setattr(serving, stage.__name__, stage)
    monkeypatch.setattr(serving, "_MOST_JUDGED", 1)
    return Way(base, tmp_path / "bases", TuningOptions(held_out=0.3))


def made(way: Way, folder: Path, calibration: Sequence[str] = ()) -> GeneratedSpecialist:
    found = tuned_specialist(CONTRACT, LESSONS, way, folder, calibration)
    found.close()
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("made-*/*")}


def test_another_way_to_write_it_is_written_anew(way: Way, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    made(way, folder)
    assert names(folder) == {ADAPTER}
    written = next(folder.glob("made-*/*")).stat().st_mtime_ns
    made(way, folder)
    assert next(folder.glob("made-*/*")).stat().st_mtime_ns == written, "it was there"
    made(replace(way, merged=True), folder)
    assert names(folder) == {MODEL}


def test_what_a_kill_left_half_made_is_neither_served_nor_kept(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"

    def killed(adapter: Path, base: Path, path: Path) -> Path:
        path.write_bytes(b"GGUF half")
        raise SystemExit

    whole = serving.adapter_to_gguf
    monkeypatch.setattr(serving, "adapter_to_gguf", killed)
    with pytest.raises(SystemExit):
        made(way, folder)
    assert names(folder) == set()
    monkeypatch.setattr(serving, "adapter_to_gguf", whole)
    made(way, folder)
    assert names(folder) == {ADAPTER}
    (base,) = way.bases.glob("*.gguf")
    base.with_name(f".{base.name}.4711").write_bytes(b"of one that was killed")
    other = way.bases / ".other-q8_0.gguf.4711"
    other.touch()
    made(way, folder)
    assert sorted(path.name for path in way.bases.iterdir()) == sorted(
        [".lock", other.name, base.name]
    )


def test_how_sure_it_may_be_is_learned_on_nothing_like_what_judges(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def said(_: GeneratedSpecialist, text: str) -> None:
        asked.append(text)

    monkeypatch.setattr(GeneratedSpecialist, "said", said)
    monkeypatch.setattr(serving, "_MOST_JUDGED", 300)
    made(way, tmp_path / "one")
    assert len(asked) > 3
    judging, before = asked[0].upper(), len(asked)
    made(way, tmp_path / "two", [judging])
    assert asked[before:] == asked[1:before]


def test_a_model_that_cannot_be_loaded_is_no_bad_model(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise EngineUnreachable("no memory", False)

    monkeypatch.setattr("shoal.engines.local.base_model.Child", refuse)
    with pytest.raises(EngineUnreachable, match="no memory"):
        made(way, tmp_path / "state")


def test_a_missing_extra_is_named_before_hours_of_training(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find: Callable[[str], Any] = importlib.util.find_spec
    monkeypatch.setattr(serving, "fine_tune", lambda *_, **__: pytest.fail("it trains"))
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "xllamacpp" else find(name)
    )
    with pytest.raises(MissingExtra, match="local"):
        made(way, tmp_path / "state")


def test_another_chat_template_is_another_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        checkpoint_form(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    forms = {checkpoint_form(tmp_path)}
    for name, content in (("tokenizer.json", "{}"), ("chat_template.jinja", "{{ x }}"),
                          ("chat_template.jinja", "{{ y }}"), ("config.json", "[]")):  # fmt: skip
        (tmp_path / name).write_text(content)
        forms.add(checkpoint_form(tmp_path))
    assert len(forms) == 5
    assert checkpoint_form(tmp_path) in forms
