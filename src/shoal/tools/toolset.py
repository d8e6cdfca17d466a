"""All tools of one ``shoal.toml``: those it describes, and those that MCP servers list."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shoal.errors import ShoalError
from shoal.tools.mcp.server import McpServer
from shoal.tools.options import McpToolOptions, ToolOptions, build_tools
from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse
from shoal.tools.toolbox import Toolbox, ToolLimits

log = logging.getLogger(__name__)

_LET_BE_S = 30.0


class Toolset:
    """``own`` are known from the start, those of ``servers`` once somebody looks. A server that
    cannot be reached takes nothing from the others."""

    def __init__(self, own: Toolbox, servers: Sequence[McpServer] = ()) -> None:
        self._own, self._servers = own, servers
        self._listed: dict[McpServer, tuple[list[ToolSpec], Toolbox]] = {}
        self._troubles: dict[str, str] = {}
        self._let_be: dict[McpServer, float] = {}  # until when, of time.monotonic

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tools known by now."""
        return tuple(name for box in self._boxes() for name in box.names)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the names of servers' tools begin with."""
        return tuple(f"{server.options.name}__" for server in self._servers)

    @property
    def troubles(self) -> Mapping[str, str]:
        """Servers that could not be asked what they have when somebody looked last, and why."""
        return self._troubles

    async def look(self, granted: Collection[str] | None) -> None:
        """Ask the servers of which tools are ``granted`` (None: all) what they have. Takes as long
        as the slowest may take to start; one that failed is let be for half a minute."""
        asked = [server for server in self._servers if self._is_asked(server, granted)]
        await asyncio.gather(*(self._look_at(server) for server in asked))

    def specs(self, granted: Sequence[str] | None) -> tuple[ToolSpec, ...]:
        """As they are now, of the tools with ``granted`` names that are known; None grants all.
        Those of a server that could not be asked are left out."""
        listed = [
            box
            for server, (_, box) in self._listed.items()
            if server.options.name not in self._troubles
        ]
        return tuple(spec for box in (self._own, *listed) for spec in box.specs(granted))

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Json],
        use: ToolUse,
        granted: Sequence[str] | None,
        digest: str = "",
    ) -> ToolResult:
        """Call a tool: see ``Toolbox``."""
        box = next((box for box in self._boxes() if name in box.names), self._own)
        return await box.call(name, arguments, use, granted, digest)

    async def aclose(self) -> None:
        """Let all of them go."""
        await self._own.aclose()
        for server in self._servers:
            with suppress(ShoalError):
                await server.aclose()

    def _boxes(self) -> list[Toolbox]:
        return [self._own, *(box for _, box in self._listed.values())]

    def _is_asked(self, server: McpServer, granted: Collection[str] | None) -> bool:
        if time.monotonic() < self._let_be.get(server, 0.0):
            return False
        prefix = f"{server.options.name}__"
        return granted is None or any(name.startswith(prefix) for name in granted)

    async def _look_at(self, server: McpServer) -> None:
        try:
            tools = await server.tools()
        except ShoalError as error:
            if server.options.name not in self._troubles:
                log.warning("the tools of %s are left out: %s", server.options.name, error)
            self._troubles[server.options.name] = str(error)
            # What it had stays: runs that use it are not told that there are no such tools.
            self._let_be[server] = time.monotonic() + _LET_BE_S
            return
        self._troubles.pop(server.options.name, None)
        specs, before = [one.spec for one in tools], self._listed.get(server)
        if before is None or before[0] != specs:
            self._listed[server] = (specs, Toolbox(tools))


def build_toolset(
    options: Mapping[str, ToolOptions], folder: Path, limits: ToolLimits | None = None
) -> Toolset:
    """The tools of ``[tools.NAME]``; paths are relative to ``folder``.

    Raises:
        ConfigError: one cannot be made; names the key.
        MissingExtra: one needs an optional part.
    """
    own = {name: one for name, one in options.items() if not isinstance(one, McpToolOptions)}
    servers = [
        McpServer(one.server(name, folder))
        for name, one in options.items()
        if isinstance(one, McpToolOptions)
    ]
    return Toolset(build_tools(own, folder, limits), servers)
