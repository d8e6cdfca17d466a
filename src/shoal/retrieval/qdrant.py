"""Vectors in Qdrant, where several gateways share one index.

They are derived from the shelf as those on disk are. A point is a vector under its number, with its
document's number and attributes; point 0 has no vector and says how far the shelf has been read.
Whoever finds that the shelf has more takes it in, several at once if it so happens: numbers are
never given twice, points are only ever inserted, those of removed documents only ever deleted, and
attributes only replaced by ones read later. So what is done twice, or late, does no harm.

Gateways have to have the same shelf, or copies of it of which one is written to: words are searched
in it, and what it does not have is not found. Needs Qdrant 1.17 or later, which knows inserts that
leave alone what is there.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Self, TypeVar

import numpy as np
from msgspec import Struct

from shoal.errors import StoreError
from shoal.retrieval.attributes import Attributes
from shoal.retrieval.filters import Filter
from shoal.retrieval.keywords import Numbers
from shoal.retrieval.nearest import Floats, passages_nearest
from shoal.retrieval.qdrant_filters import field_of, fields_of, models, translated
from shoal.retrieval.qdrant_place import QdrantPlace, told
from shoal.retrieval.qdrant_points import drop_by, points_name
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_rows import Described
from shoal.retrieval.shelf_tables import Vectors

T = TypeVar("T")

_READ = 0  # the point that says how far the shelf has been read; vectors count from 1
_OLDEST = (1, 17)
_SLICE = 500  # vectors in a request: 3 MB of JSON, of the 32 that a server takes
_SAY_EVERY = 10_000  # vectors
_SEEN = 128  # nodes of Qdrant's graph kept while searching; with 100 recall@10 was .994 at 100,000


class _Read(Struct, frozen=True):
    """How far the shelf has been read: vectors up to ``added``, removals up to ``removed``, and
    what had changed as of the count ``changes``."""

    added: int = 0
    removed: int = 0
    changes: int = 0


class OnQdrant:
    """A shelf's vectors in one of Qdrant's collections; a ``Nearest``."""

    def __init__(self, client: Any, name: str, shelf: Shelf, attributes: Attributes) -> None:
        """``name`` is the collection's. One that is encoded anew, or removed and made again, is
        another one to Qdrant, so that neither finds the other's vectors."""
        self._client, self._shelf, self._attributes = client, shelf, attributes
        self._collection, self.name = name, points_name(name, shelf.encoder, shelf.made)
        self._known: _Read | None = None
        self._indexed: set[str] | None = None  # fields; None: nothing is indexed
        self._following = threading.Lock()
        self._ours = False  # whether the client ends with this

    @classmethod
    def at(cls, place: QdrantPlace, name: str, shelf: Shelf, attributes: Attributes) -> Self:
        """In a place.

        Raises:
            MissingExtra, ConfigError, StoreError: as ``QdrantPlace.client``.
        """
        found = cls(place.client(), name, shelf, attributes)
        found._ours = True
        if place.remote:
            found._indexed = set()
        return found

    def follow(self, patience_s: float) -> bool:
        """As ``Nearest`` says; several may write at once, so that nobody waits."""
        with self._following, told(self.name):
            known = self._known
            if known is not None and known.changes >= self._shelf.changes():
                return True  # others may have read further, and never less
            if not self._shelf.is_current():  # what it was is not to be made again
                raise StoreError("the collection was encoded anew meanwhile: open it again")
            known = self._known = self._read()
            self._drop_former()
            if known.changes >= self._shelf.changes():
                return True
            count, documents = self._shelf.described(known.changes)
            self._index(documents)
            added = self._insert(documents, known, count)
            self._describe(documents, count)
            removed = self._remove(known)  # last: nothing that went meanwhile has been inserted
            self._write(_Read(added, removed, count))
            return True

    def nearest(self, vector: Vectors, k: int, where: Filter | None) -> tuple[Numbers, Floats]:
        """As ``Nearest`` says; by Qdrant's graph, which misses few, and exact in a local Qdrant."""
        allowed = None if where is None else translated(where, self._attributes.texts(where))
        params = None if self._indexed is None else models().SearchParams(hnsw_ef=_SEEN)
        length = max(float(np.linalg.norm(vector)), 1e-12)

        def points(count: int) -> list[Any]:
            with told(self.name):
                found = self._client.query_points(
                    self.name,
                    query=(vector / length).tolist(),
                    query_filter=allowed,
                    limit=max(count, 1),
                    search_params=params,
                    with_payload=False,
                )
                return list(found.points)

        def search(count: int) -> tuple[Numbers, Floats]:
            try:
                found = points(count)
            except StoreError:
                if not self._went():
                    raise
                self.follow(0)
                found = points(count)
            numbers = np.array([point.id for point in found], np.int64)
            cosines = np.array([point.score for point in found], np.float32)
            order = np.lexsort((numbers, -cosines))
            return numbers[order], cosines[order]

        return passages_nearest(self._shelf, k, search)

    def close(self) -> None:
        """As ``Nearest`` says."""
        if self._ours:
            self._client.close()

    def _went(self) -> bool:
        """Whether all of it was removed from Qdrant: by somebody there, or by who has this
        collection too and encoded it anew. The next ``follow`` makes it again."""
        with self._following, told(self.name):
            if self._client.collection_exists(self.name):
                return False
            self._known = None
            self._indexed = None if self._indexed is None else set()
            return True

    def _drop_former(self) -> None:
        """Remove what it was before it was encoded anew, now that nobody searches that."""
        former = self._shelf.former()
        if former:
            names = [points_name(self._collection, one.encoder, one.made) for one in former]
            drop_by(self._client, names)
            self._shelf.forget_former()

    def _read(self) -> _Read:
        api, client = models(), self._client
        if self._indexed is not None:
            self._check_version()
        if not client.collection_exists(self.name):
            try:
                client.create_collection(
                    self.name,
                    vectors_config=api.VectorParams(
                        size=self._shelf.dim, distance=api.Distance.DOT
                    ),
                )
            except Exception:  # whatever it is called: has another gateway made it just now?
                if not client.collection_exists(self.name):
                    raise
        found = client.retrieve(self.name, [_READ], with_payload=True)
        return _Read(**found[0].payload) if found else _Read()

    def _check_version(self) -> None:
        version = str(self._client.info().version)
        found = tuple(int(part) for part in version.split(".")[:2])
        if found < _OLDEST:
            raise StoreError(
                f"Qdrant is {version}; it has to be {_OLDEST[0]}.{_OLDEST[1]} or later"
            )

    def _write(self, read: _Read) -> None:
        payload = {name: getattr(read, name) for name in _Read.__struct_fields__}
        point = models().PointStruct(id=_READ, vector={}, payload=payload)
        self._client.upsert(self.name, [point])
        self._known = read

    def _insert(self, documents: Sequence[Described], known: _Read, count: int) -> int:
        """Insert the vectors that are not there yet; the last of which that holds."""
        api, shelf = models(), self._shelf
        new = [one for one in documents if max(one.first_vector - 1, known.added) < one.last_vector]
        if not new:
            return known.added
        starts, last = np.array([one.first_vector for one in new]), new[-1].last_vector
        payloads = [_payload(one, count) for one in new]
        said = known.added
        for numbers, vectors in shelf.vectors(known.added, _SLICE):
            at = np.searchsorted(starts, numbers, "right") - 1
            points = [
                api.PointStruct(id=number, vector=vector, payload=payloads[place])
                for number, vector, place in zip(
                    numbers.tolist(), vectors.tolist(), at.tolist(), strict=True
                )
                if place >= 0 and number <= new[place].last_vector
            ]
            if points:
                self._client.upsert(self.name, points, update_mode=api.UpdateMode.INSERT_ONLY)
            if (reached := int(numbers[-1])) >= last:
                break  # what follows came after the documents were read
            if reached >= said + _SAY_EVERY:
                self._write(_Read(reached, known.removed, known.changes))
                said = reached
        return max(last, known.added)

    def _describe(self, documents: Sequence[Described], count: int) -> None:
        """Give the documents whose attributes were read before ``count`` those that they have."""
        api = models()
        older = api.FieldCondition(key="changed", range=api.Range(lt=count))
        for part in _slices(documents):
            stale = self._documents([_among([one.number for one in part]), older])
            for one in part:
                if one.number in stale:
                    chosen = api.Filter(must=[_among([one.number]), older])
                    self._client.overwrite_payload(self.name, _payload(one, count), chosen)

    def _documents(self, conditions: list[Any]) -> set[int]:
        """Those that have points which fulfil all conditions."""
        found, after = set[int](), None
        while True:
            points, after = self._client.scroll(
                self.name,
                scroll_filter=models().Filter(must=conditions),
                limit=10 * _SLICE,
                offset=after,
                with_payload=["document"],
            )
            found.update(point.payload["document"] for point in points)
            if after is None:
                return found

    def _remove(self, known: _Read) -> int:
        """Delete the points of removed documents; the last removal that was seen to."""
        api, removed = models(), self._shelf.removed(known.removed)
        for part in _slices(removed):
            chosen = api.Filter(must=[_among([one.document for one in part])])
            self._client.delete(self.name, points_selector=api.FilterSelector(filter=chosen))
        return removed[-1].number if removed else known.removed

    def _index(self, documents: Sequence[Described]) -> None:
        """Have a server index the fields that filters may ask for."""
        if self._indexed is None:
            return
        api = models().PayloadSchemaType
        fields = {"document": api.INTEGER, "changed": api.INTEGER}
        schemas = {"text": api.KEYWORD, "number": api.FLOAT, "flag": api.KEYWORD}
        for one in documents:
            for key, value in one.attributes.items():
                field = field_of(key, value)
                fields[field] = schemas[field.partition("-")[0]]
        for field in sorted(fields.keys() - self._indexed):
            self._client.create_payload_index(self.name, field, fields[field])
            self._indexed.add(field)


def _payload(one: Described, count: int) -> dict[str, str | float]:
    return {**fields_of(one.attributes), "document": one.number, "changed": count}


def _among(documents: Sequence[int]) -> Any:
    api = models()
    return api.FieldCondition(key="document", match=api.MatchAny(any=list(documents)))


def _slices(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), _SLICE):
        yield rows[start : start + _SLICE]
