"""The choice among a few thresholds that were fixed before any example was seen.

For signals that take few values, like the share of models that agree. Each threshold is tested with
an equal part of delta by the exact binomial test (Clopper & Pearson 1934; Bonferroni), so that the
loosest that passes has a risk above alpha with probability at most delta, for every number of
examples and whatever the order of the risks.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.guarantees.bounds import interval, p_values, require_rate, upper_bound
from shoal.guarantees.selection import Refusal, Selection
from shoal.guarantees.shares import percent


def select_level(
    scores: ArrayLike,
    wrong: ArrayLike,
    levels: Sequence[float],
    alpha: float,
    delta: float,
    first: ArrayLike | None = None,
) -> Selection | Refusal:
    """The lowest of ``levels`` at or above which the risk is proven to be ``alpha`` or less.

    Args:
        scores: (n,) numbers, the higher the surer.
        wrong: (n,) booleans, whether the answer differs from the reference.
        levels: thresholds to choose from.
        alpha: risk allowed among the accepted, in (0, 1).
        delta: probability with which the promise may fail, in (0, 1).
        first: as for ``select``.

    Raises:
        ValueError: ``alpha`` or ``delta`` is out of range, or there is no level.
    """
    require_rate("alpha", alpha)
    require_rate("delta", delta)
    if not levels:
        raise ValueError("there must be a level to choose")
    s, w = np.asarray(scores, dtype=np.float64), np.asarray(wrong, dtype=bool)
    f = np.ones(s.shape, bool) if first is None else np.asarray(first, dtype=bool)
    part = delta / len(levels)
    for level in sorted(levels):
        accepted, errors = _count(s >= level, w)
        if accepted and _p_value(s >= level, w, f, alpha) <= part:
            low, high = interval(accepted, len(s), 1.0 - delta)
            return Selection(
                threshold=float(level),
                n=len(s),
                accepted=accepted,
                errors=errors,
                risk_bound=min(alpha, upper_bound(errors, accepted, part)),
                coverage=accepted / len(s),
                coverage_low=low,
                coverage_high=high,
                alpha=alpha,
                delta=delta,
            )
    if any(_p_value(s[f] >= level, w[f], f[f], alpha) <= part for level in levels):
        return _refuse(s, w, levels, alpha, delta)  # it is over calls that it cannot be proven
    return _refuse(s[f], w[f], levels, alpha, delta)


def _count(accepted: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> tuple[int, int]:
    """How many, and how many of these are wrong."""
    return int(accepted.sum()), int((accepted & wrong).sum())


def _p_value(
    accepted: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    first: NDArray[np.bool_],
    alpha: float,
) -> float:
    """Of "the risk is above alpha, over calls or over distinct inputs" (intersection-union)."""
    counts = np.array([_count(accepted, wrong), _count(accepted & first, wrong)])
    return float(p_values(counts[:, 1], counts[:, 0], alpha).max())


def _refuse(
    s: NDArray[np.float64],
    w: NDArray[np.bool_],
    levels: Sequence[float],
    alpha: float,
    delta: float,
) -> Refusal:
    """The level with the smallest rate of errors is the most promising, the lower of equals."""
    counts = [_count(s >= level, w) for level in sorted(levels)]
    accepted, errors = min(counts, key=lambda count: count[1] / max(1, count[0]))
    rate, n = errors / max(1, accepted), len(s)
    more = _more_needed(accepted, errors, n, alpha, delta / len(levels))
    seen = f"{accepted} of {n} would be accepted, of which {errors} disagree ({percent(rate)})"
    if not accepted:
        reason = f"none of {n} would be accepted: the voices never agree on an answer that counts"
    elif more:
        reason = (
            f"need about {more} more examples: {seen}, and that is too few to be "
            f"{percent(1 - delta)} sure of at most {percent(alpha)}"
        )
    else:
        reason = f"{seen}, above {percent(alpha)}, and more examples would not help"
    return Refusal(reason, n, accepted / max(1, n), accepted, errors, more, alpha, delta)


def _more_needed(accepted: int, errors: int, n: int, alpha: float, part: float) -> int | None:
    """How many more examples of the same kind would pass, in tens; None if 50 times as many would
    not."""
    if not accepted:
        return None
    factors: NDArray[np.float64] = 1.05 ** np.arange(1, 81, dtype=np.float64)
    passed = np.flatnonzero(p_values(errors * factors, accepted * factors, alpha) <= part)
    return math.ceil(n * (factors[passed[0]] - 1) / 10) * 10 if passed.size else None
