"""The indexes of a collection, all derived from its shelf: words, vectors, and attributes."""

from pathlib import Path

from shoal.errors import StoreError
from shoal.retrieval.attributes import Attributes
from shoal.retrieval.filters import Filter
from shoal.retrieval.keywords import Keywords, Numbers, tantivy
from shoal.retrieval.nearest import Floats, Nearest, OnDisk
from shoal.retrieval.qdrant import OnQdrant
from shoal.retrieval.qdrant_filters import models
from shoal.retrieval.qdrant_place import QdrantPlace
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_tables import Vectors
from shoal.retrieval.vectors.library import faiss


def require(qdrant: QdrantPlace | None = None) -> None:
    """See that what searches is installed, of vectors in the folder or in ``qdrant``.

    Raises:
        MissingExtra: it is not.
    """
    models() if qdrant else faiss()
    tantivy()


class Indexes:
    """What one shelf is searched by. Safe to use from several threads."""

    def __init__(self, folder: Path, shelf: Shelf, qdrant: QdrantPlace | None = None) -> None:
        """Open the indexes in a collection's ``folder``, or make them; empty until they ``follow``.
        Vectors are in ``qdrant`` instead, if that is given.

        Raises:
            MissingExtra: what they are made with is not installed.
            ConfigError: the key of ``qdrant`` is not there.
            StoreError: the folder cannot be written.
        """
        try:
            self.keywords = Keywords(folder / "keywords", shelf.made)
        except OSError as error:
            raise StoreError(f"{folder}: keywords: {error}") from error
        self._shelf, self._attributes = shelf, Attributes(shelf)
        self._vectors: Nearest
        if qdrant is None:
            try:
                self._vectors = OnDisk(folder / "vectors", shelf, self._attributes)
            except OSError as error:
                raise StoreError(f"{folder}: vectors: {error}") from error
        else:
            self._vectors = OnQdrant.at(qdrant, folder.name, shelf, self._attributes)

    def follow(self, patience_s: float) -> bool:
        """Take in all that the shelf has. Where another process does so, wait for it, for so many
        seconds at the most; false if it is still at it.

        Raises:
            StoreError: an index cannot be written.
        """
        words = self.keywords.follow(self._shelf, patience_s)
        return self._vectors.follow(patience_s) and words

    def nearest(self, vector: Vectors, k: int, where: Filter | None) -> tuple[Numbers, Floats]:
        """Numbers and cosines of the k passages at most that have the parts nearest to a vector,
        best first.

        Raises:
            MalformedRequest: no document has an attribute that the filter asks for.
            StoreError: the index cannot be read.
        """
        return self._vectors.nearest(vector, k, where)

    def close(self) -> None:
        """Give up what is held open."""
        self._vectors.close()

    def allowed(self, where: Filter) -> Numbers:
        """The numbers (n,), ascending, of the passages whose documents pass the filter.

        Raises:
            MalformedRequest: no document has an attribute that it asks for.
        """
        return self._attributes.passages(where)
