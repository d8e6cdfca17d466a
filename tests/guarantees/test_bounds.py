"""Clopper-Pearson bounds against the binomial law itself."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from shoal.guarantees import (
    clean_examples_needed,
    interval,
    lower_bound,
    max_errors,
    p_value,
    p_values,
    upper_bound,
)


@pytest.mark.parametrize(("errors", "n", "delta"), [(0, 10, 0.05), (3, 50, 0.1), (40, 900, 0.001)])
def test_the_tail_at_the_upper_bound_is_delta(errors: int, n: int, delta: float) -> None:
    assert binom.cdf(errors, n, upper_bound(errors, n, delta)) == pytest.approx(delta)


@pytest.mark.parametrize(("errors", "n", "delta"), [(1, 10, 0.05), (3, 50, 0.1), (40, 900, 0.001)])
def test_the_tail_at_the_lower_bound_is_delta(errors: int, n: int, delta: float) -> None:
    assert binom.sf(errors - 1, n, lower_bound(errors, n, delta)) == pytest.approx(delta)


def test_published_values() -> None:
    # Two-sided 95 % limits for 10 of 100, as tabled (0.0490, 0.1762).
    assert interval(10, 100, 0.95) == pytest.approx((0.04900, 0.17622), abs=1e-5)
    # The rule of three and its exact form: no error in n bounds the rate by 1 - delta ** (1 / n).
    assert upper_bound(0, 100, 0.05) == pytest.approx(1 - 0.05 ** (1 / 100))


def test_edges() -> None:
    assert upper_bound(0, 0, 0.05) == 1.0
    assert lower_bound(0, 0, 0.05) == 0.0
    assert upper_bound(7, 7, 0.05) == 1.0
    assert lower_bound(7, 7, 0.05) == pytest.approx(0.05 ** (1 / 7))
    assert p_value(5, 5, 0.2) == 1.0


def test_p_value_is_the_binomial_distribution() -> None:
    for errors, n, alpha in [(0, 1, 0.3), (4, 90, 0.05), (200, 3000, 0.07)]:
        assert p_value(errors, n, alpha) == pytest.approx(binom.cdf(errors, n, alpha))


def test_p_values_agree_with_p_value_elementwise() -> None:
    n = np.arange(1.0, 60.0)
    errors = np.floor(n / 7)
    one_by_one = [p_value(int(k), int(m), 0.1) for k, m in zip(errors, n, strict=True)]
    assert p_values(errors, n, 0.1) == pytest.approx(np.array(one_by_one))
    assert p_values(n, n, 0.1) == pytest.approx(np.ones(n.size))


def test_p_values_take_fractional_counts_between_their_neighbours() -> None:
    low, middle, high = p_values(np.array([3.0, 3.5, 4.0]), np.full(3, 80.0), 0.1)
    assert low < middle < high


@pytest.mark.parametrize(
    ("n", "alpha", "delta"), [(59, 0.05, 0.05), (500, 0.02, 0.1), (5, 0.5, 0.3)]
)
def test_max_errors_is_the_last_that_fits(n: int, alpha: float, delta: float) -> None:
    most = max_errors(n, alpha, delta)
    fits = [k for k in range(n + 1) if upper_bound(k, n, delta) <= alpha]
    assert most == max(fits, default=-1)


def test_too_few_examples_for_any_error_count() -> None:
    assert max_errors(58, 0.05, 0.05) == -1
    assert max_errors(0, 0.05, 0.05) == -1


@pytest.mark.parametrize(
    ("alpha", "delta", "n"), [(0.01, 0.05, 299), (0.05, 0.05, 59), (0.5, 0.125, 3), (0.9, 0.5, 1)]
)
def test_clean_examples_needed(alpha: float, delta: float, n: int) -> None:
    assert clean_examples_needed(alpha, delta) == n


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_rates_outside_the_open_interval_are_refused_by_name(bad: float) -> None:
    with pytest.raises(ValueError, match="delta must lie strictly between 0 and 1"):
        upper_bound(1, 10, bad)
    with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1"):
        p_value(1, 10, bad)
    with pytest.raises(ValueError, match="confidence must lie"):
        interval(1, 10, bad)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="got 11 errors of 10"):
        upper_bound(11, 10, 0.05)
    with pytest.raises(ValueError, match="got -1 errors of 10"):
        lower_bound(-1, 10, 0.05)
