import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal.specialists.kernel import (
    NEIGHBOURS,
    Features,
    Floats,
    KernelOptions,
    fit,
    gram,
    nearness,
    radial,
)

OPTIONS = KernelOptions()


def unit_rows(rng: np.random.Generator, n: int, d: int) -> NDArray[np.float32]:
    rows = rng.normal(size=(n, d))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def random_features(rng: np.random.Generator, n: int, embedded: bool) -> Features:
    dense = unit_rows(rng, n, 12) * (rng.random((n, 12)) < 0.5)
    return Features(sp.csr_matrix(dense), unit_rows(rng, n, 5) if embedded else None)


def part(features: Features, rows: NDArray[np.intp]) -> Features:
    embeddings = features.embeddings
    return Features(features.terms[rows], None if embeddings is None else embeddings[rows])


def retrained(features: Features, targets: Floats, left_out: int, options: KernelOptions) -> Floats:
    """What a model that was trained without one example says of it: no closed form."""
    others = np.delete(np.arange(len(features)), left_out)
    known, new = part(features, others), part(features, np.array([left_out]))
    matrix = gram(known, known, options).astype(np.float64) + options.ridge * np.eye(len(others))
    dual = np.linalg.solve(matrix, targets[others].astype(np.float64))
    return np.asarray((gram(new, known, options) @ dual)[0], np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 14),
    targets=st.integers(1, 4),
    embedded=st.booleans(),
    ridge=st.sampled_from([0.1, 0.5, 3.0]),
)
def test_left_out_predictions_are_those_of_retrained_models(
    seed: int, n: int, targets: int, embedded: bool, ridge: float
) -> None:
    rng = np.random.default_rng(seed)
    features = random_features(rng, n, embedded)
    wanted = rng.choice([-1.0, 1.0], (n, targets)).astype(np.float32)
    options = KernelOptions(ridge=ridge)
    left_out = fit(features, wanted, options).left_out
    for i in range(n):
        expected = retrained(features, wanted, i, options)
        np.testing.assert_allclose(left_out[i], expected, atol=2e-4, rtol=2e-3)


def test_an_examples_own_target_has_no_say_in_its_left_out_prediction() -> None:
    rng = np.random.default_rng(1)
    features = random_features(rng, 20, embedded=True)
    wanted = rng.choice([-1.0, 1.0], (20, 2)).astype(np.float32)
    before = fit(features, wanted, OPTIONS).left_out
    wanted[7] *= -1
    after = fit(features, wanted, OPTIONS).left_out
    np.testing.assert_allclose(after[7], before[7], atol=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_the_model_itself_solves_the_regularised_equations() -> None:
    rng = np.random.default_rng(2)
    features = random_features(rng, 15, embedded=True)
    wanted = rng.normal(size=(15, 3)).astype(np.float32)
    dual = fit(features, wanted, OPTIONS).dual
    matrix = gram(features, features, OPTIONS) + OPTIONS.ridge * np.eye(15)
    np.testing.assert_allclose(matrix @ dual, wanted, atol=1e-4)


def test_the_kernel_is_the_one_that_is_written_down() -> None:
    rng = np.random.default_rng(3)
    a, b = random_features(rng, 4, embedded=True), random_features(rng, 3, embedded=True)
    assert a.embeddings is not None
    assert b.embeddings is not None
    got = gram(a, b, OPTIONS)
    for i in range(4):
        for j in range(3):
            terms = float((a.terms[i] @ b.terms[j].T).toarray()[0, 0])
            distance = float(np.sum((a.embeddings[i] - b.embeddings[j]) ** 2))
            expected = OPTIONS.term_weight * terms + np.exp(-OPTIONS.gamma * distance)
            assert got[i, j] == pytest.approx(expected, abs=1e-5)


def test_without_embeddings_it_is_the_product_of_terms() -> None:
    rng = np.random.default_rng(4)
    features = random_features(rng, 5, embedded=False)
    expected = (features.terms @ features.terms.T).toarray()
    np.testing.assert_allclose(gram(features, features, OPTIONS), expected, atol=1e-6)


def test_equal_vectors_have_a_radial_part_of_one() -> None:
    found = radial(np.array([1.0, 0.5], np.float32), 1.5)
    np.testing.assert_allclose(found, np.array([1.0, np.exp(-1.5)]), atol=1e-6)


def test_texts_without_any_terms_can_be_fitted() -> None:
    features = Features(sp.csr_matrix((3, 0), dtype=np.float32), None)
    found = fit(features, np.array([[1], [-1], [1]], np.float32), OPTIONS)
    np.testing.assert_allclose(found.left_out, 0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 14))
def test_an_examples_nearness_is_that_to_the_others(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    features = random_features(rng, n, embedded=True)
    assert features.embeddings is not None
    group = np.array([0, n - 1])
    found = fit(features, np.ones((n, 1), np.float32), OPTIONS, [group]).nearness
    assert found is not None
    for i in range(n):
        others = np.setdiff1d(np.arange(n), group if i in group else [i])
        cosines = features.embeddings[[i]] @ features.embeddings[others].T
        greatest = [*np.sort(cosines[0])[::-1], *[-1.0] * NEIGHBOURS][: min(n, NEIGHBOURS)]
        assert found[i] == pytest.approx(np.mean(greatest), abs=1e-5)


def test_nearness_is_the_mean_of_the_nearest() -> None:
    cosines = np.array([[0.1, 0.9, 0.8, 0.7, 0.6, 0.5, -1.0]], np.float32)
    assert nearness(cosines)[0] == pytest.approx(0.7)
    assert nearness(cosines[:, :2])[0] == pytest.approx(0.5)
    assert nearness(cosines[:, :0])[0] == -1


def test_many_rows_are_what_few_are() -> None:
    """Matrices are made block by block."""
    rng = np.random.default_rng(3)
    features = random_features(rng, 2_100, embedded=True)
    whole = gram(features, features, OPTIONS)
    rows = np.array([0, 999, 1_000, 2_099])
    np.testing.assert_allclose(
        whole[rows], gram(part(features, rows), features, OPTIONS), atol=1e-6
    )
