"""A gateway that has enough to do says so, and goes on with what it has."""

import asyncio
import json

import aiohttp
from aiohttp import web
from live import FakeDesk, running_gateway
from scripted_upstream import ScriptedUpstream

from shoal.chat import Answer
from shoal.formats.chat_completions import encode_answer
from written_streams import envelope

ASKED = {"model": "remote", "messages": [{"role": "user", "content": "hi"}]}


class Slow:
    """Holds every request until it may answer."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._asked = asyncio.Semaphore(0)
        self.may_answer = asyncio.Event()
        upstream.handler = self.reply

    async def reply(self, request: web.Request) -> web.StreamResponse:
        self._asked.release()
        await self.may_answer.wait()
        body = encode_answer(Answer(text="late", model="up"), envelope())
        return web.Response(body=body, content_type="application/json")

    async def has(self, count: int) -> None:
        """Wait until so many more have been asked."""
        for _ in range(count):
            await self._asked.acquire()


async def status(http: aiohttp.ClientSession, url: str, asked: object = ASKED) -> int:
    async with http.post(f"{url}/v1/chat/completions", json=asked) as reply:
        await reply.read()
        return reply.status


async def test_too_many_at_once(
    http: aiohttp.ClientSession, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    slow = Slow(upstream)
    async with running_gateway(desk, max_in_flight=2) as url:
        under_way = [asyncio.create_task(status(http, url)) for _ in range(2)]
        await slow.has(2)
        async with http.post(f"{url}/v1/chat/completions", json=ASKED) as refused:
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
            assert (await refused.json())["error"]["code"] == "overloaded"
        async with http.get(f"{url}/metrics") as reply:
            assert "shoal_in_flight 2.0" in await reply.text()
        slow.may_answer.set()
        assert await asyncio.gather(*under_way) == [200, 200]
        assert await status(http, url) == 200


async def test_too_much_at_once(
    http: aiohttp.ClientSession, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    slow = Slow(upstream)
    long = {**ASKED, "messages": [{"role": "user", "content": "x" * 6_000}]}
    async with running_gateway(desk, max_in_flight_mb=0.01) as url:
        first = asyncio.create_task(status(http, url, long))
        await slow.has(1)
        assert await status(http, url, long) == 503
        second = asyncio.create_task(status(http, url))  # a short one still fits
        await slow.has(1)
        slow.may_answer.set()
        assert [await first, await second] == [200, 200]


async def test_what_has_no_body_counts_as_none(
    http: aiohttp.ClientSession, upstream: ScriptedUpstream, desk: FakeDesk
) -> None:
    slow = Slow(upstream)
    async with running_gateway(desk, max_in_flight_mb=0.01) as url:
        first = asyncio.create_task(status(http, url))
        await slow.has(1)
        async with http.delete(f"{url}/v1/responses/resp_1") as reply:
            assert reply.status == 404
        slow.may_answer.set()
        assert await first == 200


async def test_one_request_alone_always_passes(http: aiohttp.ClientSession, desk: FakeDesk) -> None:
    chunked = iter([json.dumps(ASKED | {"model": "echo"}).encode()])
    async with running_gateway(desk, max_in_flight_mb=0.01) as url:
        headers = {"content-type": "application/json"}

        async def body():  # type: ignore[no-untyped-def]
            for piece in chunked:
                yield piece

        async with http.post(f"{url}/v1/chat/completions", data=body(), headers=headers) as reply:
            assert reply.status == 200
