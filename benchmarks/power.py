"""The power of the tests behind certificates, and of ways to look again. Simulated; 5 CPU minutes.

    python -m benchmarks.power [--seeds 100]

First, mean share served over a grid (accuracies .80/.88/.95 with and without 1 % confident errors,
n = 300/1,000/3,000, alpha = 2/5/10 %, delta = 5 %): the chosen walk, beside other ways to test many
thresholds. Then, for data that doubles from 200 to 3,200 with a look at each doubling (as the
learner looks), the mean share served after each look and the share of runs certified: the chosen
series 6 / (pi^2 k^2), a geometric one, a confidence sequence that may look at any time, and all of
delta at the last look alone, which nobody knows beforehand.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shoal.guarantees import (
    RiskCurve,
    Selection,
    Start,
    anytime_upper_bound,
    default_starts,
    delta_at,
    p_values,
    select,
)

DELTA = 0.05
LOOKS = (200, 400, 800, 1_600, 3_200)
Sample = tuple[NDArray[np.float64], NDArray[np.bool_]]


def sample(n: int, accuracy: float, confident: float, rng: np.random.Generator) -> Sample:
    """Scores, uniform, and errors along a logistic curve of that accuracy."""
    grid = np.linspace(0, 1, 2_001)
    low, high = -1.0, 1.0
    for _ in range(40):  # the middle of the curve at which its mean is the error rate
        middle = (low + high) / 2
        rate = confident + (1 - confident) / (1 + np.exp(12 * (grid - middle)))
        low, high = (middle, high) if rate.mean() < 1 - accuracy else (low, middle)
    score = rng.random(n)
    rate = confident + (1 - confident) / (1 + np.exp(12 * (score - middle)))
    return score, rng.random(n) < rate


def coverage(starts: Callable[[int], tuple[Start, ...]]) -> Callable[[Sample, float], float]:
    """Walks from such starts."""

    def test(data: Sample, alpha: float) -> float:
        found = select(*data, alpha, DELTA, starts(data[0].size))
        return found.coverage if isinstance(found, Selection) else 0.0

    return test


def bonferroni(data: Sample, alpha: float) -> float:
    """Ten thresholds, each with a tenth of delta."""
    curve, n = RiskCurve.of(*data), data[0].size
    tenths = np.arange(1, 11) * n // 10 - 1
    passed = p_values(curve.errors[tenths], curve.accepted[tenths], alpha) <= DELTA / 10
    return float((passed * np.arange(1, 11) / 10).max())


def uncorrected(data: Sample, alpha: float) -> float:
    """The loosest threshold that passes alone: no valid test, only a ceiling."""
    curve = RiskCurve.of(*data)
    passed = p_values(curve.errors, curve.accepted, alpha) <= DELTA
    return float((passed * curve.accepted).max() / data[0].size)


TESTS: dict[str, Callable[[Sample, float], float]] = {
    "Bonferroni, 10 thresholds": bonferroni,
    "fixed sequence from the strictest 5 %": coverage(lambda n: (Start(0.05, 1.0),)),
    "4 starts, delta/4 each, handed on": coverage(
        lambda n: tuple(Start(c, 0.25) for c in (0.9, 0.75, 0.55, 0.35))
    ),
    "1 start at .55, all of delta": coverage(lambda n: (Start(0.55, 1.0),)),
    "chosen: 2 starts by n, 85/15": coverage(default_starts),
    "no correction (invalid)": uncorrected,
}


def thresholds(seeds: int) -> None:
    """The first table."""
    print("mean share served in %   mean  n=300   1000   3000  a=.02    .05    .10  certified")
    for name, test in TESTS.items():
        found = np.array(
            [
                [
                    test(sample(n, accuracy, confident, np.random.default_rng(seed)), alpha)
                    for accuracy in (0.80, 0.88, 0.95)
                    for confident in (0.0, 0.01)
                    for seed in range(seeds)
                ]
                for n in (300, 1_000, 3_000)
                for alpha in (0.02, 0.05, 0.10)
            ]
        ).reshape(3, 3, -1)
        cells = [found.mean(), *found.mean(axis=(1, 2)), *found.mean(axis=(0, 2))]
        shown = " ".join(f"{100 * cell:6.1f}" for cell in cells)
        error = 100 * found.mean(axis=(0, 1)).std() / np.sqrt(found.shape[2])
        print(
            f"{name:38} {shown} {100 * (found > 0).mean():6.0f} (± {1.96 * error:.1f})", flush=True
        )


def by_series(levels: Callable[[int], float]) -> Callable[[Sample, int], float]:
    """Attempt k tests with ``levels(k)``."""

    def look(data: Sample, k: int) -> float:
        found = select(*data, 0.05, levels(k))
        return found.coverage if isinstance(found, Selection) else 0.0

    return look


def anytime(data: Sample, k: int) -> float:
    """Two fixed coverages, each with the confidence sequence at its share of delta."""
    curve, served = RiskCurve.of(*data), 0.0
    for start in default_starts(800):  # fixed for all looks, or it would not be one sequence
        entry = int(curve.entries(np.array([start.coverage]))[0])
        errors, accepted = int(curve.errors[entry]), int(curve.accepted[entry])
        if anytime_upper_bound(errors, accepted, start.weight * DELTA) <= 0.05:
            served = max(served, accepted / curve.total)
    return served


WAYS: dict[str, Callable[[Sample, int], float]] = {
    "chosen: 6 / (pi^2 k^2)": by_series(lambda k: delta_at(k, DELTA)),
    "geometric: 2^-k": by_series(lambda k: DELTA * 0.5**k),
    "confidence sequence, any time": anytime,
    "all of delta at this look (invalid)": by_series(lambda k: DELTA),
}


def looks(seeds: int) -> None:
    """The second table, for an accuracy of .88 and an alpha of 5 %."""
    print("\nlooking again            " + "".join(f"{n:>8,}" for n in LOOKS) + "   certified first")
    for name, way in WAYS.items():
        served = np.zeros((seeds, len(LOOKS)))
        for seed in range(seeds):
            scores, wrong = sample(LOOKS[-1], 0.88, 0.01, np.random.default_rng(seed))
            for k, n in enumerate(LOOKS, start=1):
                served[seed, k - 1] = way((scores[:n], wrong[:n]), k)
        first = 100 * (served[:, :1] > 0).mean()
        cells = "".join(f"{100 * cell:8.1f}" for cell in served.mean(axis=0))
        print(f"{name:34} {cells} {first:8.0f} %", flush=True)


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    asked = parser.parse_args()
    thresholds(asked.seeds)
    looks(2 * asked.seeds)


if __name__ == "__main__":
    main()
