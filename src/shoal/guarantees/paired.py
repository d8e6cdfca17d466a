"""Is it better than what there was? The exact sign test over questions answered both ways.

Of n independent questions some come out better (*gained*), some worse (*lost*), the others alike.
If the new way is no more likely to gain than to lose, then among those that differ each is a gain
with probability 1/2 at the most, whatever their number m, and ``P(Bin(m, 1/2) >= gained)`` is an
exact p-value (Conover 1999, "Practical Nonparametric Statistics", 3.4; McNemar's test approximates
it). How much is gained at one question does not count.
"""

from msgspec import Struct

from shoal.guarantees.bounds import lower_bound, p_value, require_rate

MOST_QUESTIONS = 1_000_000  # looked for no further


class Paired(Struct, frozen=True):
    """Of ``n`` questions ``gained`` came out better and ``lost`` worse.

    >>> found = Paired(n=200, gained=22, lost=6)
    >>> round(found.p_value, 4), round(found.bound(0.05), 3), found.shows_gain(0.05)
    (0.0019, 0.62, True)

    Raises:
        ValueError: counts that are negative, or more than ``n``.
    """

    n: int
    gained: int
    lost: int

    def __post_init__(self) -> None:
        if min(self.gained, self.lost) < 0 or self.gained + self.lost > self.n:
            raise ValueError(
                f"expected gained + lost <= n, got {self.gained} and {self.lost} of {self.n}"
            )

    @property
    def differ(self) -> int:
        """How many came out better or worse."""
        return self.gained + self.lost

    @property
    def p_value(self) -> float:
        """Of "it gains no more often than it loses"."""
        return p_value(self.lost, self.differ, 0.5)

    def shows_gain(self, delta: float) -> bool:
        """Whether it gains more often than it loses, but for an error of ``delta``."""
        require_rate("delta", delta)
        return self.p_value <= delta

    def bound(self, delta: float) -> float:
        """What the share of gains among those that differ is not below, with confidence
        ``1 - delta``; at least 1/2 exactly when ``shows_gain``."""
        return lower_bound(self.gained, self.differ, delta) if self.differ else 0.0

    def needed(self, delta: float) -> int | None:
        """With about how many questions ``shows_gain(delta)`` would hold if gains and losses kept
        their shares; None if it would not, or with more than ``MOST_QUESTIONS``."""
        require_rate("delta", delta)
        if self.gained <= self.lost:
            return None
        low, high = 0, self.n
        while not self._at(high).shows_gain(delta):
            low, high = high, 2 * high
            if high > MOST_QUESTIONS:
                return None
        while high - low > 1:  # rounding makes it waver by a question or two
            middle = (low + high) // 2
            low, high = (low, middle) if self._at(middle).shows_gain(delta) else (middle, high)
        return high

    def _at(self, n: int) -> "Paired":
        """With n questions; what is rounded speaks against it."""
        gained = self.gained * n // self.n
        return Paired(n, gained, min(n - gained, -(-self.lost * n // self.n)))
