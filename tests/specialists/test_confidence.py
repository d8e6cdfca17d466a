import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from shoal.specialists.confidence import Curve, cross_fitted, fit_curve

outcomes = st.lists(st.tuples(st.floats(0, 2, width=32), st.booleans()), min_size=0, max_size=60)


@settings(max_examples=150, deadline=None)
@given(outcomes)
def test_a_greater_margin_is_surer_whatever_was_seen(seen: list[tuple[float, bool]]) -> None:
    margins = np.array([margin for margin, _ in seen], np.float32)
    right = np.array([is_right for _, is_right in seen], bool)
    curve = fit_curve(margins, right)
    grid = curve.log_probability(np.linspace(0, 2, 50, dtype=np.float32))
    assert np.isfinite(grid).all()
    assert (np.diff(grid) > 0).all()
    assert (grid <= 0).all()


@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_all_wrong_is_finite(right: bool) -> None:
    curve = fit_curve(np.linspace(0, 2, 500, dtype=np.float32), np.full(500, right))
    assert np.isfinite([curve.intercept, curve.slope]).all()
    assert (np.exp(curve.log_probability(1.0)) > 0.5) == right


def test_separable_data_is_finite() -> None:
    margins = np.concatenate([np.linspace(0, 0.5, 100), np.linspace(0.6, 2, 300)])
    curve = fit_curve(margins.astype(np.float32), margins > 0.55)
    assert np.isfinite([curve.intercept, curve.slope]).all()
    low, high = np.exp(curve.log_probability(np.array([0.3, 1.0], np.float32)))
    assert low < 0.05 < 0.95 < high


def test_it_finds_the_law_that_the_data_came_from() -> None:
    rng = np.random.default_rng(0)
    margins = rng.uniform(0, 2, 20_000).astype(np.float32)
    law = Curve(intercept=-1.0, slope=3.0)
    right = rng.random(20_000) < np.exp(law.log_probability(margins))
    found = fit_curve(margins, right)
    assert found.intercept == pytest.approx(-1.0, abs=0.15)
    assert found.slope == pytest.approx(3.0, abs=0.2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 200))
@example(seed=256, n=2)  # whole steps go to and fro there
def test_it_is_the_most_likely_curve(seed: int, n: int) -> None:
    """Against a general minimiser, where the least slope does not step in."""
    rng = np.random.default_rng(seed)
    margins = rng.uniform(0, 2, n).astype(np.float32)
    right = rng.random(n) < 1 / (1 + np.exp(1 - 2.5 * margins))

    def loss(beta: np.ndarray) -> float:
        signed = np.where(right, 1, -1) * (beta[0] + beta[1] * margins.astype(float))
        prior = 0.005 * ((beta - [0, 2]) ** 2).sum()
        return float(np.logaddexp(0, -signed).sum() + prior)

    expected = minimize(loss, [0.0, 2.0], method="BFGS", options={"gtol": 1e-8}).x
    found = fit_curve(margins, right)
    if expected[1] > 0.5:
        assert loss(np.array([found.intercept, found.slope])) <= loss(expected) + 1e-4


def test_no_example_has_a_say_in_its_own_confidence() -> None:
    rng = np.random.default_rng(1)
    margins = rng.uniform(0, 2, 100).astype(np.float32)
    right = rng.random(100) < 0.8
    before = cross_fitted(margins, right)
    right[17] = not right[17]
    after = cross_fitted(margins, right)
    same_fold = np.arange(100) % 5 == 17 % 5
    np.testing.assert_array_equal(before[same_fold], after[same_fold])
    assert (before[~same_fold] != after[~same_fold]).all()


def test_where_the_margin_says_nothing_the_mean_is_kept() -> None:
    """The least slope is not the best one there; the intercept then makes up for it."""
    margins = np.linspace(0, 3, 1_000, dtype=np.float32)
    right = np.arange(1_000) % 5 > 0
    found = np.exp(fit_curve(margins, right).log_probability(margins))
    assert found.mean() == pytest.approx(right.mean(), abs=0.005)
