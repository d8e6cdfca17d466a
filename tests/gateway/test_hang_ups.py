"""Clients that always hang up: what may have been worked on for them counts against budgets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from fake_keys import FakeKeys
from live import running_gateway
from scripted_upstream import ScriptedUpstream

from shoal.assembly import Models, Purse, Shoal
from shoal.assembly.regime import Regime
from shoal.engines import RemoteOptions
from shoal.routing.budget import Budgets
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store, StoreOptions

PRICE = 1.0  # USD per million tokens, of input and of output
MESSAGES = [{"role": "user", "content": "hi"}]
MOST = 5 + 100  # tokens that a call is reckoned to take: of input, and of output that is asked for
BODIES = {
    "chat/completions": {"model": "remote", "messages": MESSAGES, "max_tokens": 100},
    "messages": {"model": "remote", "messages": MESSAGES, "max_tokens": 100},
    "embeddings": {"model": "remote", "input": "hi" * 150},
}


class Place:
    """A gateway over the whole of Shoal, a store, and a key with a budget for three calls."""

    def __init__(self, url: str, store: Store, key: str) -> None:
        self.url, self.store = url, store
        self.headers = {"authorization": f"Bearer {key}"}

    def known(self) -> tuple[int, float]:
        """How many costs are unknown, and the millionths of a USD that are held for them."""
        self.store.writer.submit(lambda conn: None, urgent=True).result(5)
        rows = self.store.spend.list("key")
        return sum(row.unpriced for row in rows), sum(row.held for row in rows) * 1e6


@pytest.fixture
async def here(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[Place]:
    remote = RemoteOptions(
        engine="remote",
        base_url=upstream.base_url,
        input_price=PRICE,
        output_price=PRICE,
        timeout_s=20,
    )
    models = Models.open({"remote": remote})
    keys = FakeKeys()
    key = keys.add(budget_day=3.2 * MOST * PRICE / 1e6).key
    with Store.open(StoreOptions(path=tmp_path / "data")) as store:
        purse = Purse(Budgets(store.spend.between, {}), 100)
        desk = Shoal(store, Regime(models, {}, PromiseOptions()), purse=purse)
        async with purse, desk, running_gateway(desk, keys) as url:
            yield Place(url, store, key)


def hangs(upstream: ScriptedUpstream) -> asyncio.Semaphore:
    """Have it work for ever; whoever waits for the semaphore is told of each request."""
    came = asyncio.Semaphore(0)

    async def work(request: web.Request) -> web.StreamResponse:
        came.release()
        await asyncio.sleep(30)
        raise AssertionError

    upstream.handler = work
    return came


async def hang_up(
    http: aiohttp.ClientSession, here: Place, path: str, stream: bool, came: asyncio.Semaphore
) -> int:
    """Ask, hang up once the upstream is at work, and return 0; or the status, if there is one."""
    body = BODIES[path] | ({"stream": True} if stream else {})
    asking = asyncio.create_task(
        http.post(f"{here.url}/v1/{path}", json=body, headers=here.headers)
    )
    working = asyncio.create_task(came.acquire())
    await asyncio.wait((asking, working), timeout=5, return_when=asyncio.FIRST_COMPLETED)
    if asking.done():
        working.cancel()
        return (await asking).status
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    return 0


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        ("chat/completions", False),
        ("chat/completions", True),
        ("messages", False),
        ("embeddings", False),
    ],
)
async def test_who_always_hangs_up_is_refused_in_the_end(
    http: aiohttp.ClientSession, here: Place, upstream: ScriptedUpstream, path: str, stream: bool
) -> None:
    came = hangs(upstream)
    statuses = []
    for _ in range(5):
        statuses.append(await hang_up(http, here, path, stream, came))
        await asyncio.sleep(0.1)  # the gateway notices
    assert statuses == [0, 0, 0, 429, 429]
    assert len(upstream.bodies) == 3
    assert here.known() == (3, pytest.approx(3 * MOST, rel=0.1))


async def test_who_never_has_the_time_is_refused_in_the_end(
    http: aiohttp.ClientSession, here: Place, upstream: ScriptedUpstream
) -> None:
    hangs(upstream)
    url, headers = f"{here.url}/v1/chat/completions", {"x-shoal-max-latency-ms": "100"}
    statuses = []
    for _ in range(5):
        body = BODIES["chat/completions"]
        async with http.post(url, json=body, headers=here.headers | headers) as reply:
            statuses.append(reply.status)
    assert statuses == [504, 504, 504, 429, 429]


async def test_a_hang_up_while_the_upstream_refuses_costs_nothing(
    http: aiohttp.ClientSession, here: Place, upstream: ScriptedUpstream
) -> None:
    """In the pause after an upstream's 429 nobody works on anything."""
    came = asyncio.Semaphore(0)

    async def busy(request: web.Request) -> web.StreamResponse:
        came.release()
        return web.Response(status=429, headers={"retry-after": "5"}, text="{}")

    upstream.handler = busy
    url = f"{here.url}/v1/chat/completions"
    for _ in range(5):
        body = BODIES["chat/completions"]
        asking = asyncio.create_task(http.post(url, json=body, headers=here.headers))
        await asyncio.wait_for(came.acquire(), 5)
        await asyncio.sleep(0.1)
        assert not asking.done()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0.1)
    assert len(upstream.bodies) == 5
    assert here.known() == (0, 0.0)
