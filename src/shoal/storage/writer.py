"""The thread that writes: what is submitted meanwhile goes into one transaction.

Submitting takes microseconds and never waits; whoever must not run ahead of the writing looks at
``lag``. An operation that fails, fails alone. When the store itself fails (disk full, file locked
for long …), operations wait in a bounded backlog and are tried again until they go through; beyond
the bound the oldest are dropped, and counted.
"""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import Connection

from shoal.errors import StoreError
from shoal.storage.database import Database

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_LINGER = 0.010  # seconds for others to join a transaction; far below the 50 ms that may be lost
_BATCH = 500  # operations in one transaction
_BATCH_BYTES = 16_000_000  # at which no more join a transaction
_RETRY = (0.05, 2.0)  # seconds between tries, first and longest
_CLOSE = 25.0  # seconds to end in; a server that hangs must not keep a process from ending


class StoreHealth(Struct, frozen=True, kw_only=True):
    """How the store is, ``since`` when (unix seconds).

    ``backlog`` counts operations not yet written, ``dropped`` those lost since the store was
    opened. ``last_error`` stays after a recovery.
    """

    ok: bool
    backlog: int
    dropped: int
    last_error: str
    since: float


class _Item(Struct, frozen=True):
    operation: Callable[[Connection], Any]
    future: "Future[Any]"
    size: int  # bytes
    at: float  # of time.monotonic


class _Outcome(Struct, frozen=True):
    value: Any = None
    error: Exception | None = None


class Writer:
    """Writes to a database from one thread of its own.

    ``capacity`` bounds the operations that wait, ``capacity_bytes`` their sizes in sum; ``durable``
    leaves out the moment in which a transaction waits for others to join (waiting for the disk
    gathers them as well).
    """

    def __init__(
        self,
        database: Database,
        durable: bool = False,
        capacity: int = 10_000,
        capacity_bytes: int = 256_000_000,
    ) -> None:
        self._database = database
        self._linger = 0.0 if durable else _LINGER
        self._capacity, self._capacity_bytes = capacity, capacity_bytes
        self._lock = threading.Lock()  # guards the next seven
        self._queue: deque[_Item] = deque()
        self._queued_bytes = 0
        self._in_flight: Sequence[_Item] = ()
        self._dropped = 0
        self._failing = False
        self._last_error = ""
        self._since = time.time()
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shoal-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def submit(
        self, operation: Callable[[Connection], _T], urgent: bool = False, size: int = 0
    ) -> "Future[_T]":
        """Have ``operation`` run in a transaction soon; the future resolves once that commits.

        ``urgent`` says that somebody waits for it; ``size`` is about how many bytes it holds in
        memory until then, where that may be many. The operation may be run again after it was
        rolled back, so it must change nothing but the database. The future cannot be cancelled: a
        call is recorded though its caller has gone. It fails with what the operation raised, or
        with StoreError if the operation was dropped. Not for bulk, which would overrun the backlog:
        use ``Database.transaction``.

        Raises:
            StoreError: the writer is closed.
        """
        future: Future[_T] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._closing.is_set():
                raise StoreError("the store is closed: nothing more can be written")
            self._queue.append(_Item(operation, future, size, time.monotonic()))
            self._queued_bytes += size
            overflow = self._drop_excess()
        if urgent:
            self._urgent.set()
        if not self._wake.is_set():
            self._wake.set()
        self._fail(overflow, "the backlog is full")
        return future

    def lag(self) -> float:
        """For how many seconds the oldest operation that is not yet written has waited; 0.0 if
        there is none."""
        with self._lock:
            oldest = next(iter(self._in_flight or self._queue), None)
        return 0.0 if oldest is None else time.monotonic() - oldest.at

    def health(self) -> StoreHealth:
        """How the store is now."""
        with self._lock:
            return StoreHealth(
                ok=not (self._failing or self._closing.is_set()),  # closed: what comes is lost
                backlog=len(self._queue) + len(self._in_flight),
                dropped=self._dropped,
                last_error=self._last_error,
                since=self._since,
            )

    def close(self) -> None:
        """Write what waits, and stop. If the store fails, it is tried once more, then given up, as
        it is if it says nothing for long."""
        with self._lock:
            self._closing.set()
        self._urgent.set()
        self._wake.set()
        self._thread.join(_CLOSE)
        atexit.unregister(self.close)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            if self._linger:
                self._urgent.wait(self._linger)
            self._wake.clear()  # before draining: what is submitted from here on sets it again
            self._urgent.clear()
            self._drain()

    def _drain(self) -> None:
        pause, longest = _RETRY
        while batch := self._take():
            last_try = self._closing.is_set()
            try:
                outcomes = self._write(batch)
            except StoreError as error:
                self._note(error)
                self._put_back(batch)
                if last_try:
                    self._give_up()
                self._closing.wait(pause)
                pause = min(2 * pause, longest)
            else:
                self._note(None)
                _resolve(batch, outcomes)
                pause = _RETRY[0]

    def _write(self, batch: Sequence[_Item]) -> list[_Outcome]:
        try:
            with self._database.transaction() as conn:
                return [_Outcome(item.operation(conn)) for item in batch]
        except Exception as error:  # an operation may raise anything; alone, it tells its caller
            if self._database.is_failure(error):
                raise StoreError(str(error)) from error
        return self._write_apart(batch)

    def _write_apart(self, batch: Sequence[_Item]) -> list[_Outcome]:
        with self._database.transaction() as conn:
            return [self._write_one(conn, item) for item in batch]

    def _write_one(self, conn: Connection, item: _Item) -> _Outcome:
        try:
            with self._database.savepoint(conn):
                return _Outcome(item.operation(conn))
        except Exception as error:  # whatever it raised is its caller's to see
            if self._database.is_failure(error):
                raise StoreError(str(error)) from error
            return _Outcome(error=error)

    def _take(self) -> list[_Item]:
        batch: list[_Item] = []
        size = 0
        with self._lock:
            while self._queue and len(batch) < _BATCH and size < _BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += batch[-1].size
            self._queued_bytes -= size
            self._in_flight = batch
        return batch

    def _put_back(self, batch: Sequence[_Item]) -> None:
        with self._lock:
            self._queue.extendleft(reversed(batch))
            self._queued_bytes += sum(item.size for item in batch)
            self._in_flight = ()
            overflow = self._drop_excess()
        self._fail(overflow, "the backlog is full")

    def _give_up(self) -> None:
        with self._lock:
            rest = [self._drop_oldest() for _ in range(len(self._queue))]
        self._fail(rest, "the store was closed")

    def _drop_excess(self) -> list[_Item]:
        dropped = []
        while len(self._queue) > self._capacity or self._queued_bytes > self._capacity_bytes:
            dropped.append(self._drop_oldest())
        return dropped

    def _drop_oldest(self) -> _Item:
        self._dropped += 1
        oldest = self._queue.popleft()
        self._queued_bytes -= oldest.size
        return oldest

    def _fail(self, items: Sequence[_Item], what: str) -> None:
        why = self._last_error or "more was submitted than can be written"
        for item in items:
            item.future.set_exception(StoreError(f"not written, {what}: {why}"))

    def _note(self, error: StoreError | None) -> None:
        with self._lock:
            turned = self._failing is (error is None)
            if turned:
                self._failing = error is not None
                self._since = time.time()
            if error is not None:
                self._last_error = str(error)
        if turned and error is not None:
            log.error("the store cannot be written, what comes waits: %s", error)
        elif turned:
            log.warning("the store can be written again")


def _resolve(batch: Sequence[_Item], outcomes: Sequence[_Outcome]) -> None:
    for item, outcome in zip(batch, outcomes, strict=True):
        if outcome.error is None:
            item.future.set_result(outcome.value)
        else:
            item.future.set_exception(outcome.error)
