"""``shoal log``: what happened to the tasks."""

from typing import Annotated

import msgspec
import typer
from msgspec import Raw, Struct

from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, find_rung, store_at, task_names
from shoal.cli.figures import moment
from shoal.cli.printing import Column, Row, say, show_json, show_table
from shoal.routing.filing import agreement_id
from shoal.storage import Event

_COLUMNS = (
    Column("AT (UTC)"),
    Column("TASK", shrinks=True),
    Column("WHAT"),
    Column("BY"),
)


class EventSummary(Struct, frozen=True):
    """An event; ``task`` is a name, or the id of a task that is gone."""

    number: int
    at: float
    task: str
    task_id: str
    kind: str
    by: str
    reason: str
    detail: Raw


class _Detail(Struct):
    to: str = ""
    certificate: str = ""


def log(
    task: Annotated[str | None, typer.Option(help="Of this task only.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """What happened, newest first: discovered, certified, refused, promoted, demoted …"""
    with store_at(config) as store:
        names = task_names(store)
        if task is None:
            events = store.events.list(None, limit)
        else:
            found = find_rung(store, task).id
            both = [
                *store.events.list(found, limit),
                *store.events.list(agreement_id(found), limit),
            ]
            events = sorted(both, key=lambda event: -event.number)[:limit]
    if as_json:
        show_json([_summary(event, _name(event, names)) for event in events])
    elif events:
        show_table(_COLUMNS, [_row(event, _name(event, names)) for event in events])
    else:
        say("Nothing has happened yet.")


def _name(event: Event, names: dict[str, str]) -> str:
    task, _, rung = event.task.partition("/")
    name = names.get(task, task)
    return f"{name} ({rung})" if rung else name


def _summary(event: Event, task: str) -> EventSummary:
    return EventSummary(
        number=event.number,
        at=event.at,
        task=task,
        task_id=event.task,
        kind=event.kind,
        by=event.by,
        reason=event.reason,
        detail=Raw(event.detail),
    )


def _row(event: Event, task: str) -> Row:
    detail = _detail(event)
    promoted = event.kind == "promoted" and detail.to
    what = f"promoted to {detail.to}" if promoted else event.kind
    certified = event.kind == "certified" and detail.certificate
    note = event.reason or (f"certificate {detail.certificate}" if certified else "")
    return Row((moment(event.at), task, what, event.by), note)


def _detail(event: Event) -> _Detail:
    try:
        return msgspec.json.decode(event.detail, type=_Detail)
    except msgspec.DecodeError:
        return _Detail()
