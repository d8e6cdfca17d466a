"""Postgres. Each statement has a transaction of its own, read-only unless it writes, with the
server's own clock on it.

What the role may do, the server decides: give a tool a role of its own.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from shoal.errors import ConfigError, MissingExtra
from shoal.tools.sql.check import Dialect
from shoal.tools.sql.database import DONE_TABLE, SqlTrouble, Table
from shoal.tools.tool import Json

_PARAMETERS = {
    "application_name": "shoal tool",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # ms
}
_LOCK_S = 5.0
_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
           coalesce(obj_description(c.oid, 'pg_class'), ''),
           coalesce(col_description(c.oid, a.attnum), ''), pg_table_is_visible(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
      AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY n.nspname, c.relname, a.attnum LIMIT 5000
"""


class PostgresServer:
    """One database. ``url`` is as libpq's; a ``password`` is taken besides, and never shown.

    Raises:
        ConfigError: the URL is not understood.
        MissingExtra: psycopg is not installed.
    """

    dialect: Dialect = "postgres"
    can_write = True

    def __init__(self, url: str, password: str = "") -> None:
        try:
            import psycopg
            from psycopg.conninfo import conninfo_to_dict
        except ImportError:
            raise MissingExtra("postgres", "a tool over Postgres") from None
        self._psycopg: Any = psycopg
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:  # its message may hold a password
            raise ConfigError("this is no URL of Postgres, like postgresql://host/name") from None
        secret = {"password": password} if password else {}
        self._parameters: Mapping[str, Any] = _PARAMETERS | given | secret

    def tables(self) -> list[Table]:
        """What the role may read; with the schema's name where it must be said. Raises
        ``SqlTrouble``."""
        conn = self._opened(writes=False, left_s=10.0)
        try:
            rows = conn.execute(_COLUMNS).fetchall()
        except self._psycopg.Error as error:
            raise self.explained(error) from error
        finally:
            conn.close()
        found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        for schema, table, column, kind, comment, said, visible in rows:
            name = table if visible else f"{schema}.{table}"
            found.setdefault((name, comment), []).append((column, kind, said))
        return [
            Table(name, tuple(columns), comment)
            for (name, comment), columns in found.items()
            if name != DONE_TABLE
        ]

    def connect(self, writes: bool, until: float) -> "PostgresConnection":
        """A connection of its own."""
        left = until - time.monotonic()
        if left <= 0:
            raise SqlTrouble("no time was left for it", passing=True)
        return PostgresConnection(self._psycopg, self._opened(writes, left))

    def explained(self, error: Exception) -> SqlTrouble:
        """The server's message, without details, which may hold values of other rows."""
        errors = self._psycopg.errors
        told = getattr(getattr(error, "diag", None), "message_primary", None)
        said = " ".join(str(told or type(error).__name__).split())[:300]
        if isinstance(error, errors.QueryCanceled):
            return SqlTrouble("it took too long and was stopped", "ask for less")
        passing = errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable
        if isinstance(error, passing):
            return SqlTrouble(said, "try it again", passing=True)
        if isinstance(error, self._psycopg.OperationalError):
            return SqlTrouble("the connection to the database broke", passing=True)
        return SqlTrouble(said, "correct the statement")

    def _opened(self, writes: bool, left_s: float) -> Any:
        try:
            conn = self._psycopg.connect(**self._parameters, cursor_factory=self._psycopg.RawCursor)
        except self._psycopg.Error as error:  # its message tells hosts and roles
            raise SqlTrouble(
                "the database cannot be reached", "try it later", passing=True
            ) from error
        conn.read_only = not writes
        milliseconds = str(max(1, int(left_s * 1000)))
        lock = str(int(min(left_s, _LOCK_S) * 1000) or 1)
        conn.execute(
            "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true)"
            ", set_config('idle_in_transaction_session_timeout', '60s', true)",
            [milliseconds, lock],
        )
        return conn


class PostgresConnection:
    """See ``Connection``."""

    def __init__(self, psycopg: Any, conn: Any) -> None:
        self._psycopg, self._conn = psycopg, conn

    def execute(self, sql: str, values: Sequence[Json], writes: bool) -> Any:
        """What only reads is read through a cursor of the server's, a few rows at a time."""
        given = [value.replace("\0", "") if isinstance(value, str) else value for value in values]
        if writes:
            return self._conn.execute(sql, given)
        cursor = self._psycopg.RawServerCursor(self._conn, "shoal")
        cursor.execute(sql, given)
        return cursor

    def claim(self, key: str) -> str | None:
        there = self._conn.execute("SELECT to_regclass($1)", [DONE_TABLE]).fetchone()[0]
        if there is None:  # two that make it at the same time would be in each other's way
            self._conn.execute("SELECT pg_advisory_xact_lock(hashtext($1))", [DONE_TABLE])
            self._conn.execute(
                f"CREATE TABLE IF NOT EXISTS {DONE_TABLE} "
                f"(key TEXT PRIMARY KEY, result TEXT NOT NULL)"
            )
        done = f"INSERT INTO {DONE_TABLE} VALUES ($1, '') ON CONFLICT DO NOTHING"  # noqa: S608
        if self._conn.execute(done, [key]).rowcount:
            return None
        asked = f"SELECT result FROM {DONE_TABLE} WHERE key = $1"  # noqa: S608
        return str(self._conn.execute(asked, [key]).fetchone()[0])

    def keep(self, key: str, given: str) -> None:
        kept = f"UPDATE {DONE_TABLE} SET result = $1 WHERE key = $2"  # noqa: S608
        self._conn.execute(kept, [given, key])

    def commit(self) -> None:
        self._conn.commit()

    def interrupt(self) -> None:
        self._conn.cancel_safe(timeout=1.0)

    def close(self) -> None:
        self._conn.close()
