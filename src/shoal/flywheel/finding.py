"""Finding: recorded calls that belong to no task are put through discovery."""

import time
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from shoal.errors import StoreDamaged
from shoal.flywheel.promotion import redraw
from shoal.storage import CallRecord, Event, Store, TaskRow
from shoal.tasks import Discovery, DiscoveryOptions, Matcher, ObservedCall, Task, discover
from shoal.tasks.revision import with_contract_revised

_PAGE = 2_000
_POOL = 20_000  # unassigned calls kept for the next look; the oldest give way
_AGAIN = 0.1  # look again when so large a share of the pool is new


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
        self._arrived = 0  # since discovery last looked

    def look(self) -> Found:
        """Read what is new, assign what a known task recognises; discover if enough is left.

        Raises:
            StoreError: the store cannot be read or written.
        """
        self._read()
        known = known_tasks(self._store)
        recognised = self._assign_known(known)
        if self._arrived < max(self._options.min_calls, _AGAIN * len(self._pool)):
            return Found((), (), recognised)
        found = discover(self._pool, known, self._options)
        self._write(found, known)
        self._drop(found.assignments)
        self._arrived = 0
        before = {task.id for task in known}
        return Found(
            tuple(task for task in found.tasks if task.id not in before),
            tuple(task for task in found.tasks if task.id in before),
            recognised + len(found.assignments),
        )

    def _read(self) -> None:
        while True:
            arrived = self._store.calls.arrivals(self._mark, limit=_PAGE, unassigned=True)
            self._mark = arrived.mark
            usable = [_observed(call) for call in arrived.calls if _usable(call)]
            self._arrived += len(usable)
            self._pool.extend(usable)
            if len(arrived.calls) < _PAGE:
                return

    def _assign_known(self, known: Sequence[Task]) -> int:
        """Calls that a gateway recorded just before it learned of their task."""
        matcher = Matcher(known)
        found = {call.id: matcher.find(call.request) for call in self._pool}
        tasks = {call_id: match.task.id for call_id, match in found.items() if match}
        if tasks:
            with self._store.database.transaction() as conn:
                self._store.calls.assign(conn, tasks)
            self._drop(tasks)
        return len(tasks)

    def _drop(self, assigned: Mapping[str, str]) -> None:
        self._pool = deque((call for call in self._pool if call.id not in assigned), maxlen=_POOL)

    def _write(self, found: Discovery, known: Sequence[Task]) -> None:
        before = {task.id: task for task in known}
        with self._store.database.transaction() as conn:
            for task in found.tasks:
                if task.id in before:
                    _put_changed(self._store, conn, before[task.id], task)
                else:
                    now = time.time()
                    self._store.tasks.put(conn, task_row(task, now, now))
                    self._store.events.insert(conn, _event(task, "discovered"))
            there = {row.id for row in self._store.tasks.list()}  # as before this transaction
            there |= {task.id for task in found.tasks if task.id not in before}
            assigned = {call: task for call, task in found.assignments.items() if task in there}
            self._store.calls.assign(conn, assigned)


def revise(store: Store, task: Task, since: float = 0.0, most: int = 5_000) -> Task:
    """The task with its contract in the light of its latest ``most`` examples since that moment
    (unix seconds), stored if it is another.

    A contract inferred early knows few labels, or took them for text.
    """
    calls = [
        ObservedCall(example.call_id, example.request, example.llm_answer)
        for example in store.examples.of(task.id, limit=most)
        if example.llm_answer is not None and example.at >= since
    ]
    revised = with_contract_revised(task, calls)
    if revised == task:
        return task
    with store.database.transaction() as conn:
        return _put_changed(store, conn, task, revised) or task


def _put_changed(store: Store, conn: Connection, before: Task, after: Task) -> Task | None:
    """Store what the learner changed of a task, unless a person changed it meanwhile: then the
    person's word stays, and the learner comes to it another time. Returns what was stored."""
    row = next((row for row in store.tasks.list() if row.id == before.id), None)
    if row is None or msgspec.json.decode(row.spec, type=Task) != before:
        return None
    store.tasks.put(conn, task_row(after, row.created_at, time.time()))
    if after.templates != before.templates:
        redraw(store, conn, _event(after, "widened"))
    else:
        store.events.insert(conn, _event(after, "revised"))
    return after


def _event(task: Task, kind: str) -> Event:
    return Event(at=time.time(), task=task.id, kind=kind, by="learner")


def _usable(call: CallRecord) -> bool:
    return call.answer is not None and not call.error and call.answer.complete


def _observed(call: CallRecord) -> ObservedCall:
    assert call.answer is not None
    return ObservedCall(call.id, call.request, call.answer)
