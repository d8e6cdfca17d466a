"""Decisions over tables: scikit-learn's bundled sets, beside its own gradient boosting.

    python -m benchmarks.decisions [--repeats 3]

Breast cancer and wine (a label), diabetes (a number), each row sent as a JSON object, the way an
application would ask an LLM. Five folds, repeated over random orders; both models are trained on
the same folds, with their default settings. For the number: how many answers a certificate would
cover if "the same" means within 25 % of the reference, by ``select`` over Shoal's own predictions
of examples left out.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold, StratifiedKFold

from shoal.guarantees import Selection, interval, select
from shoal.specialists.decision import KIND
from shoal.specialists.specialist import Prediction
from shoal.tasks import Contract, Input, LabelContract, NumberContract, same, written

TOLERANCE = 0.25
DELTA = 0.05


class Set(NamedTuple):
    """A table: rows (n, d), what they are asked as, and what is to be decided (n,)."""

    name: str
    contract: Contract
    rows: NDArray[np.float64]
    inputs: list[Input]
    outputs: list[Any]


def table(name: str, loaded: Any) -> Set:
    """One of scikit-learn's sets."""
    names = [str(column) for column in loaded.feature_names]
    inputs = [Input(json.dumps(dict(zip(names, row, strict=True)))) for row in loaded.data.tolist()]
    if hasattr(loaded, "target_names"):
        labels = tuple(str(label) for label in loaded.target_names)
        outputs: list[Any] = [labels[i] for i in loaded.target]
        return Set(name, LabelContract(labels), loaded.data, inputs, outputs)
    contract = NumberContract(relative=TOLERANCE)
    return Set(name, contract, loaded.data, inputs, [float(y) for y in loaded.target])


def folds(data: Set, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Five folds, each with its share of every label."""
    labels = isinstance(data.contract, LabelContract)
    kind = StratifiedKFold if labels else KFold
    split = kind(5, shuffle=True, random_state=seed).split(data.rows, data.outputs)
    return [(past, live) for past, live in split]


def shoal(data: Set, past: Sequence[int], live: Sequence[int]) -> list[Prediction]:
    """Shoal's predictions of ``live``."""
    trained = KIND.train(
        data.contract,
        [data.inputs[i] for i in past],
        [data.outputs[i] for i in past],
        None,
        KIND.recipes[0],
    )
    return [trained.specialist.predict(data.inputs[i]) for i in live]


def scikit(data: Set, past: NDArray[np.intp], live: NDArray[np.intp]) -> list[Any]:
    """Scikit-learn's."""
    labels = isinstance(data.contract, LabelContract)
    model = (HistGradientBoostingClassifier if labels else HistGradientBoostingRegressor)(
        random_state=0
    )
    wanted = [data.outputs[i] for i in past]
    return list(model.fit(data.rows[past], wanted).predict(data.rows[live]))


def report(name: str, data: Set, found: Sequence[Any], wanted: Sequence[Any], cpu: float) -> None:
    """Accuracy with its interval, or the root of the mean squared error."""
    if isinstance(data.contract, LabelContract):
        right = sum(a == b for a, b in zip(found, wanted, strict=True))
        low, high = interval(right, len(wanted), 0.95)
        figure = f"accuracy {right / len(wanted):.1%} ({low:.1%} to {high:.1%})"
    else:
        squares = (np.array(found, dtype=float) - np.array(wanted, dtype=float)) ** 2
        draws = np.random.default_rng(0).integers(0, len(squares), (2_000, len(squares)))
        low, high = np.quantile(np.sqrt(squares[draws].mean(axis=1)), (0.025, 0.975))
        figure = f"RMSE {np.sqrt(squares.mean()):.1f} ({low:.1f} to {high:.1f})"
    print(f"{data.name:14} {name:34} {figure}, {cpu:.1f} s CPU a fold", flush=True)


def certificate(data: Set, alpha: float) -> None:
    """What could be certified with all rows, by the predictions left out."""
    trained = KIND.train(data.contract, data.inputs, data.outputs, None, KIND.recipes[0])
    wrong = [
        p.output is None
        or not same(data.contract, written(data.contract, p.output), written(data.contract, y))
        for p, y in zip(trained.left_out, data.outputs, strict=True)
    ]
    chosen = select([p.signal for p in trained.left_out], wrong, alpha, DELTA)
    found = (
        f"{chosen.coverage:.1%} ({chosen.errors} of {chosen.accepted} wrong)"
        if isinstance(chosen, Selection)
        else f"nothing: {chosen.reason}"
    )
    print(f"{data.name:14} certified at alpha {alpha:.0%} over {len(wrong)} rows: {found}")


def main() -> None:
    """All three sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    sets = [
        table("breast cancer", load_breast_cancer()),
        table("wine", load_wine()),
        table("diabetes", load_diabetes(scaled=False)),
    ]
    for data in sets:
        ours: list[Any] = []
        theirs: list[Any] = []
        wanted: list[Any] = []
        cpu = [0.0, 0.0]
        for seed in range(asked.repeats):
            for past, live in folds(data, seed):
                began = time.process_time()
                ours += [p.output for p in shoal(data, past.tolist(), live.tolist())]
                between = time.process_time()
                theirs += scikit(data, past, live)
                cpu[0] += between - began
                cpu[1] += time.process_time() - between
                wanted += [data.outputs[i] for i in live]
        count = 5 * asked.repeats
        n = len(data.inputs)  # intervals are over rows, not over repeats of them
        print(f"{data.name}: {n} rows, {asked.repeats} x 5 folds")
        for name, found, spent in (
            ("Shoal", ours, cpu[0]),
            ("HistGradientBoosting", theirs, cpu[1]),
        ):
            report(f"{name}, first order", data, found[:n], wanted[:n], spent / count)
            if asked.repeats > 1:
                report(f"{name}, all orders", data, found, wanted, spent / count)
        for alpha in (0.02, 0.05, 0.10):
            certificate(data, alpha)


if __name__ == "__main__":
    main()
