"""Servers over HTTP that misbehave."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from socket import create_connection

import pytest
from rogues import HERE, QUICK, only_tool, server

from ports import free_port
from shoal.tools.mcp import Address, McpOptions
from shoal.tools.tool import ToolUse


@contextmanager
def rogue(manner: str) -> Iterator[McpOptions]:
    port = free_port()
    script = HERE / "mcp_rogue_web.py"
    process = subprocess.Popen([sys.executable, script, manner, str(port)])
    try:
        for _ in range(200):
            try:
                with closing(create_connection(("127.0.0.1", port), 1)):
                    break
            except OSError:
                time.sleep(0.05)
        place = Address(url=f"http://127.0.0.1:{port}/mcp")
        yield McpOptions(name="s", place=place, limits=QUICK)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("manner", "said", "unsure"),
    [
        ("500", "status 500", True),
        ("404", "status 404", False),
        ("long", "message_bytes", True),
        ("floods", "answer nothing", True),
        ("breaks-off", "ended without a response", True),
    ],
)
async def test_calls_that_go_wrong(manner: str, said: str, unsure: bool) -> None:
    with rogue(manner) as found:
        async with server(found) as running:
            tool = await only_tool(running)
            result = await tool.call({}, ToolUse(left_s=5.0))
            assert said in result.error
            assert result.unsure is unsure
            assert (await running.tools()) != []  # it goes on


async def test_a_server_that_goes_away() -> None:
    with rogue("404") as found:
        running = server(found)
        opened = await running.__aenter__()
        tool = await only_tool(opened)
    try:
        result = await tool.call({}, ToolUse(left_s=5.0))
        assert not result.ok
        assert result.passing
    finally:
        await running.__aexit__(None, None, None)
