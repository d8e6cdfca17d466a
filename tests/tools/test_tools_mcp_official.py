"""The client against a server written with the official SDK, over both transports."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from socket import create_connection

import pytest
from rogues import HERE, QUICK, options, server

from ports import free_port
from shoal.errors import ConfigError, ToolServerError
from shoal.tools.mcp import Address, McpOptions, McpServer, McpTool
from shoal.tools.tool import Json, ToolResult, ToolUse


async def tools_of(running: McpServer) -> dict[str, McpTool]:
    return {tool.spec.name: tool for tool in await running.tools()}


async def call(tool: McpTool, left_s: float = 10.0, **arguments: Json) -> ToolResult:
    return await tool.call(arguments, ToolUse(left_s=left_s))


async def test_tools_over_stdio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ONE", "x")
    monkeypatch.setenv("SECRET_ONE", "x")
    found = options("mcp_official.py", trusted=True, env=("ALLOWED_ONE",))
    async with server(found) as running:
        tools = await tools_of(running)
        add, order = tools["s__add"], tools["s__order"]
        assert (add.spec.effects, add.spec.may_repeat) == ("reads", True)
        assert (order.spec.effects, order.spec.repeatable) == ("writes", True)
        assert tools["s__two_lines"].spec.effects == "writes"
        assert not tools["s__two_lines"].spec.may_repeat
        assert json.loads(add.spec.gives)["properties"]["result"]["type"] == "integer"
        assert json.loads(add.spec.takes)["required"] == ["a", "b"]
        assert [name for name in tools if name.startswith("s__dotted")] != ["s__dotted.name"]

        assert (await call(add, a=1, b=2)).value == {"result": 3}
        assert (await call(order, number="7")).value == {"number": "7", "state": "sent"}
        assert (await call(tools["s__two_lines"])).value == "first\nsecond"
        picture = await call(tools["s__picture"])
        assert picture.value == "a red dot\n[image image/png, 536 characters]"
        fails = await call(tools["s__fails"], why="because")
        assert "because" in fails.error
        assert not fails.unsure
        seen = (await call(tools["s__environment"])).value
        assert isinstance(seen, dict)
        assert isinstance(names := seen["result"], list)
        assert "ALLOWED_ONE" in names
        assert "SECRET_ONE" not in names
        refused = (await call(tools["s__asks_back"])).value
        assert isinstance(refused, dict)
        assert str(refused["result"]).count("annot send") == 2


async def test_calls_run_together_and_end_when_they_are_cancelled() -> None:
    async with server(options("mcp_official.py")) as running:
        tools = await tools_of(running)
        began = time.monotonic()
        slow = [call(tools["s__slow"], seconds=0.5) for _ in range(5)]
        assert all(result.ok for result in await asyncio.gather(*slow))
        assert time.monotonic() - began < 2
        task = asyncio.create_task(call(tools["s__slow"], seconds=30.0))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await call(tools["s__add"], a=1, b=1)).value == {"result": 2}


async def test_a_result_that_is_too_long_is_an_error_and_a_message_ends_the_connection() -> None:
    async with server(options("mcp_official.py")) as running:
        large = (await tools_of(running))["s__large"]
        refused = await call(large, size=150_000)
        assert "at most 100,000" in refused.error
        assert not refused.unsure  # it was done, and says so
        assert "came to its end" in refused.hint
        broken = await call(large, size=QUICK.message_bytes)
        assert "message_bytes" in broken.error
        assert broken.unsure
        assert (await call(large, size=10)).ok  # after a while, it was started again


async def test_a_change_is_heard_of_over_the_newest_protocol() -> None:
    async with server(options("mcp_official.py")) as running:
        tools = await tools_of(running)
        two_lines = tools["s__two_lines"]
        await asyncio.sleep(0.3)  # until it is listened to
        assert (await call(two_lines)).ok
        assert (await call(tools["s__takes_away"])).ok
        await asyncio.sleep(0.3)
        refused = await call(two_lines)
        assert "is not offered any more" in refused.error
        assert (await call(tools["s__add"], a=1, b=2)).ok


async def test_effects_are_not_believed_but_may_be_told() -> None:
    found = options("mcp_official.py", effects={"order": "reads"})
    async with server(found) as running:
        tools = await tools_of(running)
        assert tools["s__order"].spec.may_repeat
        assert tools["s__add"].spec.effects == "writes"


async def test_nothing_runs_once_it_is_closed() -> None:
    async with server(options("mcp_official.py")) as running:
        add = (await tools_of(running))["s__add"]
    assert "was closed" in (await call(add, a=1, b=2)).error
    with pytest.raises(ToolServerError, match="was closed"):
        await running.tools()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server over streamable HTTP."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, HERE / "mcp_official.py", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            try:
                with closing(create_connection(("127.0.0.1", port), 1)):
                    break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(10)


async def test_tools_over_http(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_IT", "Bearer x")
    place = Address(url=address, headers={"authorization": "KEY_OF_IT"})
    async with server(McpOptions(name="web", place=place, limits=QUICK)) as running:
        tools = await tools_of(running)
        assert (await call(tools["web__add"], a=2, b=2)).value == {"result": 4}
        late = await call(tools["web__slow"], left_s=0.3, seconds=5.0)
        assert late.unsure
        assert "did not answer" in late.error
        long = await call(tools["web__large"], size=QUICK.message_bytes)
        assert not long.ok
        assert (await call(tools["web__add"], a=2, b=3)).value == {"result": 5}


async def test_an_address_where_nobody_listens() -> None:
    place = Address(url=f"http://127.0.0.1:{free_port()}/mcp")
    async with server(McpOptions(name="web", place=place)) as running:
        with pytest.raises(ToolServerError, match="MCP server web"):
            await running.tools()


@pytest.mark.parametrize("name", ["", "a b", "a__b", "x" * 31, "_a"])
def test_names_of_servers(name: str) -> None:
    with pytest.raises(ConfigError, match="expected a name"):
        McpOptions(name=name, place=Address(url="https://example.org/mcp"))


def test_addresses_are_of_the_web() -> None:
    with pytest.raises(ConfigError, match="url: expected http"):
        McpOptions(name="a", place=Address(url="file:///etc/passwd"))


def test_variables_that_are_not_set() -> None:
    with pytest.raises(ConfigError, match="NOT_SET_AT_ALL"):
        Address(url="https://x", headers={"authorization": "NOT_SET_AT_ALL"}).sent()
    with pytest.raises(ConfigError, match="NOT_SET_AT_ALL"):
        options("mcp_official.py", env=("NOT_SET_AT_ALL",)).place.environment()  # type: ignore[union-attr]
