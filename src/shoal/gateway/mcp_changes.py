"""Tells clients of MCP that the tools on offer have changed, so that they list them again.

Who speaks the protocol of 2026-07-28 opens a stream for that (``subscriptions/listen``), over HTTP
as well; with the handshake of before, only over stdio is there a way to be told. Whether anything
changed is looked at every second while somebody may be told: what is on offer for a caller without
a key, which is all there is, so that no notice says more than "list them again".
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import msgspec
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged

from shoal.errors import ShoalError
from shoal.routing.caller import ANYBODY
from shoal.routing.offer import Offers

log = logging.getLogger(__name__)

_MOST_STREAMS = 64  # each is a request under way, of which a gateway takes so many


class Changes:
    """Looks every ``every_s`` seconds, within ``watched``. ``listen`` serves the streams."""

    def __init__(self, offers: Offers, every_s: float = 1.0) -> None:
        self._offers, self._every_s = offers, every_s
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus, max_subscriptions=_MOST_STREAMS)
        self._session: Any = None
        self.is_stopping: Callable[[], bool] = lambda: False

    def tell(self, session: Any) -> None:
        """Tell the one client over stdio, too: ``session`` is that of its last request."""
        self._session = session

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look until the end of the block."""
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            self.listen.close()
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        last = await self._digest()
        while True:
            await asyncio.sleep(self._every_s)
            if self.is_stopping():  # else the server would wait for the streams to end
                self.listen.close()
                continue
            now = await self._digest()
            if last and now and now != last:
                await self._publish()
            last = now or last

    async def _publish(self) -> None:
        await self._bus.publish(ToolsListChanged())
        if self._session is not None:
            try:
                await self._session.send_tool_list_changed()
            except Exception:  # it may be gone, in whatever way: whoever looks must look on
                log.debug("the client could not be told that tools changed", exc_info=True)

    async def _digest(self) -> bytes:
        """Of all that is on offer; b"" while that cannot be told."""
        try:
            specs = [offer.spec for offer in await self._offers.offers(ANYBODY)]
        except ShoalError:
            return b""
        told = [(one.name, one.description, one.takes, one.gives) for one in specs]
        return sha256(msgspec.json.encode(told)).digest()
