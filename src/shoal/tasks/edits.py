"""People's corrections of tasks: rename, pin, ignore, split, merge.

Pure functions from the known tasks to those that change; the caller stores the result. Split and
merged tasks are pinned, so discovery leaves them as people made them.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct

from shoal.errors import NotFound, RequestError
from shoal.tasks.inference import join
from shoal.tasks.task import Condition, Task

MAX_NAME = 60
_NAME = re.compile(r"[\w][\w .-]*")


class Edit(Struct, frozen=True):
    """Tasks to store, and the ids of those that are gone."""

    changed: tuple[Task, ...]
    removed: tuple[str, ...] = ()


def find_task(tasks: Sequence[Task], name: str) -> Task:
    """The task of this name or id.

    Raises:
        NotFound: there is none; the message lists the names there are.
    """
    for task in tasks:
        if name in (task.name, task.id):
            return task
    names = ", ".join(sorted(task.name for task in tasks)) or "none yet"
    raise NotFound(f"no task named {name!r}; tasks: {names}")


def rename(tasks: Sequence[Task], name: str, new_name: str) -> Edit:
    """Give a task another name, which discovery keeps.

    Raises:
        NotFound: no such task.
        RequestError: the new name is taken or is no name.
    """
    task = find_task(tasks, name)
    _check_name([other for other in tasks if other.id != task.id], new_name)
    return _change(task, name=new_name, named=True)


def pin(tasks: Sequence[Task], name: str, *, pinned: bool = True) -> Edit:
    """Keep discovery from changing a task, or allow it again.

    Raises:
        NotFound: no such task.
    """
    return _change(find_task(tasks, name), pinned=pinned)


def ignore(tasks: Sequence[Task], name: str, *, ignored: bool = True) -> Edit:
    """Neither learn nor serve a task, or do so again. Its calls stay its own.

    Raises:
        NotFound: no such task.
    """
    return _change(find_task(tasks, name), ignored=ignored)


def split(tasks: Sequence[Task], name: str, new_name: str, condition: Condition) -> Edit:
    """Make those calls of a task that satisfy a condition a task of their own.

    The original keeps all other calls. Of the conditions of several splits that a call satisfies,
    the matcher prefers the task with more of them.

    Raises:
        NotFound: no such task.
        RequestError: the condition says nothing or names no slot of the task, the task was split
            by it before, or the new name is taken.
    """
    task = find_task(tasks, name)
    _check_name(tasks, new_name)
    _check_condition(task, condition)
    conditions = (*task.conditions, condition)
    key = msgspec.json.encode((task.id, condition))
    part = msgspec.structs.replace(
        task,
        id="t" + blake2b(key, digest_size=6).hexdigest(),
        name=new_name,
        conditions=conditions,
        named=True,
        pinned=True,
    )
    if any(other.id == part.id for other in tasks):
        raise RequestError(f"task {task.name!r} was split by this condition before", "condition")
    return Edit((msgspec.structs.replace(task, pinned=True), part))


def merge(tasks: Sequence[Task], names: Sequence[str]) -> Edit:
    """Make several tasks one, with the id and the name of the first and the templates of all.

    Raises:
        NotFound: no such task.
        RequestError: fewer than two different tasks, answers of different form, or conditions
            that cannot be united.
    """
    first, *others = [find_task(tasks, name) for name in dict.fromkeys(names)]
    others = [other for other in others if other.id != first.id]
    if not others:
        raise RequestError("merging needs at least two different tasks", "names")
    merged = first
    for other in others:
        merged = _united(merged, other)
    return Edit(
        (msgspec.structs.replace(merged, pinned=True),), tuple(other.id for other in others)
    )


def _united(task: Task, other: Task) -> Task:
    contract = join(task.contract, other.contract)
    if contract is None:
        kinds = f"{_kind(task)} and {_kind(other)}"
        raise RequestError(
            f"tasks {task.name!r} and {other.name!r} cannot be merged: their answers are of "
            f"different form ({kinds})",
            "names",
        )
    templates = tuple(dict.fromkeys((*task.templates, *other.templates)))
    return msgspec.structs.replace(
        task, templates=templates, contract=contract, conditions=_common(task, other)
    )


def _common(task: Task, other: Task) -> tuple[Condition, ...]:
    """The conditions of the union: equal ones, or none if one task has none on all templates."""
    if task.conditions == other.conditions:
        return task.conditions
    for whole, part in ((task, other), (other, task)):
        inside = set(part.templates) <= set(whole.templates)
        if inside and part.conditions[: len(whole.conditions)] == whole.conditions:
            return whole.conditions
    raise RequestError(
        f"tasks {task.name!r} and {other.name!r} cannot be merged: they have different conditions",
        "names",
    )


def _kind(task: Task) -> str:
    return type(task.contract).__name__.removesuffix("Contract").lower()


def _change(task: Task, **fields: str | bool) -> Edit:
    return Edit((msgspec.structs.replace(task, **fields),))


def _check_name(others: Sequence[Task], name: str) -> None:
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise RequestError(
            f"{name!r} is no task name: 1 to {MAX_NAME} letters, digits, spaces and . _ -, "
            "beginning with a letter or digit",
            "name",
        )
    if any(name in (other.name, other.id) for other in others):
        raise RequestError(f"the name {name!r} is taken by another task", "name")


def _check_condition(task: Task, condition: Condition) -> None:
    if bool(condition.equals) == bool(condition.contains):
        raise RequestError("a condition needs either 'equals' or 'contains'", "condition")
    slots = sorted({slot for template in task.templates for slot in template.slots})
    if condition.slot and condition.slot not in slots:
        raise RequestError(
            f"task {task.name!r} has no slot {condition.slot!r}; slots: {', '.join(slots)}",
            "condition",
        )
