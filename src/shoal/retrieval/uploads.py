"""Files that were uploaded, kept as they came until somebody removes them.

A folder: each file's bytes under its id, and a table of what is said of them. Bytes are on disk
before the row that tells of them, and a row goes before its bytes, so whatever breaks off leaves at
most bytes that nobody knows of; ``sweep`` throws those away.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import uuid_utils
from msgspec import Struct

from shoal.errors import BodyTooLarge, NotFound, StoreError, UploadsFull
from shoal.retrieval.shelf_tables import connect, translated

PREFIX = "file-"
MOST_BYTES, MOST_TOTAL = 512_000_000, 10_000_000_000  # of one file, of all
_TABLES = (
    """CREATE TABLE IF NOT EXISTS files (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        filename TEXT NOT NULL,
        purpose TEXT NOT NULL,
        size INTEGER NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL)""",
    """CREATE TABLE IF NOT EXISTS gone (
        list TEXT NOT NULL,
        id TEXT NOT NULL,
        created_at REAL NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (list, id))""",
)
_FILE = "SELECT id, owner, filename, purpose, size, created_at, expires_at FROM files"
_SIZE = "SELECT coalesce(sum(size), 0) FROM files"
_ORPHANED_S = 3_600.0  # after so long nobody is still writing it
_REMEMBERED_S = 86_400.0


class Upload(Struct, frozen=True):
    """An uploaded file: ``owner`` is a key's id, ``size`` its bytes; times are unix times."""

    id: str
    owner: str
    filename: str
    purpose: str
    size: int
    created_at: float
    expires_at: float | None = None


class Incoming:
    """A file that is being uploaded. One thread at a time; either kept or dropped at its end."""

    def __init__(self, path: Path, id: str, most_bytes: int, left: int) -> None:
        """``left`` are the bytes that all files together leave for it."""
        self.id, self.path, self.size = id, path, 0
        self._most, self._left = most_bytes, left
        self._file: IO[bytes] = path.open("xb")

    def write(self, data: bytes) -> None:
        """Add to it.

        Raises:
            BodyTooLarge: it has become too large.
            UploadsFull: all files together have.
            StoreError: it cannot be written.
        """
        self.size += len(data)
        if self.size > self._most:
            most = self._most / 1_000_000
            raise BodyTooLarge(f"the file is over {most:g} MB, which is the most that is taken")
        if self.size > self._left:
            raise UploadsFull(self._left)
        try:
            self._file.write(data)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error}") from error

    def end(self) -> None:
        """All of it is there: see that it is on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def drop(self) -> None:
        """Throw it away; of one that was kept nothing is left to throw away."""
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


class Uploads:
    """The files of one folder. Safe to use from several threads and processes."""

    def __init__(
        self, folder: Path, most_bytes: int = MOST_BYTES, most_total: int = MOST_TOTAL
    ) -> None:
        """At most so many bytes of a file, and of all of them together. Nothing is made before
        something is uploaded."""
        self.folder, self.most_bytes, self.most_total = folder, most_bytes, most_total
        self._table = folder / "files.db"

    def begin(self, expected: int = 0) -> Incoming:
        """A new file, of at least ``expected`` bytes, to be written and then given to ``keep``.

        Raises:
            UploadsFull: there is no room for it.
            StoreError: the folder cannot be written.
        """
        id, left = PREFIX + str(uuid_utils.uuid7()), self.most_total - self._used()
        if left <= 0 or expected > left:
            raise UploadsFull(left)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return Incoming(self.folder / f"{id}.part", id, self.most_bytes, left)
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be written: {error}") from error

    def keep(
        self,
        incoming: Incoming,
        owner: str,
        filename: str,
        purpose: str,
        expires_s: float | None = None,
    ) -> Upload:
        """Keep what has come in; when this returns it is on disk.

        Raises:
            UploadsFull: others that came in meanwhile have left no room for it.
            StoreError: it cannot be written.
        """
        now = time.time()
        expires_at = None if expires_s is None else now + expires_s
        upload = Upload(incoming.id, owner, filename, purpose, incoming.size, now, expires_at)
        try:
            incoming.end()
            incoming.path.rename(self.path(upload.id))
            _sync(self.folder)
        except OSError as error:
            raise StoreError(f"{incoming.path}: cannot be written: {error}") from error
        row = tuple(getattr(upload, name) for name in upload.__struct_fields__)
        try:
            with self._writing() as conn:
                conn.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                left = self.most_total - conn.execute(_SIZE).fetchone()[0]
                if left < 0:
                    raise UploadsFull(left + upload.size)
        except UploadsFull:
            self.path(upload.id).unlink(missing_ok=True)
            raise
        return upload

    def _used(self) -> int:
        """Bytes of all files, those that are coming in among them."""
        kept = self._all(_SIZE)
        used = int(kept[0][0]) if kept else 0
        for path in self.folder.glob(f"{PREFIX}*.part"):
            with suppress(FileNotFoundError):
                used += path.stat().st_size
        return used

    def get(self, id: str, owner: str | None = None) -> Upload:
        """One file; ``owner`` None: whosever it is.

        Raises:
            NotFound: there is none, it is another's, or it has expired.
        """
        for row in self._all(f"{_FILE} WHERE id = ?", (id,)):
            found = Upload(*row)
            over = found.expires_at is not None and found.expires_at <= time.time()
            if not over and owner in (None, found.owner):
                return found
        raise NotFound(f"no file with id {id[:100]!r}")

    def owned(self, owner: str | None = None, purpose: str = "") -> list[Upload]:
        """Files that have not expired, oldest first; ``purpose`` "": whatever they are for."""
        now = time.time()
        found = [Upload(*row) for row in self._all(f"{_FILE} ORDER BY id")]
        return [
            one
            for one in found
            if owner in (None, one.owner)
            and purpose in ("", one.purpose)
            and (one.expires_at is None or one.expires_at > now)
        ]

    def expired(self) -> list[str]:
        """The ids of files that have expired and are still kept."""
        query = "SELECT id FROM files WHERE expires_at <= ?"
        return [id for (id,) in self._all(query, (time.time(),))]

    def path(self, id: str) -> Path:
        """Where the bytes of a file are; ``id`` is one that ``get`` knows."""
        return self.folder / id

    def remove(self, id: str) -> None:
        """Remove a file.

        Raises:
            NotFound: there is none.
        """
        with self._writing() as conn:
            query = "DELETE FROM files WHERE id = ? RETURNING created_at"
            rows = conn.execute(query, (id,)).fetchall()
            if not rows:
                raise NotFound(f"no file with id {id[:100]!r}")
            _remember(conn, "files", id, rows[0][0])
        self.path(id).unlink(missing_ok=True)

    def remember(self, listed: str, id: str, created_at: float) -> None:
        """An object of a list was removed; for a day, who reads the list can go on from it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._writing() as conn:
            _remember(conn, listed, id, created_at)

    def gone(self, listed: str, id: str) -> float | None:
        """When an object was made that was removed from a list; None if nobody remembers."""
        query = "SELECT created_at FROM gone WHERE list = ? AND id = ?"
        rows = self._all(query, (listed, id))
        return float(rows[0][0]) if rows else None

    def sweep(self) -> int:
        """Throw away bytes that no row tells of, and that nobody is writing; how many files."""
        if not self._table.is_file():
            return 0
        before, swept = time.time() - _ORPHANED_S, 0
        known = {id for (id,) in self._all("SELECT id FROM files")}
        for path in self.folder.glob(f"{PREFIX}*"):
            with suppress(FileNotFoundError):
                if path.name not in known and path.stat().st_mtime < before:
                    path.unlink()
                    swept += 1
        return swept

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        if not self._table.is_file():
            return []
        with translated(self._table), closing(self._connection()) as conn:
            return conn.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with translated(self._table), closing(self._connection()) as conn:
            conn.execute("BEGIN IMMEDIATE")
            yield conn
            conn.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        conn = connect(self._table, "rwc")
        for table in _TABLES:
            conn.execute(table)
        return conn


def _remember(conn: sqlite3.Connection, listed: str, id: str, created_at: float) -> None:
    now = time.time()
    conn.execute("DELETE FROM gone WHERE at < ?", (now - _REMEMBERED_S,))
    conn.execute("INSERT OR REPLACE INTO gone VALUES (?, ?, ?, ?)", (listed, id, created_at, now))


def _sync(folder: Path) -> None:
    """See that the names in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
