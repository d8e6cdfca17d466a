"""The shelf of a collection: one SQLite file that is the only truth about its documents.

Indexes over words and vectors are derived from it. They follow by two counts that only grow: the
number of a passage, and that of a removal. Numbers are never given twice, and the passages of a
document are numbered in one go, so a document is a range of them.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from shoal.errors import Conflict, NotFound, StoreDamaged, StoreError
from shoal.retrieval import shelf_staging as staging
from shoal.retrieval.cursor import Cursor
from shoal.retrieval.documents import Document, Passage, Piece, Value
from shoal.retrieval.identity import identity_of
from shoal.retrieval.shelf_making import make_shelf
from shoal.retrieval.shelf_rows import (
    NO_SEAL,
    Added,
    Described,
    Failure,
    Former,
    Ranges,
    Removal,
    Seal,
    Source,
    note_failure,
)
from shoal.retrieval.shelf_tables import (
    AMONG,
    APPLICATION,
    DIGEST,
    DOCUMENT,
    PART,
    PASSAGE,
    SAME,
    VECTOR,
    VERSION,
    Vectors,
    Written,
    connect,
    document_of,
    fault_of,
    from_json,
    next_change,
    passage_of,
    put,
    remove,
    to_json,
    translated,
    unpacked,
    words_digest,
)

FILE = "collection.db"
_ENCODED = 256  # passages at once


class Shelf:
    """An open collection. Safe to use from several threads, and by several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local, self._writing = threading.local(), threading.Lock()
        self._open, self._opening = list[sqlite3.Connection](), threading.Lock()
        self._closed, self._file = False, identity_of(path)
        query = "SELECT encoder, dim, max_tokens, created_at, made FROM collection"
        self.encoder, self.dim, self.max_tokens, self.created_at, self.made = self._one(query)

    @classmethod
    def create(cls, folder: Path, encoder: str, dim: int, max_tokens: int) -> "Shelf":
        """Make an empty collection in ``folder`` for vectors of the encoder with this digest. It is
        there whole, or not at all.

        Raises:
            Conflict: there is one already.
            StoreError: the file cannot be written.
        """
        path = folder / FILE
        make_shelf(path, encoder, dim, max_tokens)
        return cls(path)

    @classmethod
    def open(cls, folder: Path) -> "Shelf":
        """Open the collection in ``folder``.

        Raises:
            NotFound: there is none.
            StoreDamaged: the file is none of a collection, or damaged; it was left as it is.
            StoreError: it is a newer Shoal's, or cannot be read.
        """
        path = folder / FILE
        if not path.is_file():
            raise NotFound(f"{folder}: there is no collection")
        place = f"file:{quote(str(path))}?mode=ro"
        with translated(path), closing(sqlite3.connect(place, uri=True)) as conn:
            application = conn.execute("PRAGMA application_id").fetchone()[0]
            version = conn.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise StoreDamaged(f"{path}: this is no collection of Shoal's; it was left as it is")
        if version > VERSION:
            raise StoreError(f"{path}: a newer Shoal made it (version {version}); update Shoal")
        return cls(path)

    def close(self) -> None:
        """Close every connection, for good. No other thread may be using it."""
        with self._opening:
            self._closed = True
            for conn in self._open:
                conn.close()
            self._open.clear()
            self._local = threading.local()

    @property
    def is_in_place(self) -> bool:
        """Whether what is open is still what its path leads to: neither removed nor replaced."""
        return self._file is not None and identity_of(self.path) == self._file

    def put(self, documents: Sequence[Written]) -> list[Document]:
        """Add documents, each in place of the one of its name, all or none. When this returns they
        are on disk.

        Raises:
            Conflict: it was encoded anew, for vectors of another encoder, since it was opened.
            StoreError: the file cannot be written.
        """
        with self._transaction() as conn:
            if conn.execute("SELECT encoder FROM collection").fetchone()[0] != self.encoder:
                raise Conflict(f"{self.path.parent}: it was encoded anew meanwhile: open it again")
            change = next_change(conn)
            return [put(conn, written, change) for written in documents]

    def remove(self, names: Iterable[str]) -> int:
        """Remove documents and what is known of failures, by name; how many documents there were.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._transaction() as conn:
            found = 0
            for name in names:
                conn.execute("DELETE FROM failures WHERE name = ?", (name,))
                found += remove(conn, name) is not None
            if found:
                next_change(conn)
            return found

    def reseal(self, seals: dict[str, Seal]) -> None:
        """The files of these documents were touched, and hold what they held."""
        rows = [(seal.size, seal.modified_ns, name) for name, seal in seals.items()]
        with self._transaction() as conn:
            conn.executemany("UPDATE documents SET size = ?, modified_ns = ? WHERE name = ?", rows)

    def describe(self, document: str, attributes: dict[str, Value]) -> None:
        """Give a document, by id, these attributes instead of those it has.

        Raises:
            NotFound: there is none.
        """
        text = to_json(attributes)
        query = "UPDATE documents SET attributes = ?, changed = ? WHERE id = ?"
        with self._transaction() as conn:
            if conn.execute(query, (text, next_change(conn), document)).rowcount == 0:
                raise NotFound(f"no document {document}")

    def fail(self, name: str, seal: Seal, reason: str) -> None:
        """A file could not be taken in; a document of its name, of what it held before, goes."""
        with self._transaction() as conn:
            if remove(conn, name) is not None:
                next_change(conn)
            note_failure(conn, Failure(name, seal, reason, time.time()))

    def note(self, reasons: dict[str, str], mended: Iterable[str] = ()) -> None:
        """Files and folders, by path, that could not be looked at this time, and why; what is known
        of them stays. ``mended`` are some that can be now."""
        known = {one.name: one.reason for one in self.failures() if one.seal == NO_SEAL}
        gone = [(path,) for path in mended if path in known]
        new = {path: reason for path, reason in reasons.items() if known.get(path) != reason}
        if not gone and not new:
            return
        with self._transaction() as conn:
            conn.executemany("DELETE FROM failures WHERE name = ?", gone)
            for path, reason in new.items():
                note_failure(conn, Failure(path, NO_SEAL, reason, time.time()))

    def forget_failures(self) -> None:
        """As if no file had ever failed."""
        with self._transaction() as conn:
            conn.execute("DELETE FROM failures")

    def make_anew(self) -> None:
        """Be another collection than it was a copy of: no index of that one is one of this."""
        self.made = uuid4().hex
        with self._transaction() as conn:
            conn.execute("UPDATE collection SET made = ?", (self.made,))
            staging.forget(conn, staged=True)

    def former(self) -> list[Former]:
        """What it was before it was encoded anew, as far as that was not forgotten."""
        with translated(self.path):
            return staging.former(self._connection())

    def forget_former(self) -> None:
        """Nothing is left of what it was."""
        with self._transaction() as conn:
            staging.forget(conn)

    @property
    def is_outdated(self) -> bool:
        """Whether passages are as an older Shoal cut them, until ``mark_cut``."""
        return bool(self._one("PRAGMA user_version")[0] < VERSION)

    def mark_cut(self) -> None:
        """The files of all sources were cut anew."""
        with self._transaction() as conn:
            conn.execute(f"PRAGMA user_version = {VERSION}")

    def seals(self) -> dict[str, Seal]:
        """What each document and each failure was made of, by name."""
        found = self._all(
            "SELECT name, size, modified_ns FROM failures "
            "UNION ALL SELECT name, size, modified_ns FROM documents"
        )
        return {name: Seal(size, modified) for name, size, modified in found}

    def failures(self) -> list[Failure]:
        """The files that could not be taken in, by name."""
        rows = self._all("SELECT name, size, modified_ns, reason, at FROM failures ORDER BY name")
        return [Failure(name, Seal(size, ns), why, at) for name, size, ns, why, at in rows]

    def add_source(self, source: Source) -> None:
        """Remember a file or folder that documents come from."""
        row = source.path, time.time(), source.device
        with self._transaction() as conn:
            conn.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", row)

    def remove_source(self, path: str) -> bool:
        """Forget one; whether it was known."""
        with self._transaction() as conn:
            return conn.execute("DELETE FROM sources WHERE path = ?", (path,)).rowcount > 0

    def forget_sources(self) -> None:
        """Forget all of them; the documents stay."""
        with self._transaction() as conn:
            conn.execute("DELETE FROM sources")

    def sources(self) -> list[Source]:
        """The files and folders that documents come from."""
        return [Source(*row) for row in self._all("SELECT path, device FROM sources ORDER BY path")]

    def document(self, name: str) -> Document:
        """One document, by its id or its name.

        Raises:
            NotFound: there is none.
        """
        rows = self._all(f"{DOCUMENT} WHERE id = ?1 OR name = ?1", (name,))
        if not rows:
            raise NotFound(f"no document {name!r}")
        return document_of(rows[0])

    def digest_of(self, name: str) -> bytes | None:
        """The digest of the document of this name; None if there is none."""
        rows = self._all("SELECT digest FROM documents WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def documents(self, after: int = 0, limit: int = 1_000) -> list[Document]:
        """Documents in the order of their numbers, those past ``after``."""
        query = f"{DOCUMENT} WHERE number > ? ORDER BY number LIMIT ?"
        return [document_of(row) for row in self._all(query, (after, limit))]

    def ids(self) -> list[tuple[float, str]]:
        """When each document was taken in, and its id, in the order of their numbers."""
        return self._all("SELECT at, id FROM documents ORDER BY number")

    def sizes(self, without: Iterable[str] = ()) -> tuple[int, int]:
        """How many documents there are besides those with an id in ``without``, and the bytes of
        them all."""
        count, size = self._one("SELECT count(*), coalesce(sum(size), 0) FROM documents")
        query = "SELECT count(*) FROM documents WHERE id IN (SELECT value FROM json_each(?))"
        left_out = self._all(query, (to_json(list(without)),))[0][0]
        return int(count - left_out), int(size)

    def changed(self, since: int) -> tuple[int, list[tuple[int, dict[str, Value]]]]:
        """The count of changes, and (number, attributes) of the documents changed ``since`` that
        count."""
        count = self.changes()
        query = "SELECT number, attributes FROM documents WHERE changed > ?"
        return count, [(number, from_json(text)) for number, text in self._all(query, (since,))]

    def described(self, since: int) -> tuple[int, list[Described]]:
        """As ``changed``, with the vectors of each document, in their order."""
        count = self.changes()
        query = (
            "SELECT number, attributes, first_vector, first_vector + vectors - 1 FROM documents "
            "WHERE changed > ? ORDER BY first_vector"
        )
        rows = self._all(query, (since,))
        return count, [Described(row[0], from_json(row[1]), *row[2:]) for row in rows]

    def passages(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """Passages by number, without those that are gone."""
        rows = self._all(f"{PASSAGE} WHERE p.number IN {AMONG}", (_numbers(numbers),))
        return {row[0]: passage_of(row) for row in rows}

    def digests_of(self, numbers: Sequence[int]) -> dict[int, str]:
        """By which equal words are known again, of passages that are not gone, by number."""
        return dict(self._all(f"{DIGEST} WHERE number IN {AMONG}", (_numbers(numbers),)))

    def with_words(self, digests: Sequence[str]) -> list[Passage]:
        """The passages whose words have these digests (``words_digest``)."""
        rows = self._all(f"{PASSAGE} WHERE p.digest IN {AMONG}", (to_json(list(digests)),))
        return [passage_of(row) for row in rows]

    def documents_of(self, numbers: Iterable[int]) -> dict[int, Document]:
        """Documents by number, without those that are gone."""
        rows = self._all(f"{DOCUMENT} WHERE number IN {AMONG}", (_numbers(numbers),))
        return {row[0]: document_of(row) for row in rows}

    def text_of(self, document: int) -> list[Passage]:
        """The passages of a document, in their order."""
        rows = self._all(f"{PASSAGE} WHERE p.document = ? ORDER BY p.number", (document,))
        return [passage_of(row) for row in rows]

    def cursor(self) -> Cursor:
        """The last passage and the last removal there ever were."""
        return self._cursor("passages")

    def vector_cursor(self) -> Cursor:
        """The last vector and the last removal there ever were."""
        return self._cursor("vectors")

    def _cursor(self, table: str) -> Cursor:
        rows = dict(self._all("SELECT name, seq FROM sqlite_sequence"))
        return Cursor(rows.get(table, 0), rows.get("removals", 0))

    def added(self, after: int, size: int = 1_000) -> Iterator[Added]:
        """The passages past the number ``after`` that are still there, in slices."""
        query = "SELECT * FROM passages WHERE number > ? ORDER BY number LIMIT ?"
        while rows := self._all(query, (after, size)):
            numbers, _, texts, headings, *_ = zip(*rows, strict=True)
            above = (tuple(from_json(each)) for each in headings)
            pieces = (Piece(*each) for each in zip(texts, above, strict=True))
            yield Added(np.array(numbers, np.int64), [piece.searched for piece in pieces])
            after = numbers[-1]

    def ranges(self) -> Ranges:
        """Which passages and vectors each document has."""
        changes = self.changes()
        query = (
            "SELECT number, first, passages, first_vector, vectors FROM documents ORDER BY first"
        )
        columns = np.array(self._all(query), np.int64).reshape(-1, 5).T
        return Ranges(changes, *columns)

    def changes(self) -> int:
        """A count that grows with every change of documents."""
        return int(self._one("SELECT changes FROM collection")[0])

    def vectors(
        self, after: int, size: int = 10_000
    ) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Numbers (n,) and vectors (n, dim), those past the number ``after``, in slices."""
        query = "SELECT number, vector FROM vectors WHERE number > ? ORDER BY number LIMIT ?"
        while rows := self._all(query, (after, size)):
            numbers, packed = zip(*rows, strict=True)
            yield np.array(numbers, np.int64), unpacked(packed, self.dim)
            after = numbers[-1]

    def passages_of_vectors(self, numbers: Sequence[int]) -> dict[int, int]:
        """The passage of each vector that is still there, by number."""
        query = f"{PART} WHERE number IN {AMONG}"
        return dict(self._all(query, (_numbers(numbers),)))

    def vectors_of(self, passages: Sequence[int]) -> dict[int, Vectors]:
        """The vectors (p, dim) of passages, by number, without those that are gone."""
        query = f"{VECTOR} WHERE passage IN {AMONG} ORDER BY number"  # a passage's are in a row
        rows = self._all(query, (_numbers(passages),))
        vectors = unpacked([packed for _, packed in rows], self.dim)  # all at once: few are slow
        found = dict[int, slice]()
        for at, (passage, _) in enumerate(rows):
            first = found[passage].start if passage in found else at
            found[passage] = slice(first, at + 1)
        return {passage: vectors[place] for passage, place in found.items()}

    def removed(self, after: int) -> list[Removal]:
        """The removals past the number ``after``, oldest first."""
        query = "SELECT * FROM removals WHERE number > ? ORDER BY number"
        return [Removal(*row) for row in self._all(query, (after,))]

    def known_vectors(self, pieces: Sequence[Piece]) -> dict[Piece, Vectors]:
        """The vectors (p, dim) of those pieces whose words are on the shelf already."""
        by_digest = {words_digest(piece): piece for piece in pieces}
        query = f"{SAME} WHERE digest IN {AMONG} GROUP BY digest"
        same = dict(self._all(query, (to_json(list(by_digest)),)))
        vectors = self.vectors_of(list(same))
        return {by_digest[same[number]]: found for number, found in vectors.items()}

    def is_current(self) -> bool:
        """Whether the file is still what was opened: not encoded anew meanwhile."""
        row = self._one("SELECT encoder, made FROM collection")
        return bool(row == (self.encoder, self.made))

    def encode_anew(
        self, encoder: str, dim: int, encode: Callable[[list[Piece]], list[Vectors]]
    ) -> int:
        """Give every passage the vectors (p, dim) that another encoder makes of it; how many
        passages there are. Until that is done the collection has the vectors that it had; what
        other processes add meanwhile is encoded too."""
        with self._transaction() as conn:
            staging.begin(conn)
        while True:
            with self._transaction() as conn:
                rows = staging.waiting(conn, _ENCODED)
                if not rows:
                    self.made = staging.end(conn, encoder, dim)
                    break
            pieces = [Piece(text, tuple(from_json(headings))) for _, text, headings in rows]
            vectors = encode(pieces)
            with self._transaction() as conn:
                staging.add(conn, [number for number, *_ in rows], vectors)
        self.encoder, self.dim = encoder, dim
        return self.counts()[1]

    def counts(self) -> tuple[int, int]:
        """How many documents and passages there are."""
        row = self._one("SELECT count(*), coalesce(sum(passages), 0) FROM documents")
        return int(row[0]), int(row[1])

    def copy_to(self, path: Path) -> None:
        """Write all of it, as of now, into a new file.

        Raises:
            StoreError: it cannot be written, or is there already.
        """
        if path.exists() or not path.parent.is_dir():
            why = "is there already" if path.exists() else "its folder is not there"
            raise StoreError(f"{path}: cannot be written: {why}")
        with translated(path), closing(connect(self.path)) as conn:
            conn.execute("VACUUM INTO ?", (str(path),))

    def check(self) -> None:
        """Look for damage.

        Raises:
            StoreDamaged: there is some.
        """
        with translated(self.path):
            found = fault_of(self._connection(), self.dim)
        if found:
            raise StoreDamaged(f"{self.path}: {found}; it was left as it is")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing, translated(self.path):
            conn = self._connection()
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield conn
                conn.execute("COMMIT")
            except BaseException:  # whatever it was, nothing of it stays
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise

    def _connection(self) -> sqlite3.Connection:
        """This thread's own; never to another file that has come in place of this one."""
        conn: sqlite3.Connection | None = getattr(self._local, "conn", None)
        if conn is not None:
            return conn
        with self._opening:
            if not self._closed and self.is_in_place:
                conn = connect(self.path)
                self._open.append(conn)
            if conn is None or not self.is_in_place:
                raise NotFound(f"{self.path.parent}: the collection was closed, or made anew")
            self._local.conn = conn
        return conn

    def _all(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with translated(self.path):
            return self._connection().execute(query, values).fetchall()

    def _one(self, query: str) -> Any:
        return self._all(query)[0]


def _numbers(values: Iterable[int]) -> str:
    return to_json([int(value) for value in values])
