"""What the gateway asks of whoever keeps the keys."""

from collections.abc import Sequence
from typing import Protocol

from shoal.routing.key_order import KeyOrder
from shoal.routing.key_ring import KeyRing, NewKey
from shoal.storage import Grouping, KeyRow, SpendRow


class KeyDesk(Protocol):
    """Holds the key ring in memory; the rest waits for the store."""

    @property
    def ring(self) -> KeyRing:
        """The keys in force, as of at most 100 ms ago; never waits."""

    @property
    def trouble(self) -> str:
        """Why the ring is behind the store; "" if it is not."""

    async def create(self, order: KeyOrder) -> NewKey:
        """Make a key.

        Raises:
            Conflict: there is one of that name.
            StoreError: it cannot be written now.
        """

    async def revoke(self, which: str) -> KeyRow:
        """Take a key, by id or name, out of force.

        Raises:
            NotFound: no such key.
            StoreError: it cannot be written now.
        """

    async def keys(self) -> Sequence[KeyRow]:
        """Every key."""

    async def spend(self, by: Grouping, since: str) -> Sequence[SpendRow]:
        """What was spent since that day ("" from the beginning)."""
