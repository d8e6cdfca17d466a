"""One connection to a server, opened, kept and closed by one task of its own.

The official client's scopes must be left by the task that entered them. So a keeper enters them,
lists the tools, and waits until it is told to go, or until the server goes; calls come from
whichever task makes them.
"""

import asyncio
import time
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import anyio
from mcp import Client, MCPError
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types import CallToolResult, Implementation
from mcp.types import Tool as ListedTool
from pydantic import ValidationError

from shoal.errors import ShoalError, ToolServerError
from shoal.tools.mcp.listing import Listing, read_listing
from shoal.tools.mcp.options import Address, McpOptions
from shoal.tools.mcp.plain_text import plain_text
from shoal.tools.mcp.processes import talking_to
from shoal.tools.mcp.sifting import ASIDE, Sifting
from shoal.tools.mcp.trouble import Trouble
from shoal.tools.mcp.web import reaching
from shoal.tools.tool import Json

_MOST_PAGES = 100
_CLOSED_WITHIN_S = 5.0
_MOST_HUNG = 3  # calls in a row that ran out of time; then it is started anew
_CHANGED = "notifications/tools/list_changed"


class Session:
    """Begins to connect when it is built, which is to be within the event loop. ``listing`` is what
    the server listed last, ``trouble`` why it is no more."""

    def __init__(self, options: McpOptions) -> None:
        self._options, self.trouble, self.listing = options, Trouble(), Listing()
        self.ended_at, self._listed_at = 0.0, 0.0
        self._changed, self._hung = False, 0
        self._sifting = Sifting(options.limits, self.trouble)
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Client] = loop.create_future()
        self._opened.add_done_callback(_looked_at)
        self._listing, self._closing, self._scope = asyncio.Lock(), asyncio.Event(), _scope()
        self._timer = loop.call_later(options.limits.start_s, self._too_slow)
        self._keeper = asyncio.create_task(self._keep())

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is about to."""
        return bool(self.ended_at) or self._closing.is_set() or self._scope.cancel_called

    async def ready(self) -> None:
        """Wait until the tools are listed.

        Raises:
            ShoalError: the server could not be started, reached or understood.
        """
        await asyncio.shield(self._opened)

    async def refresh(self) -> None:
        """List the tools again if they may be others by now.

        Raises:
            ToolServerError: they cannot be listed.
        """
        async with self._listing:
            old = time.monotonic() - self._listed_at > self._options.limits.relist_s
            if self._changed or old:
                async with asyncio.timeout(self._options.limits.start_s):
                    await self._list(await self._opened)

    async def call(
        self, own_name: str, arguments: dict[str, Json], left_s: float
    ) -> CallToolResult:
        """Call a tool by the server's own name for it.

        Raises:
            TimeoutError: no reply came in time; the server was told to leave it.
            Exception: whatever the official client raises.
        """
        client = await self._opened
        try:
            async with asyncio.timeout(left_s):
                found = await client.call_tool(own_name, arguments)
        except TimeoutError:
            # one who waits for a moment only has not found out that it hangs
            self._hung += left_s >= self._options.limits.call_s / 2
            if self._hung >= _MOST_HUNG:
                self.give_up(f"it did not answer {self._hung} calls in a row in time")
            raise
        self._hung = 0
        return found

    def give_up(self, why: str) -> None:
        """End it at once."""
        self.trouble.say(why)
        self._scope.cancel()

    async def aclose(self) -> None:
        """End it, in order if that takes no longer than a few seconds."""
        self._closing.set()
        await asyncio.wait((self._keeper,), timeout=_CLOSED_WITHIN_S)
        self._scope.cancel()
        await asyncio.wait((self._keeper,), timeout=_CLOSED_WITHIN_S)

    async def _keep(self) -> None:
        try:
            with self._scope:
                async with self._client() as client:
                    await self._first_listing(client)
                    self._timer.cancel()
                    self._opened.set_result(client)
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._follow, client)
                        await self._closing.wait()
                        tasks.cancel_scope.cancel()
        except ShoalError as error:
            self.trouble.say(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was, calls are told
            self.trouble.say(told(error))
        finally:
            self._timer.cancel()
            self.ended_at = time.monotonic()
            if not self._opened.done():
                name = self._options.name
                self._opened.set_exception(
                    ToolServerError(f"MCP server {name}: {self.trouble.told()}")
                )

    def _client(self) -> Client:
        """The official client; what servers ask for (a model's answer, a person's, the folders)
        it refuses by itself, as long as nobody gives it a callback."""
        return Client(
            self._sifting.between(self._transport()),
            client_info=Implementation(name="shoal", version="1"),
            message_handler=self._hear,
            cache=None,
        )

    def _transport(self) -> AbstractAsyncContextManager[Any]:
        place, limits = self._options.place, self._options.limits
        if isinstance(place, Address):
            return reaching(place, limits, self.trouble)
        return talking_to(place, limits, self.trouble, self._closing.set)

    async def _first_listing(self, client: Client) -> None:
        try:
            await self._list(client)
        except Exception as error:  # told before its end, which follows, is taken for the reason
            self.trouble.say(f"its tools cannot be listed: {told(error)}")
            raise

    async def _list(self, client: Client) -> None:
        self._changed = False  # before: it may change while it is listed
        self._sifting.left_out.clear()
        found, cursor = list[ListedTool](), None
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor or len(found) > self._options.limits.tools:
                break
        schemas = {tool.name: (tool.meta or {}).get(ASIDE) for tool in found}
        listing = read_listing(found, schemas, self._options)
        self.listing = Listing(listing.tools, (*self._sifting.left_out, *listing.left_out))
        self._listed_at = time.monotonic()

    async def _follow(self, client: Client) -> None:
        """Hear of changes where the protocol has it that one asks for that; where it cannot be had,
        the list is asked for again when it is old."""
        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        with suppress(ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError):
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._changed = True

    async def _hear(self, message: Any) -> None:
        if getattr(message, "method", "") == _CHANGED:
            self._changed = True

    def _too_slow(self) -> None:
        self.give_up(f"it was not ready within {self._options.limits.start_s:g} s")


def told(error: BaseException) -> str:
    """What went wrong, in one line; of a group, what went wrong first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return plain_text(f"malformed: {'.'.join(map(str, first['loc']))}: {first['msg']}", 500)
    said = error.message if isinstance(error, MCPError) else str(error)
    return plain_text(" ".join(said.split()), 500) or type(error).__name__


def _scope() -> anyio.CancelScope:
    return anyio.CancelScope()


def _looked_at(opened: "asyncio.Future[Client]") -> None:
    """That it failed is told to who calls next; nobody may be waiting now."""
    if not opened.cancelled():
        opened.exception()
