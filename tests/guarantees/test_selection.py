"""What select returns: a certified threshold, or a refusal that says what is missing."""

import re

import numpy as np
import pytest

from shoal.guarantees import Refusal, Selection, Start, select, upper_bound

_RNG = np.random.default_rng(11)


def _examples(n: int, error: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores in (0, 1); wrong at rate ``error`` over all, and ever less the higher the score."""
    scores = rng.random(n)
    return scores, rng.random(n) < 4 * error * (1 - scores) ** 3


def test_a_selection_counts_what_its_threshold_accepts() -> None:
    scores, wrong = _examples(1000, 0.1, np.random.default_rng(1))
    found = select(scores, wrong, alpha=0.05, delta=0.05)
    assert isinstance(found, Selection)
    accept = scores >= found.threshold
    assert found.accepted == accept.sum()
    assert found.errors == wrong[accept].sum()
    assert found.coverage == accept.mean()
    assert found.coverage_low < found.coverage < found.coverage_high
    assert upper_bound(found.errors, found.accepted, 0.05) <= found.risk_bound <= 0.05
    assert 0.4 < found.coverage < 0.8


def test_flawless_examples_are_all_accepted_and_nothing_below_them() -> None:
    scores = np.linspace(0.3, 0.9, 400)
    found = select(scores, np.zeros(400, bool), alpha=0.05, delta=0.05)
    assert isinstance(found, Selection)
    assert found.accepted == 400
    assert found.threshold == 0.3


def test_scores_of_few_levels_are_certified_by_level() -> None:
    rng = np.random.default_rng(3)
    agreement = rng.integers(0, 4, 2000)  # votes of three models
    wrong = rng.random(2000) < np.array([0.5, 0.3, 0.02, 0.01])[agreement]
    found = select(agreement, wrong, alpha=0.05, delta=0.05)
    assert isinstance(found, Selection)
    assert found.threshold == 1.5
    assert found.accepted == (agreement >= 2).sum()


def test_a_few_confident_errors_do_not_end_it() -> None:
    scores = np.linspace(1.0, 0.0, 1000)
    wrong = np.zeros(1000, bool)
    wrong[[0, 1, 2]] = True  # the three surest are label errors
    found = select(scores, wrong, alpha=0.05, delta=0.05)
    assert isinstance(found, Selection)
    assert found.coverage == 1.0


def test_too_few_examples_are_refused_with_about_how_many_are_missing() -> None:
    found = select(np.linspace(0, 1, 40), np.zeros(40, bool), alpha=0.05, delta=0.05)
    assert isinstance(found, Refusal)
    assert found.examples_needed is not None
    assert 20 <= found.examples_needed <= 100
    assert f"need about {found.examples_needed} more examples" in found.reason
    assert "95 % sure of at most 5 %" in found.reason


def test_that_many_more_examples_do_pass() -> None:
    rng = np.random.default_rng(0)
    passed = asked = 0
    for _ in range(200):
        scores, wrong = _examples(120, 0.05, rng)
        refused = select(scores, wrong, alpha=0.05, delta=0.05)
        if isinstance(refused, Refusal) and refused.examples_needed is not None:
            asked += 1
            more_scores, more_wrong = _examples(refused.examples_needed, 0.05, rng)
            grown = np.append(scores, more_scores), np.append(wrong, more_wrong)
            passed += isinstance(select(*grown, alpha=0.05, delta=0.05), Selection)
    assert asked > 50
    assert passed / asked > 0.4  # "about": the curve that was seen is itself a sample


def test_a_hopeless_score_is_told_so() -> None:
    scores = _RNG.random(500)
    wrong = np.arange(500) % 8 == 0
    found = select(scores, wrong, alpha=0.05, delta=0.05)
    assert isinstance(found, Refusal)
    assert found.examples_needed is None
    share = re.search(r"surest tenth disagrees ([\d.]+) % of the time, above 5 %", found.reason)
    assert share is not None
    assert float(share[1]) == pytest.approx(100 * found.errors / found.accepted, rel=0.01)


def test_a_sure_top_with_a_bad_rest_asks_for_a_surer_score() -> None:
    scores = np.linspace(1.0, 0.0, 1000)
    wrong = (np.arange(1000) >= 100) & (np.arange(1000) % 3 == 0)
    found = select(scores, wrong, alpha=0.05, delta=0.05)
    assert isinstance(found, Refusal)
    assert found.examples_needed is None
    assert "surer score" in found.reason


def test_one_tie_for_all_is_judged_as_a_whole() -> None:
    assert isinstance(select(np.ones(300), np.zeros(300, bool), 0.05, 0.05), Selection)
    refused = select(np.ones(300), np.arange(300) < 60, 0.05, 0.05)
    assert isinstance(refused, Refusal)
    assert "even the surest 100 % disagrees 20 %" in refused.reason


def test_no_examples_at_all() -> None:
    found = select([], [], alpha=0.01, delta=0.05)
    assert isinstance(found, Refusal)
    assert found.examples_needed == 299
    assert "at least 299" in found.reason


def test_given_starts_are_used_and_none_at_all_is_an_error() -> None:
    scores, wrong = np.linspace(1, 0, 200), np.arange(200) >= 100
    late, early = [Start(0.9, 1.0)], [Start(0.4, 1.0)]
    assert isinstance(select(scores, wrong, 0.05, 0.05, late), Refusal)
    assert isinstance(select(scores, wrong, 0.05, 0.05, early), Selection)
    with pytest.raises(ValueError, match="starts"):
        select(scores, wrong, 0.05, 0.05, [])


@pytest.mark.parametrize(("alpha", "delta"), [(0.0, 0.05), (1.0, 0.05), (0.05, 0.0), (0.05, 1.0)])
def test_targets_out_of_range_are_refused(alpha: float, delta: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        select([0.5], [False], alpha, delta)
