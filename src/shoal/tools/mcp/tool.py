"""One tool of an MCP server."""

from collections.abc import Mapping
from typing import Protocol

from shoal.tools.mcp.listing import Listed
from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse


class _Server(Protocol):
    def newest(self, listed: Listed) -> Listed: ...

    async def call(
        self, listed: Listed, arguments: Mapping[str, Json], use: ToolUse
    ) -> ToolResult: ...


class McpTool:
    """A tool of a server, which is closed by who opened it.

    It is what it was when somebody last looked at its ``spec``: if its server makes another of it,
    calls are refused, as data, until somebody looks again.
    """

    def __init__(self, server: _Server, listed: Listed) -> None:
        self._server, self._listed = server, listed

    @property
    def spec(self) -> ToolSpec:
        """What the server says of it, as far as that has been heard; once it is gone, what it said
        last."""
        self._listed = self._server.newest(self._listed)
        return self._listed.spec

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Call it on the server."""
        return await self._server.call(self._listed, arguments, use)

    async def aclose(self) -> None:
        """Nothing: the server is shared with other tools."""
