"""Thresholds of several rungs, certified together.

A cascade of r rungs before the reference has one threshold a rung; a *setting* is a vector of
them. Whether a setting keeps its target is one hypothesis, and there are thousands. We spend delta
by Pareto testing (Laufer-Goldshlager, Fisch, Barzilay & Jaakkola 2023): on a training split the
settings that no other beats in both cost and evidence are put in order, the best proven first; on
the calibration split they are tested in this order, each at level delta, until one fails (fixed
sequence; Learn-then-Test: Angelopoulos, Bates, Candès, Jordan & Lei 2021).

**Promise.** Over the draw of the calibration examples, the probability that any setting passes
whose target does not hold is at most delta: the settings and their order are fixed before a
calibration label is seen, and each p-value is valid given that, so the first false one in the order
is passed with probability at most delta. The cheapest of those that passed may therefore be chosen
by looking at the same examples.

What this module does not know: whether future calls resemble the examples, and whether the signals
came from models that had seen them.
"""

from itertools import product
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.errors import LearningError
from shoal.guarantees.bounds import interval, p_values, require_rate, upper_bound

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Picks = NDArray[np.intp]

_SLACK = 1e-3  # of a paired p-value, spent on bounding how often cascade and reference differ
_RATES = 8  # at which the tail is computed; it rises with the rate, so the last one decides
_MOST_SETTINGS = 4_000
_MOST_CELLS = 10_000_000  # settings times examples: 80 MB
_MOST_LEVELS = 60  # of one rung's threshold


class Examples(NamedTuple):
    """What every rung says of n examples; the last row is the reference's, which accepts all."""

    scores: Floats  # (r, n), a rung that declines has -inf
    wrong: Bools  # (r + 1, n), by the comparator or by gold labels
    costs: Floats  # (r + 1, n), of asking that rung, in any unit that adds up

    def checked(self) -> "Examples":
        """Itself.

        Raises:
            LearningError: shapes that do not fit, or a score that is not a number.
        """
        rungs, n = self.scores.shape
        if self.wrong.shape != (rungs + 1, n) or self.costs.shape != (rungs + 1, n):
            raise LearningError(
                f"scores {self.scores.shape}, outcomes {self.wrong.shape} and costs "
                f"{self.costs.shape} must be (r, n), (r + 1, n) and (r + 1, n)"
            )
        if np.isnan(self.scores).any():
            raise LearningError("a score is not a number; a rung that declines has -inf")
        return self


class Target(Protocol):
    """What is promised of a setting."""

    def p_values(self, picked: Picks, wrong: Bools, scale: float = 1.0) -> Floats:
        """(m,) p-values of "it does not hold" for ``picked`` (m, n), the rung that answers each
        example, and ``wrong`` (r + 1, n). ``scale``: as if there were so many times as many."""


class SelectiveRisk(Struct, frozen=True):
    """Of what is accepted before the last rung, a share ``alpha`` at most is wrong. Exact."""

    alpha: float

    def p_values(self, picked: Picks, wrong: Bools, scale: float = 1.0) -> Floats:
        """P(Bin(accepted, alpha) <= errors): the number accepted is ancillary."""
        accepted, errors = tallies(picked, wrong)
        return p_values(errors * scale, accepted * scale, self.alpha)


class Shortfall(Struct, frozen=True):
    """The whole cascade is right as often as the reference, less ``epsilon`` at most.

    Needs gold labels, by which the reference itself may be wrong. With D = 1 where only the
    cascade is wrong and -1 where only the reference is, "E[D] > epsilon" is tested by sum D. Its
    law depends on the rate of D != 0, which is bounded at a small part of the level (Berger & Boos
    1994, JASA 89); within the bound the least favourable rate counts (for paired binary outcomes:
    Hsueh, Liu & Chen 2001, Biometrics 57).
    """

    epsilon: float

    def p_values(self, picked: Picks, wrong: Bools, scale: float = 1.0) -> Floats:
        """Valid for every n, and nearly exact."""
        lost, won = self._discordant(picked, wrong)
        n = round(wrong.shape[1] * scale)
        pairs = np.rint(np.stack([lost, won]) * scale).astype(int)
        known: dict[tuple[int, int], float] = {}
        for a, b in pairs.T.tolist():
            if (a, b) not in known:
                known[a, b] = _paired_p_value(a, b, n, self.epsilon)
        return np.array([known[a, b] for a, b in pairs.T.tolist()])

    @staticmethod
    def _discordant(picked: Picks, wrong: Bools) -> tuple[Floats, Floats]:
        said = np.take_along_axis(wrong, picked, axis=0)  # (m, n)
        reference = wrong[-1]
        return (said & ~reference).sum(1).astype(float), (~said & reference).sum(1).astype(float)


class Setting(Struct, frozen=True):
    """Certified thresholds: the first rung whose score is at or above its own answers.

    ``thresholds`` (r,), inf for a rung that is shut. Of ``n`` calibration examples ``accepted``
    were answered before the last rung, ``errors`` of them wrong; ``risk_bound`` is their exact
    upper bound at ``delta``. ``coverage`` is ``accepted / n`` with its interval, not corrected for
    the choice; ``cost`` is the mean of all that was asked.
    """

    thresholds: tuple[float, ...]
    n: int
    accepted: int
    errors: int
    risk_bound: float
    coverage: float
    coverage_low: float
    coverage_high: float
    cost: float
    delta: float


def picks(scores: Floats, thresholds: Floats) -> Picks:
    """(m, n): who answers each example under each of ``thresholds`` (m, r); r is the last rung."""
    found = np.full((thresholds.shape[0], scores.shape[1]), scores.shape[0], dtype=np.intp)
    for rung in range(scores.shape[0] - 1, -1, -1):
        answers = scores[rung] > -np.inf  # one that declines has nothing to give, whatever is asked
        found[(scores[rung] >= thresholds[:, rung, None]) & answers] = rung
    return found


def tallies(picked: Picks, wrong: Bools) -> tuple[Floats, Floats]:
    """How many are accepted before the last rung, and how many of these are wrong: (m,), (m,)."""
    accepted = picked < wrong.shape[0] - 1
    errors = np.take_along_axis(wrong, picked, axis=0) & accepted
    return accepted.sum(1).astype(float), errors.sum(1).astype(float)


def mean_costs(picked: Picks, costs: Floats, thresholds: Floats) -> Floats:
    """(m,) mean cost under ``thresholds`` (m, r): of every rung down to the one that answers, but
    for those that are shut, which nobody asks."""
    n = picked.shape[1]
    total = np.tile(costs[-1], (len(picked), 1)) * (picked == len(costs) - 1)
    for rung in range(len(costs) - 1):
        asked = (picked >= rung) & np.isfinite(thresholds[:, rung, None])
        total += costs[rung] * asked
    return np.asarray(total.sum(1) / max(1, n))


def grid(scores: Floats) -> Floats:
    """Settings (m, r) for scores (r, n): every combination of shutting a rung and of thresholds
    half-way between quantiles of its scores, or between all of them where they are few."""
    rungs, n = scores.shape
    most = min(_MOST_SETTINGS, _MOST_CELLS // max(1, n))
    levels = min(_MOST_LEVELS, max(2, int(most ** (1.0 / rungs)) - 1))
    return np.array([*product(*(_thresholds(row, levels) for row in scores))])


def plan(train: Examples, target: Target, size: int) -> Floats:
    """Settings (k, r) in the order in which ``size`` calibration examples are to test them, from a
    training split alone.

    Raises:
        LearningError: as ``Examples.checked``.
    """
    train = train.checked()
    settings = grid(train.scores)
    picked = picks(train.scores, settings)
    evidence = target.p_values(picked, train.wrong, size / max(1, train.wrong.shape[1]))
    cost = mean_costs(picked, train.costs, settings)
    order = np.lexsort((cost, evidence))
    best = np.minimum.accumulate(np.append(np.inf, cost[order][:-1]))
    best = np.minimum(best, train.costs[-1].mean())  # the last rung alone
    front = order[cost[order] < best]  # of equal evidence the cheapest, then only cheaper ones
    return np.asarray(settings[front])


def select_setting(
    ordered: Floats, calibration: Examples, target: Target, delta: float
) -> Setting | None:
    """The cheapest setting that passes, of those ``ordered`` (k, r) by a plan; None if none does.

    Raises:
        LearningError: as ``Examples.checked``.
        ValueError: ``delta`` outside (0, 1).
    """
    require_rate("delta", delta)
    given = calibration.checked()
    if not len(ordered) or not given.wrong.shape[1]:
        return None
    picked = picks(given.scores, ordered)
    passing = target.p_values(picked, given.wrong) <= delta
    passed = int(passing.argmin()) if not passing.all() else len(ordered)
    if not passed:
        return None
    cost = mean_costs(picked, given.costs, ordered)
    chosen = int(np.argmin(cost[:passed]))
    accepted, errors = (int(tally[chosen]) for tally in tallies(picked, given.wrong))
    n = given.wrong.shape[1]
    low, high = interval(accepted, n, 1.0 - delta)
    return Setting(
        thresholds=tuple(ordered[chosen].tolist()),
        n=n,
        accepted=accepted,
        errors=errors,
        risk_bound=upper_bound(errors, accepted, delta),
        coverage=accepted / n,
        coverage_low=low,
        coverage_high=high,
        cost=float(cost[chosen]),
        delta=delta,
    )


def _thresholds(row: Floats, levels: int) -> Floats:
    scores = row[np.isfinite(row)]
    distinct = np.unique(scores)
    if distinct.size > levels:
        distinct = np.unique(np.quantile(scores, np.arange(levels) / levels))
    below = np.append(distinct[:1], distinct[:-1])
    return np.append((distinct + below) / 2.0, np.inf)


def _paired_p_value(lost: int, won: int, n: int, epsilon: float) -> float:
    """P(sum D <= lost - won) at the least favourable rate of D != 0, and what bounding it took."""
    from scipy.stats import binom  # 0.5 s to load, and only the search for cascades needs it

    if lost - won > n * epsilon:
        return 1.0
    most = max(epsilon, upper_bound(lost + won, n, _SLACK))
    discordant = np.arange(n + 1)
    halves = np.floor((lost - won + discordant) / 2.0)  # so many of them lost, at most
    tails = [
        binom.pmf(discordant, n, rate)
        @ binom.cdf(halves, discordant, min(1.0, (rate + epsilon) / (2.0 * rate)))
        for rate in np.linspace(epsilon, most, _RATES)
    ]
    return min(1.0, float(max(tails)) + _SLACK)
