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


def select_level(
    scores: ArrayLike, wrong: ArrayLike, levels: Sequence[float], alpha: float, delta: float
) -> Selection | Refusal:
    """The lowest of ``levels`` at or above which the risk is proven to be ``alpha`` or less.

    Args:
        scores: (n,) numbers, the higher the surer.
        wrong: (n,) booleans, whether the answer differs from the reference.
        levels: thresholds to choose from.
        alpha: risk allowed among the accepted, in (0, 1).
        delta: probability with which the promise may fail, in (0, 1).

    Raises:
        ValueError: ``alpha`` or ``delta`` is out of range, or there is no level.
    """
    require_rate("alpha", alpha)
    require_rate("delta", delta)
    if not levels:
        raise ValueError("there must be a level to choose")
    s, w = np.asarray(scores, dtype=np.float64), np.asarray(wrong, dtype=bool)
    part = delta / len(levels)
    for level in sorted(levels):
        accepted, errors = int((s >= level).sum()), int(w[s >= level].sum())
        if accepted and p_values(np.array([errors]), np.array([accepted]), alpha)[0] <= part:
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
    return _refuse(s, w, levels, alpha, delta)


def _refuse(
    s: NDArray[np.float64],
    w: NDArray[np.bool_],
    levels: Sequence[float],
    alpha: float,
    delta: float,
) -> Refusal:
    """The level with the smallest rate of errors is the most promising, the lower of equals."""
    counts = [(int((s >= level).sum()), int(w[s >= level].sum())) for level in sorted(levels)]
    accepted, errors = min(counts, key=lambda count: count[1] / max(1, count[0]))
    rate, n = errors / max(1, accepted), len(s)
    more = _more_needed(accepted, errors, n, alpha, delta / len(levels))
    seen = f"of {accepted} of {n} that would be accepted, {errors} disagree ({rate:.1%})"
    reason = (
        f"need about {more} more examples: {seen}, and that is too few to be "
        f"{1 - delta:.3g} sure of at most {alpha:.1%}"
        if more
        else f"{seen}, above {alpha:.1%}, and more examples would not help"
    )
    return Refusal(reason, n, accepted / max(1, n), accepted, errors, more, alpha, delta)


def _more_needed(accepted: int, errors: int, n: int, alpha: float, part: float) -> int | None:
    """How many more examples of the same kind would pass, in tens; None if 50 times as many would
    not."""
    if not accepted:
        return None
    factors: NDArray[np.float64] = 1.05 ** np.arange(1, 81, dtype=np.float64)
    passed = np.flatnonzero(p_values(errors * factors, accepted * factors, alpha) <= part)
    return math.ceil(n * (factors[passed[0]] - 1) / 10) * 10 if passed.size else None
