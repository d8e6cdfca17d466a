"""Adapters: what they do to vectors, what training learns, and that it does no harm with little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import ArtifactError
from shoal.guarantees import Paired
from shoal.retrieval.adapter import Adapter
from shoal.retrieval.adapter_training import (
    Candidates,
    Lessons,
    TrainingOptions,
    Weights,
    _gradients,
    _loss,
    cross_fitted,
    lessons_of,
    train,
)

DIM, TOPICS = 24, 12
Array = np.ndarray


def unit(rows: Array) -> Array:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def slang(n: int, seed: int = 0, alike: bool = False) -> tuple[Lessons, Array, Array, Array]:
    """Questions about topics in words of their own, and passages, one a topic; the answers.

    If ``alike``, the words are the same, and search is right without having learned anything.
    """
    random = np.random.default_rng(seed)
    names, passages = unit(np.random.default_rng(99).normal(size=(2, TOPICS, DIM)))
    names = passages if alike else names
    right = random.integers(0, TOPICS, n)
    questions = unit(names[right] + 0.1 * random.normal(size=(n, DIM)))
    rows = np.arange(TOPICS)
    found = [
        Candidates(rows, random.random(TOPICS).astype(np.float32), rows == one) for one in right
    ]
    return lessons_of(questions, passages, found), questions, passages, right


def hits(vectors: Array, passages: Array, right: Array) -> float:
    return float(((vectors @ passages.T).argmax(axis=1) == right).mean())


def test_what_was_said_of_some_questions_holds_for_others() -> None:
    lessons, *_ = slang(240)
    adapter = train(lessons)
    assert adapter is not None
    _, questions, passages, right = slang(200, seed=1)
    assert hits(questions, passages, right) < 0.3
    assert hits(adapter.apply(questions), passages, right) > 0.9
    assert adapter.fusion.words < 0.3  # words were noise


@pytest.mark.parametrize("seed", range(5))
def test_where_search_is_right_already_few_pairs_do_no_harm(seed: int) -> None:
    lessons, *_ = slang(12, seed, alike=True)
    adapter = train(lessons)
    _, questions, passages, right = slang(200, seed=7, alike=True)
    assert hits(questions, passages, right) == 1
    if adapter is not None:
        assert hits(adapter.apply(questions), passages, right) > 0.97


def test_cross_fitting_foresees_what_a_test_would_find() -> None:
    helps = cross_fitted(slang(120)[0])
    assert helps.n == 120
    assert helps.gained > 3 * helps.lost
    right_already = cross_fitted(slang(60, alike=True)[0])
    assert right_already.gained == 0
    assert cross_fitted(slang(1)[0]) == Paired(1, 0, 0)


def test_too_few_to_learn_from() -> None:
    lessons, *_ = slang(1)
    assert train(lessons) is None
    assert train(slang(0)[0]) is None


def test_questions_that_teach_nothing_are_left_out() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(3, DIM)))
    words = np.zeros(2, np.float32)
    wrong, right, mixed = (np.array(one) for one in ([False] * 2, [True] * 2, [True, False]))
    rows = np.array([0, 1])
    found = [Candidates(rows, words, one) for one in (wrong, right, mixed)]
    lessons = lessons_of(vectors, vectors, found)
    assert len(lessons) == 1
    assert (lessons.questions == vectors[2:]).all()


def test_gradients_are_those_of_the_loss() -> None:
    lessons, *_ = slang(6)
    options = TrainingOptions(decay=0.0)
    random = np.random.default_rng(3)
    start = Weights.start(DIM, 2, random)
    start.up = random.normal(0, 0.3, start.up.shape)
    batch = np.arange(6)
    gradients = _gradients(lessons, batch, start, options)
    for at, place in ((0, (3, 1)), (1, (0, 5)), (2, ()), (3, ())):
        losses = []
        for step in (1e-4, -1e-4):
            moved = [one.astype(np.float64) for one in start.all()]
            moved[at][place] += step
            losses.append(_loss(lessons, batch, Weights(*moved)))
        slope = (losses[0] - losses[1]) / 2e-4
        assert float(gradients[at][place]) == pytest.approx(slope, rel=0.02, abs=1e-3)


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_what_is_packed_comes_back(seed: int, words: float) -> None:
    random = np.random.default_rng(seed)
    adapter = Adapter(random.normal(size=(6, 2)), random.normal(size=(2, 6)), words)
    again = Adapter.unpacked(adapter.packed())
    vectors = unit(random.normal(size=(4, 6)))
    assert (again.apply(vectors) == adapter.apply(vectors)).all()
    assert again.fusion.words == words
    assert np.linalg.norm(adapter.apply(vectors), axis=1) == pytest.approx(1, abs=1e-5)
    assert adapter.apply(vectors)[1] == pytest.approx(adapter.apply(vectors[1]), abs=1e-6)


def test_the_identity() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(4, 6)))
    same = Adapter(np.ones((6, 2)), np.zeros((2, 6)))
    assert same.apply(vectors) == pytest.approx(vectors)
    assert same.dim == 6


@pytest.mark.parametrize(
    ("down", "up", "words", "told"),
    [
        ((6, 2), (6, 2), 0.3, "expected"),
        ((6,), (6,), 0.3, "expected"),
        ((6, 2), (2, 6), 1.3, "words"),
    ],
)
def test_what_is_no_adapter(
    down: tuple[int, ...], up: tuple[int, ...], words: float, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        Adapter(np.ones(down), np.ones(up), words)


def test_numbers_that_are_none() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Adapter(np.full((6, 2), np.nan), np.ones((2, 6)))


@pytest.mark.parametrize("data", [b"", b"nothing of the kind", b"\x00" * 64])
def test_a_damaged_file(data: bytes) -> None:
    with pytest.raises(ArtifactError, match="no adapter"):
        Adapter.unpacked(data)
