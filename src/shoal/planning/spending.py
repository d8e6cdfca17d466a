"""What a run has used, against its limits."""

import asyncio
import math
import time

from shoal.planning.limits import Limits
from shoal.planning.outcome import RunStopped


class Spending:
    """Counts steps, tokens, USD and seconds. Money is held back for calls that run, so that those
    beside each other cannot spend it twice."""

    def __init__(
        self, limits: Limits, usd: float = 0.0, tokens: int = 0, seconds: float = 0.0
    ) -> None:
        """What was used before counts."""
        self._limits = limits
        self.usd, self.tokens, self.steps = usd, tokens, 0
        self._held, self._running = 0.0, 0
        self._settled = asyncio.Condition()
        self._began = time.monotonic() - seconds

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

    async def hold(self, step: str, upper: float) -> float:
        """Hold back what a call may cost at most, all that is left if nobody knows; returns it.
        Waits for other calls to end where too little is left beside what they may cost.

        Raises:
            RunStopped: nothing is left, and no call is running.
        """
        if math.isinf(self.left_usd):
            return 0.0
        async with self._settled:
            await self._settled.wait_for(lambda: not self._running or self.left_usd >= upper)
            if self.left_usd <= 0:
                raise self._over(step, f"{self._limits.usd:g} USD")
            held = min(upper, self.left_usd)
            self._held += held
            self._running += 1
            return held

    async def settle(self, held: float, usd: float, tokens: int) -> None:
        """Give back what was held, and count what was used."""
        self.usd += usd
        self.tokens += tokens
        if self._limits.usd:  # what holds nothing was counted as well
            self._held -= held
            self._running -= 1
            async with self._settled:
                self._settled.notify_all()

    def out_of_time(self, step: str) -> RunStopped:
        """What is raised where the run's time is up."""
        return self._over(step, f"{self._limits.seconds:g} seconds")

    def _over(self, step: str, what: str) -> RunStopped:
        return RunStopped(
            "over budget", step, f"the run has used its {what}", "raise its budget, and resume it"
        )
