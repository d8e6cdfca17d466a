"""The shelf of a collection: one SQLite file that is the only truth about its documents.

Indexes over words and vectors are derived from it. They follow by two counts that only grow: the
number of a passage, and that of a removal. Numbers are never given twice, and the passages of a
document are numbered in one go, so a document is a range of them.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.errors import Conflict, NotFound, StoreDamaged, StoreError
from shoal.retrieval.cursor import Cursor
from shoal.retrieval.documents import Document, Passage, Piece, Value
from shoal.retrieval.shelf_tables import (
    AMONG,
    APPLICATION,
    DOCUMENT,
    KNOWN,
    PASSAGE,
    STORED,
    TABLES,
    VECTOR,
    VERSION,
    Vectors,
    Written,
    connect,
    document_of,
    next_change,
    passage_of,
    put,
    remove,
    to_json,
    translated,
    words_digest,
)

FILE = "collection.db"
_ENCODED = 256  # passages at once


class Seal(Struct, frozen=True):
    """What a file was when it was last looked at; equal seals, equal files, as far as a look from
    outside tells."""

    size: int
    modified_ns: int


class Failure(Struct, frozen=True):
    """A file that could not be taken in, and why."""

    name: str
    seal: Seal
    reason: str
    at: float


class Removal(Struct, frozen=True):
    """The passages ``first`` to ``last`` of a document are gone; ``last < first``: it had none."""

    number: int
    document: int
    first: int
    last: int


class Added(Struct, frozen=True):
    """n passages that were added: their numbers (n,), and their words, those of headings apart."""

    numbers: NDArray[np.int64]
    headings: list[str]
    texts: list[str]


class Shelf:
    """An open collection. Safe to use from several threads, and by several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local, self._writing = threading.local(), threading.Lock()
        self._open = list[sqlite3.Connection]()
        row = self._one("SELECT encoder, dim, max_tokens, created_at FROM collection")
        self.encoder, self.dim, self.max_tokens, self.created_at = row

    @classmethod
    def create(cls, folder: Path, encoder: str, dim: int, max_tokens: int) -> "Shelf":
        """Make an empty collection in ``folder`` for vectors of the encoder with this digest.

        Raises:
            Conflict: there is one already.
            StoreError: the file cannot be written.
        """
        path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with closing(connect(path)) as conn:
                conn.execute("BEGIN IMMEDIATE")
                if conn.execute("PRAGMA user_version").fetchone()[0]:
                    raise Conflict(f"{folder}: there is a collection already")
                for statement in TABLES:
                    conn.execute(statement)
                conn.execute(
                    "INSERT INTO collection VALUES (1, ?, ?, ?, 0, ?)",
                    (encoder, dim, max_tokens, time.time()),
                )
                conn.execute(f"PRAGMA application_id = {APPLICATION}")
                conn.execute(f"PRAGMA user_version = {VERSION}")
                conn.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: cannot be made: {error}") from error
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
        with translated(path), closing(connect(path)) as conn:
            application = conn.execute("PRAGMA application_id").fetchone()[0]
            version = conn.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise StoreDamaged(f"{path}: this is no collection of Shoal's; it was left as it is")
        if version > VERSION:
            raise StoreError(f"{path}: a newer Shoal made it (version {version}); update Shoal")
        return cls(path)

    def close(self) -> None:
        """Close every connection."""
        for conn in self._open:
            conn.close()
        self._open.clear()
        self._local = threading.local()

    def put(self, documents: Sequence[Written]) -> list[Document]:
        """Add documents, each in place of the one of its name, all or none. When this returns they
        are on disk.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._transaction() as conn:
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
            _note(conn, Failure(name, seal, reason, time.time()))

    def note(self, path: str, reason: str) -> None:
        """A folder could not be looked into; what is known of what lies there stays."""
        with self._transaction() as conn:
            _note(conn, Failure(path, Seal(0, 0), reason, time.time()))

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

    def add_source(self, path: str) -> None:
        """Remember a file or folder that documents come from."""
        with self._transaction() as conn:
            conn.execute("INSERT OR IGNORE INTO sources VALUES (?, ?)", (path, time.time()))

    def remove_source(self, path: str) -> bool:
        """Forget one; whether it was known."""
        with self._transaction() as conn:
            return conn.execute("DELETE FROM sources WHERE path = ?", (path,)).rowcount > 0

    def forget_sources(self) -> None:
        """Forget all of them; the documents stay."""
        with self._transaction() as conn:
            conn.execute("DELETE FROM sources")

    def sources(self) -> list[str]:
        """The files and folders that documents come from."""
        return [path for (path,) in self._all("SELECT path FROM sources ORDER BY path")]

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
        count = self._one("SELECT changes FROM collection")[0]
        query = "SELECT number, attributes FROM documents WHERE changed > ?"
        return count, [(number, json.loads(text)) for number, text in self._all(query, (since,))]

    def passages(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """Passages by number, without those that are gone."""
        rows = self._all(f"{PASSAGE} WHERE p.number IN {AMONG}", (_numbers(numbers),))
        return {row[0]: passage_of(row) for row in rows}

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
        rows = dict(self._all("SELECT name, seq FROM sqlite_sequence"))
        return Cursor(rows.get("passages", 0), rows.get("removals", 0))

    def added(self, after: int, size: int = 1_000) -> Iterator[Added]:
        """The passages past the number ``after`` that are still there, in slices."""
        query = "SELECT * FROM passages WHERE number > ? ORDER BY number LIMIT ?"
        while rows := self._all(query, (after, size)):
            numbers, _, texts, headings, *_ = zip(*rows, strict=True)
            above = ["\n".join(json.loads(each)) for each in headings]
            yield Added(np.array(numbers, np.int64), above, list(texts))
            after = numbers[-1]

    def documents_by_passage(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The document numbers (n,) of passages (n,), 0 of those that are gone."""
        rows = self._all("SELECT first, passages, number FROM documents ORDER BY first, passages")
        first, count, document = np.array(rows or [(0, 0, 0)], np.int64).T
        at = np.searchsorted(first, numbers, side="right") - 1
        inside = (at >= 0) & (numbers < first[at] + count[at])
        return np.where(inside, document[at], 0)

    def vectors(
        self, after: int, size: int = 10_000
    ) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Numbers (n,) and vectors (n, dim) of the passages past ``after``, in slices."""
        query = "SELECT passage, vector FROM vectors WHERE passage > ? ORDER BY passage LIMIT ?"
        while rows := self._all(query, (after, size)):
            numbers, packed = zip(*rows, strict=True)
            yield np.array(numbers, np.int64), self._unpacked(packed)
            after = numbers[-1]

    def vectors_of(self, numbers: Sequence[int]) -> dict[int, Vectors]:
        """Vectors (dim,) by passage number, without those that are gone."""
        query = f"{VECTOR} WHERE passage IN {AMONG}"
        rows = self._all(query, (_numbers(numbers),))
        return {number: self._unpacked([packed])[0] for number, packed in rows}

    def removed(self, after: int) -> list[Removal]:
        """The removals past the number ``after``, oldest first."""
        query = (
            "SELECT number, document, first, last FROM removals WHERE number > ? ORDER BY number"
        )
        return [Removal(*row) for row in self._all(query, (after,))]

    def known_vectors(self, pieces: Sequence[Piece]) -> dict[Piece, Vectors]:
        """The vectors of those pieces whose words are on the shelf already."""
        by_digest = {words_digest(piece): piece for piece in pieces}
        rows = self._all(f"{KNOWN} WHERE p.digest IN {AMONG}", (to_json(list(by_digest)),))
        return {by_digest[digest]: self._unpacked([packed])[0] for digest, packed in rows}

    def encode_anew(self, encoder: str, dim: int, encode: Callable[[list[str]], Vectors]) -> int:
        """Give every passage the vector that another encoder makes of it; how many there are. If it
        is stopped, the collection has no encoder until this is done to the end."""
        with self._transaction() as conn:
            conn.execute("UPDATE collection SET encoder = ''")
        count = 0
        for added in self.added(0, _ENCODED):
            words = zip(added.headings, added.texts, strict=True)
            vectors = encode(["\n".join(filter(None, pair)) for pair in words])
            packed = [vector.tobytes() for vector in vectors.astype(STORED)]
            with self._transaction() as conn:
                rows = zip(packed, added.numbers.tolist(), strict=True)
                conn.executemany("UPDATE vectors SET vector = ? WHERE passage = ?", rows)
            count += len(packed)
        with self._transaction() as conn:
            conn.execute("UPDATE collection SET encoder = ?, dim = ?", (encoder, dim))
        self.encoder, self.dim = encoder, dim
        return count

    def counts(self) -> tuple[int, int]:
        """How many documents and passages there are."""
        row = self._one("SELECT count(*), coalesce(sum(passages), 0) FROM documents")
        return int(row[0]), int(row[1])

    def copy_to(self, path: Path) -> None:
        """Write all of it, as of now, into a new file.

        Raises:
            StoreError: it cannot be written, or is there already.
        """
        with translated(path), closing(connect(self.path)) as conn:
            conn.execute("VACUUM INTO ?", (str(path),))

    def check(self) -> None:
        """Look for damage.

        Raises:
            StoreDamaged: there is some.
        """
        found = self._one("PRAGMA quick_check(1)")[0]
        if found != "ok":
            raise StoreDamaged(f"{self.path}: {found}; it was left as it is")

    def _unpacked(self, packed: Sequence[bytes]) -> Vectors:
        rows = np.frombuffer(b"".join(packed), STORED).reshape(len(packed), self.dim)
        vectors = rows.astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = vectors / np.maximum(lengths, 1e-12)
        return unit

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing, translated(self.path):
            conn = self._connection()
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield conn
                conn.execute("COMMIT")
            except BaseException:  # whatever it was: all or none
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise

    def _connection(self) -> sqlite3.Connection:
        """This thread's own."""
        conn: sqlite3.Connection | None = getattr(self._local, "conn", None)
        if conn is None:
            conn = self._local.conn = connect(self.path)
            self._open.append(conn)
        return conn

    def _all(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with translated(self.path):
            return self._connection().execute(query, values).fetchall()

    def _one(self, query: str) -> Any:
        return self._all(query)[0]


def _note(conn: sqlite3.Connection, failure: Failure) -> None:
    seal = failure.seal
    row = (failure.name, seal.size, seal.modified_ns, failure.reason, failure.at)
    conn.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?)", row)


def _numbers(values: Iterable[int]) -> str:
    return to_json([int(value) for value in values])
