"""A match specialist as a reranker: what it reads, and what its answers come to."""

import numpy as np
import pytest

from shoal.assembly.reranking import CONTRACT, NO, YES, MatchReranker, chance_of, pair_of
from shoal.retrieval.documents import Passage
from shoal.retrieval.rerank import Reranker
from shoal.specialists import match
from shoal.specialists.pairs import find_pair, way_of
from shoal.specialists.specialist import Prediction

WORDS = [f"word{at}" for at in range(60)]


def made_up(n: int, seed: int) -> tuple[list[tuple[str, str]], list[str]]:
    """Questions of five words, and passages of thirty that have four of them, or none."""
    random = np.random.default_rng(seed)
    pairs, answers = [], []
    for at in range(n):
        drawn = random.permutation(WORDS)
        has_them = at % 2 == 0
        rest = drawn[1:31] if has_them else drawn[5:35]
        pairs.append((" ".join(drawn[:5]), " ".join(random.permutation(rest))))
        answers.append(YES if has_them else NO)
    return pairs, answers


def test_a_pair_is_found_whatever_the_texts_hold() -> None:
    given = [pair_of("Who?\n\nleft: a", '{"passage": 1}'), pair_of("", "question: x")]
    way = way_of(given)
    assert way
    pair = find_pair(given[0], way)
    assert pair is not None


def test_trained_on_pairs_it_ranks_passages() -> None:
    pairs, answers = made_up(300, seed=0)
    given = [pair_of(*pair) for pair in pairs]
    trained = match.KIND.train(CONTRACT, given, answers, None, match.KIND.recipes[0])
    reranker: Reranker = MatchReranker(trained.specialist)
    asked, said = made_up(40, seed=1)
    scores = [
        reranker.scores(question, [Passage(text, number=1, document=1, position=0)])[0]
        for question, text in asked
    ]
    right = [s for s, answer in zip(scores, said, strict=True) if answer == YES]
    wrong = [s for s, answer in zip(scores, said, strict=True) if answer == NO]
    assert min(scores) >= 0
    assert max(scores) <= 1
    assert np.mean(right) > np.mean(wrong) + 0.5
    assert reranker.scores("who", []).shape == (0,)


@pytest.mark.parametrize(
    ("output", "signal", "chance"),
    [(YES, 0.9, 0.9), (NO, 0.9, 0.1), (None, 0.0, 0.0), (YES, 1.0, 1.0)],
)
def test_what_its_answers_come_to(output: str | None, signal: float, chance: float) -> None:
    assert chance_of(Prediction(output, signal)) == pytest.approx(chance)
