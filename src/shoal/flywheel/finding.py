"""Finding: recorded calls that belong to no task are put through discovery."""

import time
from collections import deque

import msgspec
from msgspec import Struct

from shoal.errors import StoreDamaged
from shoal.storage import CallRecord, Event, Store, TaskRow
from shoal.tasks import Discovery, DiscoveryOptions, ObservedCall, Task, discover

_PAGE = 2_000
_POOL = 20_000  # unassigned calls kept for the next look; the oldest give way
_AGAIN = 1.1  # look again when the pool has grown by so much


def known_tasks(store: Store) -> list[Task]:
    """Every task of the store.

    Raises:
        StoreDamaged: what is stored is no task.
    """
    try:
        return [msgspec.json.decode(row.spec, type=Task) for row in store.tasks.list()]
    except msgspec.DecodeError as error:
        raise StoreDamaged(
            f"a stored task cannot be read ({error}); it was left as it is"
        ) from error


def task_row(task: Task, created_at: float, now: float) -> TaskRow:
    """The row of a task."""
    return TaskRow(
        id=task.id,
        name=task.name,
        spec=msgspec.json.encode(task),
        pinned=task.pinned,
        ignored=task.ignored,
        created_at=created_at,
        updated_at=now,
    )


class Found(Struct, frozen=True):
    """What a look came to: tasks new or changed, and how many calls were assigned."""

    new: tuple[Task, ...]
    changed: tuple[Task, ...]
    assigned: int


class Finder:
    """Reads what was recorded since it last looked."""

    def __init__(self, store: Store, min_calls: int) -> None:
        self._store = store
        self._options = DiscoveryOptions(min_calls=min_calls)
        self._pool: deque[ObservedCall] = deque(maxlen=_POOL)
        self._mark = 0
        self._looked_at = 0

    def look(self) -> Found:
        """Read what is new; discover if there is enough of it.

        Raises:
            StoreError: the store cannot be read or written.
        """
        self._read()
        if len(self._pool) < max(self._options.min_calls, _AGAIN * self._looked_at):
            return Found((), (), 0)
        known = known_tasks(self._store)
        found = discover(self._pool, known, self._options)
        self._write(found, {task.id for task in known})
        self._pool = deque(
            (call for call in self._pool if call.id not in found.assignments), maxlen=_POOL
        )
        self._looked_at = len(self._pool)
        before = {task.id for task in known}
        return Found(
            tuple(task for task in found.tasks if task.id not in before),
            tuple(task for task in found.tasks if task.id in before),
            len(found.assignments),
        )

    def _read(self) -> None:
        while True:
            arrived = self._store.calls.arrivals(self._mark, limit=_PAGE, unassigned=True)
            self._mark = arrived.mark
            self._pool.extend(_observed(call) for call in arrived.calls if _usable(call))
            if len(arrived.calls) < _PAGE:
                return

    def _write(self, found: Discovery, known: set[str]) -> None:
        now = time.time()
        rows = {row.id: row for row in self._store.tasks.list()}
        with self._store.database.transaction() as conn:
            for task in found.tasks:
                created = rows[task.id].created_at if task.id in rows else now
                self._store.tasks.put(conn, task_row(task, created, now))
                if task.id not in known:
                    event = Event(at=now, task=task.id, kind="discovered", by="learner")
                    self._store.events.insert(conn, event)
            self._store.calls.assign(conn, found.assignments)


def _usable(call: CallRecord) -> bool:
    return call.answer is not None and not call.error and call.answer.complete


def _observed(call: CallRecord) -> ObservedCall:
    assert call.answer is not None
    return ObservedCall(call.id, call.request, call.answer)
