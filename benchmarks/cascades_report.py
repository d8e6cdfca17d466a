"""What the cascade benchmarks print, and how they split."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.evaluation.replay import RecordedRung, Replayed, replay
from shoal.guarantees import (
    Examples,
    Setting,
    Target,
    lower_bound,
    plan,
    select_setting,
)

Rows = NDArray[np.intp]


class Outcome(Struct):
    """A certified cascade on untouched calls; ``setting`` None: refused, all went to the last."""

    setting: Setting | None
    replayed: Replayed


def examples_of(rungs: Sequence[RecordedRung], last: RecordedRung, rows: Rows) -> Examples:
    """The rungs' records of some calls, as the certificate wants them."""
    scores = np.array([rung.scores[rows] for rung in rungs])
    wrong = np.array([~rung.right[rows] for rung in (*rungs, last)])
    costs = np.array([rung.cost[rows] for rung in (*rungs, last)])
    return Examples(scores, wrong, costs)


def rows_of(rung: RecordedRung, rows: Rows) -> RecordedRung:
    """A rung's record of some calls."""
    return RecordedRung(
        rung.name, rung.scores[rows], rung.right[rows], rung.cost[rows], rung.seconds[rows]
    )


def certified(
    rungs: Sequence[RecordedRung],
    last: RecordedRung,
    splits: tuple[Rows, Rows, Rows],
    target: Target,
    delta: float,
) -> Outcome:
    """Order settings on the first split, test them on the second, replay on the third."""
    train, calibration, test = splits
    ordered = plan(examples_of(rungs, last, train), target, len(calibration))
    found = select_setting(ordered, examples_of(rungs, last, calibration), target, delta)
    thresholds = found.thresholds if found else (np.inf,) * len(rungs)
    there = [rows_of(rung, test) for rung in rungs]
    return Outcome(found, replay(there, rows_of(last, test), thresholds))


def spread(values: Sequence[float], digits: int = 1, percent: bool = True) -> str:
    """Mean, and the 2.5 % and 97.5 % quantiles over seeds."""
    factor, sign = (100.0, " %") if percent else (1.0, "")
    mean, (low, high) = np.mean(values), np.quantile(values, (0.025, 0.975))
    return (
        f"{factor * mean:.{digits}f}{sign} "
        f"({factor * low:.{digits}f} to {factor * high:.{digits}f})"
    )


def print_risk(name: str, outcomes: Sequence[Outcome], alpha: float) -> None:
    """A line: what was kept, its realised risk and cost, and how often the promise was broken."""
    kept = [o.replayed.kept for o in outcomes]
    served = [o.replayed for o in outcomes if o.replayed.kept > 0]
    risks = [r.risk for r in served] or [0.0]
    over = sum(r.risk > alpha for r in served)
    counts = [(round(r.risk * r.kept * r.n), round(r.kept * r.n)) for r in served]
    clearly = sum(lower_bound(wrong, n, 0.05) > alpha for wrong, n in counts)
    refused = sum(o.setting is None for o in outcomes)
    print(
        f"{name:34} alpha {alpha:.0%}: kept {spread(kept)}, risk {100 * np.mean(risks):.2f} %, "
        f"cost {spread([o.replayed.cost for o in outcomes], 2, False)} of the last rung's, "
        f"refused {refused}/{len(outcomes)}, over alpha {over}/{len(outcomes)}, "
        f"significantly {clearly}/{len(outcomes)}",
        flush=True,
    )
