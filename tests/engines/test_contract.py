"""What every engine does alike."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from scripted_upstream import ScriptedUpstream

from shoal.chat import AnswerStream, Piece, Request, Streamer
from shoal.engines import (
    EchoOptions,
    EncoderDecoderOptions,
    Engine,
    EngineOptions,
    LocalOptions,
    RecordedOptions,
    RemoteOptions,
    open_engine,
)
from shoal.formats import FORMATS, AnswerAssembler
from shoal.formats.chat_completions import decode_answer as decode
from shoal.formats.chat_completions import decode_request, encode_answer
from tiny_translator import write_translator
from written_streams import envelope, reader, streamed

ASKED = """{"model": "m", "messages": [
    {"role": "system", "content": "s"}, {"role": "user", "content": "é?"}]}""".encode()
REPLY = json.dumps(
    {
        "id": "r",
        "model": "m",
        "choices": [{"message": {"role": "assistant", "content": "é?"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1},
    }
).encode()


async def as_llm(request: web.Request) -> web.StreamResponse:
    """An upstream that repeats what it was told, whole or as a stream."""
    asked = decode_request(await request.read())
    if not asked.stream:
        return web.Response(body=REPLY, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(streamed(decode(REPLY), asked))
    return response


@pytest.fixture(params=["remote", "recorded", "echo", "local", "encoder-decoder"])
async def engine(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> AsyncIterator[Engine]:
    upstream.handler = as_llm
    path = tmp_path / "calls.jsonl"
    asked = ASKED.replace(b"\n", b"")
    path.write_bytes(b'{"request":%s,"response":%s}' % (asked, REPLY))
    options: dict[str, EngineOptions] = {
        "remote": RemoteOptions(engine="remote", base_url=upstream.base_url),
        "recorded": RecordedOptions(engine="recorded", path=path),
        "echo": EchoOptions(engine="echo"),
    }
    if request.param == "local":
        parrot = request.getfixturevalue("parrot")
        options["local"] = LocalOptions(engine="local", path=parrot)
    if request.param == "encoder-decoder":
        folder = write_translator(tmp_path / "t5", "é?")
        options["encoder-decoder"] = EncoderDecoderOptions(engine="encoder-decoder", path=folder)
    opened = open_engine("m", options[request.param])
    yield opened
    await opened.aclose()


async def read(stream: AnswerStream) -> list[Piece]:
    return [piece async for piece in stream]


def asked_for(**options: object) -> Request:
    asked = json.loads(ASKED) | {"stream": True} | options
    return decode_request(json.dumps(asked).encode())


async def test_it_answers(engine: Engine) -> None:
    answer = await engine.answer(decode_request(ASKED))
    assert (engine.name, answer.text, answer.model) == ("m", "é?", "m")
    assert answer.complete
    assert answer.finish_reason == "stop"
    assert answer.usage is not None
    assert decode(answer.body or encode_answer(answer, envelope())).text == "é?"


async def test_it_streams(engine: Engine) -> None:
    assert isinstance(engine, Streamer)
    stream = await engine.stream(asked_for())
    pieces = [piece async for piece in stream]
    await stream.aclose()
    assert pieces[-1].last
    assert not any(piece.last for piece in pieces[:-1])
    said = AnswerAssembler()
    for piece in pieces:
        for delta in piece.deltas:
            said.add(delta)
    assert said.answer(complete=True).text == stream.answer.text == "é?"
    assert stream.answer.complete
    assert stream.answer.usage is not None
    assert said.answer(complete=True).usage == stream.answer.usage
    if stream.format is not None:
        caller = reader(FORMATS[stream.format])
        caller.feed(b"".join(piece.raw for piece in pieces))
        assert caller.answer.text == "é?"
        assert caller.answer.usage is None  # the caller had not asked for it


async def test_usage_is_passed_on_when_asked_for(engine: Engine) -> None:
    stream = await engine.stream(asked_for(stream_options={"include_usage": True}))
    pieces = await read(stream)
    await stream.aclose()
    if stream.format is not None:
        caller = reader(FORMATS[stream.format])
        caller.feed(b"".join(piece.raw for piece in pieces))
        assert caller.answer.usage == stream.answer.usage
    assert stream.answer.usage is not None


async def test_a_streamed_request_may_be_answered_whole(engine: Engine) -> None:
    assert (await engine.answer(asked_for())).text == "é?"


async def test_a_stream_that_is_left_early_is_incomplete(engine: Engine) -> None:
    stream = await engine.stream(asked_for())
    assert not stream.answer.complete
    await stream.aclose()
    assert not stream.answer.complete
    await stream.aclose()


async def test_many_at_once(engine: Engine) -> None:
    for _ in range(3):
        assert (await engine.answer(decode_request(ASKED))).text == "é?"
        assert (await read(await engine.stream(asked_for())))[-1].last
