"""How sure: a probability that never falls where what it rests on rises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.writing.sureness import Sureness, features


def drawn(n: int, seed: int = 0) -> tuple[list[np.ndarray], list[bool]]:
    random = np.random.default_rng(seed)
    mass = -random.exponential(1.0, n)
    found = [features(m, m / 10, random.random()) for m in mass]
    return found, [bool(random.random() < np.exp(m)) for m in mass]


def test_it_is_learned_from_what_was_right() -> None:
    found, right = drawn(2_000)
    sureness = Sureness.fitted(found, right)
    said = np.array([sureness.probability(each) for each in found])
    sure = said > 0.8
    assert np.mean(np.array(right)[sure]) > 0.8
    assert abs(said.mean() - np.mean(right)) < 0.02


@given(st.integers(0, 50), st.integers(2, 40), st.booleans())
def test_it_never_falls_where_what_it_rests_on_rises(seed: int, n: int, upside_down: bool) -> None:
    found, right = drawn(n, seed)
    sureness = Sureness.fitted(found, [r != upside_down for r in right])
    low, high = features(-3.0, -0.3, 0.0), features(-1.0, -0.1, 1.0)
    assert 0 <= sureness.probability(low) <= sureness.probability(high) <= 1


def test_without_examples_a_likely_answer_is_likely_right() -> None:
    sureness = Sureness.fitted([], [])
    assert sureness.probability(features(0.0, 0.0, 1.0)) > 0.9
    assert sureness.probability(features(-1e9, -1e9, 0.0)) == pytest.approx(0, abs=1e-6)
