"""Requests and tokens a minute, by key, within this process.

Windows move: what counts is always the last 60 seconds, exactly, not the minute of the clock.
Limits hold for each gateway process by itself, so that checking one never waits for another: with
three processes a key may have up to three times as much.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping

from msgspec import Struct

from shoal.errors import RateLimited
from shoal.routing.caller import Caller

WINDOW_S = 60.0
DO_NOT_RETRY = {"x-should-retry": "false"}  # official clients obey it
_LEAST_WAIT_S = 1.0


class _Taken(Struct):
    at: float
    amount: int


class Window:
    """What was taken within the last 60 seconds; an entry for each taking, whatever its amount."""

    def __init__(self) -> None:
        self._taken: deque[_Taken] = deque()
        self._sum = 0

    def used(self, now: float) -> int:
        """How much was taken in the 60 seconds before ``now``."""
        while self._taken and self._taken[0].at + WINDOW_S <= now:
            self._sum -= self._taken.popleft().amount
        return self._sum

    def wait(self, amount: int, limit: int, now: float) -> float:
        """Seconds until ``amount`` may be taken; 0 if now, infinite if it is over ``limit``."""
        excess = self.used(now) + amount - limit
        if excess <= 0 or not amount:
            return 0.0
        for entry in self._taken:
            excess -= entry.amount
            if excess <= 0:
                return entry.at + WINDOW_S - now
        return math.inf

    def take(self, amount: int, now: float) -> _Taken:
        """Take ``amount`` now."""
        entry = _Taken(now, amount)
        self._taken.append(entry)
        self._sum += amount
        return entry

    def correct(self, entry: _Taken, amount: int) -> None:
        """Count ``amount`` for an earlier taking, if it is still in the window."""
        if self._taken and entry.at >= self._taken[0].at:
            self._sum += amount - entry.amount
            entry.amount = amount

    def empty_in(self, now: float) -> float:
        """Seconds until nothing is taken any more."""
        return self._taken[-1].at + WINDOW_S - now if self.used(now) else 0.0


class _Windows(Struct):
    requests: Window
    tokens: Window


class Allowance:
    """One call's share of its key's limits; ``headers`` tell what is left, as OpenAI's do."""

    def __init__(self, headers: Mapping[str, str], tokens: Window, taken: _Taken | None) -> None:
        self.headers = headers
        self._tokens = tokens
        self._taken = taken

    def correct(self, tokens: int) -> None:
        """Count the tokens that the call took in truth instead of those that were expected."""
        if self._taken is not None:
            self._tokens.correct(self._taken, tokens)


class RateLimits:
    """The limits of all keys; for one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, _Windows] = {}

    def take(self, caller: Caller, tokens: int) -> Allowance:
        """Take one request and so many tokens, expected input and output, from a key's limits.

        A call that is refused takes nothing. One of more tokens than ``tpm`` is never let through.

        Raises:
            RateLimited: a limit would be passed; says when to come again.
        """
        spec, now = caller.spec, self._clock()
        if spec.rpm is None and spec.tpm is None:
            return _UNLIMITED
        held = self._windows.get(caller.key)
        if held is None:
            held = self._windows[caller.key] = _Windows(Window(), Window())
        for window, amount, limit, unit in (
            (held.requests, 1, spec.rpm, "requests"),
            (held.tokens, tokens, spec.tpm, "tokens"),
        ):
            if limit is not None and (wait := window.wait(amount, limit, now)) > 0:
                headers = _headers(held, caller, now)
                raise _refusal(caller, amount, limit, unit, wait, headers)
        if spec.rpm is not None:
            held.requests.take(1, now)
        taken = None if spec.tpm is None else held.tokens.take(tokens, now)
        return Allowance(_headers(held, caller, now), held.tokens, taken)


_UNLIMITED = Allowance({}, Window(), None)


def _refusal(
    caller: Caller, amount: int, limit: int, unit: str, wait: float, headers: dict[str, str]
) -> RateLimited:
    who = f"the key {caller.name!r} may have {limit:,} {unit} a minute"
    if math.isinf(wait):
        return RateLimited(
            f"{who}, and this call alone could take {amount:,}", headers | DO_NOT_RETRY
        )
    again = max(_LEAST_WAIT_S, math.ceil(wait))
    text = f"{who}, and has had as many as this call leaves it; try again in {again:.0f} s"
    return RateLimited(text, headers | {"retry-after": f"{again:.0f}"})


def _headers(held: _Windows, caller: Caller, now: float) -> dict[str, str]:
    found = {}
    for window, limit, unit in (
        (held.requests, caller.spec.rpm, "requests"),
        (held.tokens, caller.spec.tpm, "tokens"),
    ):
        if limit is not None:
            found[f"x-ratelimit-limit-{unit}"] = str(limit)
            found[f"x-ratelimit-remaining-{unit}"] = str(max(0, limit - window.used(now)))
            found[f"x-ratelimit-reset-{unit}"] = _span(window.empty_in(now))
    return found


def _span(seconds: float) -> str:
    """A time span as OpenAI writes it: 1m0s, 7.66s, 12ms."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1e3)}ms"
    minutes, rest = divmod(math.ceil(seconds * 100) / 100, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
