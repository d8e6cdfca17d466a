"""The local engine: what it answers, what it refuses, and what becomes of its process."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
from local_models import TOOLS_TEMPLATE, asked

from shoal.chat import Request
from shoal.engines import LocalOptions
from shoal.engines.local import base_model, checks
from shoal.engines.local.engine import LocalEngine
from shoal.errors import (
    ConfigError,
    ContextLengthExceeded,
    EngineBusy,
    EngineUnreachable,
    MalformedRequest,
    MissingExtra,
    Untranslatable,
)
from shoal.formats.embeddings import decode_embeddings
from tiny_gguf import write_model, write_parrot

SCHEMA = {
    "type": "object",
    "properties": {
        "days": {"type": "integer", "minimum": 1, "maximum": 99},
        "unit": {"enum": ["c", "f"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
    },
    "required": ["days", "unit", "tags"],
    "additionalProperties": False,
}


def held_to(schema: object, **fields: object) -> Request:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return asked(response_format=form, **{"max_tokens": 200} | fields)


async def test_an_answer_is_held_to_a_schema(engine: LocalEngine) -> None:
    for seed in range(5):
        answer = await engine.answer(held_to(SCHEMA, temperature=1, seed=seed))
        assert answer.finish_reason == "stop"
        jsonschema_rs.validate(SCHEMA, json.loads(answer.text))


async def test_an_answer_that_is_not_held_to_its_end_is_no_answer(engine: LocalEngine) -> None:
    """LLGuidance finds no number to begin with here, and llama.cpp goes on without it."""
    number = {"type": "number", "maximum": -335, "multipleOf": 5}
    lost = held_to({"type": "object", "properties": {"a": number}, "required": ["a"]})
    with pytest.raises(EngineUnreachable, match="does not keep its schema"):
        await engine.answer(lost)
    stream = await engine.stream(lost)
    seen = []
    with pytest.raises(EngineUnreachable, match="does not keep its schema"):
        seen += [piece async for piece in stream]
    assert not any(piece.last for piece in seen)


async def test_what_is_cut_off_is_held_as_far_as_it_goes(engine: LocalEngine) -> None:
    for tokens in range(1, 30):
        answer = await engine.answer(held_to(SCHEMA, max_tokens=tokens, temperature=1, seed=1))
        assert answer.finish_reason in ("length", "stop")


async def test_an_answer_is_held_to_a_grammar(engine: LocalEngine) -> None:
    said = {
        (await engine.answer(asked(grammar='root ::= "yes" | "no"', temperature=1, seed=seed))).text
        for seed in range(8)
    }
    assert said == {"yes", "no"}


async def test_it_tells_alternatives(engine: LocalEngine) -> None:
    request = asked(logprobs=True, top_logprobs=3, grammar="root ::= [a-z]{4}")
    answer = await engine.answer(request)
    assert answer.alternatives
    assert all(len(one.tokens) <= 4 for one in answer.alternatives)
    stream = await engine.stream(request)
    async for _ in stream:
        pass
    written = [one.token for one in answer.alternatives]
    assert [one.token for one in stream.answer.alternatives][:3] == written[:3]


async def test_stop_seed_and_temperature_are_obeyed(engine: LocalEngine) -> None:
    greedy = (await engine.answer(asked())).text
    assert (await engine.answer(asked())).text == greedy
    warm = {(await engine.answer(asked(temperature=2, seed=seed))).text for seed in (1, 1, 2, 3)}
    assert len(warm) == 3
    grammar = 'root ::= "one two three"'
    assert (await engine.answer(asked(grammar=grammar, max_tokens=50, stop="tw"))).text == "one "


async def test_tools_need_a_template_that_has_a_place_for_them(
    engine: LocalEngine, tmp_path: Path
) -> None:
    tool = {"type": "function", "function": {"name": "w", "parameters": SCHEMA}}
    with pytest.raises(Untranslatable, match="no place for tools"):
        await engine.answer(asked(tools=[tool]))
    path = write_parrot(tmp_path / "m.gguf", "<x>", template=TOOLS_TEMPLATE)
    able = LocalEngine("able", LocalOptions(engine="local", path=path))
    assert (await able.answer(asked(tools=[tool]))).text == "<x>"
    await able.aclose()


async def test_calls_of_tools_are_read(tmp_path: Path) -> None:
    written = '<tool_call>{"name": "w", "arguments": {"days": 3}}</tool_call>'
    path = write_parrot(tmp_path / "m.gguf", written, template=TOOLS_TEMPLATE)
    engine = LocalEngine("m", LocalOptions(engine="local", path=path))
    days = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
    request = asked(tools=[{"type": "function", "function": {"name": "w", "parameters": days}}])
    answer = await engine.answer(request)
    stream = await engine.stream(request)
    async for _ in stream:
        pass
    for told in (answer, stream.answer):
        assert told.finish_reason == "tool_calls"
        assert [(call.name, json.loads(call.arguments)) for call in told.tool_calls] == [
            ("w", {"days": 3})
        ]
    await engine.aclose()


async def test_vectors(models: Path) -> None:
    options = LocalOptions(engine="local", path=models / "base.gguf", pooling="mean")
    engine = LocalEngine("m", options)
    embedded = await engine.embed(decode_embeddings(b'{"model":"m","input":["a thing","b"]}'))
    told = json.loads(embedded.body)
    assert [len(one["embedding"]) for one in told["data"]] == [64, 64]
    assert told["model"] == "m"
    assert embedded.usage is not None
    assert (await engine.answer(asked())).text
    await engine.aclose()


async def test_vectors_are_there_only_where_they_are_stated(engine: LocalEngine) -> None:
    with pytest.raises(Untranslatable, match="pooling"):
        await engine.embed(decode_embeddings(b'{"model":"m","input":"a"}'))


async def test_what_is_too_long_for_the_context_is_refused(engine: LocalEngine) -> None:
    with pytest.raises(ContextLengthExceeded, match="its context has 512 tokens"):
        await engine.answer(asked("ab " * 5_000))


async def test_a_caller_who_goes_away_frees_the_slot(models: Path) -> None:
    options = LocalOptions(
        engine="local", path=models / "base.gguf", slots=1, queue=0, context_tokens=2048
    )
    engine = LocalEngine("m", options)
    endless = asked(max_tokens=2_000, grammar="root ::= [a-z]{1990}")
    await engine.answer(asked())
    call = asyncio.create_task(engine.answer(endless))
    await asyncio.sleep(0.05)
    assert not call.done()
    with pytest.raises(EngineBusy, match="as many calls as may wait do"):
        await engine.answer(asked())
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    stream = await engine.stream(endless)
    await anext(aiter(stream))
    await stream.aclose()
    assert not stream.answer.complete
    assert (await asyncio.wait_for(engine.answer(asked()), 5)).complete
    await engine.aclose()


async def test_a_process_that_dies_is_replaced(engine: LocalEngine) -> None:
    said = (await engine.answer(asked())).text
    for _ in range(2):
        stream = await engine.stream(asked(max_tokens=400))
        use = engine.base.begin(None)
        assert use is not None
        os.kill(use.child.pid, signal.SIGSEGV)
        engine.base.end(use)
        with pytest.raises(EngineUnreachable, match="process"):
            async for _ in stream:
                pass
        assert not stream.answer.complete
        await asyncio.to_thread(use.child.kill)  # waits until it is gone
        assert (await engine.answer(asked())).text == said
        assert len(engine._lines) == 1


async def test_one_that_dies_again_and_again_is_left_alone(engine: LocalEngine) -> None:
    for _ in range(3):
        await engine.answer(asked())
        use = engine.base.begin(None)
        assert use is not None
        use.child.kill()
        engine.base.end(use)
    with pytest.raises(EngineBusy, match="its process has ended again and again"):
        await engine.answer(asked())


async def test_one_that_hangs_is_ended(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_model, "_ANSWERS_WITHIN_S", 0.3)
    await engine.answer(asked())
    use = engine.base.begin(None)
    assert use is not None
    engine.base.end_if_stuck(use.child)
    assert use.child.is_alive
    os.kill(use.child.pid, signal.SIGSTOP)
    engine.base.end_if_stuck(use.child)
    assert not use.child.is_alive
    engine.base.end(use)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"max_tokens": 10**12}, "max_tokens"),
        ({"top_logprobs": 10**6, "logprobs": True}, "top_logprobs"),
        ({"stop": ["x"] * 1000}, "stop"),
        ({"stop": ""}, "stop"),
        ({"logit_bias": {"-5": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 1000}}, "logit_bias"),
        ({"grammar": "root ::= " + "(" * 5_000 + '"a"' + ")" * 5_000}, "grammar"),
        ({"grammar": "%llguidance {}\nstart: /[/"}, "grammar"),
        ({"grammar": "root ::= root"}, "grammar"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
    ],
)
async def test_bad_values_are_refused(
    engine: LocalEngine, fields: dict[str, object], place: str
) -> None:
    with pytest.raises(MalformedRequest, match=place):
        await engine.answer(asked(**fields))


async def test_what_it_cannot_do_is_refused(engine: LocalEngine) -> None:
    image = [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]
    with pytest.raises(Untranslatable, match="no image_url"):
        await engine.answer(asked(messages=[{"role": "user", "content": image}]))
    with pytest.raises(Untranslatable, match="one answer"):
        await engine.answer(asked(n=3))
    for keyword, value in (("not", {"const": 1}), ("uniqueItems", True), ("contains", {})):
        with pytest.raises(Untranslatable, match=f"no answer can be held .* for {keyword}"):
            await engine.answer(held_to({"type": "array", keyword: value}))
    with pytest.raises(Untranslatable, match="pattern"):
        await engine.answer(held_to({"type": "string", "pattern": '^"$'}))
    with pytest.raises(Untranslatable, match="ref"):
        await engine.answer(held_to({"$ref": "https://example.org/x"}))


async def test_what_llama_cpp_says_of_a_model_that_it_does_not_know_is_told(tmp_path: Path) -> None:
    path = write_model(tmp_path / "odd.gguf", architecture="zork")
    engine = LocalEngine("odd", LocalOptions(engine="local", path=path))
    with pytest.raises(EngineUnreachable, match=r"cannot load odd.gguf: .*'zork'"):
        await engine.answer(asked())
    await engine.aclose()


def test_a_model_without_a_chat_template_is_refused_unless_one_is_stated(tmp_path: Path) -> None:
    path = write_model(tmp_path / "bare.gguf", template=None)
    with pytest.raises(ConfigError, match=r"models.m.path: bare.gguf holds no chat template"):
        LocalEngine("m", LocalOptions(engine="local", path=path))
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0]['content'] }}")
    for stated in ("chatml", str(template)):
        options = LocalOptions(engine="local", path=path, chat_template=stated)
        asyncio.run(LocalEngine("m", options).aclose())
    template.unlink()
    with pytest.raises(ConfigError, match=r"models.m.chat_template: cannot be read"):
        LocalEngine("m", options)


def test_a_model_too_large_for_the_memory_is_refused_with_what_would_fit(
    options: LocalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = base_model.BaseModel("m", _settings(options)).header
    wanted = checks.need_of(need)
    monkeypatch.setattr(checks, "available_memory", lambda: wanted.total(600))
    with pytest.raises(ConfigError, match=r"too large: .* It would fit with context_tokens = 300"):
        LocalEngine("m", options)
    monkeypatch.setattr(checks, "available_memory", lambda: wanted.total(300))
    with pytest.raises(ConfigError, match=r"slots = 1 and context_tokens = 300"):
        LocalEngine("m", options)
    monkeypatch.setattr(checks, "available_memory", lambda: 1000)
    with pytest.raises(ConfigError, match="take a smaller model"):
        LocalEngine("m", options)


def _settings(options: LocalOptions) -> base_model.BaseSettings:
    return base_model.BaseSettings(options.path, options.context_tokens)


async def test_closing_ends_the_process(options: LocalOptions) -> None:
    engine = LocalEngine("m", options)
    await engine.answer(asked())
    use = engine.base.begin(None)
    assert use is not None
    engine.base.end(use)
    await engine.aclose()
    assert not use.child.is_alive
    assert not Path(use.child.socket).parent.exists()
    gc.collect()


LEFT = """
import asyncio, sys
from pathlib import Path
from shoal.engines import LocalOptions
from shoal.engines.local.engine import LocalEngine
from local_models import asked
engine = LocalEngine("m", LocalOptions(engine="local", path=Path(sys.argv[1])))
print(asyncio.run(engine.answer(asked())).complete)
print(next(iter(engine._lines)).pid)
{how}
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_its_process_ends_with_the_one_that_started_it(models: Path, how: str) -> None:
    code = LEFT.replace("{how}", how)
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    run = subprocess.run(
        [sys.executable, "-u", "-c", code, str(models / "base.gguf")],
        capture_output=True,
        text=True,
        env=where,
    )
    assert run.returncode == (-signal.SIGKILL if how else 0)
    complete, pid = run.stdout.split()
    assert complete == "True"
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        signal.sigtimedwait([], 0.02)
    pytest.fail("it still runs")


def test_the_extra_is_named_where_it_is_missing(
    options: LocalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.engines.local.engine.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"the local model m needs .*shoal\[local\]"):
        LocalEngine("m", options)
