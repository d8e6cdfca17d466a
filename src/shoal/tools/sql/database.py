"""What a database must do to be a tool, and how one statement is run on it.

Everything here blocks, and is called in a thread. A connection lives as long as one statement.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from shoal.tools.sql.check import Dialect, Refused, Statement
from shoal.tools.sql.rows import RowsTrouble, SqlLimits, gathered
from shoal.tools.tool import Json

DONE_TABLE = "shoal_done"
"""Where the keys of calls that were done are kept, with what they gave: in the same transaction."""


class SqlTrouble(Exception):
    """The statement did not run; the message is for who wrote it. ``passing`` and ``unsure`` are as
    in ``ToolResult``."""

    def __init__(
        self, message: str, hint: str = "", *, passing: bool = False, unsure: bool = False
    ) -> None:
        super().__init__(message)
        self.hint, self.passing, self.unsure = hint, passing, unsure


class Table(Struct, frozen=True):
    """A table or view: its columns with their types, and what is said of it and of them."""

    name: str
    columns: tuple[tuple[str, str, str], ...]  # name, type, comment
    comment: str = ""


class Connection(Protocol):
    """One connection, in one transaction. What it raises is the driver's own."""

    def execute(self, sql: str, values: Sequence[Json], writes: bool) -> Any:
        """A cursor of DB-API 2; its ``rowcount`` counts what was changed."""

    def claim(self, key: str) -> str | None:
        """Note that the call with this key is done here; if it was done before, what it gave."""

    def keep(self, key: str, given: str) -> None:
        """Note what it gave."""

    def commit(self) -> None:
        """End the transaction."""

    def interrupt(self) -> None:
        """Stop what runs; called from other threads, more than once."""

    def close(self) -> None:
        """Undo what was not committed."""


class Database(Protocol):
    """A place to which statements go."""

    @property
    def dialect(self) -> Dialect:
        """Of its SQL."""

    @property
    def can_write(self) -> bool:
        """Whether it may be opened for writing at all."""

    def tables(self) -> list[Table]:
        """What there is. Raises ``SqlTrouble``."""

    def connect(self, writes: bool, until: float) -> Connection:
        """A connection that can do no more than it must. Raises ``SqlTrouble``. No statement may
        run longer than ``until`` (``time.monotonic``)."""

    def explained(self, error: Exception) -> SqlTrouble | None:
        """What an error of the driver's means; None if it is none of the driver's."""


class Running:
    """One statement on its way: run by one thread, stopped by another or when its time is up."""

    def __init__(self, database: Database, limits: SqlLimits, once: bool, until: float) -> None:
        self._database, self._limits, self._once, self._until = database, limits, once, until
        self._stopped, self._ended, self._wake = (threading.Event() for _ in range(3))
        self._committing = False

    def run(self, statement: Statement, values: Sequence[Json], key: str) -> Json:
        """The rows as JSON.

        Raises:
            SqlTrouble: it did not run.
        """
        try:
            with self._connected(statement.writes) as connection:
                return self._worked(connection, statement, values, key)
        except (SqlTrouble, Refused):
            raise
        except Exception as error:  # of the driver's, each of which has a tree of its own
            raise self._told(error) from error

    def stop(self) -> None:
        """Stop it soon; does not block."""
        self._stopped.set()
        self._wake.set()

    def _worked(
        self, connection: Connection, statement: Statement, values: Sequence[Json], key: str
    ) -> Json:
        once = self._once and bool(key) and statement.writes
        if once and (before := connection.claim(key)) is not None:
            found: Json = msgspec.json.decode(before)
            return found
        cursor = connection.execute(statement.sql, values, statement.writes)
        given = gathered(cursor, self._limits, statement.writes)
        if statement.writes:
            if once:
                connection.keep(key, msgspec.json.encode(given).decode())
            if self._stopped.is_set():
                raise SqlTrouble("it was stopped, and nothing was changed", passing=True)
            self._committing = True
            connection.commit()
        return given

    @contextmanager
    def _connected(self, writes: bool) -> Iterator[Connection]:
        connection = self._database.connect(writes, self._until)
        watch = threading.Thread(target=self._watch, args=(connection.interrupt,), daemon=True)
        try:
            watch.start()
            yield connection
        finally:
            self._ended.set()
            self._wake.set()
            watch.join()  # nobody interrupts a connection that is closed
            connection.close()

    def _watch(self, interrupt: Callable[[], None]) -> None:
        """Interrupt when the time is up, again until it has had its effect: one that comes just
        before a statement begins has none."""
        self._wake.wait(max(self._until - time.monotonic(), 0))
        while not self._ended.wait(0.02):
            interrupt()

    def _told(self, error: Exception) -> SqlTrouble:
        if self._committing:
            return SqlTrouble("the connection broke while it was committed", unsure=True)
        known = self._database.explained(error)
        if known is not None and known.passing:
            return known
        if self._stopped.is_set() or time.monotonic() >= self._until:
            return SqlTrouble(
                "it took too long and was stopped", "ask for less: filter, aggregate, or limit"
            )
        if isinstance(error, RowsTrouble):
            return SqlTrouble(str(error), "ask for less")
        if isinstance(error, (MemoryError, RecursionError)):
            return SqlTrouble("it took too much memory", "ask for less")
        return known or SqlTrouble(f"{type(error).__name__} while it ran")
