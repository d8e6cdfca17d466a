"""A server's list of tools, made such that one bad tool does not spoil it for the official client.

The client reads a page of tools as a whole, so that a single malformed one loses them all. And it
holds results against their ``outputSchema`` by a library whose regular expressions may take for
ever, at a server's wish. So pages are looked through before it sees them: what is no tool is left
out, and the schema of results is set aside, for Shoal to check in linear time.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse
from mcp.types.methods import validate_server_result
from pydantic import ValidationError

from shoal.tools.mcp.options import Limits
from shoal.tools.mcp.plain_text import plain_text
from shoal.tools.mcp.sieve import HEARD, Counter, Flooded
from shoal.tools.mcp.trouble import Trouble

_LIST = "tools/list"
_STRICT = "2025-11-25"  # whatever a later version allows, arguments are an object
ASIDE = "shoal/outputSchema"
"""Where in a tool's ``_meta`` the schema of its results is set aside."""

Item = SessionMessage | Exception
Streams = tuple[Any, Any]


class Sifting:
    """What comes over a connection, looked through; notices are counted too. ``left_out`` are the
    tools of all pages since it was last cleared that are none."""

    def __init__(self, limits: Limits, trouble: Trouble) -> None:
        self.left_out: list[str] = []
        self._asked, self._counter, self._trouble = set[str](), Counter(limits), trouble

    @asynccontextmanager
    async def between(self, transport: AbstractAsyncContextManager[Any]) -> AsyncIterator[Streams]:
        """The streams of a transport, with what comes in looked through."""
        heard, read = anyio.create_memory_object_stream[Item](0)
        write, to_send = anyio.create_memory_object_stream[SessionMessage](0)
        async with transport as (inner_read, inner_write), anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_in, inner_read, heard)
            tasks.start_soon(self._pass_out, to_send, inner_write)
            try:
                yield read, write
            finally:
                for stream in (heard, read, write, to_send):
                    stream.close()
                tasks.cancel_scope.cancel()

    async def _pass_in(self, inner: Any, heard: MemoryObjectSendStream[Item]) -> None:
        async with heard:
            try:
                async for item in inner:
                    if self._is_of_use(item):
                        await heard.send(item)
            except Flooded as error:
                self._trouble.flooded(str(error))
                raise
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass  # the session is over

    async def _pass_out(
        self, to_send: MemoryObjectReceiveStream[SessionMessage], inner: Any
    ) -> None:
        async with inner:
            try:
                async for item in to_send:
                    message = item.message
                    if isinstance(message, JSONRPCRequest) and message.method == _LIST:
                        self._asked.add(str(message.id))
                    await inner.send(item)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass

    def _is_of_use(self, item: Item) -> bool:
        """Whether it is to be passed on; pages of tools are looked through."""
        message = getattr(item, "message", None)
        if isinstance(message, JSONRPCNotification):
            self._counter.count()
            return message.method in HEARD
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._counter.replied()
        if isinstance(message, JSONRPCResponse) and str(message.id) in self._asked:
            self._asked.discard(str(message.id))
            tools = message.result.get("tools")
            if isinstance(tools, list):
                message.result["tools"] = [one for one in tools if self._is_good(one)]
        return True

    def _is_good(self, tool: Any) -> bool:
        try:
            validate_server_result(_LIST, _STRICT, {"tools": [tool]})
        except (ValidationError, TypeError) as error:
            name = str(tool.get("name")) if isinstance(tool, dict) else "what is no object"
            places = [".".join(map(str, one["loc"][-2:])) for one in _errors(error)]
            self.left_out.append(f"{plain_text(name, 60)!r}: malformed: {', '.join(places[:3])}")
            return False
        if (schema := tool.pop("outputSchema", None)) is not None:
            tool["_meta"] = {**(tool.get("_meta") or {}), ASIDE: schema}
        return True


def _errors(error: ValidationError | TypeError) -> list[Any]:
    return list(error.errors()) if isinstance(error, ValidationError) else []
