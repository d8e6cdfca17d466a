"""The indexes of a collection, all derived from its shelf: words, vectors, and attributes."""

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal.retrieval.columns import Columns
from shoal.retrieval.filters import Filter
from shoal.retrieval.keywords import Keywords, Numbers
from shoal.retrieval.shelf import Cursor, Shelf
from shoal.retrieval.vectors import VectorIndex


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
        """Take in all that the shelf has.

        Raises:
            StoreError: an index cannot be written.
        """
        with self._following:
            self.keywords.follow(self._shelf)
            self._follow_vectors()

    def allowed(self, where: Filter) -> NDArray[np.bool_]:
        """Of each row of the vector index (n,) whether its document passes the filter.

        Raises:
            MalformedRequest: no document has such an attribute.
        """
        with self._following:
            self._follow_attributes()
            passing = self._columns.matching(where)
            documents = self._documents_of(self.vectors.rows)
        inside = documents < len(passing)
        return inside & passing[np.where(inside, documents, 0)] & (documents > 0)

    def _follow_vectors(self) -> None:
        index, shelf = self.vectors, self._shelf
        target = shelf.cursor()
        if index.cursor == target:
            return
        with index.writing():
            at = index.cursor
            for removal in shelf.removed(at.removal):
                index.remove(removal.first, removal.last)
            for numbers, vectors in shelf.vectors(at.passage):
                index.add(numbers, vectors)
            index.commit(Cursor(target.passage, target.removal))

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
