"""Are promises about several rungs kept? Simulated cascades with a known truth, 500 seeds or more.

Rungs share the difficulty of a request, so that a later rung sees what an earlier one found hard.
"""

import math

import numpy as np
import pytest

from shoal.guarantees import (
    Examples,
    SelectiveRisk,
    Shortfall,
    Target,
    mean_costs,
    picks,
    plan,
    select_setting,
    tallies,
)
from shoal.guarantees.joint import grid

SEEDS = 500
COSTS = (0.05, 0.2, 1.0)


def _allowed(delta: float, runs: int) -> float:
    return delta + 3.0 * math.sqrt(delta * (1.0 - delta) / runs)


def _cascade(
    n: int, rng: np.random.Generator, levels: int = 0, last: float = 0.0, flat: float | None = None
) -> Examples:
    """Two rungs; ``levels`` rounds scores to so many steps a unit, ``last`` is how often the
    reference is wrong by gold labels, ``flat`` an error rate that no score tells from another."""
    difficulty = rng.normal(size=n)
    scores, wrong = [], []
    for rung in range(2):
        score = 0.5 * rung - 1.2 * difficulty + 0.8 * rng.normal(size=n)
        rate = 1.0 / (1.0 + np.exp(2.2 * score + 1.5)) if flat is None else np.full(n, flat)
        wrong.append(rng.random(n) < rate)
        scores.append(np.round(score * levels) / levels if levels else score)
    wrong.append(rng.random(n) < last * (1.0 + (difficulty > 0)))
    return Examples(
        np.array(scores), np.array(wrong), np.repeat(np.array(COSTS)[:, None], n, axis=1)
    )


def _truth(big: Examples, thresholds: tuple[float, ...], target: Target) -> float:
    """How far above the target the true risk, or loss of accuracy, is."""
    picked = picks(big.scores, np.array([thresholds]))
    if isinstance(target, SelectiveRisk):
        accepted, errors = tallies(picked, big.wrong)
        return float(errors[0] / max(1.0, accepted[0])) - target.alpha
    assert isinstance(target, Shortfall)
    said = np.take_along_axis(big.wrong, picked, axis=0)[0]
    return float(said.mean() - big.wrong[-1].mean()) - target.epsilon


@pytest.mark.parametrize(
    ("target", "world", "delta"),
    [
        (SelectiveRisk(0.05), {}, 0.1),
        (SelectiveRisk(0.1), {"levels": 1}, 0.1),
        (SelectiveRisk(0.05), {"flat": 0.0505}, 0.1),
        (Shortfall(0.03), {"last": 0.06}, 0.1),
        (Shortfall(0.0499), {"flat": 0.05}, 0.1),
        (Shortfall(0.02), {"last": 0.05, "levels": 1}, 0.2),
    ],
    ids=str,
)
@pytest.mark.slow
def test_the_promise_of_a_whole_cascade(
    target: Target, world: dict[str, float], delta: float
) -> None:
    big, broken = _cascade(200_000, np.random.default_rng(10**6), **world), 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        train, calibration = _cascade(60, rng, **world), _cascade(200, rng, **world)
        found = select_setting(plan(train, target, 200)[:40], calibration, target, delta)
        broken += found is not None and _truth(big, found.thresholds, target) > 1e-3
    assert broken / SEEDS <= _allowed(delta, SEEDS)


def test_the_best_of_a_grid_without_correction_is_caught() -> None:
    """The simulation would notice a procedure that breaks its promise."""
    target, broken, runs = SelectiveRisk(0.05), 0, 100
    for seed in range(runs):
        given = _cascade(200, np.random.default_rng(seed), flat=0.0505)
        settings = grid(given.scores)[::16]
        broken += bool((target.p_values(picks(given.scores, settings), given.wrong) <= 0.1).any())
    assert broken / runs > 2 * _allowed(0.1, runs)


def test_any_order_keeps_the_promise_when_all_are_false() -> None:
    """The whole family, in an order that the calibration split had no part in."""
    target, passed = SelectiveRisk(0.1), 0
    for seed in range(SEEDS):
        rng = np.random.default_rng((3, seed))
        ordered = rng.permutation(grid(_cascade(50, rng, flat=0.101).scores))[:30]
        calibration = _cascade(150, rng, flat=0.101)
        passed += select_setting(ordered, calibration, target, 0.1) is not None
    assert passed / SEEDS <= _allowed(0.1, SEEDS)


@pytest.mark.slow
def test_it_has_more_power_than_bonferroni() -> None:
    target, delta, n = SelectiveRisk(0.05), 0.1, 400
    ours, bonferroni = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        train, calibration = _cascade(n, rng), _cascade(n, rng)
        found = select_setting(plan(train, target, n), calibration, target, delta)
        ours.append(1.0 if found is None else found.cost)
        settings = grid(train.scores[:, ::8])[::8]
        picked = picks(calibration.scores, settings)
        ok = target.p_values(picked, calibration.wrong) <= delta / len(settings)
        costs = mean_costs(picked, calibration.costs, settings)
        bonferroni.append(float(costs[ok].min()) if ok.any() else 1.0)
    assert np.mean(ours) < np.mean(bonferroni) - 0.05
