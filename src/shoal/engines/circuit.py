"""A circuit breaker: an upstream that keeps failing is left alone for a while.

Closed, requests pass. After so many failures in a row it opens, and nobody asks. When its pause is
over one request goes through as a probe (half open): its success closes the circuit, its failure
opens it again, for twice as long (Nygard 2007, "Release It!").
"""

import time
from collections.abc import Callable

FAILURES = 10  # in a row, that open it
PAUSE_S = 5.0
_LONGEST_S = 60.0


class Circuit:
    """The breaker of one upstream. ``clock`` gives seconds, from any beginning."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = PAUSE_S
        self._open_until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether nothing should be asked now."""
        if self._failures < FAILURES:
            return False
        return self._probing or self._clock() < self._open_until

    @property
    def closes_in_s(self) -> float:
        """Seconds until a probe may pass; 0 if one may now."""
        return max(0.0, self._open_until - self._clock()) if self.is_open else 0.0

    def begin(self) -> bool:
        """A request is sent; returns whether it is the probe: through an opened circuit it is."""
        self._probing = self._failures >= FAILURES
        return self._probing

    def succeeded(self) -> None:
        """The upstream answered, if only to refuse the request itself."""
        self._failures, self._pause, self._probing = 0, PAUSE_S, False

    def failed(self, probe: bool) -> None:
        """The upstream could not be reached, was overloaded, or broke. What was under way when the
        circuit opened says nothing new."""
        self._failures += 1
        if probe or self._failures == FAILURES:
            self._open_until = self._clock() + self._pause
            self._pause = min(_LONGEST_S, 2 * self._pause)
            self._probing = False

    def abandoned(self, probe: bool) -> None:
        """Nobody waited for the outcome: it says nothing, but another may probe."""
        if probe:
            self._probing = False
