"""Fusion: what it promises of its scores, and what it refuses."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shoal.retrieval.fusion import Fusion, best_parts, fuse, is_close, margin, order

BM25 = st.floats(0, 60)
COSINE = st.floats(-1, 1)
PAIRS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, n, elements=BM25), arrays(np.float64, n, elements=COSINE)
    )
)


def test_worked_by_hand() -> None:
    scores = fuse([10.0, 5.0, 0.0], [0.2, 0.6, 0.7], Fusion(words=0.3))
    assert scores == pytest.approx([0.3 + 0.14, 0.15 + 0.42, 0.49])
    assert order(scores).tolist() == [1, 2, 0]


@given(PAIRS, st.floats(0.01, 100))
def test_the_scale_of_bm25_does_not_matter(pair: tuple[np.ndarray, np.ndarray], by: float) -> None:
    words, meaning = pair
    words[words < 1e-3] = 0
    assert fuse(words * by, meaning) == pytest.approx(fuse(words, meaning))


@given(PAIRS, st.randoms())
def test_scores_do_not_depend_on_the_order_of_candidates(
    pair: tuple[np.ndarray, np.ndarray], random: Random
) -> None:
    words, meaning = pair
    shuffled = np.array(random.sample(range(len(words)), len(words)))
    assert (
        fuse(words[shuffled], meaning[shuffled]).tolist() == fuse(words, meaning)[shuffled].tolist()
    )


@given(PAIRS, st.floats(0, 1))
def test_who_is_better_by_both_is_better(
    pair: tuple[np.ndarray, np.ndarray], weight: float
) -> None:
    words, meaning = pair
    scores = fuse(words, meaning, Fusion(words=weight))
    assert (scores <= 1 + 1e-12).all()
    above = (words[:, None] >= words) & (meaning[:, None] >= meaning)
    assert (scores[:, None] - scores)[above].min() >= -1e-12


def test_the_weight_at_its_ends() -> None:
    words, meaning = np.array([2.0, 8.0, 4.0]), np.array([0.3, 0.1, 0.2])
    assert order(fuse(words, meaning, Fusion(words=1))).tolist() == [1, 2, 0]
    assert fuse(words, meaning, Fusion(words=0)).tolist() == meaning.tolist()


def test_no_word_found_leaves_meaning_and_nan_is_not_found() -> None:
    assert fuse([0.0, 0.0], [0.5, 0.1]) == pytest.approx([0.35, 0.07])
    assert fuse([np.nan, 4.0], [0.5, 0.1]).tolist() == fuse([0.0, 4.0], [0.5, 0.1]).tolist()


def test_no_candidates() -> None:
    assert fuse([], []).shape == (0,)
    assert order([]).shape == (0,)
    assert not is_close([])
    assert best_parts(np.zeros(3), np.zeros((0, 3)), []).shape == (0,)


@pytest.mark.parametrize(
    ("words", "meaning", "told"),
    [
        ([1.0], [0.1, 0.2], r"words \(1,\) and meaning \(2,\)"),
        ([[1.0]], [[0.1]], r"expected \(n,\)"),
        ([-1.0], [0.1], "not negative"),
        ([np.inf], [0.1], "finite"),
        ([1.0], [np.nan], "cosine of every candidate"),
    ],
)
def test_refused(words: list[float], meaning: list[float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fuse(words, meaning)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_that_is_none(weight: float) -> None:
    with pytest.raises(ValueError, match="words: expected 0 to 1"):
        Fusion(words=weight)


def test_a_closeness_that_is_none() -> None:
    with pytest.raises(ValueError, match="close: expected 0 or more"):
        Fusion(close=float("nan"))


def test_the_best_part_of_each() -> None:
    question = np.array([1.0, 0.0], np.float32)
    parts = np.array([[0.6, 0.8], [1, 0], [0, 1], [-1, 0], [-0.6, 0.8]], np.float32)
    assert best_parts(question, parts, [0, 2, 3]) == pytest.approx([1.0, 0.0, -0.6])


@pytest.mark.parametrize("starts", [[1, 2], [0, 0, 1], [0, 3], [0, 2, 1]])
def test_starts_that_leave_a_passage_without_parts(starts: list[int]) -> None:
    with pytest.raises(ValueError, match="expected to rise from 0"):
        best_parts(np.ones(2), np.ones((3, 2)), starts)


def test_of_equals_the_earlier_is_first() -> None:
    assert order([0.5, 0.7, 0.5, 0.7]).tolist() == [1, 3, 0, 2]
    assert order([0.5, 0.7, 0.5, 0.7], 2).tolist() == [1, 3]


def test_close() -> None:
    assert margin([0.2, 0.9, 0.7]) == pytest.approx(0.2)
    assert not is_close([0.2, 0.9, 0.7])
    assert is_close([0.2, 0.9, 0.88])
    assert is_close([0.2, 0.9, 0.7], Fusion(close=0.25))
    assert not is_close([0.9])
    assert is_close([0.9, 0.9])
