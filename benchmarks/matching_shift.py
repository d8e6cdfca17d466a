"""Another catalogue: what ``match`` says of pairs unlike those that it was certified on.

    python -m benchmarks.matching_shift

Trained on the part "train" of Abt-Buy or Amazon-Google, certified at alpha = 5 % on what was left
out, then asked about the part "test" of the same set and of the other one: as that is, and with its
attributes named as in the set that was learned from. Served is what the certificate lets through.
Nothing was chosen by these figures.
"""

import time
from collections.abc import Sequence

import numpy as np

from benchmarks.data import lines
from benchmarks.matching import ALPHA, CONTRACT, DELTA, SETS, Row, given, split
from shoal.guarantees import Selection, select
from shoal.specialists import match
from shoal.specialists.specialist import Trained


def renamed(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows with the attributes of either record, in order, under these names."""
    return [
        row
        | {side: dict(zip(names, row[side].values(), strict=True)) for side in ("left", "right")}
        for row in rows
    ]


def threshold(trained: Trained, train: Sequence[Row]) -> float:
    """Of the certificate; none is served at infinity."""
    wanted = [CONTRACT.labels[row["label"]] for row in train]
    wrong = [p.output != label for p, label in zip(trained.left_out, wanted, strict=True)]
    found = select([p.signal for p in trained.left_out], wrong, ALPHA, DELTA)
    return found.threshold if isinstance(found, Selection) else np.inf


def served(what: str, trained: Trained, least: float, rows: Sequence[Row]) -> None:
    """A line: how much is declined and served, and how much of that is wrong."""
    said = [trained.specialist.predict(given(row)) for row in rows]
    kept = np.array([p.output is not None and p.signal >= least for p in said])
    wrong = np.array(
        [p.output != CONTRACT.labels[row["label"]] for p, row in zip(said, rows, strict=True)]
    )
    declined = np.mean([p.output is None for p in said])
    count = int(kept.sum())
    risk = f"{(kept & wrong).sum() / count:.1%} wrong" if count else "nothing to be wrong"
    print(f"  {what:34} declined {declined:.1%}, served {kept.mean():.1%}, {risk}", flush=True)


def main() -> None:
    """Both ways."""
    for own, other in (SETS, SETS[::-1]):
        began = time.process_time()
        rows, others = (lines(f"product_matching/{name}.jsonl.gz") for name in (own, other))
        train = split(rows, "train")
        outputs = [CONTRACT.labels[row["label"]] for row in train]
        inputs, recipe = [given(row) for row in train], match.KIND.recipes[0]
        trained = match.KIND.train(CONTRACT, inputs, outputs, None, recipe)
        least = threshold(trained, train)
        spent = time.process_time() - began
        print(f"{own}, certified at signal {least:.3f}, {spent:.0f} s CPU")
        test = split(others, "test")
        served("test", trained, least, split(rows, "test"))
        served(f"test of {other}", trained, least, test)
        served("the same, attributes renamed", trained, least, renamed(test, [*rows[0]["left"]]))


if __name__ == "__main__":
    main()
