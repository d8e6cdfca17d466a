"""People's corrections of tasks, written to the store: tasks, calls and the event, all or none.

A task that was split or merged has other calls than those its certificate was measured on, so it
goes back to observing until it is certified again.
"""

import time
from collections.abc import Callable, Sequence

from msgspec import Struct
from sqlalchemy import Connection

from shoal.errors import StoreError
from shoal.flywheel.finding import known_tasks, task_row
from shoal.flywheel.promotion import redraw
from shoal.storage import CallRecord, Event, Store
from shoal.tasks import Condition, Matcher, Task, edits
from shoal.tasks.edits import Edit


class Edited(Struct, frozen=True):
    """What an edit came to: the tasks that changed, and how many calls were reassigned."""

    tasks: tuple[Task, ...]
    calls: int = 0


def rename(store: Store, name: str, new_name: str) -> Edited:
    """Give a task another name.

    Raises:
        NotFound: no such task.
        RequestError: the new name is taken, or is no name.
    """
    old = edits.find_task(known_tasks(store), name).name
    return _edit(
        store, lambda tasks: edits.rename(tasks, name, new_name), "renamed", f"it was {old}"
    )


def pin(store: Store, name: str, pinned: bool) -> Edited:
    """Keep discovery from changing a task, or allow it again.

    Raises:
        NotFound: no such task.
    """
    kind = "pinned" if pinned else "unpinned"
    return _edit(store, lambda tasks: edits.pin(tasks, name, pinned=pinned), kind)


def ignore(store: Store, name: str, ignored: bool) -> Edited:
    """Neither learn nor serve a task, or do so again.

    Raises:
        NotFound: no such task.
    """
    kind = "ignored" if ignored else "unignored"
    return _edit(store, lambda tasks: edits.ignore(tasks, name, ignored=ignored), kind)


def merge(store: Store, name: str, into: str) -> Edited:
    """Make the task ``name`` a part of the task ``into``, its calls included.

    Raises:
        NotFound: no such task.
        RequestError: they are the same, or their answers are of different form.
    """
    with store.database.transaction() as conn:
        tasks = known_tasks(store)
        edit = edits.merge(tasks, (into, name))
        names = {task.id: task.name for task in tasks}
        kept, moved = edit.changed[0], 0
        for gone in edit.removed:
            moved += store.calls.reassign(conn, gone, kept.id)
            store.tasks.delete(conn, gone)
            store.events.insert(conn, _event(gone, "merged", f"it is part of {kept.name} now"))
        _put(store, conn, edit)
        taken = ", ".join(names[gone] for gone in edit.removed)
        redraw(store, conn, _event(kept.id, "merged", f"{taken} is part of it now"))
    return Edited(edit.changed, moved)


def split(store: Store, name: str, new_name: str, condition: Condition) -> Edited:
    """Make those calls of a task that satisfy a condition a task of their own.

    Raises:
        NotFound: no such task.
        RequestError: the condition says nothing or names no slot, or the new name is taken.
        StoreError: the tasks were changed by somebody else meanwhile.
    """
    tasks = known_tasks(store)
    edit = edits.split(tasks, name, new_name, condition)
    task, part = edit.changed
    moved = _calls_of(store, task, part)
    with store.database.transaction() as conn:
        if known_tasks(store) != tasks:
            raise StoreError("the tasks were changed meanwhile, nothing was split: try again")
        _put(store, conn, edit)
        store.calls.assign(conn, moved)
        redraw(store, conn, _event(task.id, "split", f"{part.name} was split off"))
        store.events.insert(conn, _event(part.id, "discovered", f"split off from {task.name}"))
    return Edited(edit.changed, len(moved))


def _edit(
    store: Store, change: Callable[[Sequence[Task]], Edit], kind: str, reason: str = ""
) -> Edited:
    """An edit that leaves the calls where they are."""
    with store.database.transaction() as conn:
        edit = change(known_tasks(store))
        _put(store, conn, edit)
        for task in edit.changed:
            store.events.insert(conn, _event(task.id, kind, reason))
    return Edited(edit.changed)


def _put(store: Store, conn: Connection, edit: Edit) -> None:
    now = time.time()
    created = {row.id: row.created_at for row in store.tasks.list()}
    for task in edit.changed:
        store.tasks.put(conn, task_row(task, created.get(task.id, now), now))


def _calls_of(store: Store, task: Task, part: Task) -> dict[str, str]:
    """The calls of ``task`` that are ``part``'s from now on: call id to task id."""
    matcher = Matcher((task, part))

    def is_part(call: CallRecord) -> bool:
        match = matcher.find(call.request)
        return match is not None and match.task.id == part.id

    pages = store.calls.history(task.id)
    return {call.id: part.id for page in pages for call in page if is_part(call)}


def _event(task: str, kind: str, reason: str) -> Event:
    return Event(at=time.time(), task=task, kind=kind, by="person", reason=reason)
