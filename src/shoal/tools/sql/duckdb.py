"""DuckDB files, which are only read: what opens one for writing keeps everybody else out of it.

Nothing outside the file can be reached: no other file, no extension, no address, no setting.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoal.errors import MissingExtra
from shoal.tools.sql.check import Dialect
from shoal.tools.sql.database import SqlTrouble, Table
from shoal.tools.tool import Json

_CONFIG = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # names of Python variables are no tables
    "memory_limit": "512MB",
    "temp_directory": "",
    "threads": "1",
    "lock_configuration": "true",
}
_COLUMNS = """
    SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema NOT IN ('information_schema', 'pg_catalog')
    ORDER BY table_schema, table_name, ordinal_position
"""


class DuckdbFile:
    """One file. It must exist; it is never made.

    Raises:
        MissingExtra: DuckDB is not installed.
    """

    dialect: Dialect = "duckdb"
    can_write = False

    def __init__(self, path: Path) -> None:
        try:
            import duckdb
        except ImportError:
            raise MissingExtra("sql", "a tool over DuckDB") from None
        self._duckdb: Any = duckdb
        self._path = path

    def tables(self) -> list[Table]:
        """Tables and views. Raises ``SqlTrouble``."""
        conn = self._opened()
        try:
            rows = conn.execute(_COLUMNS).fetchall()
        finally:
            conn.close()
        found: dict[str, list[tuple[str, str, str]]] = {}
        for schema, table, column, kind in rows:
            name = table if schema == "main" else f"{schema}.{table}"
            found.setdefault(name, []).append((column, kind, ""))
        return [Table(name, tuple(columns)) for name, columns in found.items()]

    def connect(self, writes: bool, until: float) -> "DuckdbConnection":
        """A connection of its own."""
        if writes:
            raise SqlTrouble("DuckDB files are only read here", "write to another database")
        return DuckdbConnection(self._duckdb, self._opened())

    def explained(self, error: Exception) -> SqlTrouble:
        """What DuckDB says, in its first line."""
        said = str(error).strip().partition("\n")[0][:300]
        if isinstance(error, self._duckdb.IOException):
            return SqlTrouble("the database cannot be opened", "this is a fault of the tool")
        if isinstance(error, self._duckdb.OutOfMemoryException):
            return SqlTrouble("it took too much memory", "ask for less")
        return SqlTrouble(said or type(error).__name__, "correct the statement")

    def _opened(self) -> Any:
        try:
            return self._duckdb.connect(str(self._path), read_only=True, config=_CONFIG)
        except self._duckdb.Error as error:
            raise SqlTrouble(
                "the database cannot be opened", "somebody else may have it open to write",
                passing=True,
            ) from error  # fmt: skip


class DuckdbConnection:
    """See ``Connection``; never writes."""

    def __init__(self, duckdb: Any, conn: Any) -> None:
        self._duckdb, self._conn = duckdb, conn

    def execute(self, sql: str, values: Sequence[Json], writes: bool) -> Any:
        """Only what DuckDB itself takes for one statement that reads."""
        found = self._conn.extract_statements(sql)
        if len(found) != 1 or found[0].type != self._duckdb.StatementType.SELECT:
            raise SqlTrouble("one SELECT is expected")
        return self._conn.execute(sql, list(values))

    def claim(self, key: str) -> str | None:
        raise SqlTrouble("DuckDB files are only read here")

    def keep(self, key: str, given: str) -> None:
        raise SqlTrouble("DuckDB files are only read here")

    def commit(self) -> None:
        raise SqlTrouble("DuckDB files are only read here")

    def interrupt(self) -> None:
        self._conn.interrupt()

    def close(self) -> None:
        self._conn.close()
