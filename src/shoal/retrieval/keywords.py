"""Search by words: BM25 over an index of tantivy's, derived from the shelf.

Headings and text are one: apart, with whatever weights, they ranked worse. A query is a bag of
words, never a language: nothing in it is interpreted. Words are folded to lower case without
accents, and English ones to their stems.

The index lies on disk and is shared by the processes of one machine; one at a time brings it up to
date. It remembers how far it followed, and a state that does not fit is thrown away and built anew.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.encoder.encoder import SURROGATE
from shoal.errors import MissingExtra, StoreError
from shoal.formats.vector_stores import MOST_QUERY
from shoal.retrieval.cursor import Cursor
from shoal.retrieval.shelf import Shelf
from shoal.storage.file_lock import FileLock

_FORMAT = 3
_STATE = "state.json"
_ANALYZER = "words"
_MOST_WORDS = 48  # of a query, the rarest
_HEAP_BYTES = 64_000_000
_COMMITTED_AFTER = 50_000  # passages, so that a stop in mid-building loses little
_PATIENCE_S = 60.0  # for another process that brings the index up to date
_FEW = 2_000  # allowed passages that are named in the query itself

Numbers = NDArray[np.int64]


class State(Struct, frozen=True):
    """How far an index followed which shelf, in which format."""

    format: int
    made: str
    added: int
    removed: int


class Keywords:
    """The index over words of one collection. Safe to use from several threads and processes."""

    def __init__(self, folder: Path, made: str) -> None:
        """Open the index in ``folder``, or make one; it is empty until it ``follow``s. ``made``
        names the shelf: the index of another counts for nothing.

        Raises:
            MissingExtra: tantivy is not installed.
            OSError: the folder cannot be written.
        """
        self._t, self._folder, self._made = tantivy(), folder, made
        self._analyzer = _analyzer(self._t)
        self._cursor = Cursor()
        self._open()

    @property
    def cursor(self) -> Cursor:
        """How far it has followed the shelf."""
        return self._cursor

    def follow(self, shelf: Shelf, patience_s: float = _PATIENCE_S) -> bool:
        """Take in what the shelf has that the index has not. Where another process does so, wait,
        for so many seconds at the most; false if it is still at it.

        Raises:
            StoreError: the index cannot be written.
        """
        if self._cursor == shelf.cursor():
            return True
        lock, until = FileLock(self._folder / "lock"), time.monotonic() + patience_s
        try:
            while not lock.take():
                if time.monotonic() > until:
                    return False
                time.sleep(0.02)
            self._open()
            if self._cursor != shelf.cursor():
                self._bring_up(shelf)
        except (OSError, ValueError) as error:
            raise StoreError(f"{self._folder}: the index cannot be written: {error}") from error
        finally:
            lock.release()
        return True

    def search(
        self, query: str, k: int, allowed: Numbers | None = None
    ) -> tuple[Numbers, NDArray[np.float32]]:
        """Numbers and BM25 scores of the k best passages at most, best first.

        ``allowed`` are the numbers, ascending, that may be found; None: all. Exact for any of them.
        """
        searcher = self._index.searcher()
        wanted = self._query(searcher, query)
        if wanted is None or (allowed is not None and not len(allowed)):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if allowed is None:
            return self._found(searcher, wanted, k)
        if len(allowed) <= _FEW:
            among = self._t.Query.term_set_query(self._index.schema, "number", allowed.tolist())
            occur = self._t.Occur
            bare = self._t.Query.const_score_query(among, 0.0)
            both = self._t.Query.boolean_query([(occur.Must, wanted), (occur.Must, bare)])
            return self._found(searcher, both, k)
        return self._sifted(searcher, wanted, k, allowed)

    def _sifted(
        self, searcher: Any, query: Any, k: int, allowed: Numbers
    ) -> tuple[Numbers, NDArray[np.float32]]:
        """Ever longer lists, until k of the allowed are on them."""
        limit = 4 * k
        while True:
            numbers, scores = self._found(searcher, query, limit)
            at = np.searchsorted(allowed, numbers)
            good = (at < len(allowed)) & (allowed[np.minimum(at, len(allowed) - 1)] == numbers)
            if good.sum() >= k or len(numbers) < limit:
                return numbers[good][:k], scores[good][:k]
            limit *= 4

    def _found(self, searcher: Any, query: Any, limit: int) -> tuple[Numbers, NDArray[np.float32]]:
        hits = searcher.search(query, limit, count=False).hits
        numbers = searcher.fast_field_values("number", [address for _, address in hits])
        scores = np.array([score for score, _ in hits], np.float32)
        found = np.array(numbers, np.int64)
        order = np.lexsort((found, -scores))  # equal scores: the older passage first
        return found[order], scores[order]

    def _query(self, searcher: Any, text: str) -> Any:
        """The words of a text; None if the index has none of them."""
        counts = {
            word: searcher.doc_freq("text", word)
            for word in self._analyzer.analyze(_clean(text[:MOST_QUERY]))
        }
        rare = sorted((word for word in counts if counts[word]), key=lambda word: counts[word])
        if not rare:
            return None
        query, schema = self._t.Query, self._index.schema
        terms = [query.term_query(schema, "text", word, "freq") for word in rare[:_MOST_WORDS]]
        return query.boolean_query([(self._t.Occur.Should, term) for term in terms])

    def _open(self) -> None:
        """Take up the index as it is on disk now; empty if there is none, or none that fits."""
        place, schema = self._folder / "index", _schema(self._t)
        place.mkdir(parents=True, exist_ok=True)
        if not self._t.Index.exists(str(place)):
            (self._folder / _STATE).unlink(missing_ok=True)
        state = self._state()
        try:
            index = self._t.Index(schema, path=str(place), reuse=True)
        except (ValueError, OSError):  # damaged, or of another schema
            self._discard()
            place.mkdir()
            index, state = self._t.Index(schema, path=str(place), reuse=False), None
        index.register_tokenizer(_ANALYZER, self._analyzer)
        index.reload()
        self._index: Any = index
        self._cursor = Cursor(state.added, state.removed) if state else Cursor()

    def _state(self) -> State | None:
        try:
            data = (self._folder / _STATE).read_bytes()
            state = msgspec.json.decode(data, type=State)
        except (OSError, msgspec.DecodeError):
            return None
        return state if (state.format, state.made) == (_FORMAT, self._made) else None

    def _bring_up(self, shelf: Shelf) -> None:
        """Follow the shelf or, if the files on disk do not allow that, begin anew."""
        _sweep(self._folder / "index")
        try:
            self._write(shelf)
        except ValueError:
            self._discard()
            self._open()
            self._write(shelf)

    def _discard(self) -> None:
        (self._folder / _STATE).unlink(missing_ok=True)
        rmtree(self._folder / "index", ignore_errors=True)

    def _write(self, shelf: Shelf) -> None:
        target = shelf.cursor()
        writer = self._index.writer(_HEAP_BYTES, 1)
        if self._cursor == Cursor():
            writer.delete_all_documents()
        else:  # those of a writer that was stopped before it could say so
            self._delete(writer, self._cursor.added + 1, None)
        for removal in shelf.removed(self._cursor.removed):
            if removal.first <= removal.last:
                self._delete(writer, removal.first, removal.last)
        reached, pending = self._cursor.added, 0
        for added in shelf.added(self._cursor.added):
            for number, text in zip(added.numbers.tolist(), added.texts, strict=True):
                writer.add_document(self._t.Document(number=number, text=_clean(text)))
            reached, pending = int(added.numbers[-1]), pending + len(added.texts)
            if pending >= _COMMITTED_AFTER:
                self._commit(writer, Cursor(reached, target.removed))
                pending = 0
        self._commit(writer, Cursor(max(reached, target.added), target.removed))
        writer.wait_merging_threads()

    def _delete(self, writer: Any, first: int, last: int | None) -> None:
        kind = self._t.FieldType.Integer
        query = self._t.Query.range_query(self._index.schema, "number", kind, first, last)
        writer.delete_documents_by_query(query)

    def _commit(self, writer: Any, cursor: Cursor) -> None:
        """The index first: if only it is written, the same is done again."""
        writer.commit()
        state = msgspec.json.encode(State(_FORMAT, self._made, cursor.added, cursor.removed))
        new = self._folder / f"{_STATE}.new"
        new.write_bytes(state)
        new.replace(self._folder / _STATE)
        self._index.reload()
        self._cursor = cursor


def _sweep(index: Path) -> None:
    """Remove the lists of deleted passages that no commit names: a writer that was killed leaves
    them, and tantivy will not write another of the same name."""
    segments = msgspec.json.decode((index / "meta.json").read_bytes())["segments"]
    named = {
        f"{one['segment_id'].replace('-', '')}.{one['deletes']['opstamp']}.del"
        for one in segments
        if one.get("deletes")
    }
    for file in index.glob("*.del"):
        if file.name not in named:
            file.unlink(missing_ok=True)


def _clean(text: str) -> str:
    """Half a surrogate pair is no text to tantivy."""
    return SURROGATE.sub("\ufffd", text)


def tantivy() -> Any:
    """The module, which is an extra.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import tantivy as module
    except ImportError as error:
        raise MissingExtra("docs", "search by words") from error
    return module


def _schema(module: Any) -> Any:
    builder = module.SchemaBuilder()
    builder.add_integer_field("number", indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name=_ANALYZER, index_option="freq")
    return builder.build()


def _analyzer(module: Any) -> Any:
    builder = module.TextAnalyzerBuilder(module.Tokenizer.simple())
    kinds = module.Filter
    filters: Sequence[Any] = (
        kinds.remove_long(64),
        kinds.lowercase(),
        kinds.ascii_fold(),
        kinds.stemmer("english"),
    )
    for each in filters:
        builder = builder.filter(each)
    return builder.build()
