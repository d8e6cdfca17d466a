"""Laws that bounds, selections and e-processes obey for every input."""

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shoal.guarantees import (
    EProcess,
    Refusal,
    Selection,
    anytime_lower_bound,
    anytime_upper_bound,
    clean_examples_needed,
    delta_at,
    draw,
    interval,
    lower_bound,
    max_errors,
    p_value,
    select,
    upper_bound,
)

RATES = st.floats(0.001, 0.999)
SMALL = st.floats(0.001, 0.3)
COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@st.composite
def examples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with few or many ties, and errors that are commoner among low scores."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, levels = draw(st.integers(1, 400)), draw(st.sampled_from([1, 3, 10, 10_000]))
    scores = rng.integers(0, levels, n) / levels
    return scores, rng.random(n) < draw(st.floats(0.0, 0.6)) * (1.0 - scores)


@given(COUNTS, RATES)
def test_an_interval_contains_the_observed_share(count: tuple[int, int], confidence: float) -> None:
    k, n = count
    low, high = interval(k, n, confidence)
    assert 0.0 <= low <= k / n <= high <= 1.0


@given(COUNTS, RATES)
def test_one_more_error_raises_both_bounds(count: tuple[int, int], delta: float) -> None:
    k, n = count
    assume(k < n)
    assert upper_bound(k, n, delta) < upper_bound(k + 1, n, delta) or k + 1 == n
    assert lower_bound(k, n, delta) < lower_bound(k + 1, n, delta)


@given(COUNTS, RATES)
def test_one_more_right_answer_lowers_the_upper_bound(count: tuple[int, int], delta: float) -> None:
    k, n = count
    assert upper_bound(k, n + 1, delta) < upper_bound(k, n, delta)


@given(COUNTS, SMALL)
def test_less_delta_means_wider_bounds(count: tuple[int, int], delta: float) -> None:
    k, n = count
    assert upper_bound(k, n, delta / 2) >= upper_bound(k, n, delta)
    assert lower_bound(k, n, delta / 2) <= lower_bound(k, n, delta)


@given(COUNTS, RATES)
def test_errors_and_right_answers_mirror_each_other(count: tuple[int, int], delta: float) -> None:
    k, n = count
    assert lower_bound(k, n, delta) == pytest.approx(1.0 - upper_bound(n - k, n, delta), abs=1e-9)


@given(COUNTS, RATES, RATES)
def test_p_value_and_bound_are_one_test(count: tuple[int, int], alpha: float, delta: float) -> None:
    k, n = count
    bound = upper_bound(k, n, delta)
    assume(abs(bound - alpha) > 1e-9)
    assert (p_value(k, n, alpha) <= delta) == (bound <= alpha)


@given(st.integers(0, 2000), RATES, RATES)
def test_max_errors_is_where_the_test_flips(n: int, alpha: float, delta: float) -> None:
    most = max_errors(n, alpha, delta)
    assert most == -1 or p_value(most, n, alpha) <= delta
    assert p_value(most + 1, n, alpha) > delta


@given(st.floats(0.001, 0.5), SMALL)
def test_clean_examples_needed_is_enough_and_no_more(alpha: float, delta: float) -> None:
    n = clean_examples_needed(alpha, delta)
    assert max_errors(n, alpha * (1 + 1e-9), delta) >= 0
    assert max_errors(n - 1, alpha * (1 - 1e-9), delta) == -1


@given(examples(), SMALL, SMALL)
def test_a_selection_never_claims_more_than_alpha(
    data: tuple[np.ndarray, np.ndarray], alpha: float, delta: float
) -> None:
    scores, wrong = data
    found = select(scores, wrong, alpha, delta)
    if isinstance(found, Selection):
        accept = scores >= found.threshold
        assert found.accepted == accept.sum() > 0
        assert found.errors == wrong[accept].sum()
        assert found.risk_bound <= alpha
        assert upper_bound(found.errors, found.accepted, delta) <= alpha * (1 + 1e-9)
        assert found.coverage_low <= found.coverage <= found.coverage_high
    else:
        assert found.reason
        assert found.examples_needed is None or found.examples_needed > 0


@given(examples(), SMALL, SMALL, st.randoms(use_true_random=False))
def test_the_order_of_the_examples_does_not_matter(
    data: tuple[np.ndarray, np.ndarray], alpha: float, delta: float, random: st.DataObject
) -> None:
    scores, wrong = data
    order = list(range(scores.size))
    random.shuffle(order)
    assert select(scores[order], wrong[order], alpha, delta) == select(scores, wrong, alpha, delta)


@given(examples(), SMALL, SMALL, st.floats(1.0, 3.0))
def test_a_higher_alpha_or_delta_never_accepts_less(
    data: tuple[np.ndarray, np.ndarray], alpha: float, delta: float, factor: float
) -> None:
    def accepted(found: Selection | Refusal) -> int:
        return found.accepted if isinstance(found, Selection) else 0

    strict = accepted(select(*data, alpha, delta))
    assert accepted(select(*data, min(alpha * factor, 0.9), delta)) >= strict
    assert accepted(select(*data, alpha, min(delta * factor, 0.9))) >= strict


@given(examples(), SMALL, SMALL, st.integers(0, 399))
def test_mending_an_error_never_accepts_less(
    data: tuple[np.ndarray, np.ndarray], alpha: float, delta: float, position: int
) -> None:
    scores, wrong = data
    mended = wrong.copy()
    mended[position % wrong.size] = False
    before, after = select(scores, wrong, alpha, delta), select(scores, mended, alpha, delta)
    if isinstance(before, Selection):
        assert isinstance(after, Selection)
        assert after.accepted >= before.accepted


@given(examples(), SMALL, SMALL, st.floats(0.01, 100.0), st.floats(-10.0, 10.0))
def test_only_the_order_of_scores_counts(
    data: tuple[np.ndarray, np.ndarray], alpha: float, delta: float, scale: float, shift: float
) -> None:
    scores, wrong = data
    moved = scores * scale + shift
    assume(np.unique(moved).size == np.unique(scores).size)
    one, other = select(scores, wrong, alpha, delta), select(moved, wrong, alpha, delta)
    assert type(one) is type(other)
    assert (one.accepted, one.errors) == (other.accepted, other.errors)


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.floats(0.01, 0.5))
def test_no_audit_has_a_gain_in_expectation_at_or_below_alpha(
    outcomes: list[bool], alpha: float
) -> None:
    process = EProcess.start(alpha)
    for wrong in outcomes:
        process = process.update(wrong)
    right, wrong_e = process.update(False).e_value, process.update(True).e_value
    for risk in (alpha, alpha / 2, 0.0):
        assert risk * wrong_e + (1 - risk) * right <= process.e_value * (1 + 1e-9)


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.floats(0.01, 0.5))
def test_a_process_is_json_at_every_moment(outcomes: list[bool], alpha: float) -> None:
    process = EProcess.start(alpha)
    for wrong in outcomes:
        stored = msgspec.json.decode(msgspec.json.encode(process), type=EProcess)
        process = stored.update(wrong)
    assert (process.n, process.errors) == (len(outcomes), sum(outcomes))
    assert process.log_peak >= max(process.log_e, 0.0)


@given(COUNTS, SMALL)
def test_confidence_sequences_enclose_the_share_and_the_single_look(
    count: tuple[int, int], delta: float
) -> None:
    k, n = count
    low, high = anytime_lower_bound(k, n, delta), anytime_upper_bound(k, n, delta)
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert high >= upper_bound(k, n, delta) - 1e-9
    assert low <= lower_bound(k, n, delta) + 1e-9


@given(st.integers(1, 10_000), SMALL)
def test_each_attempt_gets_less_than_the_one_before(attempt: int, delta: float) -> None:
    assert 0.0 < delta_at(attempt + 1, delta) < delta_at(attempt, delta) < delta


@given(st.text(), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.binary(min_size=16, max_size=64))
def test_a_call_audited_at_some_rate_is_audited_at_every_higher_one(
    call_id: str, rate: float, other: float, secret: bytes
) -> None:
    low, high = sorted((rate, other))
    assert draw(call_id, high, secret) or not draw(call_id, low, secret)
