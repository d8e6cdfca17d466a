"""Does a vote that stops early keep its promise, on samples of models of all kinds?"""

import numpy as np
import pytest
from scipy.stats import binom

from shoal.guarantees.voting import standing

SEEDS = 600


@pytest.mark.parametrize("risk", [0.05, 0.2])
@pytest.mark.parametrize(
    "chances", [(0.5, 0.5), (0.55, 0.45), (0.4, 0.35, 0.25), (0.8, 0.1, 0.1), (0.2,) * 5]
)
def test_it_differs_from_the_whole_vote_no_more_often_than_stated(
    chances: tuple[float, ...], risk: float
) -> None:
    rng, n = np.random.default_rng(0), 20
    differ, taken = 0, 0
    for _ in range(SEEDS):
        votes: list[int | None] = list(rng.choice(len(chances), size=n, p=chances).tolist())
        whole = standing(votes, n, 0.0).leader
        for k in range(1, n + 1):
            found = standing(votes[:k], n, risk)
            if found.settled:
                differ, taken = differ + (found.leader != whole), taken + k
                break
    assert differ <= binom.ppf(0.999, SEEDS, risk)
    assert taken < SEEDS * n


def test_a_clear_vote_takes_few_samples() -> None:
    rng, n = np.random.default_rng(1), 40
    taken = 0
    for _ in range(SEEDS):
        votes: list[int | None] = list(rng.choice(3, size=n, p=(0.9, 0.05, 0.05)).tolist())
        taken += next(k for k in range(1, n + 1) if standing(votes[:k], n, 0.05).settled)
    assert taken / (SEEDS * n) < 0.35  # what cannot turn alone takes more than half
