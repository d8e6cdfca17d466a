"""Signals for SQL: does it run, and to which rows?

Written by a model, it is run as if by a stranger: on a database opened read-only, with an
authorizer that lets nothing but reading through, for so many steps of SQLite's machine at most.
"""

import sqlite3
from collections import Counter
from collections.abc import Hashable
from pathlib import Path

from shoal.chat import Answer, Request

_STEPS = 5_000_000  # of SQLite's virtual machine: about half a second
_MOST_ROWS = 10_000
_MOST_BYTES = 4_000_000  # of one value, and of all that is returned
_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_FENCE = "```"

Rows = list[tuple[object, ...]]


class SqlDatabase:
    """A SQLite database on which answers may be tried. Every query has a connection of its own, so
    threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, sql: str) -> Rows:
        """What a query returns, in its order.

        Raises:
            sqlite3.Error: it does not run, would write, takes too long or returns too much.
        """
        address = f"{self._path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(address, uri=True)
        try:
            connection.set_authorizer(_authorize)
            connection.set_progress_handler(lambda: 1, _STEPS)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
            found = _fetched(connection.execute(sql))
        except (sqlite3.Warning, ValueError) as error:  # two statements, a null byte
            raise sqlite3.Error(str(error)) from None
        finally:
            connection.close()
        return found


def _fetched(cursor: sqlite3.Cursor) -> Rows:
    found: Rows = []
    size = 0
    for row in cursor:
        found.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(found) > _MOST_ROWS or size > _MOST_BYTES:
            raise sqlite3.Error(f"more than {_MOST_ROWS} rows, or {_MOST_BYTES} characters")
    return found


class SqlRuns:
    """The answer's text is a query that runs, read-only, on this database."""

    name = "the SQL runs"

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def complaint(self, request: Request, answer: Answer) -> str:
        """What SQLite says against it."""
        try:
            self._database.rows(sql_in(answer.text))
        except sqlite3.Error as error:
            return f"the SQL does not run: {error}"
        return ""


class SameRows:
    """A comparator: both texts run to the same rows, in any order; a text that does not run equals
    only the same text."""

    name = "executes to the same rows"

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def __call__(self, a: Answer, b: Answer) -> bool:
        """Rows are compared by value; 1 and 1.0 are the same value."""
        first, second = sql_in(a.text), sql_in(b.text)
        if first == second:
            return True
        try:
            return Counter(self._database.rows(first)) == Counter(self._database.rows(second))
        except sqlite3.Error:
            return False

    def key(self, answer: Answer) -> Hashable | None:
        """The rows, in any order; None for a text that does not run."""
        try:
            return frozenset(Counter(self._database.rows(sql_in(answer.text))).items())
        except sqlite3.Error:
            return None


def sql_in(text: str) -> str:
    """The query in an answer: within its code fence, if there is one, without a closing ;"""
    if text.count(_FENCE) >= 2:
        text = text.split(_FENCE)[1].removeprefix("sqlite").removeprefix("sql")
    return text.strip().rstrip(";").rstrip()


def _authorize(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
