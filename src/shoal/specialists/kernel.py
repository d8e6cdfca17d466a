"""Regularised least squares with a kernel, and its leave-one-out predictions in closed form.

One Cholesky factorisation gives both the model trained on all n examples and, for every example,
the prediction of the model trained on the other n-1. So all data trains and all data calibrates,
and yet no example is judged by a model that saw it.

Sources: Rifkin & Lippert 2007, "Notes on regularized least squares" (the leave-one-out formula);
Bousquet & Elisseeff 2002 (the stability that makes leave-one-out error trustworthy).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.linalg as sl
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class KernelOptions(Struct, frozen=True):
    """Shape of the kernel, fixed beforehand so that calibration data has no say in it.

    k(x, y) = term_weight * <terms x, terms y> + exp(-gamma * |embedding x - embedding y|^2)

    ``ridge`` is added to the diagonal. The values were chosen by leave-one-out accuracy on the
    past of the support-desk benchmark, so its figures are not those of an untouched test.
    """

    term_weight: float = 0.4
    gamma: float = 1.5
    ridge: float = 0.5


class Features(Struct, frozen=True):
    """What is known of n texts: ``terms`` CSR (n, v); ``embeddings`` unit rows (n, d), or none."""

    terms: Any
    embeddings: Floats | None

    def __len__(self) -> int:
        return int(self.terms.shape[0])


class Fit(Struct, frozen=True):
    """``dual`` (n, t): coefficients of the model on all examples; ``left_out`` (n, t): what the
    model without example i, and without all that belongs to its group, says of example i;
    ``nearness`` (n,): how near that model's examples come to it, None without embeddings."""

    dual: Floats
    left_out: Floats
    nearness: Floats | None = None


NEIGHBOURS = 5
"""Whose similarity is a text's nearness."""

_BLOCK = 1_000  # rows of a kernel matrix computed at once: a bound on what is held beside it


def nearness(cosines: Floats) -> Floats:
    """Mean of the ``NEIGHBOURS`` greatest of each row of cosines (m, n): (m,)."""
    count = min(NEIGHBOURS, cosines.shape[1])
    if not count:
        return np.full(len(cosines), -1, np.float32)
    greatest = np.partition(cosines, cosines.shape[1] - count, axis=1)[:, -count:]
    return np.asarray(greatest.mean(axis=1), np.float32)


def gram(a: Features, b: Features, options: KernelOptions) -> Floats:
    """Kernel matrix (len(a), len(b))."""
    matrix = np.empty((len(a), len(b)), np.float32)
    for rows, kernel, _ in _blocks(a, b, options):
        matrix[rows] = kernel
    return matrix


def radial(cosines: Floats, gamma: float) -> Floats:
    """exp(-gamma * |x - y|^2) of unit vectors from their cosines; |x - y|^2 = 2 - 2 cos."""
    return np.asarray(np.exp(np.float32(2 * gamma) * (cosines - 1)))


def _blocks(
    a: Features, b: Features, options: KernelOptions
) -> Iterator[tuple[slice, Floats, Floats | None]]:
    """Rows of the kernel matrix (m, len(b)), block by block, and their cosines."""
    columns = b.terms.T.tocsr()
    for start in range(0, len(a), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(a)))
        kernel = (a.terms[rows] @ columns).toarray().astype(np.float32, copy=False)
        if a.embeddings is None or b.embeddings is None:
            yield rows, kernel, None
            continue
        cosines = np.asarray(a.embeddings[rows] @ b.embeddings.T)
        kernel *= np.float32(options.term_weight)
        kernel += radial(cosines, options.gamma)
        yield rows, kernel, cosines


def fit(
    features: Features,
    targets: Floats,
    options: KernelOptions,
    groups: Sequence[NDArray[np.intp]] = (),
) -> Fit:
    """Solve (K + ridge I) A = targets for ``targets`` (n, t), memory n^2 floats.

    Leave-one-out: f_-i(x_i) = y_i - A_i / ((K + ridge I)^-1)_ii  (Rifkin & Lippert 2007, eq. 8).
    The examples of each of ``groups`` (row numbers) are left out together: with C the inverse,
    f_-g(x_g) = y_g - (C_gg)^-1 A_g.
    """
    matrix, near = _own_gram(features, options, groups)
    matrix[np.diag_indices(len(features))] += np.float32(options.ridge)
    # Symmetric: transposed it is in the order of columns that LAPACK overwrites without a copy.
    factor = sl.cholesky(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    dual = sl.cho_solve((factor, True), targets, check_finite=False)
    inverse_factor, _ = sl.lapack.strtri(factor, lower=1, overwrite_c=1)
    # Column norms of L^-1 are the diagonal of (L L^T)^-1.
    inverse_diagonal = np.einsum("ij,ij->j", inverse_factor, inverse_factor)
    left_out = targets - dual / inverse_diagonal[:, None]
    for rows in groups:
        columns = inverse_factor[:, rows]
        left_out[rows] = targets[rows] - np.linalg.solve(columns.T @ columns, dual[rows])
    return Fit(dual.astype(np.float32), left_out.astype(np.float32), near)


def _own_gram(
    features: Features, options: KernelOptions, groups: Sequence[NDArray[np.intp]]
) -> tuple[Floats, Floats | None]:
    """The kernel matrix (n, n), and each example's nearness to those outside its group."""
    count = len(features)
    matrix = np.empty((count, count), np.float32)
    near = None if features.embeddings is None else np.empty(count, np.float32)
    group_of = {int(row): rows for rows in groups for row in rows}
    for rows, kernel, cosines in _blocks(features, features, options):
        matrix[rows] = kernel
        if near is None or cosines is None:
            continue
        for at, row in enumerate(range(rows.start, rows.stop)):
            cosines[at, group_of.get(row, row)] = -1
        near[rows] = nearness(cosines)
    return matrix, near
