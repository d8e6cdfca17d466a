"""Are the promises kept? Simulations with a known truth, over 500 seeds or more each.

A promise made with confidence ``1 - delta`` may be broken in a share ``delta`` of the runs. Each
test counts the broken ones and allows three standard errors of the count on top. The first test of
each kind shows that the simulation would notice a procedure that breaks its promise.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from shoal.guarantees import (
    RiskCurve,
    Selection,
    Start,
    anytime_lower_bound,
    anytime_upper_bound,
    delta_at,
    draw,
    log_e_path,
    lower_bound,
    p_values,
    select,
    upper_bound,
)

SEEDS = 600
Floats = NDArray[np.float64]


class World(NamedTuple):
    """Scores uniform on (0, 1), or rounded down to so many ``levels``, and their error rate."""

    name: str
    error_rate: Callable[[Floats], Floats]
    levels: int = 0

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
        """Scores (n,) and outcomes (n,)."""
        place = rng.random(n)
        scores = np.floor(place * self.levels) / self.levels if self.levels else place
        return scores, rng.random(n) < self.error_rate(place)

    def risk(self, threshold: float) -> float:
        """The true error rate of ``score >= threshold``, integrated on a fine grid."""
        lowest = (
            math.ceil(threshold * self.levels - 1e-9) / self.levels if self.levels else threshold
        )
        edges = np.linspace(max(lowest, 0.0), 1.0, 20_001)
        return float(self.error_rate((edges[:-1] + edges[1:]) / 2).mean())


def _flat(rate: float) -> Callable[[Floats], Floats]:
    return lambda place: np.full(place.shape, rate)


def _logistic(place: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(12.0 * (place - 0.35)))


def _confident_errors(place: Floats) -> Floats:
    return np.where(place > 0.97, 0.15, 0.01 + _logistic(place))


def _saw(alpha: float, teeth: int) -> Callable[[Floats], Floats]:
    """A risk that lies just above alpha and well below it by turns, as the threshold falls."""
    cumulative = alpha * np.where(np.arange(1, teeth + 1) % 2, 1.002, 0.9) * np.arange(1, teeth + 1)
    rates = np.clip(np.diff(cumulative, prepend=0.0), 0.0, 1.0)
    return lambda place: rates[np.minimum(((1.0 - place) * teeth).astype(int), teeth - 1)]


def _edge(alpha: float) -> Callable[[Floats], Floats]:
    """Risk exactly alpha down to the middle, and above it from there on."""
    return lambda place: np.where(place > 0.5, alpha * 0.999, alpha * 1.1)


def _allowed(delta: float, runs: int) -> float:
    return delta + 3.0 * math.sqrt(delta * (1.0 - delta) / runs)


def _broken(world: World, alpha: float, delta: float, n: int, seeds: int = SEEDS) -> float:
    broken = 0
    for seed in range(seeds):
        found = select(*world.sample(n, np.random.default_rng((seed, n))), alpha, delta)
        broken += isinstance(found, Selection) and world.risk(found.threshold) > alpha
    return broken / seeds


def test_a_choice_without_correction_is_caught() -> None:
    world, alpha, delta, n = World("flat", _flat(0.0501)), 0.05, 0.05, 500
    broken = 0
    for seed in range(SEEDS):
        curve = RiskCurve.of(*world.sample(n, np.random.default_rng(seed)))
        broken += bool((p_values(curve.errors, curve.accepted, alpha) <= delta).any())
    assert broken / SEEDS > 2 * _allowed(delta, SEEDS)


@pytest.mark.parametrize(
    ("world", "alpha", "delta", "n"),
    [
        (World("flat", _flat(0.0501)), 0.05, 0.05, 300),
        (World("flat", _flat(0.02001)), 0.02, 0.1, 1000),
        (World("flat", _flat(0.1002)), 0.1, 0.2, 100),
        (World("flat, ties", _flat(0.0501), 5), 0.05, 0.1, 400),
        (World("edge", _edge(0.05)), 0.05, 0.1, 400),
        (World("edge, ties", _edge(0.1), 8), 0.1, 0.1, 300),
        (World("logistic", _logistic), 0.05, 0.05, 300),
        (World("logistic", _logistic), 0.1, 0.1, 1000),
        (World("logistic, ties", _logistic, 20), 0.05, 0.1, 300),
        (World("confident errors", _confident_errors), 0.05, 0.1, 400),
        (World("saw", _saw(0.05, 9)), 0.05, 0.1, 300),
        (World("saw", _saw(0.1, 25)), 0.1, 0.1, 300),
        (World("saw, ties", _saw(0.05, 9), 9), 0.05, 0.1, 300),
        (World("saw, ties", _saw(0.1, 5), 5), 0.1, 0.1, 200),
    ],
    ids=lambda value: value.name if isinstance(value, World) else str(value),
)
def test_the_risk_of_what_is_accepted(world: World, alpha: float, delta: float, n: int) -> None:
    assert _broken(world, alpha, delta, n) <= _allowed(delta, SEEDS)


@pytest.mark.parametrize("starts", [1, 3, 6])
def test_the_family_of_starts_as_a_whole(starts: int) -> None:
    plan = [Start((k + 1) / (starts + 1), 1.0 / starts) for k in range(starts)]
    world, broken = World("flat", _flat(0.0501)), 0
    for seed in range(SEEDS):
        data = world.sample(400, np.random.default_rng((7, seed)))
        broken += isinstance(select(*data, 0.05, 0.1, plan), Selection)
    assert broken / SEEDS <= _allowed(0.1, SEEDS)


def test_the_test_has_power() -> None:
    """Mean coverage close to the best possible, and far above Bonferroni over ten thresholds."""
    world, alpha, delta, n = World("logistic", _logistic), 0.05, 0.05, 1000
    best = max(t for t in np.linspace(0, 1, 201) if world.risk(1 - t) <= alpha)
    ours, bonferroni = [], []
    for seed in range(200):
        data = world.sample(n, np.random.default_rng(seed))
        found, curve = select(*data, alpha, delta), RiskCurve.of(*data)
        tenths = np.arange(1, 11) * n // 10 - 1
        passed = p_values(curve.errors[tenths], curve.accepted[tenths], alpha) <= delta / 10
        ours.append(found.coverage)
        bonferroni.append((passed * np.arange(1, 11) / 10).max())
    assert np.mean(ours) > best - 0.08
    assert np.mean(ours) > np.mean(bonferroni) + 0.04


def test_certifying_again_on_growing_data_stays_within_the_budget() -> None:
    world, delta, broken = World("flat", _flat(0.0501)), 0.2, 0
    for seed in range(SEEDS):
        scores, wrong = world.sample(800, np.random.default_rng(seed))
        broken += any(
            isinstance(select(scores[:n], wrong[:n], 0.05, delta_at(attempt, delta)), Selection)
            for attempt, n in enumerate((100, 200, 400, 800), start=1)
        )
    assert broken / SEEDS <= _allowed(delta, SEEDS)


@pytest.mark.parametrize("n", [5, 59, 400])
@pytest.mark.parametrize("delta", [0.05, 0.2])
def test_single_bounds_hold_exactly(n: int, delta: float) -> None:
    """No simulation: the probability that the bound fails, summed over all error counts."""
    counts = np.arange(n + 1)
    upper = np.array([upper_bound(k, n, delta) for k in range(n + 1)])
    lower = np.array([lower_bound(k, n, delta) for k in range(n + 1)])
    for rate in np.linspace(0.001, 0.999, 97):
        law = binom.pmf(counts, n, rate)
        assert law[upper < rate].sum() <= delta + 1e-12
        assert law[lower > rate].sum() <= delta + 1e-12


def test_looking_at_every_audit_with_a_fixed_test_is_caught() -> None:
    wrong = np.random.default_rng(0).random((500, 400)) < 0.05
    n = np.arange(1, 401)
    errors = wrong.cumsum(axis=1)
    looks = 1.0 - p_values(errors - 1.0, n.astype(float), 0.05)  # P(at least so many errors)
    assert (looks <= 0.05).any(axis=1).mean() > 2 * _allowed(0.05, 500)


@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.1])
def test_false_demotions(alpha: float) -> None:
    wrong = np.random.default_rng(4).random((500, 2000)) < alpha
    crossed = (log_e_path(wrong, alpha) >= math.log(1 / 0.05)).any(axis=1)
    assert crossed.mean() <= 0.05


def test_false_demotions_when_the_risk_moves_below_alpha() -> None:
    rng = np.random.default_rng(5)
    risk = 0.1 * rng.random((500, 20, 1)).repeat(100, axis=2).reshape(500, 2000) ** 0.2
    crossed = (log_e_path(rng.random((500, 2000)) < risk, 0.1) >= math.log(1 / 0.1)).any(axis=1)
    assert crossed.mean() <= 0.1


@pytest.mark.parametrize(
    ("good", "risk", "median"), [(0, 0.1, 300), (1000, 0.1, 600), (0, 0.5, 10), (1000, 0.5, 20)]
)
def test_breaks_are_found_in_time(good: int, risk: float, median: int) -> None:
    """Audits from the break to the demotion, for a promise of 5 % at confidence 95 %."""
    rng = np.random.default_rng(6)
    kept = rng.random((200, good)) < 0.02
    broken = rng.random((200, 4 * median)) < risk
    path = log_e_path(np.concatenate([kept, broken], axis=1), 0.05) >= math.log(1 / 0.05)
    delay = np.where(path.any(axis=1), path.argmax(axis=1) - good + 1, np.inf)
    assert np.median(delay) <= median


@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_confidence_sequences_hold_at_all_looks_together(rate: float) -> None:
    looks = (5, 20, 60, 150, 300)
    runs = (np.random.default_rng(8).random((500, looks[-1])) < rate).cumsum(axis=1)
    missed_above = missed_below = 0
    for run in runs:
        counts = [(int(run[n - 1]), n) for n in looks]
        missed_above += any(anytime_upper_bound(k, n, 0.1) < rate for k, n in counts)
        missed_below += any(anytime_lower_bound(k, n, 0.1) > rate for k, n in counts)
    assert missed_above / 500 <= _allowed(0.1, 500)
    assert missed_below / 500 <= _allowed(0.1, 500)


def test_audits_are_a_fair_sample() -> None:
    """The right share, the same for any two kinds of call, and independent between secrets."""
    ids = [f"0190{i:08x}" for i in range(20_000)]
    one = np.array([draw(i, 0.1, b"one secret of 16") for i in ids])
    two = np.array([draw(i, 0.1, b"two secret of 16") for i in ids])
    error = math.sqrt(0.09 / 10_000)
    assert abs(one.mean() - 0.1) < 3 * error
    assert abs(one[::2].mean() - one[1::2].mean()) < 4.5 * error
    assert abs((one & two).mean() - 0.01) < 3 * math.sqrt(0.0099 / 20_000)
