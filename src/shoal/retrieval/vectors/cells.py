"""The plan beyond two million rows: codes in cells around centroids, the nearest looked through.

An inverted file over int8 codes (Jégou et al. 2011, as faiss's IndexIVFScalarQuantizer) without
residuals, so that a row's code is the same in every plan. What it does not promise: the true
nearest row is missed if its cell is not looked into.
"""

import numpy as np
from numpy.typing import NDArray

from shoal.retrieval.vectors.codes import Coded, Codes, Floats, recoded, whole_steps
from shoal.retrieval.vectors.library import faiss
from shoal.retrieval.vectors.plans import Mask, Rows, Source, blocks, selected

PROBED = 3 / 16
"""Of the cells are looked into, for each query without a filter. Recall@10 with 213,310 real texts
in 512 cells and real questions: 1/16 .951, 1/8 .975, 3/16 .984, 1/4 .988; all of them .995."""

_SPARE = 32
_SAMPLE = 64  # rows a centroid is trained on
_ROUNDS = 8


class CellScan:
    """The cells nearest to the query; more of them, the fewer rows are allowed."""

    def __init__(self, centroids: Floats) -> None:
        count, dim = centroids.shape
        library = faiss()
        self._centroids = library.IndexFlatIP(dim)  # kept: the index only points to it
        self._centroids.add(centroids)
        kind = library.ScalarQuantizer.QT_8bit_direct_signed
        self._index = library.IndexIVFScalarQuantizer(
            self._centroids, dim, count, kind, library.METRIC_INNER_PRODUCT, False
        )
        self._index.is_trained = True
        self._cells = count

    def add(self, source: Source, start: int, stop: int) -> None:
        library = faiss()
        for begin, end in blocks(start, stop):
            cells, scales = (source.read(name, begin, end) for name in ("cells", "scales"))
            order = np.argsort(cells, kind="stable")
            codes = recoded(Coded(source.read("codes", begin, end), scales))[order]
            rows = order + begin
            found, firsts = np.unique(cells[order], return_index=True)
            for cell, first, last in zip(found, firsts, [*firsts[1:], len(order)], strict=True):
                self._index.invlists.add_entries(
                    int(cell),
                    int(last - first),
                    library.swig_ptr(rows[first:last]),
                    library.swig_ptr(codes[first:last]),
                )
        self._index.ntotal = stop

    def candidates(self, query: Floats, k: int, allowed: Mask | None) -> Rows:
        """Few allowed rows are spread over many cells: as many are looked into as hold as many
        allowed rows as there would be rows without a filter."""
        library = faiss()
        share = 1.0 if allowed is None else np.count_nonzero(allowed) / len(allowed)
        probes = min(self._cells, max(1, round(self._cells * PROBED / max(share, 1e-9))))
        with selected(library, allowed) as chosen:
            selector = None if chosen is None else chosen.sel
            parameters = library.SearchParametersIVF(sel=selector, nprobe=probes)
            fetch = min(2 * k + _SPARE, self._index.ntotal)
            _, rows = self._index.search(whole_steps(query)[0][None], fetch, params=parameters)
        found = rows[0][rows[0] >= 0]
        if len(found) < k:  # the cells looked into held too few
            return np.flatnonzero(allowed) if allowed is not None else np.arange(self._index.ntotal)
        return np.asarray(found)


def cells_for(rows: int) -> int:
    """How many centroids: about √n, a power of two."""
    return int(2 ** round(np.log2(max(2.0, rows**0.5))))


def trained(codes: Codes, count: int) -> Floats:
    """(count, d) unit centroids by spherical k-means on a sample of the rows, the same each time.
    About a minute of one core for 2,048 of them."""
    library = faiss()
    size = min(len(codes), count * _SAMPLE)
    rows = np.sort(np.random.default_rng(0).choice(len(codes), size, replace=False))
    sample = codes[rows].astype(np.float32)
    sample /= np.maximum(np.linalg.norm(sample, axis=1, keepdims=True), 1)
    means = library.Kmeans(
        codes.shape[1], count, niter=_ROUNDS, spherical=True, seed=1, min_points_per_centroid=1
    )
    means.train(sample)
    return np.asarray(means.centroids, np.float32).reshape(count, -1)


def nearest_cells(codes: Codes, centroids: Floats) -> NDArray[np.int32]:
    """(n,) the centroid of greatest cosine for each row."""
    found = np.empty(len(codes), np.int32)
    for begin, end in blocks(0, len(codes)):
        found[begin:end] = np.argmax(codes[begin:end].astype(np.float32) @ centroids.T, axis=1)
    return found
