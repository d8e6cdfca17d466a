"""The tables of a collection's file, and how rows become documents and passages.

Plain ``sqlite3``: one file, one writer at a time, and nothing here is ever on a server.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
import numpy as np
import uuid_utils
from msgspec import Struct
from numpy.typing import NDArray

from shoal.errors import Conflict, StoreDamaged, StoreError
from shoal.retrieval.documents import Document, Passage, Piece, Value

Vectors = NDArray[np.float32]

VERSION = 2  # 1 had the same tables, but passages that shared sentences, and few headings in text
APPLICATION = 0x5368_6F43  # "ShoC": marks the file as a collection
STORED = np.dtype("<f2")  # half precision moves a cosine by less than .001
AMONG = "(SELECT value FROM json_each(?))"
_BUSY_SECONDS = 30.0
_HEX_DIGITS = 32  # of a passage's content hash

TABLES = (
    """CREATE TABLE collection (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        encoder TEXT NOT NULL,
        dim INTEGER NOT NULL,
        max_tokens INTEGER NOT NULL,
        changes INTEGER NOT NULL,
        created_at REAL NOT NULL,
        made TEXT NOT NULL)""",
    """CREATE TABLE documents (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        kind TEXT NOT NULL,
        digest BLOB NOT NULL,
        size INTEGER NOT NULL,
        modified_ns INTEGER NOT NULL,
        attributes TEXT NOT NULL,
        first INTEGER NOT NULL,
        passages INTEGER NOT NULL,
        first_vector INTEGER NOT NULL,
        vectors INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        at REAL NOT NULL)""",
    "CREATE INDEX documents_changed ON documents (changed)",
    """CREATE TABLE passages (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL,
        text TEXT NOT NULL,
        headings TEXT NOT NULL,
        page INTEGER NOT NULL,
        digest TEXT NOT NULL)""",
    "CREATE INDEX passages_digest ON passages (digest)",
    """CREATE TABLE vectors (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        passage INTEGER NOT NULL,
        vector BLOB NOT NULL)""",
    "CREATE INDEX vectors_passage ON vectors (passage)",
    """CREATE TABLE removals (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        first_vector INTEGER NOT NULL,
        last_vector INTEGER NOT NULL)""",
    "CREATE TABLE sources (path TEXT PRIMARY KEY, at REAL NOT NULL, device INTEGER)",
    """CREATE TABLE failures (
        name TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        modified_ns INTEGER NOT NULL,
        reason TEXT NOT NULL,
        at REAL NOT NULL)""",
)


class Encoded(Struct, frozen=True):
    """A passage with the unit vectors (p, dim) of its parts, one at the least."""

    piece: Piece
    vectors: Vectors


class Written(Struct, frozen=True, kw_only=True):
    """A document to be put on the shelf. ``id`` "": that of the document of this name, or a new
    one."""

    name: str
    title: str
    kind: str
    digest: bytes
    size: int
    modified_ns: int
    attributes: dict[str, Value]
    passages: tuple[Encoded, ...]
    id: str = ""


DOCUMENT = (
    "SELECT number, id, name, title, kind, digest, size, modified_ns, attributes, passages, at "
    "FROM documents"
)
PASSAGE = (
    "SELECT p.number, p.document, p.number - d.first, p.text, p.headings, p.page "
    "FROM passages p JOIN documents d ON d.number = p.document"
)
VECTOR = "SELECT passage, vector FROM vectors"
PART = "SELECT number, passage FROM vectors"
DIGEST = "SELECT number, digest FROM passages"
SAME = "SELECT max(number), digest FROM passages"
_RANGES = "SELECT number, id, first, passages, first_vector, vectors FROM documents WHERE name = ?"
_INSERT = (
    "INSERT INTO documents VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number"
)


def put(conn: sqlite3.Connection, written: Written, change: int) -> Document:
    """Add a document in place of the one of its name; ``change`` is the count that marks it."""
    before = remove(conn, written.name)
    conn.execute("DELETE FROM failures WHERE name = ?", (written.name,))
    known = written.id or before or str(uuid_utils.uuid7())
    first, first_vector = _next_number(conn, "passages"), _next_number(conn, "vectors")
    count, now = sum(len(one.vectors) for one in written.passages), time.time()
    row = (
        known,
        written.name,
        written.title,
        written.kind,
        written.digest,
        written.size,
        written.modified_ns,
        to_json(written.attributes),
        first,
        len(written.passages),
        first_vector,
        count,
        change,
        now,
    )
    number = conn.execute(_INSERT, row).fetchone()[0]
    _put_passages(conn, number, first, written.passages)
    return Document(
        number=number,
        id=known,
        name=written.name,
        title=written.title,
        kind=written.kind,
        digest=written.digest,
        size=written.size,
        modified_ns=written.modified_ns,
        attributes=written.attributes,
        passages=len(written.passages),
        at=now,
    )


def _put_passages(
    conn: sqlite3.Connection, document: int, first: int, passages: Sequence[Encoded]
) -> None:
    numbered = list(enumerate((one.piece for one in passages), start=first))
    conn.executemany(
        "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)",
        [
            (at, document, one.text, to_json(one.headings), one.page, words_digest(one))
            for at, one in numbered
        ],
    )
    conn.executemany(
        "INSERT INTO vectors VALUES (NULL, ?, ?)",
        [
            (first + at, vector.tobytes())
            for at, one in enumerate(passages)
            for vector in np.asarray(one.vectors).astype(STORED)
        ],
    )


def _next_number(conn: sqlite3.Connection, table: str) -> int:
    """The number that the next row of a table gets."""
    found = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return (found[0] if found else 0) + 1


def remove(conn: sqlite3.Connection, name: str) -> str | None:
    """Remove the document of this name; its id, None if there is none."""
    row = conn.execute(_RANGES, (name,)).fetchone()
    if row is None:
        return None
    number, known, first, passages, first_vector, vectors = row
    last, last_vector = first + passages - 1, first_vector + vectors - 1
    conn.execute("DELETE FROM documents WHERE number = ?", (number,))
    conn.execute("DELETE FROM passages WHERE number BETWEEN ? AND ?", (first, last))
    conn.execute("DELETE FROM vectors WHERE number BETWEEN ? AND ?", (first_vector, last_vector))
    conn.execute(
        "INSERT INTO removals VALUES (NULL, ?, ?, ?, ?, ?)",
        (number, first, last, first_vector, last_vector),
    )
    return str(known)


def next_change(conn: sqlite3.Connection) -> int:
    """Count a change of the collection."""
    query = "UPDATE collection SET changes = changes + 1 RETURNING changes"
    return int(conn.execute(query).fetchone()[0])


def document_of(row: Sequence[Any]) -> Document:
    """Of a row of ``DOCUMENT``."""
    number, known, name, title, kind, digest, size, modified_ns, attributes, passages, at = row
    return Document(
        number=number,
        id=known,
        name=name,
        title=title,
        kind=kind,
        digest=digest,
        size=size,
        modified_ns=modified_ns,
        attributes=from_json(attributes),
        passages=passages,
        at=at,
    )


def passage_of(row: Sequence[Any]) -> Passage:
    """Of a row of ``PASSAGE``."""
    number, document, position, text, headings, page = row
    return Passage(
        text,
        tuple(from_json(headings)),
        page,
        number=number,
        document=document,
        position=position,
    )


def words_digest(piece: Piece) -> str:
    """By which equal words are known again."""
    data = piece.searched.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()[:_HEX_DIGITS]


def to_json(value: object) -> str:
    """As a column holds it."""
    return msgspec.json.encode(value).decode()


def from_json(text: str) -> Any:
    """Of a column; msgspec takes a third of ``json``'s time."""
    return msgspec.json.decode(text)


def unpacked(packed: Sequence[bytes], dim: int) -> Vectors:
    """Stored vectors as unit vectors (n, dim).

    Raises:
        Conflict: they are of another encoder, by which they were encoded anew just now.
    """
    found = np.frombuffer(b"".join(packed), STORED)
    if len(found) != len(packed) * dim:
        raise Conflict("the collection was encoded anew meanwhile: open it again")
    rows = found.reshape(len(packed), dim)
    vectors = rows.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, 1e-12)
    return unit


def connect(path: Path, mode: Literal["rw", "rwc"] = "rw") -> sqlite3.Connection:
    """A connection that begins and commits when told to; "rwc": to a file that is made."""
    place = f"file:{quote(str(path))}?mode={mode}"
    conn = sqlite3.connect(
        place, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
    )
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA cache_size = -32000")
    return conn


def fault_of(conn: sqlite3.Connection, dim: int) -> str:
    """What is wrong with a file, "" if nothing is."""
    found = str(conn.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        return found
    odd = conn.execute(
        "SELECT EXISTS (SELECT 1 FROM vectors WHERE length(vector) != ?) "
        "OR EXISTS (SELECT 1 FROM passages WHERE NOT json_valid(headings)) "
        "OR EXISTS (SELECT 1 FROM documents WHERE NOT json_valid(attributes))",
        (STORED.itemsize * dim,),
    ).fetchone()[0]
    return "its vectors or texts are none" if odd else ""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite raises, as it is told to people."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreDamaged(f"{path}: damaged ({error}); it was left as it is") from error
        raise StoreError(f"{path}: {error}") from error
