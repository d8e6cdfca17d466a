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
from shoal.retrieval.keywords import Keywords, Numbers
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_tables import Vectors
from shoal.retrieval.vectors import VectorIndex

_PATIENCE_S = 60.0  # for another process that brings an index up to date


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
        self._documents: tuple[Numbers, Numbers] | None = None

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
        """Numbers and cosines of the k passages at most that are nearest, best first.

        Raises:
            MalformedRequest: no document has an attribute that the filter asks for.
        """
        with self._following:
            rows = None if where is None else self._rows(where)
            return self.vectors.search(vector, k, rows)

    def allowed(self, where: Filter) -> Numbers:
        """The numbers (n,), ascending, of the passages whose documents pass the filter.

        Raises:
            MalformedRequest: no document has an attribute that it asks for.
        """
        with self._following:
            return self.vectors.rows[self._rows(where)]

    def _rows(self, where: Filter) -> NDArray[np.bool_]:
        """Of each row of the vector index (n,) whether its document passes."""
        self._follow_attributes()
        passing = self._columns.matching(where)
        documents = self._documents_of(self.vectors.rows)
        known = (documents > 0) & (documents < len(passing))
        return known & passing[np.where(known, documents, 0)]

    def _follow_vectors(self) -> None:
        index, shelf = self.vectors, self._shelf
        index.refresh()
        target, until = shelf.cursor(), time.monotonic() + _PATIENCE_S
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
            index.remove(removal.first, removal.last)
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

    def _documents_of(self, rows: Numbers) -> Numbers:
        """The document of each row (n,), looked up once while the rows stay the same."""
        known = self._documents
        if known is None or known[0] is not rows:
            self._documents = known = rows, self._shelf.documents_by_passage(rows)
        return known[1]
