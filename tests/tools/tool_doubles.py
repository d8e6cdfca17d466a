"""Tools that misbehave, each in a way of its own."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse


class Double:
    """A tool that does what it is told to."""

    def __init__(
        self, do: Callable[[Mapping[str, Json], ToolUse], Awaitable[Any]], **spec: Any
    ) -> None:
        self._do = do
        self.spec = ToolSpec(**{"name": "double", "description": "", "effects": "reads"} | spec)
        self.calls = 0

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        self.calls += 1
        found: ToolResult = await self._do(arguments, use)
        return found

    async def aclose(self) -> None:
        return None


def giving(value: Any, **spec: Any) -> Double:
    """Always gives this."""

    async def do(arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        return ToolResult(value)

    return Double(do, **spec)


def raising(error: BaseException, **spec: Any) -> Double:
    async def do(arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        raise error

    return Double(do, **spec)


def hanging(swallows: bool = False, **spec: Any) -> Double:
    """Never ends; if it ``swallows``, not even when it is cancelled, for a while."""

    async def do(arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        if swallows:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        await asyncio.sleep(0.5 if swallows else 60)
        return ToolResult()

    return Double(do, **spec)
