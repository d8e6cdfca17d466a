"""Steps of a conversation go right or wrong together: are promises about them kept?"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal.guarantees import Selection, select

SEEDS, DELTA, ALPHA = 600, 0.1, 0.1
CONVERSATIONS, STEPS = 120, 8
GRADES = np.linspace(0.0, 0.4, 21)  # risk of a step by how unsure its score is


def sample(rng: np.random.Generator, sticky: bool) -> tuple[NDArray[np.float64], list[bool]]:
    """Scores and outcomes of all steps. ``sticky``: one draw decides for all steps of a
    conversation, so that those of like scores go wrong together."""
    scores = rng.random((CONVERSATIONS, STEPS))
    lots = rng.random((CONVERSATIONS, 1 if sticky else STEPS))
    wrong = np.broadcast_to(lots, scores.shape) < risk_at(scores)
    return scores.ravel(), wrong.ravel().tolist()


def risk_at(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(1 - scores, np.linspace(0, 1, len(GRADES)), GRADES)


def true_risk(threshold: float) -> float:
    return float(risk_at(np.linspace(threshold, 1, 2_001)).mean())


def broken(together: bool, sticky: bool) -> tuple[int, int]:
    """Of the seeds, in how many the promise is broken, and in how many something is certified."""
    names = np.repeat(np.arange(CONVERSATIONS), STEPS).tolist()
    bad = certified = 0
    for seed in range(SEEDS):
        scores, wrong = sample(np.random.default_rng(seed), sticky)
        found = select(scores, wrong, ALPHA, DELTA, together=names if together else None)
        if isinstance(found, Selection):
            certified += 1
            bad += true_risk(found.threshold) > ALPHA
    return bad, certified


MOST = SEEDS * DELTA + 3 * math.sqrt(SEEDS * DELTA * (1 - DELTA))


def test_without_knowing_of_conversations_the_promise_is_broken() -> None:
    """Else this simulation would notice nothing."""
    bad, certified = broken(together=False, sticky=True)
    assert certified > SEEDS / 3
    assert bad > 1.5 * MOST


@pytest.mark.parametrize("sticky", [False, True])
def test_with_one_call_of_each_it_is_kept(sticky: bool) -> None:
    bad, certified = broken(together=True, sticky=sticky)
    assert bad <= MOST
    assert certified > SEEDS / 4
