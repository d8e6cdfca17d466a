"""Search of a collection by words and by meaning, the two brought together."""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from shoal.retrieval.adapter import Adapter
from shoal.retrieval.documents import Document, Hit, Passage
from shoal.retrieval.filters import Filter
from shoal.retrieval.fusion import DEFAULT, fuse
from shoal.retrieval.indexes import Indexes
from shoal.retrieval.keywords import Numbers
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_tables import Vectors

_POOL = 50  # passages that each side puts forward, at the least; more find nothing more
_LONGEST_QUERY = 20_000  # characters; what follows is not looked at

By = Literal["both", "words", "meaning"]
Floats = NDArray[np.float32]


class SearchOptions(Struct, frozen=True):
    """How many passages (``k``), by what, only of documents that pass ``where``, and with how many
    ``neighbours`` before and after each. Passages with the same words are one, unless not
    ``distinct``."""

    k: int = 10
    by: By = "both"
    where: Filter | None = None
    neighbours: int = 0
    distinct: bool = True


class EncodesQuery(Protocol):
    """What makes a vector of a query."""

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class Search:
    """Searches one shelf through its indexes. Safe to use from several threads."""

    def __init__(self, shelf: Shelf, indexes: Indexes, encoder: EncodesQuery) -> None:
        self._shelf, self._indexes, self._encoder = shelf, indexes, encoder

    def find(self, query: str, options: SearchOptions, adapter: Adapter | None = None) -> list[Hit]:
        """The best passages, best first; fewer than ``k`` if there are no more. The adapter is for
        searches by both, which it was certified for.

        Raises:
            MalformedRequest: the filter asks for an attribute that no document has.
        """
        query = query[:_LONGEST_QUERY]
        pool = max(_POOL, 2 * options.k)
        while True:
            numbers, scores, words, meaning = self._ranked(query, options, pool, adapter)
            hits = self._hits(numbers, scores, words, meaning, options)
            if len(hits) >= options.k or len(numbers) < pool:
                return hits
            pool *= 4  # many were the same, or went meanwhile

    def _ranked(
        self, query: str, asked: SearchOptions, pool: int, adapter: Adapter | None
    ) -> tuple[Numbers, Floats, Floats, Floats]:
        """Numbers, scores, BM25 and cosines (NaN: unknown) of the candidates, best first."""
        indexes, where, by = self._indexes, asked.where, asked.by
        fusion = DEFAULT
        said = meant = np.empty(0, np.int64), np.empty(0, np.float32)
        vector = None if by == "words" else self._encoder.encode([query])[0]
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
        return numbers[order], scores[order], words[order], meaning[order]

    def _complete(self, numbers: Numbers, meaning: Floats, vector: Vectors) -> None:
        """Fill in the cosines of those that only the words brought up."""
        missing = np.flatnonzero(np.isnan(meaning))
        known = self._shelf.vectors_of(numbers[missing].tolist())
        for place in missing:
            found = known.get(int(numbers[place]))
            meaning[place] = 0.0 if found is None else (found @ vector).max()  # None: it is gone

    def _hits(
        self, numbers: Numbers, scores: Floats, words: Floats, meaning: Floats, asked: SearchOptions
    ) -> list[Hit]:
        hits, seen = list[Hit](), set[str]()
        for place, passage, document in self._fetched(numbers, 2 * asked.k):
            if asked.distinct and passage.text in seen:
                continue
            seen.add(passage.text)
            hit = Hit(
                passage=passage,
                document=document,
                score=float(scores[place]),
                words=_known(words[place]),
                meaning=_known(meaning[place]),
            )
            hits.append(hit)
            if len(hits) == asked.k:
                break
        return [self._with_neighbours(hit, asked.neighbours) for hit in hits]

    def _fetched(self, numbers: Numbers, size: int) -> Iterator[tuple[int, Passage, Document]]:
        """Passages of these numbers, with their places there; so many at once, for the first are
        mostly enough. Those removed since the indexes were asked are left out."""
        for start in range(0, len(numbers), max(size, 1)):
            asked = numbers[start : start + size].tolist()
            passages = self._shelf.passages(asked)
            documents = self._shelf.documents_of({one.document for one in passages.values()})
            for place, number in enumerate(asked, start):
                passage = passages.get(number)
                if passage is not None and passage.document in documents:
                    yield place, passage, documents[passage.document]

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
