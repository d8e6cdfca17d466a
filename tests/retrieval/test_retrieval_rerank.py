"""Reranking: asked only where it is close, and never losing a hit."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.retrieval.documents import Hit, Passage
from shoal.retrieval.rerank import Reranking, reranked
from some_document import document_of

DOCUMENT = document_of()


def hits(*scores: float) -> list[Hit]:
    return [
        Hit(
            passage=Passage(f"text {number}", number=number, document=1, position=number),
            document=DOCUMENT,
            score=score,
        )
        for number, score in enumerate(scores)
    ]


class Likes:
    """Says of passages, by number, what it was told to say; 0 of others."""

    def __init__(self, said: dict[int, float]) -> None:
        self.said, self.asked = said, list[int]()

    def scores(self, query: str, passages: Sequence[Passage]) -> np.ndarray:
        self.asked += [one.number for one in passages]
        return np.array([self.said.get(one.number, 0.0) for one in passages])


def numbers(found: Sequence[Hit]) -> list[int]:
    return [hit.passage.number for hit in found]


def test_close_ones_are_looked_at() -> None:
    likes = Likes({1: 1.0, 4: 1.0})
    by = Reranking(likes, weight=0.1, most=3, close=0.06)
    found = reranked("who", hits(0.50, 0.47, 0.46, 0.45, 0.44), by)
    assert numbers(found) == [1, 0, 2, 3, 4]
    assert found[0].score == pytest.approx(0.57)
    assert likes.asked == [0, 1, 2]


def test_where_the_best_is_well_ahead_nobody_is_asked() -> None:
    likes = Likes({1: 1.0})
    before = hits(0.60, 0.50)
    assert reranked("who", before, Reranking(likes)) == before
    assert reranked("who", before[:1], Reranking(likes)) == before[:1]
    assert reranked("who", [], Reranking(likes)) == []
    assert likes.asked == []


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12),
    st.floats(0, 2),
    st.integers(2, 12),
)
def test_nothing_is_lost_and_scores_fall(
    rows: list[tuple[float, float]], weight: float, most: int
) -> None:
    rows = sorted(rows, reverse=True)
    before = hits(*(score for score, _ in rows))
    said = {at: p for at, (_, p) in enumerate(rows)}
    found = reranked("who", before, Reranking(Likes(said), weight, most, close=10))
    assert sorted(numbers(found)) == list(range(len(rows)))
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("said", [[0.5], [0.5, float("nan")], [0.5, 1.5], [-0.1, 0.5]])
def test_a_reranker_that_says_nonsense(said: list[float]) -> None:
    class Nonsense:
        def scores(self, query: str, passages: Sequence[Passage]) -> np.ndarray:
            return np.array(said)

    with pytest.raises(ValueError, match="expected 2 scores from 0 to 1"):
        reranked("who", hits(0.5, 0.5), Reranking(Nonsense()))


@pytest.mark.parametrize("wrong", [{"weight": -1}, {"close": float("nan")}, {"most": 1}])
def test_settings_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a weight"):
        Reranking(Likes({}), **wrong)
