"""A store's home in a file: SQLite, opened with care.

A transaction that writes begins by taking the file's write lock.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from shoal.errors import StoreDamaged, StoreError
from shoal.storage import opening
from shoal.storage.database import Database
from shoal.storage.dialects import version
from shoal.storage.file_lock import FileLock
from shoal.storage.options import StoreOptions

_BUSY_SECONDS = 5.0  # how long to wait for somebody else's transaction
_LOG_PAGES = 16_384  # of write-ahead log, 64 MiB, before a writer has to merge it itself
_FREE_PAGES = 500  # given back in one transaction
_READERS_MS = 15  # how long a checkpoint waits for those who still read from the log
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FAILED = _DAMAGED | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


class SqliteDatabase(Database):
    """An open database file."""

    _driver_error = sqlite3.Error

    def __init__(self, path: Path, durable: bool) -> None:
        self.path = path
        synced = "FULL" if durable else "NORMAL"
        to_write = f"synchronous = {synced}", f"wal_autocheckpoint = {_LOG_PAGES}"
        super().__init__(
            str(path),
            _engine(path, "BEGIN", ["query_only = ON"], connections=16),
            _engine(path, "BEGIN IMMEDIATE", to_write, connections=1),
        )
        self._poll = _connect(path)
        self._opened = _identity(path)
        self._polling = threading.Lock()

    @classmethod
    def open(cls, options: StoreOptions) -> "SqliteDatabase":
        """Open the database of a data folder, or make one; bring its tables up to date.

        Raises:
            StoreDamaged: the file is damaged. It was left as it is.
            StoreError: the file is not Shoal's or a newer Shoal's, or cannot be read or written.
        """
        path = opening.prepare(options.path)
        _settle(path)
        database = cls(path, options.durable)
        database.bring_up(version)
        return database

    def revision(self) -> int:
        """The count of changes to tasks, cards, certificates and standings. Takes some 10 µs.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            with self._polling:
                found: int = self._poll.execute("SELECT revision FROM meta").fetchone()[0]
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error
        return found

    def displaced(self) -> str:
        """What has become of the file that is open here, if its path does not lead to it any more;
        "" if all is well. Takes some 5 µs."""
        found = _identity(self.path)
        if found == self._opened:
            return ""
        what = "replaced by another file" if found else "removed or moved away"
        return (
            f"{self.path}: was {what} while Shoal runs; what is recorded now goes to the file that "
            "was there, and is lost if that is deleted. Move it back, or restart Shoal"
        )

    def bytes_used(self, beyond: float = 0.0) -> int:
        """The size of what is stored, in bytes: pages in use, without those free to be reused."""
        with self.read() as conn:
            pages: int = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
            free: int = conn.exec_driver_sql("PRAGMA freelist_count").scalar_one()
            size: int = conn.exec_driver_sql("PRAGMA page_size").scalar_one()
        return (pages - free) * size

    def log_bytes(self) -> int:
        """The size of the write-ahead log, in bytes."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def checkpoint(self, begin_anew: bool = False) -> None:
        """Merge the write-ahead log into the file.

        Writers go on meanwhile. To ``begin_anew`` with an empty log, which readers may prevent,
        they must wait while what they wrote meanwhile is merged, for 10 to 40 ms here.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._aside() as conn:
            conn.execute("PRAGMA wal_checkpoint(PASSIVE)")
            if begin_anew:
                conn.execute(f"PRAGMA busy_timeout = {_READERS_MS}")  # writers wait along
                conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def shrink(self) -> None:
        """Give the pages that nothing uses any more back to the file system.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._aside() as conn:
            (free,) = conn.execute("PRAGMA freelist_count").fetchone()
            for _ in range(0, free, _FREE_PAGES):  # little by little, for others want to write too
                conn.executescript(f"PRAGMA incremental_vacuum({_FREE_PAGES})")
        self.checkpoint(begin_anew=True)

    def learner_lock(self) -> FileLock:
        """The lock that the store's one learner holds, beside the file."""
        return FileLock(self.path.with_name("learner.lock"))

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._poll.close()
        super().close()

    @contextmanager
    def _aside(self) -> Iterator[sqlite3.Connection]:
        """A connection for what cannot be done within a transaction."""
        try:
            with closing(_connect(self.path)) as conn:
                yield conn
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error

    def _failed(self, cause: BaseException | None) -> bool:
        return _code(cause) in _FAILED

    def _told(self, cause: BaseException | None) -> StoreError:
        if _code(cause) in _DAMAGED:
            return StoreDamaged(
                f"{self.path}: the database is damaged ({cause}); restore it from a backup"
            )
        return StoreError(f"{self.path}: {cause}")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",  # a file that is gone is not made again
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # transactions begin as this module says, not as the driver
        check_same_thread=False,
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from every other that is there at the same time; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _settle(path: Path) -> None:
    """Make the file give space back and keep a write-ahead log; both are kept in the file."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            with closing(_connect(path)) as conn:
                if conn.execute("PRAGMA page_count").fetchone() == (0,):
                    conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
                (mode,) = conn.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.Error as error:  # changing the mode does not wait for others by itself
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise StoreError(f"{path}: cannot be written: {error}") from error
        time.sleep(0.01)
    if mode != "wal":
        raise StoreError(f"{path}: a write-ahead log cannot be kept here; choose a local folder")


def _engine(path: Path, begin: str, settings: Iterable[str], connections: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=partial(_connect, path),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=2 * _BUSY_SECONDS,
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def start(conn: Connection) -> None:
        conn.exec_driver_sql(begin)

    return engine


def _code(cause: BaseException | None) -> int:
    code: int = getattr(cause, "sqlite_errorcode", 0)
    return code & 0xFF  # the rest says more of the same
