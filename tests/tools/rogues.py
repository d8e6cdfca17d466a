"""Servers of tools as processes, told how to behave."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shoal.tools.mcp import Command, Limits, McpOptions, McpServer, McpTool
from shoal.tools.tool import Effects

HERE = Path(__file__).parent
QUICK = Limits(start_s=10, notices=5_000, message_bytes=500_000, result_bytes=100_000)


def options(
    script: str,
    *arguments: str,
    limits: Limits = QUICK,
    trusted: bool = False,
    env: tuple[str, ...] = (),
    effects: dict[str, Effects] | None = None,
) -> McpOptions:
    """The options of a server that is a script of this folder."""
    command = Command(program=sys.executable, arguments=(str(HERE / script), *arguments), env=env)
    return McpOptions(
        name="s", place=command, trusted=trusted, limits=limits, effects=effects or {}
    )


@asynccontextmanager
async def server(found: McpOptions) -> AsyncIterator[McpServer]:
    running = McpServer(found)
    try:
        yield running
    finally:
        await running.aclose()


async def only_tool(running: McpServer) -> McpTool:
    (tool,) = await running.tools()
    return tool
