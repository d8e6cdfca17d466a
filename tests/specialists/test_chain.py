import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shoal.specialists.chain import (
    best_path,
    expectations,
    factors,
    follows,
    log_sums,
    runs,
    tags_in,
)

TAGS = 5


def arrays(*shape: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float32, shape, elements=st.floats(-2, 2, width=32))


chains = st.integers(1, 4).flatmap(lambda n: st.tuples(arrays(n, TAGS), arrays(TAGS, TAGS)))


def is_allowed(path: tuple[int, ...]) -> bool:
    """An inside (2, 4 …) follows its own begin or inside."""
    return all(
        tag == 0 or tag % 2 == 1 or (i > 0 and path[i - 1] in (tag - 1, tag))
        for i, tag in enumerate(path)
    )


def score_of(path: tuple[int, ...], scores: np.ndarray, transitions: np.ndarray) -> float:
    steps = sum(float(transitions[a, b]) for a, b in itertools.pairwise(path))
    return steps + float(sum(scores[row, tag] for row, tag in enumerate(path)))


def every_path(scores: np.ndarray, transitions: np.ndarray) -> dict[tuple[int, ...], float]:
    """The score of each allowed path."""
    paths = itertools.product(range(TAGS), repeat=len(scores))
    return {path: score_of(path, scores, transitions) for path in paths if is_allowed(path)}


def test_follows_says_what_is_allowed() -> None:
    for a, b in itertools.product(range(TAGS), repeat=2):
        assert follows(TAGS)[a, b] == (b in (0, 1, 3) or a in (b - 1, b))


@settings(max_examples=80)
@given(chains)
def test_the_best_path_is_the_best_of_all(chain: tuple[np.ndarray, np.ndarray]) -> None:
    found = tuple(int(tag) for tag in best_path(*chain))
    every = every_path(*chain)
    assert every[found] == pytest.approx(max(every.values()), abs=1e-4)
    without = tuple(int(tag) for tag in best_path(chain[0]))
    every = every_path(chain[0], np.zeros((TAGS, TAGS)))
    assert every[without] == pytest.approx(max(every.values()), abs=1e-4)


@settings(max_examples=80)
@given(chains)
def test_expectations_are_those_over_all_paths(chain: tuple[np.ndarray, np.ndarray]) -> None:
    scores, transitions = chain
    every = every_path(scores, transitions)
    whole = np.log(sum(map(np.exp, every.values())))
    tags, steps = np.zeros_like(scores), np.zeros((TAGS, TAGS))
    for path, score in every.items():
        share = np.exp(score - whole)
        tags[np.arange(len(path)), path] += share
        for a, b in itertools.pairwise(path):
            steps[a, b] += share
    found = expectations(np.stack([scores, scores], axis=1), factors(transitions))
    np.testing.assert_allclose(found.tags, np.stack([tags, tags], axis=1), atol=1e-4)
    np.testing.assert_allclose(found.transitions, 2 * steps, atol=1e-3)
    np.testing.assert_allclose(found.log_sum, [whole, whole], atol=1e-4)


@settings(max_examples=80)
@given(chains, st.data())
def test_sums_are_over_the_paths_within_a_mask(
    chain: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    scores, transitions = chain
    mask = data.draw(hnp.arrays(np.bool_, scores.shape))
    inside = [
        score
        for path, score in every_path(scores, transitions).items()
        if all(mask[row, tag] for row, tag in enumerate(path))
    ]
    found = log_sums(scores, factors(transitions), np.stack([mask, np.ones_like(mask)]))
    if inside:
        assert found[0] == pytest.approx(np.log(sum(map(np.exp, inside))), abs=1e-3)
    else:
        assert found[0] == -np.inf
    assert found[1] >= found[0] - 1e-4


def test_a_long_text_neither_overflows_nor_vanishes() -> None:
    scores = np.random.default_rng(0).normal(0, 20, (250, 1, TAGS)).astype(np.float32)
    found = expectations(scores, factors(np.zeros((TAGS, TAGS), np.float32)))
    np.testing.assert_allclose(found.tags.sum(axis=2), 1, atol=1e-3)
    assert np.isfinite(found.log_sum).all()


def test_runs_are_begins_and_what_follows_them() -> None:
    assert runs(np.array([0, 1, 2, 1, 0, 3, 3, 4, 4])) == [
        (0, 1, 3),
        (0, 3, 4),
        (1, 5, 6),
        (1, 6, 9),
    ]


def test_tags_mark_begin_and_inside_of_each_place() -> None:
    offsets = np.array([[0, 2], [3, 5], [5, 6], [7, 9]], np.int32)
    np.testing.assert_array_equal(tags_in(offsets, [(0, (3, 6)), (1, (8, 9))]), [0, 1, 2, 3])
    np.testing.assert_array_equal(tags_in(offsets, [(0, (0, 2)), (0, (3, 5))]), [1, 1, 0, 0])
