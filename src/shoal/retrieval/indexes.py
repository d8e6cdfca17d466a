"""The indexes of a collection, all derived from its shelf: words, vectors, and attributes."""

import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal.errors import StoreError
from shoal.retrieval.columns import Columns
from shoal.retrieval.cursor import Cursor
from shoal.retrieval.filters import Filter
from shoal.retrieval.keywords import Keywords, Numbers, tantivy
from shoal.retrieval.shelf import Ranges, Shelf
from shoal.retrieval.shelf_tables import Vectors
from shoal.retrieval.vectors import VectorIndex
from shoal.retrieval.vectors.library import faiss

_PATIENCE_S = 60.0  # for another process that brings an index up to date


def require() -> None:
    """See that what searches is installed.

    Raises:
        MissingExtra: it is not.
    """
    faiss()
    tantivy()


class Indexes:
    """What one shelf is searched by. Safe to use from several threads."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        """Open the indexes in a collection's ``folder``, or make them; empty until they ``follow``.

        Raises:
            MissingExtra: what they are made with is not installed.
            StoreError: the folder cannot be written.
        """
        self._shelf = shelf
        self.keywords = Keywords(folder / "keywords")
        self.vectors = VectorIndex.open(folder / "vectors", shelf.dim, shelf.encoder)
        self._columns, self._changes, self._removal = Columns(), 0, 0
        self._following = threading.Lock()
        self._ranges: Ranges | None = None

    def follow(self) -> None:
        """Take in all that the shelf has. Where another process does so, wait for it.

        Raises:
            StoreError: that took too long, or an index cannot be written.
        """
        with self._following:
            self.keywords.follow(self._shelf)
            try:
                self._follow_vectors()
            except OSError as error:
                raise StoreError(f"{self._shelf.path.parent}: vectors: {error}") from error

    def nearest(
        self, vector: Vectors, k: int, where: Filter | None
    ) -> tuple[Numbers, NDArray[np.float32]]:
        """Numbers and cosines of the k passages at most that have the parts nearest to a vector,
        best first.

        Raises:
            MalformedRequest: no document has an attribute that the filter asks for.
        """
        asked = 2 * k
        while True:
            with self._following:
                rows = None if where is None else self._rows(where)
                parts, cosines = self.vectors.search(vector, asked, rows)
            passages = self._shelf.passages_of_vectors(parts.tolist())
            best = dict[int, float]()
            for part, cosine in zip(parts.tolist(), cosines.tolist(), strict=True):
                if (passage := passages.get(part)) is not None:
                    best.setdefault(passage, cosine)
            if len(best) >= k or len(parts) < asked:
                numbers = np.fromiter(best, np.int64, len(best))[:k]
                return numbers, np.fromiter(best.values(), np.float32, len(best))[:k]
            asked *= 4

    def allowed(self, where: Filter) -> Numbers:
        """The numbers (n,), ascending, of the passages whose documents pass the filter.

        Raises:
            MalformedRequest: no document has an attribute that it asks for.
        """
        with self._following:
            ranges = self._passing(where)
        return _spread(ranges.first, ranges.passages)

    def _rows(self, where: Filter) -> NDArray[np.bool_]:
        """Of each row of the vector index (n,) whether its document passes."""
        ranges, rows = self._passing(where), self.vectors.rows
        starts = np.searchsorted(rows, ranges.first_vector)
        ends = np.searchsorted(rows, ranges.first_vector + ranges.vectors)
        steps = np.zeros(len(rows) + 1, np.int8)
        np.add.at(steps, starts, 1)
        np.add.at(steps, ends, -1)
        return np.cumsum(steps[:-1], dtype=np.int8) > 0

    def _passing(self, where: Filter) -> Ranges:
        """The ranges of the documents that pass."""
        self._follow_attributes()
        if self._ranges is None or self._ranges.changes != self._changes:
            self._ranges = self._shelf.ranges()
        known, passing = self._ranges, self._columns.matching(where)
        inside = known.documents < len(passing)
        good = inside & passing[np.where(inside, known.documents, 0)]
        columns = (getattr(known, name)[good] for name in Ranges.__struct_fields__[1:])
        return Ranges(known.changes, *columns)

    def _follow_vectors(self) -> None:
        index, shelf = self.vectors, self._shelf
        index.refresh()
        target, until = shelf.vector_cursor(), time.monotonic() + _PATIENCE_S
        while index.cursor < target and not index.claim():
            if time.monotonic() > until:
                raise StoreError(f"{shelf.path.parent}: vectors: another process writes all along")
            time.sleep(0.02)
            index.refresh()
        if index.cursor == target:
            return
        try:
            self._write_vectors(target)
        finally:
            index.release()

    def _write_vectors(self, target: Cursor) -> None:
        index, shelf = self.vectors, self._shelf
        at = index.cursor
        for removal in shelf.removed(at.removed):
            if removal.first_vector <= removal.last_vector:
                index.remove(removal.first_vector, removal.last_vector)
        reached = at.added
        for numbers, vectors in shelf.vectors(at.added):
            index.add(numbers, vectors)
            reached = int(numbers[-1])
        index.commit(Cursor(max(reached, target.added), target.removed))

    def _follow_attributes(self) -> None:
        self._changes, rows = self._shelf.changed(self._changes)
        for number, attributes in rows:
            self._columns.add(number, attributes)
        for removal in self._shelf.removed(self._removal):
            self._columns.remove(removal.document)
            self._removal = removal.number


def _spread(first: Numbers, count: Numbers) -> Numbers:
    """The numbers of all ranges, one after the other."""
    total = int(count.sum())
    starts = np.repeat(first - np.concatenate(([0], np.cumsum(count)[:-1])), count)
    return starts + np.arange(total)
