"""What a run has used, against its limits."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shoal.planning.journal import Past
from shoal.planning.limits import Limits
from shoal.planning.outcome import RunStopped

_NOTHING = Past()


class Holding:
    """What is held back for one call."""

    def __init__(self, spending: "Spending", held: float) -> None:
        self._spending, self._held = spending, held

    @property
    def left_usd(self) -> float:
        """What the call may cost: what is held, and what nothing is held of."""
        return self._spending.left_usd + self._held

    def took(self, usd: float, tokens: int = 0) -> None:
        """Count what the call took."""
        self._spending.usd += usd
        self._spending.tokens += tokens


class Spending:
    """Counts steps, tokens, USD and seconds. Money is held back for calls that run, so that those
    beside each other cannot spend it twice."""

    def __init__(self, limits: Limits, past: Past = _NOTHING) -> None:
        """What was used before counts."""
        self._limits = limits
        self.usd, self.tokens, self.steps = past.usd, past.tokens, past.steps
        self._held, self._running = 0.0, 0
        self._settled = asyncio.Condition()
        self._began = time.monotonic() - past.seconds

    @property
    def seconds(self) -> float:
        """For how long it has run."""
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float:
        """For how long it may run on."""
        return max(0.0, self._limits.seconds - self.seconds) if self._limits.seconds else math.inf

    @property
    def left_usd(self) -> float:
        """What one more call may cost, beside those that run."""
        if not self._limits.usd:
            return math.inf
        return max(0.0, self._limits.usd - self.usd - self._held)

    def begin(self, step: str) -> None:
        """Count a step.

        Raises:
            RunStopped: that is one too many, or tokens or time are used up.
        """
        self.steps += 1
        if self._limits.steps and self.steps > self._limits.steps:
            raise self._over(step, f"{self._limits.steps:,} steps")
        if self._limits.tokens and self.tokens >= self._limits.tokens:
            raise self._over(step, f"{self._limits.tokens:,} tokens")
        if not self.left_s:
            raise self.out_of_time(step)

    @asynccontextmanager
    async def holding(self, step: str, upper: float) -> AsyncIterator[Holding]:
        """Hold back what a call may cost at most, all that is left if nobody knows, while it runs.
        Waits for other calls to end where too little is left beside what they may cost.

        Raises:
            RunStopped: nothing is left, and no call is running.
        """
        held = 0.0
        if self._limits.usd:
            held = await self._hold(step, upper)
        try:
            yield Holding(self, held)
        finally:
            if self._limits.usd:
                self._held -= held
                self._running -= 1
                async with self._settled:
                    self._settled.notify_all()

    async def _hold(self, step: str, upper: float) -> float:
        async with self._settled:
            await self._settled.wait_for(lambda: not self._running or self.left_usd >= upper)
            if self.left_usd <= 0:
                raise self._over(step, f"{self._limits.usd:g} USD")
            held = min(upper, self.left_usd)
            self._held += held
            self._running += 1
            return held

    def out_of_time(self, step: str) -> RunStopped:
        """What is raised where the run's time is up."""
        return self._over(step, f"{self._limits.seconds:g} seconds")

    def _over(self, step: str, what: str) -> RunStopped:
        return RunStopped(
            "over budget", step, f"the run has used its {what}", "raise its budget, and resume it"
        )
