"""What a cascade would have done with answers that were recorded of every model.

No model is asked: outcomes, costs and times are those of the recording. What this module does not
know: how long a machine that serves several models at once would take for each.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class RecordedRung(Struct, frozen=True):
    """One rung over n recorded calls, all (n,).

    ``scores`` are the signal's (-inf: it declines), ``right`` whether its answer is; ``cost`` and
    ``seconds`` are of itself and its witnesses together, asked at the same time: the sum, and the
    longest.
    """

    name: str
    scores: Floats
    right: NDArray[np.bool_]
    cost: Floats
    seconds: Floats


class Replayed(Struct, frozen=True):
    """What a cascade did with n calls; means over all of them, checkers included.

    ``kept`` is the share answered before the last rung, of which a share ``risk`` was wrong by
    ``right`` (0 if nothing was kept); ``shares`` is by rung, the last one included.
    """

    n: int
    accuracy: float
    kept: float
    risk: float
    cost: float
    seconds: float
    shares: tuple[float, ...]


def replay(
    rungs: Sequence[RecordedRung], last: RecordedRung, thresholds: Sequence[float]
) -> Replayed:
    """Ask the rungs in order, each that is not shut (threshold inf), then the last."""
    n = len(last.right)
    open_, right = np.ones(n, bool), np.zeros(n, bool)
    cost, seconds, shares, errors = np.zeros(n), np.zeros(n), [], 0
    for rung, threshold in zip(rungs, thresholds, strict=True):
        if threshold == np.inf:
            shares.append(0.0)
            continue
        cost += np.where(open_, rung.cost, 0.0)
        seconds += np.where(open_, rung.seconds, 0.0)
        accepts = open_ & (rung.scores >= threshold) & (rung.scores > -np.inf)
        right[accepts] = rung.right[accepts]
        errors += int((~rung.right[accepts]).sum())
        shares.append(float(accepts.mean()))
        open_ &= ~accepts
    cost += np.where(open_, last.cost, 0.0)
    seconds += np.where(open_, last.seconds, 0.0)
    right[open_] = last.right[open_]
    kept = 1.0 - float(open_.mean())
    return Replayed(
        n=n,
        accuracy=float(right.mean()),
        kept=kept,
        risk=errors / (~open_).sum() if kept else 0.0,
        cost=float(cost.mean()),
        seconds=float(seconds.mean()),
        shares=(*shares, float(open_.mean())),
    )
