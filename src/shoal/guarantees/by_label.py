"""A promise for each label that is predicted, not only on the average over all of them.

The calls that a specialist answers with one label are a stratum with a risk-coverage curve and a
threshold of its own; a label of which no threshold can be proven is not served. All labels share
one error budget: with confidence ``1 - delta``, *every* label served keeps alpha at once, and hence
so does their mixture.

**How delta is spread.** How often each label is predicted says nothing about who is wrong within
it: given these counts, the examples of one label are independent draws of that label's calls. So
weights may depend on the counts. The budget goes in equal parts to the ``m`` labels predicted most
often, for the largest ``m`` of which each part could still prove something (Bonferroni over fewer
hypotheses than there are labels). Labels are walked from the most frequent to the least, and a walk
that reaches the end of one label's curve carries its level on to the next label: the fallback
procedure of ``fixed_sequence`` on one long chain of curves (Wiens & Dmitrienko 2005; Bretz et al.
2009). Its proof holds word for word: grouped by the first bad threshold that a walk from them would
meet on the chain, the starts form disjoint groups, each with at most the sum of its own levels.

This is *label-conditional* in the label that is given, which a caller sees, not in the one that
would have been right.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from shoal.errors import LearningError
from shoal.guarantees.bounds import (
    clean_examples_needed,
    interval,
    require_rate,
    upper_bound,
)
from shoal.guarantees.fixed_sequence import (
    RiskCurve,
    Walked,
    default_starts,
    starts_of_conversations,
    walk_on,
)
from shoal.guarantees.selection import Refusal, Selection, select

_FAINT = 1e-12  # the weight of a start that owns nothing and may only be handed a level


class LabelProof(Struct, frozen=True):
    """One label's certified threshold: of ``n`` examples that were given it, ``accepted`` lie at or
    above, of which ``errors`` are wrong; ``risk_bound`` is their exact upper bound at its level."""

    label: str
    threshold: float
    n: int
    accepted: int
    errors: int
    risk_bound: float


class LabelSelection(Struct, frozen=True):
    """The labels that may be served, the most frequent first, and in sum what they serve.

    ``selection.threshold`` is the least of their thresholds, ``selection.risk_bound`` the greatest
    of their bounds: a mixture is no worse than its worst part.
    """

    selection: Selection
    proofs: tuple[LabelProof, ...]


def select_by_label(
    scores: ArrayLike,
    wrong: ArrayLike,
    labels: Sequence[str],
    alpha: float,
    delta: float,
    first: ArrayLike | None = None,
    together: Sequence[Hashable] | None = None,
) -> LabelSelection | Refusal:
    """Choose a threshold for each label, at a risk proven to be ``alpha`` or less for each.

    The probability, over the draw of the examples, that *any* label's true risk among its accepted
    calls is above ``alpha`` is at most ``delta``.

    Args:
        scores: (n,) finite numbers, the higher the surer.
        wrong: (n,) booleans, whether the answer differs from the reference.
        labels: (n,) the labels that were predicted.
        alpha: risk allowed among the accepted of each label, in (0, 1).
        delta: probability with which any of the promises may fail, in (0, 1).
        first, together: as for ``select``.

    Raises:
        LearningError: arguments of different lengths, or a score that is not finite.
        ValueError: ``alpha`` or ``delta`` is out of range.
    """
    require_rate("alpha", alpha)
    require_rate("delta", delta)
    s, w = np.asarray(scores, dtype=np.float64), np.asarray(wrong, dtype=bool)
    if s.ndim != 1 or not s.shape == w.shape == (len(labels),):
        raise LearningError(f"scores {s.shape}, outcomes {w.shape}, labels ({len(labels)},) differ")
    f = np.ones(s.shape, bool) if first is None else np.asarray(first, dtype=bool)
    names, place = np.unique(np.array(labels, dtype=str), return_inverse=True)
    if together is not None:  # one of each conversation is evidence of a label
        f = _first_of(zip(together, place.tolist(), strict=True))
    counts = np.bincount(place[f], minlength=names.size)  # of distinct inputs: these are evidence
    order = np.argsort(-counts, kind="stable")
    ways = _levels(counts[order], alpha, delta)
    proofs, carried = [], 0.0
    for index, level in zip(order, ways, strict=True):
        inside = place == index
        whose = None if together is None else _inside(together, inside)
        curve = RiskCurve.of(s[inside], w[inside], f[inside], whose)
        owned = max(level, _FAINT * delta)
        starts = default_starts(curve.distinct)
        if together is not None:
            starts = starts_of_conversations(curve.distinct, alpha, owned)
        walked = walk_on(curve, alpha, owned, starts, carried)
        carried = walked.left
        proofs += _proof(str(names[index]), curve, walked, alpha)
    if not proofs:
        return _refusal(s[f], w[f], place[f], names, order, alpha, delta)
    return LabelSelection(_summary(proofs, len(labels), alpha, delta), tuple(proofs))


def _first_of(rows: Iterable[Hashable]) -> NDArray[np.bool_]:
    seen: set[Hashable] = set()
    found = []
    for row in rows:
        found.append(row not in seen)
        seen.add(row)
    return np.array(found, dtype=bool)


def _inside(together: Sequence[Hashable], inside: NDArray[np.bool_]) -> list[Hashable]:
    return [together[row] for row in np.flatnonzero(inside).tolist()]


def _levels(counts: NDArray[np.int_], alpha: float, delta: float) -> list[float]:
    """What each label owns of delta, the most frequent first."""
    m = counts.size
    while m > 1 and counts[m - 1] < clean_examples_needed(alpha, delta / m):
        m -= 1
    return [delta * (1.0 - _FAINT * counts.size) / m if k < m else 0.0 for k in range(counts.size)]


def _proof(label: str, curve: RiskCurve, walked: Walked, alpha: float) -> list[LabelProof]:
    if walked.found is None:
        return []
    entry, level = walked.found
    accepted, errors = int(curve.accepted[entry]), int(curve.errors[entry])
    bound = min(alpha, upper_bound(errors, accepted, level))
    threshold = float(curve.threshold[entry])
    return [LabelProof(label, threshold, curve.total, accepted, errors, bound)]


def _summary(proofs: Sequence[LabelProof], n: int, alpha: float, delta: float) -> Selection:
    accepted = sum(proof.accepted for proof in proofs)
    low, high = interval(accepted, n, 1.0 - delta)
    return Selection(
        threshold=min(proof.threshold for proof in proofs),
        n=n,
        accepted=accepted,
        errors=sum(proof.errors for proof in proofs),
        risk_bound=max(proof.risk_bound for proof in proofs),
        coverage=accepted / n,
        coverage_low=low,
        coverage_high=high,
        alpha=alpha,
        delta=delta,
    )


def _refusal(
    s: NDArray[np.float64],
    w: NDArray[np.bool_],
    place: NDArray[np.intp],
    names: NDArray[np.str_],
    order: NDArray[np.intp],
    alpha: float,
    delta: float,
) -> Refusal:
    """The refusal of the label that comes nearest, in examples of the whole task."""
    if not order.size:
        refused = select(s, w, alpha, delta)
        assert isinstance(refused, Refusal)
        return refused
    nearest: tuple[float, str, Refusal] | None = None
    level = max(_levels(np.bincount(place)[order], alpha, delta))
    for index in order[:20]:  # rarer ones are further away
        inside = place == index
        found = select(s[inside], w[inside], alpha, level)
        if not isinstance(found, Refusal):
            continue
        more = found.examples_needed
        needed = np.inf if more is None else more * s.size / int(inside.sum())
        if nearest is None or needed < nearest[0]:
            nearest = needed, str(names[index]), found
    assert nearest is not None
    needed, label, found = nearest
    reason = f"no label can be proven on its own; nearest is {label!r}: {found.reason}"
    total = int(s.size)
    return Refusal(
        reason,
        total,
        found.accepted / total,
        found.accepted,
        found.errors,
        None if np.isinf(needed) else int(np.ceil(needed / 10) * 10),
        alpha,
        delta,
    )
