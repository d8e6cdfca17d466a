"""What becomes of a whole answer that has not come when the gateway stops, and who is told."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from fake_keys import FakeKeys
from live import FakeDesk, running_gateway
from scripted_upstream import ScriptedUpstream

from shoal.engines import RemoteOptions, open_engine
from shoal.errors import GatewayStopped
from shoal.gateway import GatewayOptions, create_app
from shoal.gateway.server import listen, new_server, serve_on

ASKED = {"model": "remote", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_never_ends_is_recorded_and_told(
    http: aiohttp.ClientSession, upstream: ScriptedUpstream, stream: bool
) -> None:
    asked = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(30)
        raise AssertionError

    upstream.handler = hang
    patient = RemoteOptions(engine="remote", base_url=upstream.base_url, timeout_s=20)
    engine = open_engine("remote", patient)
    desk = FakeDesk(engine)
    async with running_gateway(desk, stop_within_s=1) as url:
        body = {**ASKED, "stream": stream}
        asking = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=body))
        await asyncio.wait_for(asked.wait(), 5)
    reply = await asyncio.wait_for(asking, 5)
    assert reply.status == 503
    error = (await reply.json())["error"]
    assert error["code"] == "gateway_stopped"
    assert "stopped before the answer came" in error["message"]
    assert error["type"] == "server_error"
    assert reply.headers["x-shoal-call-id"] == "failed-1"
    ((request, _, recorded),) = desk.failures
    assert request.messages[0].text == "hi"
    assert isinstance(recorded, GatewayStopped)
    assert desk.finished == []
    await asyncio.wait_for(upstream.hung_up.wait(), 2)
    await engine.aclose()


async def test_a_gateway_that_stops_is_not_ready(
    http: aiohttp.ClientSession, desk: FakeDesk
) -> None:
    options = GatewayOptions(port=0)
    listener = listen(options)
    server = new_server(create_app(desk, options, FakeKeys()))
    running = asyncio.create_task(serve_on(server, listener))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/readyz"
    async with http.get(url) as reply:
        assert reply.status == 200
    server.should_exit = True
    try:
        async with http.get(url) as reply:
            assert reply.status == 503
    except aiohttp.ClientError:  # it was quicker, and takes nothing any more
        pass
    await running
