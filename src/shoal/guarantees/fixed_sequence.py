"""Testing many thresholds with one error budget: walks along the risk-coverage curve.

Every threshold ``t`` accepts the calls with ``score >= t``; its *risk* is the share of wrong
answers among them. Which thresholds have a risk of at most alpha is a multiple test (Learn-then-
Test: Angelopoulos, Bates, Candès, Jordan & Lei 2021; selective risk: Geifman & El-Yaniv 2017).
From a few **starts**, coverages fixed before the labels are seen, we walk towards looser
thresholds, one distinct score at a time, while the exact binomial p-value of "the risk is above
alpha" stays within the level in hand. The levels form a fallback procedure (Wiens 2003; Wiens &
Dmitrienko 2005; as a graph: Bretz et al. 2009): a start owns ``weight * delta``; a walk that
reaches the next start carries its level on and adds that start's own; a walk that stops loses it.

**Promise.** Over the draw of the examples, any threshold whose true risk is above alpha is passed
with probability at most delta, for every number of examples.

*One threshold.* Read it off the scores as "above the k-th largest score c". Given c and the number
m of scores above it, those m examples are independent draws from the calls that score above c.
Their errors are therefore Bin(m, risk), and the p-value is exact. (Given *all* the scores they
would not be binomial.)

*A walk.* Call a threshold bad if its risk is above alpha. With continuous scores the risk is
continuous in the threshold, so the bad thresholds form open stretches, and where a stretch begins
or ends the risk is exactly alpha. Hence between one such end and the next, calls are wrong at the
rate alpha on average. How many examples fell between the ends decides which stretch a walk meets
first, and where. Given these counts, the errors above that stretch are Bin(r, alpha), and those
inside it, down to the bad threshold tested, come at a rate above alpha. Together they are
stochastically at least Bin(m, alpha), so the first bad threshold is passed at level x with
probability at most x, whatever the shape of the risk curve.

*All starts.* Group the starts by the first bad threshold that a walk from them would meet. Before
any bad threshold is passed, the level in hand at a group's threshold is at most the sum of the
group's own levels. The groups are disjoint and fixed by the same counts, so the chances of a bad
pass add up to at most delta.

*Equal inputs.* An input that is sent again is no second piece of evidence. Where it is known which
examples are the first of their input, a threshold is passed only if its p-value among these is
within the level as well (an intersection-union test: Berger 1982), and the starts are coverages of
distinct inputs. So the promise over calls is no
weaker than without them, and the one over distinct inputs holds too.

*Conversations.* Calls of one conversation go right or wrong together, so they are no independent
draws, and the test over calls alone is too sure. Where it is known which calls belong together, a
threshold is passed only if one call of each conversation passes as well: of those that it accepts
one, picked at random beforehand. Conversations are independent draws, so for a threshold fixed
beforehand the test is exact, of the risk of a call picked so; tests/theory simulates the walk.

*Ties.* Thresholds stand between distinct scores and a start moves up to the nearest one, so the
count above is random; each test is exact given it. If the risk crosses alpha once, everything above
still holds. For tied scores *and* a curve that crosses alpha several times we have a proof only for
starts that do not hand on their level; tests/theory simulates that case.
"""

from collections.abc import Hashable, Sequence
from itertools import pairwise
from math import fsum
from typing import NamedTuple, Self

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from shoal.errors import LearningError
from shoal.guarantees.bounds import clean_examples_needed, p_values

_TIMES, _SHARES = (1.0, 1.7, 3.0), (0.4, 0.3, 0.3)
_PICKS = 20_240_515  # seeds the picks: nothing about the examples may


class Start(Struct, frozen=True):
    """Where a walk begins: the share of examples accepted there, and the share of delta it owns."""

    coverage: float
    weight: float


class RiskCurve(NamedTuple):
    """The observed risk-coverage curve: one entry for each distinct score, the surest first."""

    threshold: NDArray[np.float64]  # (k,) falling
    accepted: NDArray[np.float64]  # (k,) examples at or above the threshold
    errors: NDArray[np.float64]  # (k,) of these, the wrong ones
    total: int  # examples in all
    firsts: NDArray[np.float64]  # (k,) of those accepted, the first of their input, or one of each
    first_errors: NDArray[np.float64]  # (k,) of these, the wrong ones           # conversation

    @classmethod
    def of(
        cls,
        scores: ArrayLike,
        wrong: ArrayLike,
        first: ArrayLike | None = None,
        together: Sequence[Hashable] | None = None,
    ) -> Self:
        """From (n,) scores, the higher the surer, (n,) outcomes, and (n,) whether each example is
        the first of its input; None: all are. ``together`` names the conversation of each instead,
        where examples are calls of such.

        Raises:
            LearningError: different lengths, or a score that is not finite.
        """
        s, w = np.asarray(scores, dtype=np.float64), np.asarray(wrong, dtype=bool)
        if s.ndim != 1 or s.shape != w.shape:
            raise LearningError(f"scores {s.shape} and outcomes {w.shape} must both be (n,)")
        if not np.isfinite(s).all():
            bad = int(np.flatnonzero(~np.isfinite(s))[0])
            raise LearningError(f"the score of example {bad} is {s[bad]}; scores must be finite")
        f = np.ones(s.shape, bool) if first is None else np.asarray(first, dtype=bool)
        if f.shape != s.shape:
            raise LearningError(f"scores {s.shape} and first inputs {f.shape} must both be (n,)")
        if s.size == 0:
            return cls(s, s, s, 0, s, s)
        order = np.argsort(-s)
        s, w, f = s[order], w[order], f[order]
        last = np.append(np.flatnonzero(s[:-1] > s[1:]), s.size - 1)  # where runs of ties end
        errors, firsts, both = (np.cumsum(x, dtype=np.float64)[last] for x in (w, f, w & f))
        if together is not None:
            if len(together) != s.size:
                raise LearningError(f"{s.size} scores, but {len(together)} conversations")
            counts = _one_of_each([together[row] for row in order.tolist()], w)
            firsts, both = counts[0][last], counts[1][last]
        return cls(_gaps(s, last), last + 1.0, errors, s.size, firsts, both)

    @property
    def distinct(self) -> int:
        """Distinct inputs, or conversations, in all."""
        return int(self.firsts[-1]) if self.total else 0

    def p_values(
        self,
        alpha: float,
        entries: NDArray[np.intp] | slice = slice(None),
        factor: NDArray[np.float64] | float = 1.0,
    ) -> NDArray[np.float64]:
        """Of "the risk is above alpha, over calls or over distinct inputs", for all entries or some
        of them; as if there were ``factor`` times as many examples."""
        calls = p_values(self.errors[entries] * factor, self.accepted[entries] * factor, alpha)
        if self.distinct == self.total:
            return calls
        errors, firsts = self.first_errors[entries], self.firsts[entries]
        return np.maximum(calls, p_values(errors * factor, firsts * factor, alpha))

    def entries(self, coverage: NDArray[np.float64]) -> NDArray[np.intp]:
        """The entry for each coverage of the distinct inputs, the nearest that accepts no more.

        A tie that straddles the place is left out whole, unless nothing surer was seen: then it is
        the tie's own entry, which skips no threshold that could have been passed.
        """
        at = np.searchsorted(self.firsts, coverage * self.distinct + 1e-9, side="right")
        return np.maximum(at - 1, 0)


def _one_of_each(
    together: Sequence[Hashable], wrong: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For examples in the order of their scores, at each (n,): of how many conversations some are
    accepted, and in how many of these the one that is picked is wrong."""
    ranks = np.random.default_rng(_PICKS).random(len(together))
    picked: dict[Hashable, tuple[float, bool]] = {}
    bad, counts = 0, np.empty((2, len(together)))
    for row, (name, rank, is_wrong) in enumerate(zip(together, ranks, wrong, strict=True)):
        best = picked.get(name)
        if best is None or rank < best[0]:
            bad += int(is_wrong) - (int(best[1]) if best else 0)
            picked[name] = (float(rank), bool(is_wrong))
        counts[:, row] = len(picked), bad
    return counts[0], counts[1]


class Pass(NamedTuple):
    """The loosest entry of the curve that was passed, and the level at which it was."""

    entry: int
    level: float


def default_starts(n: int) -> tuple[Start, ...]:
    """Where to start with ``n`` examples.

    The first start owns 85 % of delta, at a coverage that shrinks with n (72 % of 100 examples,
    55 % of 300, 41 % of 1,000, 23 % of 10,000): late enough for its first test to have power, early
    enough to leave room to walk. The second, 40 % of the way from there to full coverage, owns the
    rest and saves the run when some of the surest examples are wrong. Both were chosen by mean
    coverage in simulation. As they do not depend on alpha, raising alpha never lowers coverage.
    """
    first = min(0.9, 0.55 * (300 / max(n, 1)) ** 0.25)
    return Start(first, 0.85), Start(first + 0.4 * (1.0 - first), 0.15)


def starts_of_conversations(n: int, alpha: float, delta: float) -> tuple[Start, ...]:
    """Where to start with ``n`` conversations: an agent mostly does what nobody can foresee, and
    little of it recurs, so that walks begin where few are accepted, but enough to prove ``alpha``
    if all are right, if few are wrong, and if some are."""
    needed = clean_examples_needed(alpha, delta * _SHARES[0])
    places = {min(1.0, needed * times / max(n, 1)): 0.0 for times in _TIMES}
    for times, share in zip(_TIMES, _SHARES, strict=True):
        places[min(1.0, needed * times / max(n, 1))] += share
    return tuple(Start(coverage, weight) for coverage, weight in places.items())


def walk(curve: RiskCurve, alpha: float, delta: float, starts: Sequence[Start]) -> Pass | None:
    """Test the thresholds of ``curve``; None if not even one start is passed.

    Raises:
        ValueError: a start's coverage outside (0, 1], a weight not positive, or a sum above 1.
    """
    return walk_on(curve, alpha, delta, starts, 0.0).found


class Walked(NamedTuple):
    """What a walk found, and the level still in hand at the end of the curve; 0 if it stopped."""

    found: Pass | None
    left: float


def walk_on(
    curve: RiskCurve, alpha: float, delta: float, starts: Sequence[Start], carried: float
) -> Walked:
    """As ``walk``, with the level ``carried`` from a curve that was passed to its end, which the
    first start adds to its own.

    Raises: what ``walk`` raises.
    """
    ordered = _checked(starts)
    p = curve.p_values(alpha)
    firsts = curve.entries(np.array([start.coverage for start in ordered])).tolist()
    found, level = None, carried
    for start, (low, high) in zip(ordered, pairwise([*firsts, p.size]), strict=True):
        level += start.weight * delta
        failures = np.flatnonzero(p[low:high] > level)
        stop = low + int(failures[0]) if failures.size else high
        if stop > low:
            found = Pass(stop - 1, level)
        if stop < high:
            level = 0.0
    return Walked(found, level)


def _gaps(s: NDArray[np.float64], last: NDArray[np.intp]) -> NDArray[np.float64]:
    """Thresholds half-way to the next score below, so that rounding in an engine flips none.

    Every value in the gap accepts the same examples, and the same test covers it. The last is the
    lowest score itself: nothing less sure than every example is ever accepted.
    """
    kept = s[last]
    below = np.append(s[last[:-1] + 1], s[-1])
    middle = below / 2.0 + kept / 2.0
    return np.where((middle > below) & (middle <= kept), middle, kept)


def _checked(starts: Sequence[Start]) -> list[Start]:
    ordered = sorted(starts, key=lambda start: start.coverage)
    if not ordered or any(not 0.0 < s.coverage <= 1.0 or not s.weight > 0.0 for s in ordered):
        raise ValueError(f"starts need a coverage in (0, 1] and a positive weight, got {ordered}")
    total = fsum(start.weight for start in ordered)
    if total > 1.0 + 1e-9:
        raise ValueError(f"the weights of the starts may sum to 1 at most, got {total:.6g}")
    return ordered
