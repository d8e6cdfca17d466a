"""Is the promise kept where people are the reference, who also say much that nobody asked?

People praise what is right more often than they tell what is wrong. The true risk is just above
alpha, so every certificate that is granted is a broken promise. Over 600 seeds that may happen in a
share delta, plus three standard errors of so many runs.
"""

import math

import numpy as np

from shoal.guarantees import Selection, draw, select
from shoal.storage.reviews import ReviewQueue

SEEDS, CALLS, RATE, REVIEWED = 600, 400, 0.5, 150
ALPHA, DELTA, RISK = 0.1, 0.1, 0.1001
PRAISE, COMPLAIN = 0.5, 0.1
SECRET = bytes(32)


def allowed(delta: float, runs: int) -> float:
    return delta + 3.0 * math.sqrt(delta * (1.0 - delta) / runs)


def granted(scores: list[float], wrong: list[bool]) -> bool:
    return isinstance(select(scores, wrong, ALPHA, DELTA), Selection)


def test_words_on_drawn_calls_in_order_keep_the_promise_and_others_would_not() -> None:
    by_queue = by_any_word = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        ids = [f"{seed}-{number}" for number in range(CALLS)]
        wrong = dict(zip(ids, (rng.random(CALLS) < RISK).tolist(), strict=True))
        scores = dict(zip(ids, rng.random(CALLS).tolist(), strict=True))
        drawn = [one for one in ids if draw(one, RATE, SECRET)]
        said = {one for one in ids if rng.random() < (COMPLAIN if wrong[one] else PRAISE)}
        words = said | set(drawn[:REVIEWED])  # asked in order, up to so many
        counts = ReviewQueue.of(drawn, words).counts
        assert len(counts) >= REVIEWED
        by_queue += granted([scores[one] for one in counts], [wrong[one] for one in counts])
        by_any_word += granted([scores[one] for one in words], [wrong[one] for one in words])
    assert by_queue / SEEDS <= allowed(DELTA, SEEDS)
    assert by_any_word / SEEDS > 2 * allowed(DELTA, SEEDS)
