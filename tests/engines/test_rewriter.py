"""An encoder–decoder as an engine: what it obeys, what it refuses, what may be wrong with it."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shoal.chat import Request
from shoal.engines import EncoderDecoderOptions, open_engine
from shoal.engines.rewriter import RewriterEngine
from shoal.errors import (
    ConfigError,
    ContextLengthExceeded,
    EngineBusy,
    EngineUnreachable,
    MalformedRequest,
    Untranslatable,
)
from shoal.formats.chat_completions import decode_request
from tiny_translator import write_translator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_translator(tmp_path_factory.mktemp("t5"), "7 May-x")


def options(folder: Path, **more: object) -> EncoderDecoderOptions:
    told = {"engine": "encoder-decoder", "path": folder, "context_tokens": 20, **more}
    return EncoderDecoderOptions.model_validate(told)


@pytest.fixture
async def engine(folder: Path) -> AsyncIterator[RewriterEngine]:
    opened = open_engine("t5", options(folder))
    assert isinstance(opened, RewriterEngine)
    yield opened
    await opened.aclose()


def asked(text: str = "hi", **more: object) -> Request:
    body = {"model": "t5", "messages": [{"role": "user", "content": text}], **more}
    return decode_request(json.dumps(body).encode())


async def test_tokens_are_counted_and_bounded(engine: RewriterEngine) -> None:
    answer = await engine.answer(asked("hello", temperature=0.7, seed=3))
    assert (answer.text, answer.finish_reason, answer.model) == ("7 May-x", "stop", "t5")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 7)
    for field in ("max_tokens", "max_completion_tokens"):
        answer = await engine.answer(asked(**{field: 3}))
        assert (answer.text, answer.finish_reason) == ("7 M", "length")


async def test_a_stop_ends_the_text(engine: RewriterEngine) -> None:
    answer = await engine.answer(asked(stop=["-", "a"]))
    assert (answer.text, answer.finish_reason) == ("7 M", "stop")
    assert (await engine.answer(asked(stop="z"))).text == "7 May-x"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"n": 2}, Untranslatable),
        ({"logprobs": True}, Untranslatable),
        ({"response_format": {"type": "json_object"}}, Untranslatable),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, Untranslatable),
        ({"max_tokens": 0}, MalformedRequest),
        ({"stop": 5}, MalformedRequest),
    ],
)
async def test_what_it_cannot_do_is_refused(
    engine: RewriterEngine, more: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await engine.answer(asked(**more))


async def test_what_is_too_long_is_not_cut(engine: RewriterEngine) -> None:
    assert (await engine.answer(asked("x" * 20))).text
    with pytest.raises(ContextLengthExceeded, match="its context has 20 tokens"):
        await engine.answer(asked("x" * 21))


async def test_more_than_may_wait(folder: Path) -> None:
    engine = open_engine("t5", options(folder, queue=1))
    found = await asyncio.gather(
        *(engine.answer(asked()) for _ in range(5)), return_exceptions=True
    )
    await engine.aclose()
    assert [isinstance(one, EngineBusy) for one in found] == [False, False, True, True, True]


async def test_a_folder_that_is_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.t5\.path: .* no model.bin, no tokenizer.json"):
        open_engine("t5", options(tmp_path))
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:500])
    engine = open_engine("t5", options(tmp_path))
    with pytest.raises(EngineUnreachable, match="cannot be loaded"):
        await engine.answer(asked())
    await engine.aclose()
