"""Settings of several rungs: who answers, what it costs, which are tested, which is chosen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from shoal.errors import LearningError
from shoal.guarantees import (
    Examples,
    SelectiveRisk,
    Shortfall,
    joint,
    mean_costs,
    picks,
    plan,
    select_setting,
    tallies,
    upper_bound,
)

INF = float("inf")


def examples(n: int, seed: int, last: float = 0.0) -> Examples:
    """Two rungs whose errors grow rarer with their scores, and a reference."""
    rng = np.random.default_rng(seed)
    scores = rng.random((2, n))
    wrong = np.vstack([rng.random((2, n)) < 0.5 * (1 - scores) ** 2, rng.random((1, n)) < last])
    return Examples(scores, wrong, np.repeat([[0.1], [0.3], [1.0]], n, axis=1))


def test_the_first_rung_at_its_threshold_answers() -> None:
    scores = np.array([[0.9, 0.2, 0.2, -INF], [0.1, 0.8, 0.1, -INF]])
    found = picks(scores, np.array([[0.5, 0.5], [INF, 0.1], [-5.0, -5.0]]))
    assert found.tolist() == [[0, 1, 2, 2], [1, 1, 1, 2], [0, 0, 0, 2]]


def test_errors_of_the_last_rung_are_not_the_cascades() -> None:
    wrong = np.array([[True, False, True], [True, True, True]])
    accepted, errors = tallies(np.array([[0, 0, 1], [1, 1, 1]]), wrong)
    assert accepted.tolist() == [2, 0]
    assert errors.tolist() == [1, 0]


def test_a_shut_rung_costs_nothing_and_an_open_one_whenever_it_is_reached() -> None:
    costs = np.repeat([[1.0], [10.0], [100.0]], 2, axis=1)
    thresholds = np.array([[0.5, 0.5], [INF, 0.5], [INF, INF]])
    picked = np.array([[0, 2], [1, 2], [2, 2]])
    assert mean_costs(picked, costs, thresholds).tolist() == [56.0, 60.0, 100.0]


@given(st.integers(0, 200), st.integers(20, 60))
def test_looser_thresholds_never_pass_more_on(seed: int, n: int) -> None:
    given = examples(n, seed)
    rng = np.random.default_rng(seed)
    tight = rng.random((1, 2))
    loose = tight - rng.random((1, 2))
    assert (
        tallies(picks(given.scores, loose), given.wrong)[0]
        >= (tallies(picks(given.scores, tight), given.wrong)[0])
    )


def test_a_plan_goes_from_the_best_proven_to_the_cheapest() -> None:
    train, target = examples(400, 1), SelectiveRisk(0.05)
    ordered = plan(train, target, 400)
    picked = picks(train.scores, ordered)
    cost = mean_costs(picked, train.costs, ordered)
    assert len(ordered) > 5
    assert (np.diff(cost) < 0).all()
    assert (np.diff(target.p_values(picked, train.wrong)) >= 0).all()
    assert cost.max() < 1.0  # what costs more than asking the reference at once is no use


def test_what_is_certified_is_counted_on_the_calibration_split() -> None:
    train, calibration = examples(500, 2), examples(800, 3)
    found = select_setting(
        plan(train, SelectiveRisk(0.05), 800), calibration, SelectiveRisk(0.05), 0.1
    )
    assert found is not None
    picked = picks(calibration.scores, np.array([found.thresholds]))
    accepted, errors = tallies(picked, calibration.wrong)
    assert (found.n, found.accepted, found.errors) == (800, accepted[0], errors[0])
    assert found.risk_bound == upper_bound(found.errors, found.accepted, 0.1) <= 0.05
    assert found.coverage_low < found.coverage < found.coverage_high
    assert found.coverage > 0.3
    assert found.cost < 0.8


def test_testing_stops_at_the_first_failure() -> None:
    scores = np.array([np.repeat([3.0, 2.0, 1.0], 200)])
    wrong = np.zeros((2, 600), bool)
    wrong[0, 200:250] = True  # the middle ones are bad, and make the second setting fail
    given = Examples(scores, wrong, np.repeat([[0.1], [1.0]], 600, axis=1))
    ordered = np.array([[2.5], [1.5], [0.5]])
    found = select_setting(ordered, given, SelectiveRisk(0.1), 0.1)
    assert found is not None
    assert found.thresholds == (2.5,)
    assert SelectiveRisk(0.1).p_values(picks(scores, ordered), wrong)[2] <= 0.1  # never tested


def test_nothing_is_certified_where_nothing_can_be() -> None:
    hopeless = Examples(
        np.random.default_rng(0).random((1, 300)),
        np.vstack([np.ones((1, 300), bool), np.zeros((1, 300), bool)]),
        np.ones((2, 300)) * [[0.1], [1.0]],
    )
    assert (
        select_setting(plan(hopeless, SelectiveRisk(0.05), 300), hopeless, SelectiveRisk(0.05), 0.1)
        is None
    )
    assert select_setting(np.empty((0, 1)), hopeless, SelectiveRisk(0.05), 0.1) is None


def test_a_shortfall_counts_what_only_one_of_both_gets_wrong() -> None:
    n = 500
    wrong = np.zeros((2, n), bool)
    wrong[0, :50] = True  # the rung's errors
    wrong[1, 40:90] = True  # the reference's: 40 lost, 40 won
    all_accepted = np.zeros((1, n), dtype=int)
    even = Shortfall(0.05).p_values(all_accepted, wrong)[0]
    assert 0.0 < even < 0.05
    wrong[1] = False  # 50 lost, none won: exactly two of a hundred above the five allowed
    assert Shortfall(0.08).p_values(all_accepted, wrong)[0] == 1.0
    none_accepted = np.ones((1, n), dtype=int)
    assert Shortfall(0.02).p_values(none_accepted, wrong)[0] < 0.01


def test_without_wins_a_shortfall_is_a_binomial_test() -> None:
    wrong = np.zeros((2, 400), bool)
    wrong[0, :4] = True
    found = Shortfall(0.03).p_values(np.zeros((1, 400), dtype=int), wrong)[0]
    assert found >= binom.cdf(4, 400, 0.03)  # wins that were possible only make it larger
    assert found < 10 * binom.cdf(4, 400, 0.03) + 0.01


@pytest.mark.parametrize(
    ("scores", "said"),
    [(np.ones((1, 4)), "must be"), (np.full((2, 5), np.nan), "not a number")],
)
def test_examples_that_do_not_fit_are_refused(scores: np.ndarray, said: str) -> None:
    with pytest.raises(LearningError, match=said):
        plan(Examples(scores, np.zeros((3, 5), bool), np.ones((3, 5))), SelectiveRisk(0.1), 10)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (3, 0), (10, 8), (2, 30), (15, 7)])
def test_a_finer_search_for_the_least_favourable_rate_finds_none_worse(
    lost: int, won: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = joint._paired_p_value(lost, won, 300, 0.03)
    monkeypatch.setattr(joint, "_RATES", 200)
    assert joint._paired_p_value(lost, won, 300, 0.03) == pytest.approx(coarse, rel=1e-6)
