"""When discovery looks again, so that what looking costs stays in proportion to the traffic."""

from typing import Literal

AGAIN = 0.1
"""Unknown calls are looked at again when so large a share of them is new."""
GROWTH = 3.0
"""Tasks are drawn anew when their calls have grown by this factor since, ..."""
AT_MOST = 50_000
"""... or by so many."""
FIRST = 5
"""The first time is at so many times the calls that a task needs."""

Look = Literal["not", "unknown", "all"]


class Schedule:
    """Counts what arrived since the last look of either kind."""

    def __init__(self, min_calls: int) -> None:
        self._min_calls = min_calls
        self._arrived = 0
        self._drawn_at = 0

    def arrived(self, number: int) -> None:
        """So many more calls belong to no known task."""
        self._arrived += number

    def next(self, waiting: int, volume: int) -> Look:
        """What to look at now, and count it as looked at: nothing, the calls that wait unknown, or
        those and the tasks that may be drawn anew, which have ``volume`` calls between them."""
        grown = min(GROWTH * self._drawn_at, self._drawn_at + AT_MOST)
        if volume >= max(FIRST * self._min_calls, grown):
            self._drawn_at = volume
            self._arrived = 0
            return "all"
        if self._arrived >= max(self._min_calls, AGAIN * waiting):
            self._arrived = 0
            return "unknown"
        return "not"
