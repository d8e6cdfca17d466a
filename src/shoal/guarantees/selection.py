"""The choice of a threshold: the loosest that is proven good enough, or why there is none.

What this module does not know: whether future calls resemble the examples, and whether a score came
from a model that had seen the example. For cross-fitted scores the binomial law holds only
asymptotically, for stable learners (Bayle et al. 2020; Bousquet & Elisseeff 2002), and their
certificate says so. Trying several specialists on the same examples needs ``delta`` divided among
them.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from shoal.guarantees.bounds import (
    clean_examples_needed,
    interval,
    require_rate,
    upper_bound,
)
from shoal.guarantees.fixed_sequence import (
    RiskCurve,
    Start,
    default_starts,
    starts_of_conversations,
    walk,
)
from shoal.guarantees.shares import percent

_GROWTH = 1.05 ** np.arange(1, 81)  # up to 50 times as many examples, 5 % at a step


class Selection(Struct, frozen=True):
    """A certified threshold: accept ``score >= threshold``.

    Of ``n`` calibration examples ``accepted`` lie at or above it, of which ``errors`` are wrong.
    ``risk_bound`` is their exact upper bound at the level of the test, never above ``alpha``; what
    is promised is ``alpha``, with confidence ``1 - delta``. ``coverage`` is ``accepted / n``, with
    its two-sided Clopper-Pearson interval at that confidence (not corrected for the choice).
    """

    threshold: float
    n: int
    accepted: int
    errors: int
    risk_bound: float
    coverage: float
    coverage_low: float
    coverage_high: float
    alpha: float
    delta: float


class Refusal(Struct, frozen=True):
    """Why no threshold was certified, in plain words.

    ``coverage``, ``accepted`` and ``errors`` describe the most promising place. ``examples_needed``
    is about how many *more* examples, with the same risk at the same coverage, would let this very
    test pass; None if 50 times as many would not.
    """

    reason: str
    n: int
    coverage: float
    accepted: int
    errors: int
    examples_needed: int | None
    alpha: float
    delta: float


def select(
    scores: ArrayLike,
    wrong: ArrayLike,
    alpha: float,
    delta: float,
    starts: Sequence[Start] | None = None,
    first: ArrayLike | None = None,
    together: Sequence[Hashable] | None = None,
) -> Selection | Refusal:
    """Choose the threshold that accepts most, at a risk proven to be ``alpha`` or less.

    The probability, over the draw of the examples, that the accepted calls' true risk is above
    ``alpha`` is at most ``delta`` (proof in ``fixed_sequence``). The examples' order is irrelevant.

    Args:
        scores: (n,) finite numbers, the higher the surer.
        wrong: (n,) booleans, whether the answer differs from the reference.
        alpha: risk allowed among the accepted, in (0, 1).
        delta: probability with which the promise may fail, in (0, 1).
        starts: where walks begin, ``default_starts(n)`` if None. They may depend on n or on a
            training split, never on the labels or scores of these examples.
        first: (n,) whether each example is the first of its input; None: all are. The promise must
            hold over calls and over distinct inputs, for the same input sent twice, by a client
            that tries again, is no second piece of evidence.
        together: of calls that are steps of conversations, which each belongs to, in place of
            ``first``. The promise must hold over calls, and over one call of each conversation,
            for calls of one conversation go right or wrong together.

    Raises:
        LearningError: scores and outcomes of different lengths, or a score that is not finite.
        ValueError: ``alpha``, ``delta`` or the starts are out of range.
    """
    require_rate("alpha", alpha)
    require_rate("delta", delta)
    curve = RiskCurve.of(scores, wrong, first, together)
    if curve.total == 0:
        return _without_examples(alpha, delta)
    if starts is None and together is not None:
        starts = starts_of_conversations(curve.distinct, alpha, delta)
    found = walk(curve, alpha, delta, default_starts(curve.distinct) if starts is None else starts)
    if found is None and together is None and curve.distinct < curve.total:
        rows = np.asarray(first, dtype=bool)
        refused = select(np.asarray(scores)[rows], np.asarray(wrong)[rows], alpha, delta, starts)
        if isinstance(refused, Refusal):
            return refused  # in terms of the inputs, which are what more is needed of
    if found is None:
        return _refuse(curve, alpha, delta, starts)
    accepted, errors = int(curve.accepted[found.entry]), int(curve.errors[found.entry])
    low, high = interval(accepted, curve.total, 1.0 - delta)
    return Selection(
        threshold=float(curve.threshold[found.entry]),
        n=curve.total,
        accepted=accepted,
        errors=errors,
        risk_bound=min(alpha, upper_bound(errors, accepted, found.level)),
        coverage=accepted / curve.total,
        coverage_low=low,
        coverage_high=high,
        alpha=alpha,
        delta=delta,
    )


def _without_examples(alpha: float, delta: float) -> Refusal:
    needed = clean_examples_needed(alpha, delta)
    reason = f"there are no examples: at least {needed} are needed, even if all of them are right"
    return Refusal(reason, 0, 0.0, 0, 0, needed, alpha, delta)


def _refuse(
    curve: RiskCurve, alpha: float, delta: float, starts: Sequence[Start] | None
) -> Refusal:
    grown = _growth_needed(curve, alpha, delta, starts)
    index, more = grown if grown is not None else (_surest_tenth(curve), None)
    accepted, errors = int(curve.accepted[index]), int(curve.errors[index])
    reason = (
        _too_few(accepted, errors, curve.total, more, alpha, delta)
        if more is not None
        else _too_wrong(accepted, errors, curve.total, alpha)
    )
    return Refusal(
        reason, curve.total, accepted / curve.total, accepted, errors, more, alpha, delta
    )


def _growth_needed(
    curve: RiskCurve, alpha: float, delta: float, starts: Sequence[Start] | None
) -> tuple[int, int] | None:
    """The entry whose start would pass first, and how many more examples it takes, in tens."""
    totals = np.ceil(curve.total * _GROWTH)
    plans = [default_starts(int(n)) if starts is None else starts for n in totals]
    entries = curve.entries(np.array([[s.coverage for s in plan] for plan in plans]))
    levels = delta * np.array([[s.weight for s in plan] for plan in plans])
    factor = (totals / curve.total)[:, None]
    p = curve.p_values(alpha, entries, factor)
    passed = np.argwhere(p <= levels)  # (·, 2) of growth and start, the least growth first
    if passed.size == 0:
        return None
    grown, start = passed[0]
    return int(entries[grown, start]), math.ceil((totals[grown] - curve.total) / 10) * 10


def _surest_tenth(curve: RiskCurve) -> int:
    return int(np.searchsorted(curve.accepted, curve.total / 10.0))


def _too_few(accepted: int, errors: int, n: int, more: int, alpha: float, delta: float) -> str:
    return (
        f"need about {more} more examples: of the surest {accepted} of {n}, {errors} disagree "
        f"({percent(errors / accepted)}), and that is too few examples to be "
        f"{percent(1.0 - delta)} sure of at most {percent(alpha)}"
    )


def _too_wrong(accepted: int, errors: int, n: int, alpha: float) -> str:
    part = "tenth" if accepted <= math.ceil(n / 10) else f"{percent(accepted / n)}"
    rate, allowed = percent(errors / accepted), percent(alpha)
    if errors / accepted > alpha:
        return f"even the surest {part} disagrees {rate} of the time, above {allowed}"
    return (
        f"the surest {part} disagrees {rate} of the time, within {allowed}, but what comes next "
        "does not, and 50 times as many examples would not help: it takes a surer score"
    )
