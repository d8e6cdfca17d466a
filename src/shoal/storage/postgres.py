"""A store's home in a Postgres database, for several gateways on one machine or many.

A transaction that writes begins by taking an advisory lock, one for each store, and lets go of it
once it is seen to be committed. So writers follow each other as on a file, and numbers that are
given out in a transaction are seen in their order: without the lock a later number could be seen
first, and whoever goes on after the last one seen would miss the earlier.
"""

import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import (
    Connection,
    Engine,
    LargeBinary,
    Table,
    Text,
    create_engine,
    event,
    func,
    select,
)

from shoal.errors import StoreDamaged, StoreError
from shoal.storage import migrations
from shoal.storage.database import Database
from shoal.storage.dialects import APPLICATION_ID, version
from shoal.storage.options import StoreOptions
from shoal.storage.pulse import Pulse
from shoal.storage.schema import calls, events, metadata
from shoal.storage.server import Server, server_of

_WAIT_S = 10.0  # for a connection of the pool
_ROW_BYTES = 150  # of a row without its texts: header, numbers, entries in indexes
_WRITING, _LEARNING = 0, 1  # what the locks are for
_SKIPPED = 100_000  # numbers; far more than are given out before a commit is on the server's disk
_TO_READ = {
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
}
_DAMAGED = {"XX001", "XX002"}
_FAILED = {  # classes of SQLSTATE, and single ones of other classes
    "08",  # connection
    "25006",  # a standby, which cannot be written
    "28",  # who may log in
    "3D000",  # no such database
    "40",  # rolled back for others' sake
    "42501",  # no right to
    "53",  # disk full, too many connections, out of memory
    "55",  # locked
    "57",  # shutting down, starting up
    "58",  # system
    "XX",  # internal, damaged
}


class PostgresDatabase(Database):
    """A database on a Postgres server, open."""

    _driver_error = psycopg.Error

    def __init__(self, server: Server, durable: bool) -> None:
        to_write = {
            "default_transaction_isolation": "read committed",  # else older than the lock
            "synchronous_commit": "on" if durable else "off",
        }
        super().__init__(
            server.place,
            _engine(server, _TO_READ, connections=8),
            _engine(server, to_write, connections=1),
        )
        self._server = server
        self._pulse = Pulse(server.place, server.connect, psycopg.Error)
        self._write_lock: int | None = None
        self._is_new = True  # the connection that writes
        event.listen(self._writes, "connect", self._begin_anew)
        event.listen(self._writes, "begin", self._lock)

    @classmethod
    def open(cls, options: StoreOptions) -> "PostgresDatabase":
        """Open a database on a server; make its tables, or bring them up to date.

        Raises:
            StoreError: the server cannot be reached, or the database holds something else or a
                newer Shoal's tables, or cannot be written.
        """
        database = cls(server_of(options), options.durable)
        database.bring_up(partial(_look, place=database.place))
        return database

    def revision(self) -> int:
        """The count of changes to tasks, cards, certificates and standings, of a moment ago.

        Raises:
            StoreError: the server fails, or has said nothing for 2 s.
        """
        return self._pulse.revision()

    def bytes_used(self, beyond: float = 0.0) -> int:
        """About the size of what is stored, in bytes: texts as they are stored, and so much for
        each row. All rows are looked at, if the tables take more than ``beyond`` with their free
        space; else it is that."""
        with self.read() as conn:
            sizes = (func.pg_total_relation_size(name) for name in metadata.tables)
            whole = sum(int(conn.execute(select(size)).scalar_one()) for size in sizes)
            if whole <= beyond:
                return whole
            return sum(_bytes_of(conn, table) for table in metadata.sorted_tables)

    def shrink(self) -> None:
        """Nothing: the server's autovacuum makes the space free to be used again, and giving it
        back would keep everybody waiting."""

    def learner_lock(self) -> "SessionLock":
        """The lock that the store's one learner holds, for all machines."""
        return SessionLock(self._server)

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._pulse.close()
        super().close()

    def _begin_anew(self, *_: object) -> None:
        self._is_new = True

    def _lock(self, conn: Connection) -> None:
        """Wait for the write lock: what is read from then on is newer than the last commit."""
        if self._write_lock is None:
            schema = conn.exec_driver_sql("SELECT current_schema()").one()
            self._write_lock = _key(schema, _WRITING)
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (self._write_lock,))
        if self._is_new:
            _skip_numbers(conn)
            self._is_new = False

    def _failed(self, cause: BaseException | None) -> bool:
        if not isinstance(cause, psycopg.Error):
            return False
        if cause.sqlstate:
            return cause.sqlstate in _FAILED or cause.sqlstate[:2] in _FAILED
        return _is_broken(cause)

    def _told(self, cause: BaseException | None) -> StoreError:
        why = " ".join(str(cause).split())
        if getattr(cause, "sqlstate", None) in _DAMAGED:
            return StoreDamaged(f"{self.place}: the database is damaged ({why})")
        if _is_broken(cause):
            return StoreError(
                f"{self.place}: cannot be reached ({why}); see that Postgres runs there, that the "
                "database exists, and that store.url and the password let Shoal in"
            )
        return StoreError(f"{self.place}: {why}")


class SessionLock:
    """A lock that the server lets go of when the connection that took it ends."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._conn: psycopg.Connection[Any] | None = None

    def take(self) -> bool:
        """Take the lock, without waiting; false if another process has it.

        Raises:
            StoreError: the server does not answer.
        """
        self.release()
        try:
            conn = self._server.connect()
            key = _key(conn.execute("SELECT current_schema()").fetchone(), _LEARNING)
            taken = conn.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
        except psycopg.Error as error:
            raise StoreError(f"{self._server.place}: {' '.join(str(error).split())}") from error
        if taken != (True,):
            conn.close()
            return False
        self._conn = conn
        return True

    def held(self) -> bool:
        """Whether the connection still stands, and with it the lock; asks the server."""
        if self._conn is None:
            return False
        try:
            self._conn.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def release(self) -> None:
        """Let go of the lock."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def _engine(server: Server, settings: Mapping[str, str], connections: int) -> Engine:
    return create_engine(
        "postgresql+psycopg://",
        creator=partial(_connect, server, settings),
        use_native_hstore=False,  # one question less for each connection
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_WAIT_S,
        pool_pre_ping=True,  # a server that was started anew is met with new connections
    )


def _connect(server: Server, settings: Mapping[str, str]) -> "psycopg.Connection[Any]":
    conn = server.connect(settings)
    conn.autocommit = False
    return conn


def _skip_numbers(conn: Connection) -> None:
    """Give out no number again that may have been seen before the server crashed.

    A crash takes the last commits along that nobody waited for, and with them how far the numbers
    had got. It breaks all connections, so the first to write on a new one sees to it.
    """
    for table in (calls, events):
        conn.exec_driver_sql(
            "SELECT setval(counter, nextval(counter) + %s) FROM (SELECT "
            "pg_get_serial_sequence(%s, 'number')::regclass AS counter "
            "WHERE to_regclass(%s) IS NOT NULL) AS found",
            (_SKIPPED, table.name, table.name),
        )


def _key(schema: Any, purpose: int) -> int:
    """The number of a lock; each schema of a database can hold a store of its own."""
    return (APPLICATION_ID + purpose << 32) + zlib.crc32(str(schema[0]).encode())


def _look(conn: Connection, place: str) -> int:
    """The version of the tables that are there.

    Raises:
        StoreError: they are not Shoal's or a newer Shoal's, or texts cannot be stored.
    """
    encoding = conn.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise StoreError(
            f"{place}: the database's encoding is {encoding}; make one with ENCODING 'UTF8'"
        )
    found = version(conn)
    if found > len(migrations.MIGRATIONS):
        raise StoreError(
            f"{place}: was written by a newer Shoal (schema {found}, this one knows "
            f"{len(migrations.MIGRATIONS)}); upgrade Shoal, or choose another database"
        )
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
    if not found and conn.exec_driver_sql(tables).scalar_one():
        raise StoreError(f"{place}: holds some other program's tables; choose another database")
    return found


def _bytes_of(conn: Connection, table: Table) -> int:
    stored = [c for c in table.columns if isinstance(c.type, Text | LargeBinary)]
    texts = sum((func.coalesce(func.pg_column_size(c), 0) for c in stored), start=_ROW_BYTES)
    return int(conn.execute(select(func.coalesce(func.sum(texts), 0))).scalar_one())


def _is_broken(cause: BaseException | None) -> bool:
    """Whether there is no connection, or no more."""
    is_its = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return is_its and not getattr(cause, "sqlstate", None)
