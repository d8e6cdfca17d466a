"""Keys in the store, and the ring of them in memory."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self, TypeVar

from sqlalchemy import Connection

from shoal.errors import StoreError
from shoal.routing.key_order import KeyOrder
from shoal.routing.key_ring import KeyRing, NewKey, new_key
from shoal.storage import Grouping, KeyRow, SpendRow, Store

log = logging.getLogger(__name__)
T = TypeVar("T")

_POLL_S = 0.05  # half of the 100 ms within which a key that is revoked must be refused
_WRITE_S = 2.0


class StoredKeys:
    """The gateway's key desk. Use it with ``async with``, which keeps the ring up to date."""

    def __init__(self, store: Store) -> None:
        """Reads the keys.

        Raises:
            StoreError: the store cannot be read.
        """
        self._store = store
        self._ring = self._read()
        self._reloading = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why the ring is behind the store; "" if it is not."""
        return self._trouble

    @property
    def ring(self) -> KeyRing:
        """The ring in force."""
        return self._ring

    async def create(self, order: KeyOrder) -> NewKey:
        """Make a key.

        Raises:
            Conflict: there is one of that name.
            StoreError: it cannot be written now.
        """
        now = time.time()
        made = new_key(order.name, order.spec(), now, order.expires_at(now))
        await self._write(partial(self._store.keys.insert, key=made.row))
        return made

    async def revoke(self, which: str) -> KeyRow:
        """Take a key, by id or name, out of force.

        Raises:
            NotFound: no such key.
            StoreError: it cannot be written now.
        """
        return await self._write(partial(self._store.keys.revoke, which=which, at=time.time()))

    async def keys(self) -> Sequence[KeyRow]:
        """Every key."""
        return await asyncio.to_thread(self._store.keys.list)

    async def spend(self, by: Grouping, since: str) -> Sequence[SpendRow]:
        """What was spent."""
        return await asyncio.to_thread(self._store.spend.list, by, since)

    async def reload(self) -> None:
        """Read the keys again if the store has changed; the ring stays if it cannot be read."""
        try:
            async with self._reloading:  # else one begun earlier could end later, with older news
                if self._store.database.revision() != self._ring.revision:
                    self._ring = await asyncio.to_thread(self._read)
            self._trouble = ""
        except Exception as error:  # whatever it is, callers with keys must not be locked out
            if not self._trouble:
                log.exception("the keys cannot be read")
            self._trouble = f"cannot be read again, earlier ones are in force: {error}"

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watching is not None
        self._watching.cancel()

    def _read(self) -> KeyRing:
        revision = self._store.database.revision()  # first: what comes meanwhile is read again
        return KeyRing(self._store.keys.list(), revision)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            await self.reload()

    async def _write(self, operation: Callable[[Connection], T]) -> T:
        done = asyncio.wrap_future(self._store.writer.submit(operation, urgent=True))
        try:
            result = await asyncio.wait_for(asyncio.shield(done), _WRITE_S)
        except TimeoutError:
            raise StoreError(
                "the store cannot be written now; this is kept until it can, unless Shoal stops"
            ) from None
        await self.reload()
        return result
