"""The database under a store, whichever of its two homes it has: a file, or a Postgres server.

Connections to read come from a pool and see one snapshot each. There is one connection to write per
process; its transactions begin by taking a lock that all writers of the store share, so what they
read cannot change under them, whichever process wants to write beside them, and what is numbered
within them is seen in the order of its numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, Row, event, exc, select

from shoal.errors import StoreError
from shoal.storage.migrations import MIGRATIONS, migrate
from shoal.storage.schema import meta

_T = TypeVar("_T")
AnyRow = Row[*tuple[Any, ...]]

_SLICE = 500  # values in one IN (...)


class Lock(Protocol):
    """A lock that one process at a time has, whichever machine it runs on."""

    def take(self) -> bool:
        """Take the lock, without waiting; false if another process has it.

        Raises:
            StoreError: the store does not answer.
        """
        ...

    def held(self) -> bool:
        """Whether it is still this process that has the lock."""
        ...

    def release(self) -> None:
        """Let go of the lock."""
        ...


class Database(ABC):
    """An open database; ``place`` names it in messages.

    Safe to use from several threads, and any number of processes may share what it is open on.
    """

    _driver_error: type[Exception]  # what the driver raises where it is used by itself

    def __init__(self, place: str, reads: Engine, writes: Engine) -> None:
        self.place = place
        self._reads, self._writes = reads, writes
        event.listen(writes, "rollback", _forget)
        event.listen(writes, "rollback_savepoint", _forget)

    def bring_up(self, look: Callable[[Connection], int]) -> None:
        """Bring the tables up to date; ``look`` tells how far they are. If that fails, everything
        is closed.

        Raises:
            StoreError: what ``look`` raised, or the database cannot be read or written.
        """
        try:
            with self.read() as conn:
                found = look(conn)
            if found < len(MIGRATIONS):
                with self.transaction() as conn:
                    migrate(conn)
        except StoreError:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one snapshot of the database, and cannot write.

        Raises:
            StoreError: it cannot be read; StoreDamaged if that is for what is in it.
        """
        with self._translated(), self._reads.begin() as conn:
            yield conn

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection that holds the write lock; commits at the end, unless something is raised.

        Keep it short: every other writer, in this process and in others, waits meanwhile. It cannot
        be nested (``savepoint`` can).

        Raises:
            StoreError: the database cannot be written; nothing of the transaction was.
        """
        with self._translated(), self._writes.connect() as conn:
            try:
                with conn.begin():
                    yield conn
            except BaseException:
                # A COMMIT that fails (disk full) fires no rollback event, yet undoes as much.
                _forget(conn)
                raise

    @contextmanager
    def savepoint(self, conn: Connection) -> Iterator[None]:
        """A part of a transaction that is undone, alone, if it raises.

        Raises:
            StoreError: as ``transaction``.
        """
        with self._translated(), conn.begin_nested():
            yield

    def secret(self) -> bytes:
        """The 32 random bytes that were made with the database, for drawing audits."""
        with self.read() as conn:
            found: bytes = conn.execute(select(meta.c.secret)).scalar_one()
        return found

    def is_failure(self, error: BaseException) -> bool:
        """Whether ``error`` says that the store failed (disk full, locked …), not what was asked of
        it.

        What it was raised from counts too: a full disk also undoes the savepoint that should be
        undone.
        """
        found: BaseException | None = error
        while found is not None:
            if isinstance(found, exc.TimeoutError):
                return True
            if self._failed(_cause(found)):
                return True
            found = found.__cause__ or found.__context__
        return False

    def displaced(self) -> str:
        """What has become of the database that is open here, if its name does not lead to it any
        more; "" if all is well. Takes some 5 µs."""
        return ""

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._reads.dispose()
        self._writes.dispose()

    @abstractmethod
    def revision(self) -> int:
        """The count of changes to tasks, cards, certificates and standings. Takes some 10 µs, and
        never waits for a server: there it is what that said a moment ago.

        Raises:
            StoreError: the database cannot be read.
        """

    @abstractmethod
    def bytes_used(self, beyond: float = 0.0) -> int:
        """About the size of what is stored, in bytes, without the space that is free to be reused.

        At or below ``beyond`` it may be too high.
        """

    @abstractmethod
    def shrink(self) -> None:
        """Give the space that nothing uses any more back, as far as that goes without others
        having to wait.

        Raises:
            StoreError: the database cannot be written.
        """

    @abstractmethod
    def learner_lock(self) -> Lock:
        """The lock that the store's one learner holds."""

    @abstractmethod
    def _failed(self, cause: BaseException | None) -> bool:
        """Whether this is an error of the driver that says that the database failed, not what was
        asked of it."""

    @abstractmethod
    def _told(self, cause: BaseException | None) -> StoreError:
        """An error of the driver as it is told to people."""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.TimeoutError as error:
            raise StoreError(
                f"{self.place}: another transaction of this process did not end"
            ) from error
        except (exc.DBAPIError, self._driver_error) as error:
            raise self._told(_cause(error)) from error


def _cause(error: BaseException) -> BaseException | None:
    """The driver's own error, where SQLAlchemy has wrapped it."""
    return error.orig if isinstance(error, exc.DBAPIError) else error


def in_slices(values: Iterable[_T], size: int = _SLICE) -> Iterator[list[_T]]:
    """``values`` in lists of at most ``size``, short enough for one ``IN (...)``."""
    rest = iter(values)
    while taken := list(islice(rest, size)):
        yield taken


def _forget(conn: Connection, *_: object) -> None:
    if not conn.invalidated:  # what was noted of a connection that broke went with it
        conn.info.clear()  # what was noted there of rows may have been undone
