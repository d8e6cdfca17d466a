"""Work that is done after answers have left; nobody waits for it, and there is a bound to it.

What fails is logged once a minute, with how many more failed meanwhile: where one call fails, as
where a recording is asked of what it never heard, the next ones mostly do.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine

from msgspec import Struct

from shoal.assembly.regime import Regime
from shoal.errors import ShoalError

log = logging.getLogger(__name__)

_MOST = 1_000  # waiting; beyond, new ones are left out, whatever the answer was
_AT_ONCE = 16
_QUIET_S = 60.0  # between two lines about failures


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
        self._told = 0  # of these
        self._quiet_until = 0.0
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
        if untold := self.failures - self._told:
            log.warning("%s failed %s more times", self._what, f"{untold:,}")

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        async with self._turns:
            try:
                await work
            except ShoalError as error:
                self._failed(error)

    def _failed(self, error: ShoalError) -> None:
        self.failures += 1
        now = time.monotonic()
        if now < self._quiet_until:
            return
        more = self.failures - self._told - 1
        since = f" ({more:,} more since the last such line)" if more else ""
        log.warning("%s failed: %s%s", self._what, error, since)
        self._told, self._quiet_until = self.failures, now + _QUIET_S
