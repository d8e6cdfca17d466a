"""Statements compiled once, for the two inserts that every call takes.

Executing one costs half of what SQLAlchemy's own cached path does (measured: 50 against 95 µs of
CPU for a call of two messages).
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, Connection, CursorResult, Table, bindparam
from sqlalchemy.dialects import sqlite


class InsertNew:
    """Inserts a row into ``table`` unless there is one with the same value of ``key``."""

    def __init__(self, table: Table, key: str, generated: str) -> None:
        names = (column.name for column in table.columns)
        values: dict[str, BindParameter[Any]] = {
            name: bindparam(name) for name in names if name != generated
        }
        statement = sqlite.insert(table).values(values).on_conflict_do_nothing(index_elements=[key])
        self._names = tuple(values)
        self._sql = str(statement.compile(dialect=sqlite.dialect()))

    def __call__(self, conn: Connection, row: Mapping[str, Any]) -> CursorResult[Any]:
        """Insert ``row``; the result's ``rowcount`` is 1 or 0.

        Raises:
            KeyError: ``row`` lacks a column.
        """
        return conn.exec_driver_sql(self._sql, tuple(row[name] for name in self._names))
