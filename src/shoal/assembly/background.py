"""Work that is done after answers have left; nobody waits for it, and there is a bound to it."""

import asyncio
import logging
from collections.abc import Coroutine

from msgspec import Struct

from shoal.assembly.regime import Regime
from shoal.errors import ShoalError

log = logging.getLogger(__name__)

_MOST = 1_000  # waiting; beyond, new ones are left out, whatever the answer was
_AT_ONCE = 16


class Missed(Struct, frozen=True):
    """How much work failed, and how much was left out."""

    failures: int = 0
    left_out: int = 0


class Background:
    """Runs work of one kind, called ``what`` in the log, in an event loop."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._running: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.failures = 0
        self.left_out = 0

    def start(self, regime: Regime, work: Coroutine[None, None, None]) -> None:
        """Have it done under the regime, whose engines stay open meanwhile; leave it out if too
        much is waiting."""
        if len(self._running) >= _MOST:
            work.close()
            self.left_out += 1
            return
        task = asyncio.create_task(self._guarded(work))
        self._running.add(task)
        regime.hold()
        task.add_done_callback(lambda _: regime.let_go())
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: work.close())  # else one never begun would be lamented

    @property
    def missed(self) -> Missed:
        """What came to nothing so far."""
        return Missed(self.failures, self.left_out)

    async def settle(self) -> None:
        """Wait until nothing is running."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Stop what is running."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        async with self._turns:
            try:
                await work
            except ShoalError as error:
                self.failures += 1
                log.warning("%s failed: %s", self._what, error)
