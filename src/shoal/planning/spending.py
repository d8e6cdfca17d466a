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
_ROUNDING = 1 + 1e-9  # of sums of money


class Holding:
    """What is held back for one call, in USD and tokens."""

    def __init__(self, spending: "Spending", held: float, held_tokens: float) -> None:
        self._spending, self._held, self._held_tokens = spending, held, held_tokens

    @property
    def left_usd(self) -> float:
        """What the call may cost: what is held, and what nothing is held of."""
        return self._spending.left_usd + self._held

    @property
    def left_tokens(self) -> float:
        """The tokens that the call may take, likewise."""
        return self._spending.left_tokens + self._held_tokens

    def took(self, usd: float, tokens: int = 0, output_tokens: int = 0) -> None:
        """Count what the call took; ``output_tokens`` are of its ``tokens``."""
        self._spending.usd += usd
        self._spending.tokens += tokens
        self._spending.output_tokens += output_tokens


class Spending:
    """Counts steps, tokens, USD and seconds. Money and tokens are held back for calls that run, so
    that those beside each other cannot spend them twice."""

    def __init__(self, limits: Limits, past: Past = _NOTHING) -> None:
        """What was used before counts."""
        self._limits = limits
        self.usd, self.tokens, self.steps = past.usd, past.tokens, past.steps
        self.output_tokens = past.output_tokens
        self._held, self._held_tokens, self._running = 0.0, 0.0, 0
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

    @property
    def left_tokens(self) -> float:
        """How many tokens one more call may take, beside those that run."""
        if not self._limits.tokens:
            return math.inf
        return max(0.0, self._limits.tokens - self.tokens - self._held_tokens)

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
    async def holding(
        self, step: str, upper: float, upper_tokens: float = 0.0
    ) -> AsyncIterator[Holding]:
        """Hold back what a call may take at most, in USD and tokens, while it runs; all that is
        left of what nobody knows. Waits for other calls to end where too little is left beside
        what they may take.

        Raises:
            RunStopped: no call is running, and less is left than this one may take.
        """
        held = held_tokens = 0.0
        counts = bool(self._limits.usd or (self._limits.tokens and upper_tokens))
        if counts:
            held, held_tokens = await self._hold(step, upper, upper_tokens)
        try:
            yield Holding(self, held, held_tokens)
        finally:
            if counts:
                self._held -= held
                self._held_tokens -= held_tokens
                self._running -= 1
                async with self._settled:
                    self._settled.notify_all()

    async def _hold(self, step: str, upper: float, upper_tokens: float) -> tuple[float, float]:
        def enough() -> bool:
            return self.left_usd >= upper and self.left_tokens >= upper_tokens

        async with self._settled:
            await self._settled.wait_for(lambda: not self._running or enough())
            if self._limits.usd:
                self._require(step, "USD", self._limits.usd, self.left_usd, upper)
            if self._limits.tokens and upper_tokens:
                self._require(step, "tokens", self._limits.tokens, self.left_tokens, upper_tokens)
            held = min(upper, self.left_usd) if self._limits.usd else 0.0
            held_tokens = min(upper_tokens, self.left_tokens) if self._limits.tokens else 0.0
            self._held += held
            self._held_tokens += held_tokens
            self._running += 1
            return held, held_tokens

    def _require(self, step: str, unit: str, limit: float, left: float, upper: float) -> None:
        if left <= 0:
            raise self._over(step, f"{limit:,.15g} {unit}")
        if math.isfinite(upper) and upper > left * _ROUNDING:
            raise self.too_much(step, unit, limit, left, upper)

    def too_much(self, step: str, unit: str, limit: float, left: float, upper: float) -> RunStopped:
        """What is raised where a call may take more than is left."""
        told = f"of the run's {limit:,.15g} {unit} {left:,.6g} are left, and this call may take"
        hint = "raise the run's budget, or lower the step's max_tokens, and resume it"
        return RunStopped("over budget", step, f"{told} {upper:,.6g}", hint)

    def out_of_time(self, step: str) -> RunStopped:
        """What is raised where the run's time is up."""
        return self._over(step, f"{self._limits.seconds:g} seconds")

    def _over(self, step: str, what: str) -> RunStopped:
        return RunStopped(
            "over budget", step, f"the run has used its {what}", "raise its budget, and resume it"
        )
