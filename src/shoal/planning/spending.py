"""What a run has used, against its limits."""

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
        self._held = 0.0
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
        """What one more call may cost."""
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
            raise self._over(step, f"{self._limits.seconds:g} seconds")

    def hold(self, step: str, upper: float) -> float:
        """Hold back what a call may cost at most, or all that is left if nobody knows; returns it.

        Raises:
            RunStopped: nothing is left.
        """
        left = self.left_usd
        if left <= 0:
            raise self._over(step, f"{self._limits.usd:g} USD")
        if math.isinf(left):
            return 0.0
        held = min(upper, left)
        self._held += held
        return held

    def settle(self, held: float, usd: float, tokens: int) -> None:
        """Give back what was held, and count what was used."""
        self._held -= held
        self.usd += usd
        self.tokens += tokens

    def _over(self, step: str, what: str) -> RunStopped:
        return RunStopped(
            "over budget", step, f"the run has used its {what}", "raise its budget, and resume it"
        )
