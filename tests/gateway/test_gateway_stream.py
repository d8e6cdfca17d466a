"""Streams through the gateway: nothing is lost, whoever breaks off."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from live import FakeDesk, running_gateway
from scripted_upstream import ScriptedUpstream

from shoal.chat import Answer, Format, Piece
from shoal.errors import EngineError
from shoal.formats import FORMATS
from shoal.gateway.stream import StreamedReply
from shoal.routing.receipt import Receipt, Served

ASKED = {"model": "remote", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
HALF = b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\r\n\r\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"


async def streamed(http: aiohttp.ClientSession, gateway: str) -> bytes:
    async with http.post(f"{gateway}/v1/chat/completions", json=ASKED) as response:
        assert response.status == 200
        return await response.read()


async def test_bytes_pass_untouched_but_for_usage_nobody_asked_for(
    http: aiohttp.ClientSession, gateway: str, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    upstream.streams([b": hello\n\n", HALF, END, USAGE, DONE])
    assert await streamed(http, gateway) == b": hello\n\n" + HALF + END + DONE
    ((_, answer, error),) = desk.finished
    assert (answer.text, answer.complete, error) == ("half", True, "")
    assert answer.usage is not None


async def test_done_is_held_until_the_call_is_recorded(
    http: aiohttp.ClientSession, gateway: str, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    desk.may_finish.clear()
    upstream.streams([HALF, END, DONE])
    async with http.post(f"{gateway}/v1/chat/completions", json=ASKED) as response:
        got = b""
        while END not in got:
            got += await response.content.readany()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readany(), 0.1)
        desk.may_finish.set()
        assert await response.read() == DONE


async def test_a_plain_answer_waits_until_it_is_recorded(
    http: aiohttp.ClientSession, gateway: str, desk: FakeDesk
) -> None:
    desk.may_finish.clear()
    asked = {**ASKED, "model": "echo", "stream": False}
    asking = asyncio.ensure_future(http.post(f"{gateway}/v1/chat/completions", json=asked))
    await asyncio.wait((asking,), timeout=0.1)
    assert not asking.done()
    desk.may_finish.set()
    assert (await asking).status == 200


async def test_a_stream_without_done_stays_so(
    http: aiohttp.ClientSession, gateway: str, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    upstream.streams([HALF, END])
    assert await streamed(http, gateway) == HALF + END
    assert desk.finished[0][2] == ""


@pytest.mark.parametrize("how", ["clean end", "broken connection", "error event", "garbage"])
async def test_an_upstream_that_breaks_off(
    http: aiohttp.ClientSession,
    gateway: str,
    upstream: ScriptedUpstream,
    desk: FakeDesk,
    how: str,
) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(HALF)
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.close()
        return response

    upstream.streams(
        {
            "clean end": [HALF],
            "error event": [HALF, b'data: {"error":{"message":"overloaded",\ndata: "code":1}}\n\n'],
            "garbage": [HALF, b"data: <html>\n\n", DONE],
        }.get(how, [])
    )
    if how == "broken connection":
        upstream.handler = breaks
    got = await streamed(http, gateway)
    assert got.startswith(HALF)
    assert b"[DONE]" not in got
    event = got.removeprefix(HALF)
    assert event.endswith(b"\n\n")
    lines = event.strip().split(b"\n")
    error = json.loads(b"\n".join(line.removeprefix(b"data: ") for line in lines))["error"]
    assert error["message"]
    if how == "error event":
        assert error == {"message": "overloaded", "code": 1}
    ((_, answer, told),) = desk.finished
    assert (answer.text, answer.complete) == ("half", False)
    assert told


CUT_OFF = [
    b'data: {"choices":[{"del',
    b": ping\n\n<html>\n\n",
    b"\x00\xff" * 50,
    b"data: \xff\n\n",
    b'data: {"error":{"message":"overloaded"}}',
    b"data: " + b"x" * 40_000,
]


@pytest.mark.parametrize("rest", CUT_OFF)
@pytest.mark.parametrize("apart", [True, False])
async def test_whole_events_then_one_error(
    http: aiohttp.ClientSession,
    gateway: str,
    upstream: ScriptedUpstream,
    desk: FakeDesk,
    rest: bytes,
    apart: bool,
) -> None:
    upstream.streams([HALF, rest] if apart else [HALF + rest])
    got = await streamed(http, gateway)
    events = got.removesuffix(b"\n\n").split(b"\n\n")
    assert got.endswith(b"\n\n")
    assert events[0] + b"\n\n" == HALF
    assert events[1:-1] in ([], [b": ping"])
    error = json.loads(events[-1].removeprefix(b"data: "))["error"]
    assert error["message"]
    ((_, answer, told),) = desk.finished
    assert (answer.text, answer.complete) == ("half", False)
    assert told


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "application/octet-stream", "text/xml", None]
)
@pytest.mark.parametrize("sent", [b"<html>\n\n</html>", b"\x89PNG\r\n\x1a\n", b"\n\nWelcome to it"])
async def test_a_stream_that_is_none_has_a_status(
    http: aiohttp.ClientSession,
    gateway: str,
    upstream: ScriptedUpstream,
    desk: FakeDesk,
    kind: str | None,
    sent: bytes,
) -> None:
    upstream.streams([sent], kind=kind)
    async with http.post(f"{gateway}/v1/chat/completions", json=ASKED) as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (502, "upstream_unreachable")
    assert len(desk.failures) == 1
    assert desk.finished == []


@pytest.mark.parametrize("silent", [True, False])
async def test_a_client_that_hangs_up(
    http: aiohttp.ClientSession,
    gateway: str,
    upstream: ScriptedUpstream,
    desk: FakeDesk,
    silent: bool,
) -> None:
    async def talks_on(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(HALF)
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if not silent:
                await response.write(HALF)
        return response

    upstream.handler = talks_on
    response = await http.post(f"{gateway}/v1/chat/completions", json=ASKED)
    assert HALF in await response.content.readany()
    response.close()
    await asyncio.wait_for(upstream.hung_up.wait(), 1)
    await asyncio.wait_for(desk.recorded.wait(), 1)
    ((_, answer, error),) = desk.finished
    assert answer.text.startswith("half")
    assert not answer.complete
    assert "hung up" in error


async def test_a_server_that_stops_lets_streams_end(
    http: aiohttp.ClientSession, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(HALF)
        await go_on.wait()
        await response.write(END + DONE)
        return response

    upstream.handler = slow
    async with running_gateway(desk) as url:
        response = await http.post(f"{url}/v1/chat/completions", json=ASKED)
        assert await response.content.readany() == HALF
        asyncio.get_running_loop().call_later(0.3, go_on.set)
    assert await response.read() == END + DONE
    assert desk.finished[0][1].complete


class Stubborn:
    """A stream that fails in a way nobody foresaw, or never goes on."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.closed = False

    async def __aiter__(self):  # type: ignore[no-untyped-def]
        yield Piece(HALF)
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(30)

    @property
    def format(self) -> Format | None:
        return "chat"

    @property
    def answer(self) -> Answer:
        return Answer(text="half", complete=False)

    async def aclose(self) -> None:
        self.closed = True


async def send_of(reply: StreamedReply, sent: list[bytes]) -> None:
    async def send(message: dict) -> None:  # type: ignore[type-arg]
        sent.append(message.get("body", b""))

    await reply({}, asyncio.Event().wait, send)  # type: ignore[arg-type]


def reply_of(desk: FakeDesk, stream: Stubborn) -> StreamedReply:
    served = Served(Receipt("c", 0.0, "llm", "llm", "why"), stream=stream)

    async def finish(answer: Answer, error: EngineError | None, sent: bytes) -> None:
        await desk.finish(served, answer, str(error or ""))

    return StreamedReply(stream, FORMATS["chat"], None, finish, {})


async def test_a_bug_is_recorded_told_and_raised(desk: FakeDesk) -> None:
    stream, sent = Stubborn(ZeroDivisionError("a bug")), []  # type: ignore[var-annotated]
    with pytest.raises(ZeroDivisionError):
        await send_of(reply_of(desk, stream), sent)
    assert b'"error"' in sent[-1]
    assert stream.closed
    assert [error for _, _, error in desk.finished] == [
        "the stream ended before the answer was whole: ZeroDivisionError"
    ]


async def test_a_server_that_cancels_still_records(desk: FakeDesk) -> None:
    stream, sent = Stubborn(), []  # type: ignore[var-annotated]
    desk.may_finish.clear()
    sending = asyncio.create_task(send_of(reply_of(desk, stream), sent))
    await asyncio.sleep(0.02)
    for _ in range(2):  # the second while the call is being recorded
        sending.cancel()
        await asyncio.sleep(0.02)
    desk.may_finish.set()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert stream.closed
    assert [(answer.text, answer.complete) for _, answer, _ in desk.finished] == [("half", False)]


async def test_a_client_that_hangs_up_before_a_plain_answer(
    http: aiohttp.ClientSession, gateway: str, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    upstream.streams([], then_wait=True)
    asked = {**ASKED, "stream": False}
    asking = asyncio.create_task(http.post(f"{gateway}/v1/chat/completions", json=asked))
    while not upstream.bodies:  # noqa: ASYNC110  # a server in another task fills it
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait_for(upstream.hung_up.wait(), 2)
    while not desk.failures:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert "hung up" in str(desk.failures[0][2])
