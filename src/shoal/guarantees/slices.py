"""Where the errors are: the risk of slices of the accepted calls, by label, length and time.

Slices are looked at, not promised. Each bound is exact for its slice taken alone; as many slices
are looked at, some bounds fail by chance, and which slice is the worst is read off the same
examples. They tell a person where to look.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.guarantees.bounds import lower_bound, upper_bound

By = Literal["label", "length", "time"]

_PARTS = 4
_FEWEST = 25  # examples to a part of length or time
_MOST_LABELS = 200


class Slice(Struct, frozen=True):
    """Calls alike in one respect: of ``n`` examples ``accepted``, of which ``errors`` wrong.

    ``risk_low`` and ``risk_high`` are exact one-sided bounds, each at the promise's confidence.
    """

    by: By
    name: str
    n: int
    accepted: int
    errors: int
    risk_low: float
    risk_high: float


def slices_by_label(
    labels: Sequence[str], accepted: NDArray[np.bool_], wrong: NDArray[np.bool_], delta: float
) -> tuple[Slice, ...]:
    """A slice for each of the labels (n,) predicted, those with the most accepted calls first."""
    names, place = np.unique(np.array(labels, dtype=str), return_inverse=True)
    found = [
        _slice("label", str(name), place == index, accepted, wrong, delta)
        for index, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda part: (-part.accepted, part.name))[:_MOST_LABELS])


def slices_by_size(
    by: By,
    values: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    delta: float,
    name: Sequence[str] = ("least", "second", "third", "greatest"),
) -> tuple[Slice, ...]:
    """Up to four parts of equal size by ``values`` (n,), the least first; equal values stay
    together. ``name`` holds the parts' names; with fewer parts the first and last are kept."""
    parts = min(_PARTS, values.size // _FEWEST)
    if parts < 2:
        return ()
    edges = np.quantile(values, np.arange(1, parts) / parts)
    place = np.searchsorted(np.unique(edges), values, side="left")
    kept = [index for index in range(parts) if (place == index).any()]
    if len(kept) < 2:
        return ()
    names = [*name[: len(kept) - 1], name[-1]]
    return tuple(
        _slice(by, names[at], place == index, accepted, wrong, delta)
        for at, index in enumerate(kept)
    )


def worst(slices: Sequence[Slice], by: By) -> Slice | None:
    """The slice for whose risk being high there is most evidence: the greatest lower bound, not
    the greatest share, which a slice of two calls would win. None if no call was accepted."""
    known = [part for part in slices if part.by == by and part.accepted]
    return max(known, key=lambda p: (p.risk_low, p.errors / p.accepted, p.accepted), default=None)


def _slice(
    by: By,
    name: str,
    inside: NDArray[np.bool_],
    accepted: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    delta: float,
) -> Slice:
    n, k = int((inside & accepted).sum()), int((inside & accepted & wrong).sum())
    return Slice(
        by, name, int(inside.sum()), n, k, lower_bound(k, n, delta), upper_bound(k, n, delta)
    )
