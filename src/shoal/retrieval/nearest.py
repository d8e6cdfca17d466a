"""Which passages are nearest to a vector: what every index of vectors does, and the one on disk."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shoal.errors import StoreError
from shoal.retrieval.attributes import Attributes, spread
from shoal.retrieval.columns import Mask
from shoal.retrieval.cursor import Cursor
from shoal.retrieval.filters import Filter
from shoal.retrieval.keywords import Numbers
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_rows import Ranges
from shoal.retrieval.shelf_tables import Vectors
from shoal.retrieval.vectors import VectorIndex

Floats = NDArray[np.float32]


class Nearest(Protocol):
    """An index of a shelf's vectors, derived from it. Safe to use from several threads."""

    def follow(self, patience_s: float) -> bool:
        """Take in all that the shelf has. Where another process does so, wait for it, for so many
        seconds at the most; false if it is still at it.

        Raises:
            StoreError: the index cannot be written.
        """

    def nearest(self, vector: Vectors, k: int, where: Filter | None) -> tuple[Numbers, Floats]:
        """Numbers and cosines of the k passages at most that have the parts nearest to a vector
        (d,), best first, and of documents that pass ``where``.

        Raises:
            MalformedRequest: no document has an attribute that the filter asks for.
            StoreError: the index cannot be read.
        """

    def close(self) -> None:
        """Give up what is held open."""


class OnDisk:
    """Those in the collection's folder, over faiss."""

    def __init__(self, folder: Path, shelf: Shelf, attributes: Attributes) -> None:
        """Open the index, or make it; empty until it ``follow``s.

        Raises:
            MissingExtra: faiss is not installed.
            OSError: the folder cannot be written.
        """
        self._shelf, self._attributes = shelf, attributes
        self._index = VectorIndex.open(folder, shelf.dim, f"{shelf.encoder}:{shelf.made}")
        self._following = threading.Lock()
        self._places: tuple[Ranges, NDArray[np.intp]] | None = None

    def follow(self, patience_s: float) -> bool:
        """As ``Nearest`` says."""
        with self._following:
            try:
                return self._follow(patience_s)
            except OSError as error:
                raise StoreError(f"{self._shelf.path.parent}: vectors: {error}") from error

    def nearest(self, vector: Vectors, k: int, where: Filter | None) -> tuple[Numbers, Floats]:
        """As ``Nearest`` says; exact, or nearly so where there are very many."""

        def search(count: int) -> tuple[Numbers, Floats]:
            with self._following:
                rows = None if where is None else self._rows(where)
                return self._index.search(vector, count, rows)

        return passages_nearest(self._shelf, k, search)

    def close(self) -> None:
        """As ``Nearest`` says."""
        self._index.close()

    def _rows(self, where: Filter) -> Mask:
        """Of each row of the index (n,) whether its document passes."""
        known, good = self._attributes.matching(where)
        if self._places is None or self._places[0] is not known:
            self._places = known, _places(known, self._index.rows)
        return np.append(good, False)[self._places[1]]

    def _follow(self, patience_s: float) -> bool:
        index, shelf, until = self._index, self._shelf, time.monotonic() + patience_s
        if index.refresh():
            self._places = None
        while index.cursor != shelf.vector_cursor():
            self._places = None
            if index.claim():
                try:  # as of now: another process may have written up to here before
                    target = shelf.vector_cursor()
                    if index.cursor != target:
                        self._write(target)
                finally:
                    index.release()
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
            index.refresh()
        return True

    def _write(self, target: Cursor) -> None:
        index, shelf = self._index, self._shelf
        at = index.cursor
        for removal in shelf.removed(at.removed):
            if removal.first_vector <= removal.last_vector:
                index.remove(removal.first_vector, removal.last_vector)
        reached = at.added
        for numbers, vectors in shelf.vectors(at.added):
            index.add(numbers, vectors)
            reached = int(numbers[-1])
        index.commit(Cursor(max(reached, target.added), target.removed))


def _places(known: Ranges, rows: Numbers) -> NDArray[np.intp]:
    """Of each row (n,) where its document is in m ``known`` ranges; m if nowhere."""
    starts = np.searchsorted(rows, known.first_vector)
    counts = np.searchsorted(rows, known.first_vector + known.vectors) - starts
    places = np.full(len(rows), len(known.documents), np.intp)
    places[spread(starts, counts)] = np.repeat(np.arange(len(known.documents)), counts)
    return places


def passages_nearest(
    shelf: Shelf, k: int, search: Callable[[int], tuple[Numbers, Floats]]
) -> tuple[Numbers, Floats]:
    """The k best passages by ``search``, which finds as many parts as it is asked for: of each
    passage its best part counts, and parts that are on the shelf no more do not."""
    asked = 2 * k
    while True:
        parts, cosines = search(asked)
        passages = shelf.passages_of_vectors(parts.tolist())
        best = dict[int, float]()
        for part, cosine in zip(parts.tolist(), cosines.tolist(), strict=True):
            if (passage := passages.get(part)) is not None:
                best.setdefault(passage, cosine)
        if len(best) >= k or len(parts) < asked:
            numbers = np.fromiter(best, np.int64, len(best))[:k]
            return numbers, np.fromiter(best.values(), np.float32, len(best))[:k]
        asked *= 4
