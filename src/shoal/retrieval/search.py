"""Search of a collection by words and by meaning, the two brought together."""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from shoal.formats.vector_stores import MOST_QUERY
from shoal.retrieval.adapter import Adapter
from shoal.retrieval.documents import Document, Hit, Passage
from shoal.retrieval.filters import Filter
from shoal.retrieval.fusion import DEFAULT, fuse
from shoal.retrieval.indexes import Indexes
from shoal.retrieval.keywords import Numbers
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_tables import Vectors

_POOL = 50  # passages that each side puts forward, at the least; more find nothing more
_MOST_POOL = 5_000  # and at the most where k is not more: many may be the same
_WIDER = 10  # times, where they were

By = Literal["both", "words", "meaning"]
Floats = NDArray[np.float32]


class SearchOptions(Struct, frozen=True):
    """How many passages (``k``), by what, only of documents that pass ``where``, and with how many
    ``neighbours`` before and after each. Passages with the same words are one, unless not
    ``distinct``; of those only the 5,000 best by words and by meaning are looked through."""

    k: int = 10
    by: By = "both"
    where: Filter | None = None
    neighbours: int = 0
    distinct: bool = True


class _Ranked(Struct, frozen=True):
    """n candidates, best first: numbers, scores, BM25 and cosines (NaN: unknown), (n,) each."""

    numbers: Numbers
    scores: Floats
    words: Floats
    meaning: Floats


class EncodesQuery(Protocol):
    """What makes a vector of a query."""

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class Search:
    """Searches one shelf through its indexes. Safe to use from several threads."""

    def __init__(self, shelf: Shelf, indexes: Indexes, encoder: EncodesQuery) -> None:
        self._shelf, self._indexes, self._encoder = shelf, indexes, encoder

    def find(self, query: str, options: SearchOptions, adapter: Adapter | None = None) -> list[Hit]:
        """The best passages, best first; fewer than ``k`` if there are no more, or if the best
        thousands are the same few. The adapter is for searches by both, which it was certified for.

        Raises:
            MalformedRequest: the filter asks for an attribute that no document has.
        """
        query = query[:MOST_QUERY]
        vector = None if options.by == "words" else self._encoder.encode([query])[0]
        pool, most = max(_POOL, 2 * options.k), max(_MOST_POOL, 2 * options.k)
        while True:
            found = self._ranked(query, vector, options, pool, adapter)
            hits = self._hits(found, options)
            if len(hits) >= options.k or len(found.numbers) < pool or pool == most:
                return [self._with_neighbours(hit, options.neighbours) for hit in hits]
            pool = min(_WIDER * pool, most)  # many were the same, or went meanwhile

    def _ranked(
        self,
        query: str,
        vector: Vectors | None,
        asked: SearchOptions,
        pool: int,
        adapter: Adapter | None,
    ) -> _Ranked:
        """The candidates of a query with this vector."""
        indexes, where, by = self._indexes, asked.where, asked.by
        fusion = DEFAULT
        said = meant = np.empty(0, np.int64), np.empty(0, np.float32)
        if adapter is not None and vector is not None and by == "both":
            vector, fusion = adapter.apply(vector), adapter.fusion
        if vector is not None:
            meant = indexes.nearest(vector, pool, where)
        if by != "meaning":
            allowed = None if where is None else indexes.allowed(where)
            said = indexes.keywords.search(query, pool, allowed)
        numbers = np.union1d(said[0], meant[0]).astype(np.int64)
        words, meaning = _at(numbers, *said), _at(numbers, *meant)
        if vector is not None:
            self._complete(numbers, meaning, vector)
        if by == "both":
            scores = fuse(words, meaning, fusion).astype(np.float32)
        else:
            scores = words if by == "words" else meaning
        order = np.lexsort((numbers, -scores))
        return _Ranked(numbers[order], scores[order], words[order], meaning[order])

    def _complete(self, numbers: Numbers, meaning: Floats, vector: Vectors) -> None:
        """Fill in the cosines of those that only the words brought up."""
        missing = np.flatnonzero(np.isnan(meaning))
        known = self._shelf.vectors_of(numbers[missing].tolist())
        for place in missing:
            found = known.get(int(numbers[place]))
            meaning[place] = 0.0 if found is None else (found @ vector).max()  # None: it is gone

    def _hits(self, found: _Ranked, asked: SearchOptions) -> list[Hit]:
        hits, seen = list[Hit](), set[str]()
        for place, passage, document in self._fetched(found.numbers, asked):
            if asked.distinct and passage.text in seen:  # under other headings
                continue
            seen.add(passage.text)
            hit = Hit(
                passage=passage,
                document=document,
                score=float(found.scores[place]),
                words=_known(found.words[place]),
                meaning=_known(found.meaning[place]),
            )
            hits.append(hit)
            if len(hits) == asked.k:
                break
        return hits

    def _fetched(
        self, numbers: Numbers, asked: SearchOptions
    ) -> Iterator[tuple[int, Passage, Document]]:
        """Passages of these numbers, with their places there; k at once, for the first are mostly
        enough. Those removed since the indexes were asked are left out."""
        for places in self._places(numbers, asked):
            wanted = [int(numbers[place]) for place in places]
            passages = self._shelf.passages(wanted)
            documents = self._shelf.documents_of({one.document for one in passages.values()})
            for place, number in zip(places, wanted, strict=True):
                passage = passages.get(number)
                if passage is not None and passage.document in documents:
                    yield place, passage, documents[passage.document]

    def _places(self, numbers: Numbers, asked: SearchOptions) -> Iterator[Sequence[int]]:
        """Where to look, k at most at once; if ``distinct``, where each wording is first. That is
        told by digests, ever more at once, without loading texts."""
        k = max(asked.k, 1)
        start, size, seen = 0, 2 * k, set[str]()
        while start < len(numbers):
            places: Sequence[int] = range(start, min(start + size, len(numbers)))
            start, size = start + size, _WIDER * size
            if asked.distinct:
                places = self._unseen(numbers, places, seen)
            yield from (places[at : at + k] for at in range(0, len(places), k))

    def _unseen(self, numbers: Numbers, places: Sequence[int], seen: set[str]) -> list[int]:
        """Those of the places whose words were not ``seen`` yet, which they are then."""
        digests = self._shelf.digests_of(numbers[places[0] : places[-1] + 1].tolist())
        found = list[int]()
        for place in places:
            digest = digests.get(int(numbers[place]))
            if digest is not None and digest not in seen:
                seen.add(digest)
                found.append(place)
        return found

    def _with_neighbours(self, hit: Hit, count: int) -> Hit:
        """Passages of a document are numbered in a row."""
        if not count:
            return hit
        number = hit.passage.number
        around = [*range(number - count, number), *range(number + 1, number + count + 1)]
        found = self._shelf.passages(around)
        same = [one for _, one in sorted(found.items()) if one.document == hit.document.number]
        before, after = _parted(same, number)
        return replace(hit, before=before, after=after)


def _parted(
    passages: Sequence[Passage], number: int
) -> tuple[tuple[Passage, ...], tuple[Passage, ...]]:
    before = tuple(one for one in passages if one.number < number)
    return before, tuple(one for one in passages if one.number > number)


def _at(wanted: Numbers, numbers: Numbers, scores: Floats) -> Floats:
    """The score of each wanted number (n,), NaN where there is none; ``wanted`` ascend."""
    found = np.full(len(wanted), np.nan, np.float32)
    found[np.searchsorted(wanted, numbers)] = scores
    return found


def _known(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)
