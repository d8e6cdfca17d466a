"""An MCP server as Shoal sees it: started when it is needed, and again when it broke."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from shoal.errors import MissingExtra, ShoalError, ToolServerError
from shoal.tools.blanks import Blanks
from shoal.tools.mcp.listing import Listed
from shoal.tools.mcp.options import McpOptions
from shoal.tools.mcp.outcome import read_outcome
from shoal.tools.mcp.tool import McpTool
from shoal.tools.tool import Json, ToolResult, ToolUse, failed

if TYPE_CHECKING:
    from shoal.tools.mcp.session import Session

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 30.0
_CLOSED = -32_000  # codes of the client for a connection that ended, and a reply that was late
_LATE = -32_001
_GARBLED = (0, -32_700)  # a reply came, and was none: 0 is no code, but what the client raises


class McpServer:
    """One server. Many calls may run at the same time. Nothing is started before the first of
    ``tools`` or a call."""

    def __init__(self, options: McpOptions) -> None:
        self.options = options
        self._session: Session | None = None
        self._failures, self._is_closed = 0, False
        self._importing = asyncio.Lock()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Tools that the server listed badly, each with the reason."""
        return self._session.listing.left_out if self._session else ()

    async def tools(self) -> list[McpTool]:
        """The tools as the server lists them now.

        Raises:
            MissingExtra: the ``mcp`` package is not installed.
            ToolServerError: the server cannot be started, reached or understood.
        """
        session = await self._running(self.options.limits.start_s)
        await self._refresh(session)
        return [McpTool(self, listed) for listed in session.listing.tools.values()]

    def newest(self, listed: Listed) -> Listed:
        """What the server said last of a tool; as ``listed`` if it is not there, or not known."""
        session = self._session
        return listed if session is None else session.listing.tools.get(listed.spec.name, listed)

    async def call(self, listed: Listed, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Call a tool that still is what was ``listed``. What the server was given to keep to
        itself is blanked out of what it says."""
        result = await self._tried(listed, arguments, use)
        try:
            return Blanks(self.options.place.secrets()).result(result)
        except RecursionError:
            return failed(f"{listed.spec.name}: its result is nested too deeply", unsure=True)

    async def _tried(
        self, listed: Listed, arguments: Mapping[str, Json], use: ToolUse
    ) -> ToolResult:
        until = time.monotonic() + min(use.left_s, listed.spec.timeout_s)
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + use.left_s):
                session = await self._running(until - time.monotonic())
                await self._refresh(session)
        except TimeoutError:
            return failed(f"MCP server {self.options.name} was not ready in time", passing=True)
        except ShoalError as error:
            return failed(str(error), "nothing was called; try again later", passing=True)
        if refusal := _changed(session.listing.tools.get(listed.spec.name), listed):
            return refusal
        return await self._call(session, listed, dict(arguments), until - time.monotonic())

    async def aclose(self) -> None:
        """End the server; it is not started again."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.aclose()

    async def _call(
        self, session: "Session", listed: Listed, arguments: dict[str, Json], left_s: float
    ) -> ToolResult:
        writes = not listed.spec.may_repeat
        session.trouble.status = 0
        try:
            found = await session.call(listed.own_name, arguments, left_s)
        except TimeoutError:
            return failed(
                f"{listed.spec.name} did not answer within {left_s:.3g} s",
                _unsure_hint(writes),
                passing=True,
                unsure=writes,
            )
        except Exception as error:  # noqa: BLE001 - a server may reply anything
            return await self._broken(session, listed, error)
        self._failures = 0
        return read_outcome(found, listed.spec.gives, self.options.limits)

    async def _broken(self, session: "Session", listed: Listed, error: Exception) -> ToolResult:
        from shoal.tools.mcp.session import told

        code, writes = getattr(error, "code", 0), not listed.spec.may_repeat
        status, name = session.trouble.status, listed.spec.name
        if code == _CLOSED or session.is_over:
            session.give_up(told(error))
            await asyncio.sleep(0)  # its keeper may know better why
            why = f"MCP server {self.options.name} broke off in {name}: {session.trouble.told()}"
            passing = not session.trouble.is_flood  # it would flood again
            return failed(why, _unsure_hint(writes), passing=passing, unsure=writes)
        if status == 404 or status >= 500 or code == _LATE:
            session.give_up(told(error))  # it knows the session no more, or does not work
            why = f"MCP server {self.options.name}, in {name}: {told(error)} (status {status})"
            unsure = writes and status != 404
            return failed(why, _unsure_hint(unsure), passing=True, unsure=unsure)
        return failed(
            f"{name}: {told(error)}",
            "the server refused the call, or its reply could not be read; look at the arguments",
            unsure=writes and code in _GARBLED,
        )

    async def _running(self, left_s: float) -> "Session":
        """The session, ready; one that ended is begun anew, later each time that it fails.

        Raises:
            MissingExtra, ToolServerError: as ``tools``.
        """
        if self._is_closed:
            raise ToolServerError(f"MCP server {self.options.name} was closed")
        session = self._session
        if session is not None and session.is_over:
            await self._wait(session, left_s)
            session = self._session
        if session is None or session.is_over:
            session = await self._begin()
        await session.ready()
        return session

    async def _begin(self) -> "Session":
        async with self._importing:  # whoever comes second finds what the first one began
            if self._session is None or self._session.is_over:
                session_type = await asyncio.to_thread(_session_type)
                if self._session is not None:
                    self._failures += 1
                self._session = session_type(self.options)
            return self._session

    async def _wait(self, ended: "Session", left_s: float) -> None:
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**self._failures)
        rest_s = (ended.ended_at or time.monotonic()) + wait_s - time.monotonic()
        if rest_s > left_s / 2:
            raise ToolServerError(
                f"MCP server {self.options.name}: {ended.trouble.told()}; it is started again in "
                f"{rest_s:.0f} s"
            )
        if rest_s > 0:
            await asyncio.sleep(rest_s)

    async def _refresh(self, session: "Session") -> None:
        try:
            await session.refresh()
        except ShoalError:
            raise
        except Exception as error:  # as of a call
            from shoal.tools.mcp.session import told

            session.give_up(told(error))
            raise ToolServerError(
                f"MCP server {self.options.name}: its tools cannot be listed: {told(error)}"
            ) from error


def _session_type() -> "type[Session]":
    """In a thread: it takes two seconds the first time."""
    try:
        from shoal.tools.mcp.session import Session
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("shoal"):
            raise
        raise MissingExtra("mcp", "a server of tools that speaks MCP") from error
    return Session


def _changed(now: Listed | None, listed: Listed) -> ToolResult | None:
    """The refusal of a call that was checked against what the tool is no more."""
    if now is not None and now.digest == listed.digest:
        return None
    what = "is not offered any more" if now is None else "is another than it was when checked"
    return failed(
        f"{listed.spec.name} {what}: its server changed its tools",
        "nothing was called; look at what the tool is now and check the call against that",
    )


def _unsure_hint(writes: bool) -> str:
    if writes:
        return "it may have been done or not: look before it is done again"
    return "it may be tried again"
