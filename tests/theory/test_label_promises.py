"""Is a promise for each label kept for all labels at once? Simulations with a known truth.

Broken means: of *any* label that is served, the true risk of what is accepted is above alpha. Over
600 seeds that may happen in a share delta, plus three standard errors of so many runs.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal.guarantees import LabelSelection, Selection, Strangers, select, select_by_label

SEEDS = 600
Floats = NDArray[np.float64]
Rate = Callable[[Floats], Floats]


def allowed(delta: float, runs: int) -> float:
    return delta + 3.0 * math.sqrt(delta * (1.0 - delta) / runs)


def flat(rate: float) -> Rate:
    return lambda score: np.full(score.shape, rate)


def falling(floor: float, steep: float) -> Rate:
    """The surer, the fewer errors; scores are uniform on (0, 1)."""
    return lambda score: floor + (1 - floor) / (1 + np.exp(steep * (score - 0.3)))


def true_risk(rate: Rate, threshold: float) -> float:
    edges = np.linspace(max(threshold, 0.0), 1.0, 4_001)
    return float(rate((edges[:-1] + edges[1:]) / 2).mean())


def draw(
    rates: dict[str, Rate], shares: list[float], n: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_], list[str]]:
    names = list(rates)
    labels = [names[i] for i in rng.choice(len(names), n, p=shares)]
    scores = rng.random(n)
    chances = np.array(
        [float(rates[name](np.array(s))) for name, s in zip(labels, scores, strict=True)]
    )
    return scores, rng.random(n) < chances, labels


EDGE = {name: flat(0.1001) for name in "abcdef"}
MIXED: dict[str, Rate] = {
    "sure": flat(0.01),
    "edge": flat(0.1001),
    "steep": falling(0.02, 14),
    "poor": flat(0.3),
    "rare": falling(0.05, 9),
}
WORLDS = {
    "all just over alpha": (EDGE, [1 / 6] * 6, 900),
    "one just over, the others good": (
        {"bad": flat(0.1001), **{n: flat(0.005) for n in "abcd"}},
        [0.2] * 5,
        600,
    ),
    "mixed": (MIXED, [0.35, 0.25, 0.2, 0.15, 0.05], 1_200),
    "a long tail": (
        {f"l{i:02}": flat(0.1001) if i % 2 else flat(0.01) for i in range(20)},
        list(np.arange(20, 0, -1) / 210),
        2_000,
    ),
}


@pytest.mark.parametrize("world", WORLDS)
def test_no_label_that_is_served_breaks_its_promise(world: str) -> None:
    rates, shares, n = WORLDS[world]
    alpha, delta, broken = 0.1, 0.1, 0
    for seed in range(SEEDS):
        found = select_by_label(
            *draw(rates, shares, n, np.random.default_rng((seed, n))), alpha, delta
        )
        if isinstance(found, LabelSelection):
            broken += any(true_risk(rates[p.label], p.threshold) > alpha for p in found.proofs)
    assert broken / SEEDS <= allowed(delta, SEEDS)


def test_a_promise_on_the_average_breaks_for_a_label() -> None:
    """So that the simulation above is known to notice: the average hides a poor label."""
    rates, shares = {"good": flat(0.01), "poor": flat(0.3)}, [0.85, 0.15]
    hidden = 0
    for seed in range(60):
        scores, wrong, labels = draw(rates, shares, 800, np.random.default_rng(seed))
        hidden += isinstance(select(scores, wrong, 0.1, 0.1), Selection)
        found = select_by_label(scores, wrong, labels, 0.1, 0.1)
        assert isinstance(found, LabelSelection)
        assert [proof.label for proof in found.proofs] == ["good"]
    assert hidden > 50


def test_labels_tested_in_full_each_would_break_it() -> None:
    rates, shares, n = WORLDS["all just over alpha"]
    broken = 0
    for seed in range(200):
        scores, wrong, labels = draw(rates, shares, n, np.random.default_rng(seed))
        names = np.array(labels)
        broken += any(
            isinstance(select(scores[names == name], wrong[names == name], 0.1, 0.1), Selection)
            for name in rates
        )
    assert broken / 200 > 1.3 * allowed(0.1, 200)


def test_easy_labels_are_all_served() -> None:
    rates, served = {name: flat(0.005) for name in "abcdefgh"}, []
    for seed in range(50):
        found = select_by_label(
            *draw(rates, [1 / 8] * 8, 1_200, np.random.default_rng(seed)), 0.1, 0.05
        )
        assert isinstance(found, LabelSelection)
        served.append(found.selection.coverage)
    assert np.mean(served) > 0.95


@pytest.mark.parametrize("share", [0.0, 0.02, 0.025])
def test_certificates_lapse_for_strangers_in_vain_at_most_so_often(share: float) -> None:
    """Looked at after every call, 300 of them; up to half of alpha strangers are allowed."""
    lapsed = 0
    for seed in range(500):
        strangers = Strangers.start(alpha=0.05, delta=0.05)
        for stranger in np.random.default_rng(seed).random(300) < share:
            strangers = strangers.seen(bool(stranger), 1.0)
        lapsed += strangers.too_many(0.05)
    assert lapsed / 500 <= 0.05


@pytest.mark.parametrize(("share", "median"), [(1.0, 5), (0.2, 40), (0.1, 150)])
def test_strangers_are_noticed_in_time(share: float, median: int) -> None:
    """Calls after a good spell of 300, for an alpha of 5 %."""
    delays = []
    for seed in range(60):
        rng, strangers = np.random.default_rng(seed), Strangers.start(alpha=0.05, delta=0.05)
        for _ in range(300):
            strangers = strangers.seen(False, 1.0)
        delay = 0
        while not strangers.too_many(0.05) and delay < 1_000:
            delay += 1
            strangers = strangers.seen(bool(rng.random() < share), 1.0 + delay)
        delays.append(delay)
    assert np.median(delays) <= median
