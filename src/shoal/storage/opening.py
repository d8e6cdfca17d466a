"""What is looked at, and refused, before a database file is opened to be written.

A file that is damaged, not Shoal's, or of a newer Shoal is left as it is. Where an unclean end left
a write-ahead log beside it, it is looked at without the right to write, because the last ordinary
connection to close would merge the two.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from shoal.errors import StoreDamaged, StoreError
from shoal.storage.dialects import APPLICATION_ID
from shoal.storage.migrations import MIGRATIONS

_CHECK_SECONDS = 1.0  # about 1.1 GB of pages here; the others are checked when they are read
_STEPS = 100_000  # virtual machine steps between two looks at the clock


def prepare(folder: Path) -> Path:
    """The database file of a data folder, made if it is not there, fit to be opened.

    A folder that is made is private to the user (0700); the file always is (0600).

    Raises:
        StoreDamaged: the file is damaged.
        StoreError: the file is not Shoal's or a newer Shoal's, or the system refuses.
    """
    path = folder / "shoal.db"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        empty = path.stat().st_size == 0
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened for writing: {error.strerror}") from error
    if not empty:
        _check(path)
    return path


def _check(path: Path) -> None:
    logged = path.with_name(path.name + "-wal").exists()  # to look makes one
    try:
        with closing(_look(path, "ro" if logged else "rw")) as conn:
            conn.execute("BEGIN")  # one moment, while another process may be making the tables
            _check_kind(path, conn)
            if not logged:  # else what is being written may end anywhere
                _check_end(path, conn)
            _check_pages(path, conn)
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error


def _look(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=5.0, isolation_level=None
    )


def _check_kind(path: Path, conn: sqlite3.Connection) -> None:
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    (application,) = conn.execute("PRAGMA application_id").fetchone()
    (tables,) = conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise StoreError(f"{path}: is some other program's database; choose another data folder")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: was written by a newer Shoal (schema {version}, this one knows "
            f"{len(MIGRATIONS)}); upgrade Shoal, or choose another data folder"
        )


def _check_end(path: Path, conn: sqlite3.Connection) -> None:
    """SQLite reads zeros for what is cut off the last page, and those may look like a good one."""
    (page,) = conn.execute("PRAGMA page_size").fetchone()
    if path.stat().st_size % page:
        raise _damaged(path, "the file ends within a page")


def _check_pages(path: Path, conn: sqlite3.Connection) -> None:
    deadline = time.monotonic() + _CHECK_SECONDS
    conn.execute("PRAGMA cell_size_check = ON")
    conn.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        (verdict,) = conn.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return
        raise
    if verdict != "ok":
        raise _damaged(path, verdict.replace("\n", " "))


def _damaged(path: Path, what: str) -> StoreDamaged:
    return StoreDamaged(
        f"{path}: the database is damaged ({what}). It was left as it is. Restore it from a "
        f"backup, save what can be read with `sqlite3 {path} .recover`, or move it and the files "
        f"{path.name}-* beside it away to start afresh"
    )
