"""Finding: recorded calls that belong to no task are put through discovery."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from shoal.errors import StoreDamaged
from shoal.flywheel.promotion import redraw
from shoal.routing.receipt import OWN_MODELS
from shoal.storage import CallFilter, CallRecord, Event, Store, TaskRow
from shoal.tasks import Discovery, DiscoveryOptions, Matcher, ObservedCall, Task, discover
from shoal.tasks.discovery import sample_sizes
from shoal.tasks.revision import with_contract_revised
from shoal.tasks.schedule import Schedule

_PAGE = 2_000
_POOL = 20_000  # unassigned calls kept for the next look; the oldest give way


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
    """Reads what was recorded since it last looked.

    Held between two looks: at most ``_POOL`` calls that no task recognises. When tasks are drawn
    anew, ``DiscoveryOptions.max_sampled`` of their calls are read besides.
    """

    def __init__(self, store: Store, min_calls: int) -> None:
        self._store = store
        self._options = DiscoveryOptions(min_calls=min_calls)
        self._schedule = Schedule(min_calls)
        self._pool: deque[ObservedCall] = deque(maxlen=_POOL)
        self._mark = 0

    def look(self) -> Found:
        """Read what is new, assign what a known task recognises; discover if enough is left.

        Raises:
            StoreError: the store cannot be read or written.
        """
        self._read()
        known = known_tasks(self._store)
        recognised = self._assign_known(known)
        due = self._schedule.next(len(self._pool), self._mark)
        if due == "not":
            return Found((), (), recognised)
        samples = self._samples(known) if due == "all" else {}
        found = discover(self._pool, known, self._options, samples)
        self._write(found, known)
        self._drop(found.assignments)
        before = {task.id: task for task in known}
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
            self._schedule.arrived(len(usable))
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

    def _samples(self, known: Sequence[Task]) -> dict[str, list[ObservedCall]]:
        """The latest calls of the tasks that nobody and nothing has settled yet."""
        volumes = self._store.calls.volumes()
        unsettled = {
            task.id: volumes[task.id].calls
            for task in known
            if task.id in volumes and not is_settled(self._store, task)
        }
        sizes = sample_sizes(unsettled, self._options.max_sampled)
        return {task: list(self._latest(task, size)) for task, size in sizes.items()}

    def _latest(self, task: str, size: int) -> Iterator[ObservedCall]:
        calls = self._store.calls.list(CallFilter(task=task, limit=size))
        return (_observed(call) for call in calls if _usable(call))

    def _drop(self, assigned: Mapping[str, str]) -> None:
        self._pool = deque((call for call in self._pool if call.id not in assigned), maxlen=_POOL)

    def _write(self, found: Discovery, known: Sequence[Task]) -> None:
        before = {task.id: task for task in known}
        with self._store.database.transaction() as conn:
            rows = {row.id: row for row in self._store.tasks.list()}  # as before this transaction
            for task in found.tasks:
                if task.id in before:
                    _put_changed(self._store, conn, before[task.id], task)
                else:
                    now = time.time()
                    self._store.tasks.put(conn, task_row(task, now, now))
                    self._store.events.insert(conn, _event(task, "discovered"))
            there = rows.keys() | {task.id for task in found.tasks if task.id not in before}
            assigned = {call: task for call, task in found.assignments.items() if task in there}
            self._store.calls.assign(conn, assigned)
        self._redraw(found, before)

    def _redraw(self, found: Discovery, before: Mapping[str, Task]) -> None:
        """Give the calls of tasks that were drawn anew to whichever recognises them now, and remove
        tasks that others took the place of, unless a person changed them meanwhile."""
        drawn = (*found.removed, *found.redrawn)
        current = {task.id: task for task in known_tasks(self._store)} if drawn else {}
        gone = [task for task in found.removed if current.get(task) == before[task]]
        matcher = Matcher(task for task in current.values() if task.id not in gone)
        for task in drawn:
            for page in self._store.calls.history(task) if task in current else ():
                self._reassign(page, task, matcher)
        with self._store.database.transaction() as conn:
            for task in gone:
                self._store.events.insert(conn, _event(before[task], "redrawn"))
                self._store.tasks.delete(conn, task)

    def _reassign(self, page: Sequence[CallRecord], task: str, matcher: Matcher) -> None:
        found = {call.id: matcher.find(call.request) for call in page}
        whose = {call: match.task.id if match else "" for call, match in found.items()}
        moved = {call: other for call, other in whose.items() if other != task}
        with self._store.database.transaction() as conn:
            self._store.calls.assign(conn, moved)
        self._pool.extend(
            _observed(call) for call in page if moved.get(call.id) == "" and _usable(call)
        )


def is_settled(store: Store, task: Task) -> bool:
    """Whether discovery must not draw a task anew: a person changed it, or something was tried or
    stands for it, which speaks of just these calls."""
    by_people = task.pinned or task.ignored or task.named or task.conditions
    return bool(
        by_people
        or store.attempts.list(task.id)
        or store.standings.get(task.id)
        or store.certificates.list(task.id)
    )


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
    if call.llm.startswith(OWN_MODELS):
        return False
    return call.answer is not None and not call.error and call.answer.complete


def _observed(call: CallRecord) -> ObservedCall:
    assert call.answer is not None
    return ObservedCall(call.id, call.request, call.answer)
