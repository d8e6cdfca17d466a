"""The promise of tuning: what is no better than nothing is certified in at most 5 % of the cases,
however often it is tried."""

import numpy as np
import pytest

from shoal.guarantees import Paired, delta_at, upper_bound
from shoal.retrieval.documents import Hit, Passage
from shoal.retrieval.gain import Searching, tried
from shoal.retrieval.known_answers import Resolved
from some_document import document_of

SEEDS = 2_000
ATTEMPTS = 5
DELTA = 0.05
DOCUMENT = document_of()
HITS = [
    Hit(
        passage=Passage("text", number=number, document=1, position=number),
        document=DOCUMENT,
        score=0.0,
    )
    for number in range(1, 13)
]


def certified(random: np.random.Generator, differ: float, gains: float) -> bool:
    """Whether any of some attempts on growing data finds a gain; each looks at all there is."""
    n, gained, lost = 0, 0, 0
    for attempt in range(1, ATTEMPTS + 1):
        differing = random.binomial(60, differ)
        up = random.binomial(differing, gains)
        n, gained, lost = n + 60, gained + up, lost + differing - up
        if Paired(n, gained, lost).shows_gain(delta_at(attempt, DELTA)):
            return True
    return False


@pytest.mark.parametrize("differ", [0.05, 0.3, 1.0])
def test_what_does_nothing_is_seldom_certified(differ: float) -> None:
    broken = sum(certified(np.random.default_rng([1, s]), differ, 0.5) for s in range(SEEDS))
    allowed = DELTA + 2.6 * (DELTA * (1 - DELTA) / SEEDS) ** 0.5
    assert broken / SEEDS <= allowed
    assert upper_bound(broken, SEEDS, 0.01) < 2 * DELTA


def test_two_searches_alike_in_all_but_luck_are_seldom_told_apart() -> None:
    """The whole way: hits, ranks, counts, test; one attempt each."""
    asked = [Resolved(f"question {at}", frozenset({at % 10 + 1})) for at in range(80)]

    def lucky(random: np.random.Generator) -> Searching:
        return lambda question: [HITS[at] for at in random.permutation(len(HITS))]

    broken = 0
    for seed in range(500):
        random = np.random.default_rng([3, seed])
        found = tried(asked, lucky(random), lucky(random))
        assert found.paired.n == 80
        broken += found.paired.shows_gain(delta_at(1, DELTA))
    assert broken / 500 <= DELTA + 2.6 * (DELTA * (1 - DELTA) / 500) ** 0.5


@pytest.mark.parametrize("adapters", [1, 4])
def test_over_whichever_search_was_chosen_nothing_is_seldom_certified(adapters: int) -> None:
    """The same questions chose the search that a reranker is tested over, one of as many as there
    were attempts at an adapter, or the plain one. The worst chooser takes one that lets it pass."""

    def broken(seed: int) -> bool:
        random, passed = np.random.default_rng([4, seed]), False
        for attempt in range(1, ATTEMPTS + 1):
            for _ in range(adapters + 1):
                gained = random.binomial(60, 0.5)
                found = Paired(60, gained, 60 - gained)
                passed |= found.shows_gain(delta_at(attempt, DELTA / (adapters + 1)))
        return passed

    count = sum(broken(seed) for seed in range(SEEDS))
    assert count / SEEDS <= DELTA + 2.6 * (DELTA * (1 - DELTA) / SEEDS) ** 0.5


def test_what_helps_is_found() -> None:
    found = sum(certified(np.random.default_rng([2, s]), 0.3, 0.8) for s in range(200))
    assert found >= 190
