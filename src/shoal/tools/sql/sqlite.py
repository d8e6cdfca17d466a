"""SQLite files. Opened read-only, every act of a statement is asked of an authorizer, and its steps
are counted against the clock."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shoal.tools.sql.check import Dialect
from shoal.tools.sql.database import DONE_TABLE, SqlTrouble, Table
from shoal.tools.tool import Json

_STEPS = 5_000  # of SQLite's virtual machine between looks at the clock, well under 1 ms
_LOCK_S = 5.0
_MOST_VALUE = 20_000_000  # bytes of one value, and so of what one function can make
_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_WRITES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}
_OWN = ("sqlite_", "shoal_")
_LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)


class SqliteFile:
    """One file. It must exist; it is never made."""

    dialect: Dialect = "sqlite"
    can_write = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def tables(self) -> list[Table]:
        """Tables and views, SQLite's own and Shoal's aside. Raises ``SqlTrouble``."""
        try:
            conn = self._opened("ro", 1.0)
            try:
                names = conn.execute(
                    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
                ).fetchall()
                return [_table(conn, name) for (name,) in names if not name.startswith(_OWN)]
            finally:
                conn.close()
        except sqlite3.Error as error:
            raise self.explained(error) from error

    def connect(self, writes: bool, until: float) -> "SqliteConnection":
        """A connection of its own."""
        try:
            left = max(0.0, min(_LOCK_S, (until - time.monotonic()) * 0.9))
            return SqliteConnection(self._opened("rw" if writes else "ro", left), until)
        except sqlite3.Error as error:
            raise self.explained(error) from error

    def explained(self, error: Exception) -> SqlTrouble:
        """What SQLite says is about the statement, or about the file."""
        said = " ".join(str(error).split())[:300]
        if "locked" in said or "busy" in said:
            return SqlTrouble("the database is in use by somebody else", passing=True)
        if "unable to open" in said or "not a database" in said or "disk I/O" in said:
            return SqlTrouble("the database cannot be opened", "this is a fault of the tool")
        if "prohibited" in said or "not authorized" in said:
            return SqlTrouble(f"this may not be done here: {said}", "only read the tables named")
        if isinstance(error, sqlite3.Error | ValueError | OverflowError):
            return SqlTrouble(said, "correct the statement")
        return SqlTrouble(f"{type(error).__name__} while it ran")

    def _opened(self, mode: str, lock_s: float) -> sqlite3.Connection:
        conn = sqlite3.connect(
            f"file:{quote(str(self._path.absolute()))}?mode={mode}",
            uri=True,
            timeout=lock_s,
            isolation_level=None,  # transactions are begun here
            check_same_thread=False,  # another thread interrupts
        )
        for limit, most in _LIMITS:
            conn.setlimit(limit, most)
        conn.execute("PRAGMA trusted_schema = OFF")
        conn.execute("PRAGMA foreign_keys = ON")
        return conn


class SqliteConnection:
    """See ``Connection``."""

    def __init__(self, conn: sqlite3.Connection, until: float) -> None:
        self._conn, self._until = conn, until
        self._begun = False

    def execute(self, sql: str, values: Sequence[Json], writes: bool) -> Any:
        """With the authorizer and the clock on."""
        if writes and not self._begun:
            self._begin()
        allowed = _READS | _WRITES if writes else _READS

        def authorize(act: int, first: str | None, second: str | None, *_: object) -> int:
            if act not in allowed:
                return sqlite3.SQLITE_DENY
            if act == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
                return sqlite3.SQLITE_DENY
            own = act in _WRITES and (first or "").lower().startswith(_OWN)
            return sqlite3.SQLITE_DENY if own else sqlite3.SQLITE_OK

        self._conn.set_progress_handler(lambda: time.monotonic() > self._until, _STEPS)
        self._conn.set_authorizer(authorize)
        return self._conn.execute(sql, list(values))

    def claim(self, key: str) -> str | None:
        self._begin()
        self._conn.execute(
            f"CREATE TABLE IF NOT EXISTS {DONE_TABLE} (key TEXT PRIMARY KEY, result TEXT NOT NULL)"
        )
        done = f"INSERT INTO {DONE_TABLE} VALUES (?, '') ON CONFLICT DO NOTHING"  # noqa: S608
        if self._conn.execute(done, (key,)).rowcount:
            return None
        asked = f"SELECT result FROM {DONE_TABLE} WHERE key = ?"  # noqa: S608
        return str(self._conn.execute(asked, (key,)).fetchone()[0])

    def keep(self, key: str, given: str) -> None:
        self._free()
        kept = f"UPDATE {DONE_TABLE} SET result = ? WHERE key = ?"  # noqa: S608
        self._conn.execute(kept, (given, key))

    def commit(self) -> None:
        self._free()
        if self._begun:
            self._conn.execute("COMMIT")

    def interrupt(self) -> None:
        self._conn.interrupt()

    def close(self) -> None:
        self._conn.close()

    def _begin(self) -> None:
        self._conn.execute("BEGIN IMMEDIATE")
        self._begun = True

    def _free(self) -> None:
        self._conn.set_authorizer(None)
        self._conn.set_progress_handler(None, 0)


def _table(conn: sqlite3.Connection, name: str) -> Table:
    found = conn.execute("SELECT name, type FROM pragma_table_info(?)", (name,)).fetchall()
    return Table(name, tuple((column, kind or "ANY", "") for column, kind in found))
