"""The risk-coverage curve and the walks along it, on curves small enough to check by hand."""

import numpy as np
import pytest

from shoal.errors import LearningError
from shoal.guarantees import RiskCurve, Start, default_starts, p_value
from shoal.guarantees.fixed_sequence import walk


def _curve(*groups: tuple[float, int, int]) -> RiskCurve:
    """Of (score, examples, errors) groups."""
    scores = np.concatenate([np.full(n, score) for score, n, _ in groups])
    wrong = np.concatenate([np.arange(n) < errors for _, n, errors in groups])
    return RiskCurve.of(scores, wrong)


def test_a_curve_has_one_entry_for_each_distinct_score() -> None:
    curve = RiskCurve.of([0.2, 0.9, 0.9, 0.5], [True, False, True, False])
    assert curve.accepted.tolist() == [2, 3, 4]
    assert curve.errors.tolist() == [1, 1, 2]
    assert curve.total == 4


def test_thresholds_stand_half_way_and_at_the_lowest_score() -> None:
    curve = RiskCurve.of([4.0, 1.0, 2.0], [False] * 3)
    assert curve.threshold.tolist() == [3.0, 1.5, 1.0]


def test_a_threshold_between_neighbouring_floats_still_separates_them() -> None:
    low = 1.0
    high = float(np.nextafter(low, 2.0))
    first = RiskCurve.of([low, high], [False, False]).threshold[0]
    assert low < first <= high


def test_thresholds_survive_the_ends_of_the_float_range() -> None:
    big = float(np.finfo(np.float64).max)
    assert RiskCurve.of([big, -big], [False, False]).threshold[0] == 0.0


def test_a_walk_goes_on_while_the_p_value_is_within_the_level() -> None:
    curve = _curve((0.9, 100, 0), (0.8, 100, 2), (0.7, 100, 50), (0.6, 100, 0))
    found = walk(curve, alpha=0.05, delta=0.05, starts=[Start(0.25, 1.0)])
    assert found is not None
    assert found.entry == 1
    assert p_value(2, 200, 0.05) <= found.level == 0.05 < p_value(52, 300, 0.05)


def test_a_walk_that_reaches_the_next_start_adds_its_level() -> None:
    curve = _curve((0.9, 100, 0), (0.8, 100, 0), (0.7, 100, 0))
    found = walk(curve, 0.05, 0.05, [Start(0.34, 0.6), Start(0.67, 0.4)])
    assert found is not None
    assert found.entry == 2
    assert found.level == pytest.approx(0.05)


def test_a_walk_that_stops_loses_its_level_and_the_next_start_has_its_own() -> None:
    curve = _curve((0.9, 100, 30), (0.8, 900, 0))
    found = walk(curve, 0.05, 0.05, [Start(0.1, 0.6), Start(1.0, 0.4)])
    assert found is not None
    assert found.entry == 1
    assert found.level == pytest.approx(0.02)


def test_no_start_passed_is_none() -> None:
    assert walk(_curve((0.9, 300, 30)), 0.05, 0.05, [Start(1.0, 1.0)]) is None


def test_a_tie_that_straddles_a_start_is_left_out_whole() -> None:
    curve = _curve((0.9, 100, 0), (0.8, 100, 40))
    found = walk(curve, 0.05, 0.05, [Start(0.75, 1.0)])
    assert found is not None
    assert found.entry == 0


def test_a_start_inside_the_surest_tie_begins_with_it() -> None:
    curve = _curve((0.9, 100, 0), (0.8, 100, 40))
    found = walk(curve, 0.05, 0.05, [Start(0.2, 1.0)])
    assert found is not None
    assert found.entry == 0


def test_starts_that_a_tie_puts_at_one_entry_pool_their_levels() -> None:
    curve = _curve((0.9, 59, 0), (0.8, 100, 40))  # 59 clean examples need all of 5 %
    halves = [Start(0.1, 0.5), Start(0.2, 0.5)]
    assert walk(curve, 0.05, 0.05, halves) is not None
    assert walk(curve, 0.05, 0.05, halves[:1]) is None


def test_default_starts_spend_the_whole_of_delta_in_order() -> None:
    for n in (1, 50, 300, 1000, 50_000):
        first, second = default_starts(n)
        assert 0.0 < first.coverage < second.coverage < 1.0
        assert first.weight + second.weight == pytest.approx(1.0)
    assert default_starts(1000)[0].coverage < default_starts(300)[0].coverage


def test_starts_are_taken_in_any_order() -> None:
    curve = _curve((0.9, 100, 0), (0.8, 100, 0), (0.7, 100, 20))
    starts = [Start(0.34, 0.6), Start(0.67, 0.4)]
    assert walk(curve, 0.05, 0.05, starts) == walk(curve, 0.05, 0.05, starts[::-1])


@pytest.mark.parametrize(
    "starts",
    [
        [],
        [Start(0.0, 1.0)],
        [Start(1.1, 1.0)],
        [Start(0.5, 0.0)],
        [Start(0.5, 0.6), Start(0.9, 0.5)],
    ],
)
def test_starts_that_would_void_the_promise_are_refused(starts: list[Start]) -> None:
    with pytest.raises(ValueError, match="start"):
        walk(_curve((0.9, 300, 0)), 0.05, 0.05, starts)


def test_scores_that_are_not_finite_are_refused_by_position() -> None:
    with pytest.raises(LearningError, match="example 1 is nan"):
        RiskCurve.of([0.1, np.nan], [False, False])


def test_lengths_must_agree() -> None:
    with pytest.raises(LearningError, match=r"\(2,\) and outcomes \(1,\)"):
        RiskCurve.of([0.1, 0.2], [False])
