"""A small server written with the official SDK, as a process of its own."""

import asyncio
import os
import sys
from typing import Any

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("official")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
def order(number: str) -> dict[str, Any]:
    """One order."""
    return {"number": number, "state": "sent"}


@server.tool(structured_output=False)
def two_lines() -> list[str]:
    """Two pieces of text."""
    return ["first", "second"]


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """A picture, and what is to be said of it."""
    return ["a red dot", Image(data=b"\x89PNG" * 100, format="png")]


@server.tool()
def fails(why: str) -> str:
    """Always fails."""
    raise ToolError(why)


@server.tool()
async def slow(seconds: float) -> str:
    """Takes a while."""
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def environment() -> list[str]:
    """The names of all variables."""
    return sorted(os.environ)


@server.tool()
async def asks_back(context: Context) -> str:
    """Asks the client for what it should not get."""
    refused = []
    for what in ("sampling/createMessage", "roots/list"):
        try:
            await context.session.send_request(_request(what), dict)
        except Exception as error:  # noqa: BLE001 - told to the caller
            refused.append(str(error))
    return "; ".join(refused)


@server.tool()
def large(size: int) -> str:
    """A long text."""
    return "x" * size


@server.tool()
async def takes_away(context: Context) -> str:
    """Takes another tool away."""
    server.remove_tool("two_lines")
    await context.notify_tools_changed()
    return "done"


@server.tool(name="dotted.name")
def dotted() -> str:
    """Has a name that models cannot say."""
    return "dotted"


def _request(method: str) -> Any:
    from mcp import types

    if method == "roots/list":
        return types.ListRootsRequest()
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[], max_tokens=1)
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
