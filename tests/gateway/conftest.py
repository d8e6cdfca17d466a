"""A gateway with a remote engine over a real upstream, and an echo engine."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from live import FakeDesk, running_gateway

from shoal.engines import EchoOptions, RemoteOptions, open_engine

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))

from scripted_upstream import ScriptedUpstream, running_upstream


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with running_upstream() as scripted:
        yield scripted


@pytest.fixture
async def desk(upstream: ScriptedUpstream) -> AsyncIterator[FakeDesk]:
    options = RemoteOptions(engine="remote", base_url=upstream.base_url, timeout_s=2, retries=0)
    remote = open_engine("remote", options)
    yield FakeDesk(remote, open_engine("echo", EchoOptions(engine="echo")))
    await remote.aclose()


@pytest.fixture
async def gateway(desk: FakeDesk) -> AsyncIterator[str]:
    async with running_gateway(desk, max_body_mb=0.1) as url:
        yield url


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
