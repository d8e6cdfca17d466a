"""How to find the nearest vectors: which plan pays depends on how many there are.

Up to ``exact`` rows every int8 code is compared; up to ``binary`` rows sign bits choose candidates
whose codes are compared; beyond, codes lie in cells around centroids, and the nearest cells are
looked through. Few allowed rows are gathered and their codes compared whatever the plan, which is
exact.

By sign bits alone recall@10 falls short; with the codes of the nearest 1,500 compared it is that of
comparing all codes, .995 (213,310 real texts; .995 with made-up ones to a million). Taking the mean
off first, random and learned rotations (ITQ), and 512 bits gained nothing there; 256 bits lost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.retrieval.vectors.codes import (
    Bits,
    Coded,
    Floats,
    bits_of,
    common_scale,
    cosines,
    recoded,
    whole_steps,
)
from shoal.retrieval.vectors.library import faiss

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

DEPTH = 1500  # candidates by bits, at least
PER_HIT = 20  # and at least so many for each hit asked for
GATHERED = 0.03  # of the rows: fewer allowed ones are compared one by one, more by the plan
FEWEST_GATHERED = 2000
_SPARE = 32  # candidates more than asked for, whose own scales may put them first
_MARGIN = 0.0035  # four times the error (rms) of a cosine by common scale and whole steps
MOST_PICKED = 0.6  # of the rows: the bits of fewer allowed ones are copied together first
_PICKED = 1 << 12  # at once: they stay in the cache
_BLOCK = 1 << 16
_RECODED = 1 << 11  # at once: their float form stays in the cache


class Limits(Struct, frozen=True):
    """Up to how many rows each plan is used; beyond ``binary``, cells."""

    exact: int = 100_000
    binary: int = 2_000_000


class Source(Protocol):
    """Where a plan reads rows from: ``codes``, ``scales``, ``bits`` or ``cells``."""

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows ``start`` to ``stop``."""


class Plan(Protocol):
    """Finds candidates among the rows that it holds."""

    def add(self, source: Source, start: int, stop: int) -> None:
        """Take in rows ``start``, where it ended, to ``stop``."""

    def candidates(self, query: Floats, k: int, allowed: Mask | None) -> Rows:
        """Rows, in no order and mostly more than k, with the k of greatest cosine with the unit
        ``query`` (d,) among them: surely or almost, as the plan goes. ``allowed`` is (n,), and k
        is less than the number of allowed rows."""


def nearest(
    plan: Plan, held: Coded, query: Floats, k: int, allowed: Mask | None
) -> tuple[Rows, Floats]:
    """The min(k, allowed) rows of greatest cosine with the unit ``query`` (d,): rows and cosines,
    best first, equal ones by row."""
    total = len(held.codes)
    count = total if allowed is None else int(np.count_nonzero(allowed))
    k = min(k, count)
    if k <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    if allowed is not None and count <= max(k, FEWEST_GATHERED, GATHERED * total):
        rows = np.flatnonzero(allowed)
    elif count == k:
        rows = np.arange(total)
    elif not query.any():  # as near to every row: the first ones it is
        rows = np.arange(total) if allowed is None else np.flatnonzero(allowed)
    else:
        rows = plan.candidates(query, k, None if count == total else allowed)
    found = cosines(held, rows, query)
    if k < len(found):  # those of the k-th cosine are all kept, to be told apart by row
        best = np.flatnonzero(found >= -np.partition(-found, k - 1)[k - 1])
        rows, found = rows[best], found[best]
    order = np.lexsort((rows, -found))[:k]
    return rows[order], found[order]


class ExactScan:
    """Every row's code, on the common scale, times the query's."""

    def __init__(self, dim: int) -> None:
        library = faiss()
        self._scale = common_scale(dim)
        self._index = library.IndexScalarQuantizer(
            dim, library.ScalarQuantizer.QT_8bit_direct_signed, library.METRIC_INNER_PRODUCT
        )

    def add(self, source: Source, start: int, stop: int) -> None:
        for begin, end in blocks(start, stop, _RECODED):
            codes, scales = (source.read(name, begin, end) for name in ("codes", "scales"))
            self._index.add_sa_codes(recoded(Coded(codes, scales)))

    def candidates(self, query: Floats, k: int, allowed: Mask | None) -> Rows:
        """Widened until nothing outside can be among the k, or equal the k-th."""
        library, total = faiss(), self._index.ntotal
        fetch = 2 * k + _SPARE
        steps, step = whole_steps(query)
        margin = _MARGIN / (self._scale * step)
        with selected(library, allowed) as parameters:
            while True:
                fetch = min(fetch, total)
                scores, rows = self._index.search(steps[None], fetch, params=parameters)
                found = rows[0] >= 0
                apart = scores[0, k - 1] - scores[0, -1] > margin
                if fetch == total or not found.all() or apart:
                    return np.asarray(rows[0][found])
                fetch *= 8


class BinaryScan:
    """Every row's sign bits; the codes of the nearest by Hamming distance decide."""

    def __init__(self, dim: int) -> None:
        self._index = faiss().IndexBinaryFlat(8 * ((dim + 7) // 8))

    def add(self, source: Source, start: int, stop: int) -> None:
        for begin, end in blocks(start, stop):
            self._index.add(source.read("bits", begin, end))

    def candidates(self, query: Floats, k: int, allowed: Mask | None) -> Rows:
        library, fetch = faiss(), min(max(DEPTH, PER_HIT * k), self._index.ntotal)
        bits = bits_of(query[None])
        if allowed is not None and np.count_nonzero(allowed) <= MOST_PICKED * len(allowed):
            rows = np.flatnonzero(allowed)
            return rows[lowest(self._distances(bits, rows), fetch)]
        with selected(library, allowed) as parameters:
            _, found = self._index.search(bits, fetch, params=parameters)
        return np.asarray(found[0][found[0] >= 0])

    def _distances(self, bits: Bits, rows: Rows) -> NDArray[np.int32]:
        """Hamming distances (m,) of ``rows`` (m,). Copying them together first, as much as the
        cache holds, is quicker than faiss's asking a selector about every row: at a million rows
        9 ms for half of them and 3 for a tenth, against 12.5."""
        library, width = faiss(), bits.shape[1]
        size = self._index.ntotal * width
        held = library.rev_swig_ptr(self._index.xb.data(), size).reshape(-1, width)
        picked, found = np.empty((_PICKED, width), np.uint8), np.empty(len(rows), np.int32)
        one, many = library.swig_ptr(bits), library.swig_ptr(picked)
        for start in range(0, len(rows), _PICKED):
            part = rows[start : start + _PICKED]
            held.take(part, axis=0, out=picked[: len(part)], mode="clip")
            into = library.swig_ptr(found[start:])
            library.hammings(one, many, 1, len(part), width, into)
        return found


def lowest(distances: NDArray[np.int32], count: int) -> Rows:
    """Where the ``count`` lowest are, of equal ones the first; in no order."""
    if count >= len(distances):
        return np.arange(len(distances))
    most = np.partition(distances, count - 1)[count - 1]
    below = np.flatnonzero(distances < most)
    return np.concatenate([below, np.flatnonzero(distances == most)[: count - len(below)]])


def blocks(start: int, stop: int, size: int = _BLOCK) -> Iterator[tuple[int, int]]:
    """(begin, end) of parts small enough to copy."""
    for begin in range(start, stop, size):
        yield begin, min(begin + size, stop)


@contextmanager
def selected(library: Any, allowed: Mask | None) -> Iterator[Any]:
    """Parameters that select the allowed rows; None if all are. faiss keeps bare pointers from
    them to the selector, and from that to the bitmap: all live as long as this context."""
    if allowed is None:
        yield None
        return
    bitmap = np.packbits(allowed, bitorder="little")
    selector = library.IDSelectorBitmap(len(bitmap), library.swig_ptr(bitmap))
    yield library.SearchParameters(sel=selector)
    del selector, bitmap
