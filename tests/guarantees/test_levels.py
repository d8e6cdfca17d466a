"""The choice among a few levels that were fixed beforehand."""

import math

import numpy as np
import pytest

from shoal.guarantees import Refusal, Selection, p_value, select_level

ALPHA, DELTA = 0.05, 0.1


def test_the_lowest_level_that_is_proven_is_chosen() -> None:
    scores = np.repeat([1.0, 0.5, 0.0], 200)
    wrong = scores == 0.0
    found = select_level(scores, wrong, (0.5, 1.0), ALPHA, DELTA)
    assert isinstance(found, Selection)
    assert (found.threshold, found.accepted, found.errors) == (0.5, 400, 0)
    wrong[200:300] = True
    found = select_level(scores, wrong, (0.5, 1.0), ALPHA, DELTA)
    assert isinstance(found, Selection)
    assert (found.threshold, found.accepted) == (1.0, 200)


def test_each_level_has_its_part_of_delta() -> None:
    n = 60
    level = p_value(0, n, ALPHA)
    scores, wrong = np.ones(n), np.zeros(n, bool)
    assert isinstance(select_level(scores, wrong, (1.0,), ALPHA, level * 1.001), Selection)
    assert isinstance(select_level(scores, wrong, (0.5, 1.0), ALPHA, level * 1.001), Refusal)


def test_a_refusal_says_how_many_more_would_do() -> None:
    found = select_level(np.ones(40), np.zeros(40, bool), (1.0,), ALPHA, DELTA)
    assert isinstance(found, Refusal)
    assert found.examples_needed is not None
    enough = 40 + found.examples_needed
    more = select_level(np.ones(enough), np.zeros(enough, bool), (1.0,), ALPHA, DELTA)
    assert isinstance(more, Selection)
    hopeless = select_level(np.ones(40), np.ones(40, bool), (1.0,), ALPHA, DELTA)
    assert isinstance(hopeless, Refusal)
    assert hopeless.examples_needed is None
    assert isinstance(select_level([], [], (1.0,), ALPHA, DELTA), Refusal)


def test_no_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="a level"):
        select_level([1.0], [False], (), ALPHA, DELTA)


@pytest.mark.parametrize("risks", [(0.051, 0.051), (0.051, 0.2), (0.2, 0.051), (0.01, 0.0585)])
def test_the_promise_is_broken_no_more_often_than_delta(risks: tuple[float, float]) -> None:
    """``risks`` of the accepted at signal 1 and .5; at .5 both are accepted, half and half."""
    draw, seeds, broken = np.random.default_rng(3), 2_000, 0
    true = {1.0: risks[0], 0.5: sum(risks) / 2}
    for _ in range(seeds):
        scores = draw.choice([1.0, 0.5], 400)
        wrong = draw.random(400) < np.where(scores == 1.0, *risks)
        found = select_level(scores, wrong, (0.5, 1.0), ALPHA, DELTA)
        broken += isinstance(found, Selection) and true[found.threshold] > ALPHA
    assert broken / seeds <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / seeds)


def test_one_frequent_question_answered_wrong_is_no_proof_over_calls() -> None:
    """Over inputs the risk is small, over calls it is not; the refusal speaks of calls."""
    wrong = [False] * 300 + [True] * 100
    first = [True] * 300 + [True] + [False] * 99
    found = select_level([1.0] * 400, wrong, (1.0,), 0.05, 0.05, first)
    assert isinstance(found, Refusal)
    assert "400 of 400 would be accepted, of which 100 disagree (25 %), above 5 %" in found.reason
    assert isinstance(select_level([1.0] * 400, wrong, (1.0,), 0.3, 0.05, first), Selection)
