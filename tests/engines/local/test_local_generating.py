"""Text from a loaded model in a thread, without an event loop."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema_rs
import pytest

from shoal.engines.local.base_model import BaseModel, BaseSettings
from shoal.engines.local.bases import base_of_digest, open_base, open_bases, release_base
from shoal.engines.local.child import Child, Loading
from shoal.engines.local.generating import generate
from shoal.engines.local.memory import need_of
from shoal.errors import ConfigError, EngineUnreachable, MalformedRequest, Untranslatable

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 3, "maximum": 99}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def base(models: Path) -> Iterator[BaseModel]:
    opened = open_base("base", BaseSettings(models / "base.gguf", 512))
    yield opened
    release_base(opened)


def test_a_base_is_found_by_its_digest(base: BaseModel, models: Path) -> None:
    digest = hashlib.sha256((models / "base.gguf").read_bytes()).hexdigest()
    assert base.digest == digest
    assert base_of_digest(digest) is base
    assert base_of_digest("0" * 64) is None


def test_a_base_is_opened_once_and_closed_with_its_last_user(base: BaseModel, models: Path) -> None:
    again = open_base("other", BaseSettings(models / "base.gguf", 512))
    assert again is base
    release_base(again)
    assert base in open_bases()
    differs = open_base("other", BaseSettings(models / "base.gguf", 256))
    assert differs is not base
    release_base(differs)
    assert differs not in open_bases()


def test_texts_and_messages_with_and_without_an_adapter(base: BaseModel, models: Path) -> None:
    one = base.add_adapter(models / "one.gguf", "here")
    messages = [{"role": "user", "content": "hi"}]
    plain = generate(base, messages, max_tokens=8)
    adapted = generate(base, messages, one, max_tokens=8)
    assert plain.text != adapted.text
    assert generate(base, messages, max_tokens=8).text == plain.text
    written = "<s><|user|>hi<|end|><|assistant|>"
    assert generate(base, written, max_tokens=8).text[:4] == plain.text[:4]
    assert plain.finish_reason == "length"
    assert plain.usage.output_tokens == 8
    assert plain.tokens == ()
    base.drop_adapter(one)


def test_log_probabilities_are_of_each_token(base: BaseModel) -> None:
    found = generate(base, "in the end", max_tokens=6, alternatives=3)
    assert len(found.tokens) == found.usage.output_tokens
    assert all(token.logprob <= 0 and len(token.others) == 3 for token in found.tokens)
    assert all(token.logprob == token.others[0][1] for token in found.tokens), "it is greedy"
    assert found.logprob == sum(token.logprob for token in found.tokens)


def test_it_is_held_to_a_schema_and_to_a_grammar(base: BaseModel) -> None:
    text = generate(base, "x", max_tokens=50, temperature=1, seed=3, schema=SCHEMA).text
    jsonschema_rs.validate(SCHEMA, json.loads(text))
    grammar = 'root ::= "SELECT " [a-z]{3}'
    assert generate(base, "x", grammar=grammar).text[:-3] == "SELECT "
    with pytest.raises(Untranslatable, match="schema: no answer can be held"):
        generate(base, "x", schema={"type": "array", "uniqueItems": True})
    with pytest.raises(MalformedRequest, match="grammar"):
        generate(base, "x", grammar="root ::= (")


def test_what_is_too_long_is_refused(base: BaseModel) -> None:
    with pytest.raises(MalformedRequest, match="exceeds the available context"):
        generate(base, "x " * 2_000)


def test_many_threads(base: BaseModel) -> None:
    expected = [generate(base, f"{number}", max_tokens=5).text for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: generate(base, f"{n}", max_tokens=5).text, range(8)))
    assert found == expected


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.x\.path: .*no such file"):
        open_base("x", BaseSettings(tmp_path / "gone.gguf"))
    assert all(base.name != "x" for base in open_bases())


def test_an_adapter_whose_file_is_another_now_is_loaded_anew(models: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    shutil.copyfile(models / "one.gguf", own)
    base = BaseModel("own", BaseSettings(models / "base.gguf", 512))
    before = base.add_adapter(own, "here")
    said = generate(base, "x", before, max_tokens=8).text
    base.drop_adapter(before)
    fresh = own.with_name("fresh")
    shutil.copyfile(models / "two.gguf", fresh)
    os.utime(fresh, ns=(1, 1))
    fresh.replace(own)
    after = base.add_adapter(own, "here")
    assert after != before
    assert generate(base, "x", after, max_tokens=8).text != said
    base.close()


def test_what_is_closed_while_it_is_loaded_leaves_no_child(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = BaseModel("own", BaseSettings(models / "base.gguf", 512))
    started = list[Child]()

    def start(name: str, loading: Loading) -> Child:
        started.append(Child(name, loading))
        base.close()
        return started[0]

    monkeypatch.setattr("shoal.engines.local.base_model.Child", start)
    with pytest.raises(EngineUnreachable, match="was closed"):
        base.start(None)
    assert not started[0].is_alive


def test_no_process_to_be_had(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("shoal.engines.local.child.subprocess.Popen", refuse)
    base = BaseModel("own", BaseSettings(models / "base.gguf", 512))
    with pytest.raises(EngineUnreachable, match="no process can be started"):
        base.start(None)


def test_a_file_is_digested_once(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    shutil.copyfile(models / "base.gguf", path)
    first = BaseModel("own", BaseSettings(path, 512)).digest
    again = BaseModel("own", BaseSettings(path, 512))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashlib.file_digest", None)
        assert again.digest == first
    os.utime(path, ns=(1, 1))
    changed = BaseModel("own", BaseSettings(path, 512))
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ConfigError, match="has changed since"):
        _ = changed.digest
    with pytest.raises(EngineUnreachable, match="has changed since"):
        changed.start(None)


def test_a_second_child_needs_room_for_all_but_the_weights(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = BaseModel("own", BaseSettings(models / "base.gguf", 512))
    base.end(base.start(None))
    need = need_of(base.header)
    beside = need.total(2 * 512) - need.weights
    monkeypatch.setattr("shoal.engines.local.checks.available_memory", lambda: beside - 1)
    one = base.add_adapter(models / "one.gguf", "here")
    with pytest.raises(EngineUnreachable, match="too large"):
        base.start(one)
    assert base.is_running, "those who are asked without it are answered on"
    monkeypatch.setattr("shoal.engines.local.checks.available_memory", lambda: beside)
    base.end(base.start(one))
    base.close()


def test_a_process_that_never_gets_ready_is_ended(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "host.py"
    host.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr("shoal.engines.local.child._HOST", host)
    monkeypatch.setattr("shoal.engines.local.child._LOAD_S", 0.3)
    base = BaseModel("own", BaseSettings(models / "base.gguf", 512))
    began = time.monotonic()
    with pytest.raises(EngineUnreachable, match="cannot load"):
        base.start(None)
    assert time.monotonic() - began < 20
