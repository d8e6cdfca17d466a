"""Keeps budgets up to date with what was spent, by other processes too."""

import asyncio
import logging
from typing import Self

from shoal.routing.budget import Budgets

log = logging.getLogger(__name__)

_EVERY_S = 1.0


class BudgetWatch:
    """Looks at the store's sums each second while open; ``trouble`` is "" or why it cannot."""

    def __init__(self, budgets: Budgets, every_s: float = _EVERY_S) -> None:
        self._budgets, self._every_s = budgets, every_s
        self._watching: asyncio.Task[None] | None = None
        self.trouble = ""

    async def look(self) -> None:
        """Look now; what was known before goes on to count if the store cannot be read."""
        try:
            await asyncio.to_thread(self._budgets.refresh)
            self.trouble = ""
        except Exception as error:  # whatever it is, the next look may succeed
            if not self.trouble:
                log.exception("what was spent cannot be read")
            self.trouble = f"cannot be read again, earlier sums are in force: {error}"

    async def __aenter__(self) -> Self:
        """Begin, with a first look before any call.

        Raises:
            StoreError: the store cannot be read.
        """
        await asyncio.to_thread(self._budgets.refresh)
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watching is not None
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()
