"""APGR and CPT by the exact curve, against values that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import LearningError
from shoal.evaluation.routing_curve import RoutingCurve

WEAK, STRONG = np.array([0, 0, 1, 1]), np.array([1, 0, 1, 1])


def test_a_perfect_and_a_useless_order() -> None:
    first = RoutingCurve.of([3, 2, 1, 0], WEAK, STRONG)
    assert first.share == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert first.accuracy == (0.5, 0.75, 0.75, 0.75, 0.75)
    assert first.apgr == pytest.approx(1 - 0.125)
    assert first.call_share(0.5) == pytest.approx(0.125)
    last = RoutingCurve.of([0, 1, 2, 3], WEAK, STRONG)
    assert last.apgr == pytest.approx(0.125)
    assert last.call_share(0.8) == pytest.approx(0.95)


def test_ties_are_sent_in_random_order() -> None:
    assert RoutingCurve.of(np.zeros(4), WEAK, STRONG).apgr == pytest.approx(0.5)
    assert RoutingCurve.of(np.zeros(4), WEAK, STRONG).call_share(0.8) == pytest.approx(0.8)


@given(st.integers(0, 500))
def test_an_order_and_its_reverse_share_one_area(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weak, strong = rng.random(30) < 0.4, rng.random(30) < 0.8
    if weak.sum() == strong.sum():
        strong[np.flatnonzero(~strong)[0]] = True
    scores = rng.integers(0, 10, 30)
    there = RoutingCurve.of(scores, weak, strong)
    back = RoutingCurve.of(-scores, weak, strong)
    assert there.apgr + back.apgr == pytest.approx(1.0)
    best = RoutingCurve.of(strong.astype(int) - weak, weak, strong)
    if strong.sum() > weak.sum():
        assert there.apgr <= best.apgr + 1e-12


def test_ten_shares_come_near_the_exact_curve() -> None:
    rng = np.random.default_rng(3)
    hard = rng.random(5_000)
    curve = RoutingCurve.of(hard, rng.random(5_000) > hard, rng.random(5_000) > hard / 3)
    assert curve.apgr_of_shares() == pytest.approx(curve.apgr, abs=0.01)
    assert curve.apgr > 0.6


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(LearningError, match="must be"):
        RoutingCurve.of([1.0], WEAK, STRONG)
    with pytest.raises(LearningError, match="no gap"):
        _ = RoutingCurve.of([1, 2], [1, 0], [0, 1]).apgr
