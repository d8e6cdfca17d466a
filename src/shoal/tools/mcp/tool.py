"""One tool of an MCP server."""

from collections.abc import Mapping
from typing import Protocol

from shoal.tools.mcp.listing import Listed
from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse


class _Server(Protocol):
    async def call(
        self, listed: Listed, arguments: Mapping[str, Json], use: ToolUse
    ) -> ToolResult: ...


class McpTool:
    """A tool as it was listed once: if its server makes another of it, calls are refused, as data.
    The server is closed by who opened it."""

    def __init__(self, server: _Server, listed: Listed) -> None:
        self._server, self._listed = server, listed

    @property
    def spec(self) -> ToolSpec:
        """What the server said of it when it was listed."""
        return self._listed.spec

    @property
    def digest(self) -> str:
        """Of all that the server said of it, in hexadecimal."""
        return self._listed.digest

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Call it on the server."""
        return await self._server.call(self._listed, arguments, use)

    async def aclose(self) -> None:
        """Nothing: the server is shared with other tools."""
