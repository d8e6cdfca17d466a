"""Keys in memory, as the gateway sees them."""

import time
from collections.abc import Sequence

from msgspec.structs import replace

from shoal.errors import Conflict, NotFound
from shoal.routing.key_order import KeyOrder
from shoal.routing.key_ring import KeyRing, NewKey, new_key
from shoal.storage import Grouping, KeyRow, SpendRow


class FakeKeys:
    """Keeps rows in a list."""

    def __init__(self) -> None:
        self.rows: list[KeyRow] = []
        self.asked: list[tuple[str, str]] = []
        self.trouble = ""

    @property
    def ring(self) -> KeyRing:
        return KeyRing(self.rows)

    def add(self, expires_at: float | None = None, **fields: object) -> NewKey:
        order = KeyOrder.model_validate({"name": f"key{len(self.rows)}", **fields})
        made = new_key(order.name, order.spec(), time.time(), expires_at)
        self.rows.append(made.row)
        return made

    async def create(self, order: KeyOrder) -> NewKey:
        if order.name in [row.name for row in self.rows]:
            raise Conflict(f"there is a key named {order.name!r} already")
        return self.add(order.expires_at(time.time()), **order.model_dump())

    async def revoke(self, which: str) -> KeyRow:
        for at, row in enumerate(self.rows):
            if which in (row.id, row.name):
                self.rows[at] = replace(row, revoked_at=time.time())
                return self.rows[at]
        raise NotFound(f"no key of id or name {which!r}")

    async def keys(self) -> Sequence[KeyRow]:
        return self.rows

    async def spend(self, by: Grouping, since: str) -> Sequence[SpendRow]:
        self.asked.append((by, since))
        return [SpendRow(group="2025-01-31", calls=2, cost=0.5, llm_cost=1.5)]
