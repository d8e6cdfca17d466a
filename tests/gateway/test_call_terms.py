"""A call that may cost no more, and take no longer, than its headers say."""

import asyncio
import time

import aiohttp
import pytest
from aiohttp import web
from live import FakeDesk
from scripted_upstream import ScriptedUpstream

HALF = b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n'
MESSAGES = [{"role": "user", "content": "hi"}]
LATENCY, COST = "x-shoal-max-latency-ms", "x-shoal-max-cost"


def asked(path: str, stream: bool) -> dict[str, object]:
    if path == "responses":
        return {"model": "remote", "input": "hi", "stream": stream}
    return {"model": "remote", "messages": MESSAGES, "max_tokens": 9, "stream": stream}


@pytest.mark.parametrize("path", ["chat/completions", "messages", "responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_takes_too_long_is_cancelled(
    http: aiohttp.ClientSession,
    gateway: str,
    upstream: ScriptedUpstream,
    desk: FakeDesk,
    path: str,
    stream: bool,
) -> None:
    async def sleep(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    upstream.handler = sleep
    began = time.perf_counter()
    async with http.post(
        f"{gateway}/v1/{path}", json=asked(path, stream), headers={LATENCY: "200"}
    ) as reply:
        assert reply.status == 504
        error = (await reply.json())["error"]
        assert reply.headers["x-shoal-call-id"] == "failed-1"
    assert 0.2 <= time.perf_counter() - began < 1.5
    assert error["code"] == "max_latency_exceeded"
    assert "200 ms" in error["message"]
    await asyncio.wait_for(upstream.hung_up.wait(), 2)
    assert len(desk.failures) == 1


@pytest.mark.parametrize("path", ["chat/completions", "messages"])
async def test_so_is_a_stream_that_has_begun(
    http: aiohttp.ClientSession,
    gateway: str,
    upstream: ScriptedUpstream,
    desk: FakeDesk,
    path: str,
) -> None:
    upstream.streams([HALF], then_wait=True)
    async with http.post(
        f"{gateway}/v1/{path}", json=asked(path, True), headers={LATENCY: "500"}
    ) as reply:
        assert reply.status == 200
        told = await reply.read()
    assert b"half" in told
    assert b"max_latency_exceeded" in told
    await asyncio.wait_for(upstream.hung_up.wait(), 2)
    ((_, answer, error),) = desk.finished
    assert (answer.text, answer.complete) == ("half", False)
    assert "500 ms" in error


async def test_what_comes_in_time_passes_untouched(
    http: aiohttp.ClientSession, gateway: str, upstream: ScriptedUpstream
) -> None:
    whole = HALF + b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    upstream.streams([whole, b"data: [DONE]\n\n"])
    async with http.post(
        f"{gateway}/v1/chat/completions",
        json=asked("chat/completions", True),
        headers={LATENCY: "5000"},
    ) as reply:
        assert await reply.read() == whole + b"data: [DONE]\n\n"


@pytest.mark.parametrize("name", [LATENCY, COST])
@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", ""])
async def test_terms_that_are_no_numbers_are_refused(
    http: aiohttp.ClientSession, gateway: str, name: str, value: str
) -> None:
    for path in ("chat/completions", "messages", "embeddings"):
        body = {**asked(path, False), "input": "hi"}
        async with http.post(f"{gateway}/v1/{path}", json=body, headers={name: value}) as reply:
            assert reply.status == 400
            assert name in (await reply.json())["error"]["message"]


async def test_no_time_at_all_is_refused(http: aiohttp.ClientSession, gateway: str) -> None:
    async with http.post(
        f"{gateway}/v1/chat/completions",
        json=asked("chat/completions", False),
        headers={LATENCY: "0"},
    ) as reply:
        assert reply.status == 400


async def test_the_desk_is_told_what_a_call_may_cost(
    http: aiohttp.ClientSession, gateway: str, desk: FakeDesk
) -> None:
    body = {"model": "echo", "messages": MESSAGES}
    for headers in ({COST: "0.25"}, {}):
        async with http.post(f"{gateway}/v1/chat/completions", json=body, headers=headers) as reply:
            assert reply.status == 200
    assert [caller.max_cost for caller in desk.callers] == [0.25, None]
