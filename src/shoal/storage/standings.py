"""How far each task has got (observe, shadow, serve), and the events that led there."""

from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, Connection, select, update

from shoal.storage.database import AnyRow, Database
from shoal.storage.packing import pack, unpack
from shoal.storage.revision import bump
from shoal.storage.schema import events, standings

Stage = Literal["observe", "shadow", "serve"]


class Standing(Struct, frozen=True, kw_only=True):
    """What stands for a task: ``card`` and ``certificate`` are "" while it only observes."""

    task: str
    stage: Stage
    card: str = ""
    certificate: str = ""
    since: float


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened to a task.

    ``kind`` is a past participle (discovered, promoted, demoted, renamed …), ``by`` who did it (a
    person, the learner, "audit"), ``detail`` JSON. ``number`` counts events in the order they were
    written; the store gives it, and what is passed to it there is ignored.
    """

    at: float
    task: str
    kind: str
    by: str
    reason: str = ""
    detail: bytes = b"{}"
    number: int = 0


class Standings:
    """The standings of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, conn: Connection, standing: Standing, event: Event) -> None:
        """Promote or demote, and write down why, in one transaction."""
        set_standing(conn, standing, event)

    def get(self, task: str) -> Standing | None:
        """What stands for ``task``; None if nothing ever did, which means observing."""
        with self._database.read() as conn:
            return standing_of(conn, task)

    def list(self) -> list[Standing]:
        """Every standing, in the order of task ids."""
        with self._database.read() as conn:
            rows = conn.execute(select(standings).order_by(standings.c.task)).all()
        return [Standing(**row._mapping) for row in rows]


class _Lapse(Struct):
    """The detail of an event "lapsed"."""

    since: float = 0.0


REDRAWN = ("split", "merged", "widened")


class Events:
    """The events of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, conn: Connection, event: Event) -> None:
        """Add an event."""
        insert_event(conn, event)

    def broken_at(self, task: str) -> float:
        """When audits last broke the task's promise (unix seconds); 0.0 if they never did.

        What was recorded before is evidence of a world that has changed: it is not learned from
        again.
        """
        found = self._last(task, events.c.kind == "demoted", events.c.by == "audit")
        return 0.0 if found is None else found.at

    def redrawn_at(self, task: str) -> float:
        """When the task was last split, merged or widened (unix seconds); 0.0 if it never was.

        A certificate holds for the kind of calls that it was measured on, and these are others
        since.
        """
        found = self._last(task, events.c.kind.in_(REDRAWN))
        return 0.0 if found is None else found.at

    def lapsed(self, task: str) -> Event | None:
        """The last lapse of one of the task's certificates before its time, if there was one."""
        return self._last(task, events.c.kind == "lapsed")

    def lapsed_at(self, task: str) -> float:
        """When that was (unix seconds); 0.0 if there was none."""
        found = self.lapsed(task)
        return 0.0 if found is None else found.at

    def changed_at(self, task: str) -> float:
        """When the LLM's answers to a task last became of another kind (unix seconds), by the lapse
        that this caused; 0.0 if they never did."""
        found = self.lapsed(task)
        return 0.0 if found is None else msgspec.json.decode(found.detail, type=_Lapse).since

    def list(self, task: str | None = None, limit: int = 100, after: int = 0) -> list[Event]:
        """The events of ``task``, or of all, numbered over ``after``, newest first."""
        query = select(events).where(events.c.number > after)
        if task is not None:
            query = query.where(events.c.task == task)
        with self._database.read() as conn:
            rows = conn.execute(query.order_by(events.c.number.desc()).limit(limit)).all()
        return [_event(row) for row in rows]

    def _last(self, task: str, *which: ColumnElement[bool]) -> Event | None:
        query = select(events).where(events.c.task == task, *which)
        with self._database.read() as conn:
            row = conn.execute(query.order_by(events.c.number.desc()).limit(1)).first()
        return None if row is None else _event(row)


def _event(row: AnyRow) -> Event:
    return Event(**dict(row._mapping) | {"detail": unpack(row.detail)})


def standing_of(conn: Connection, task: str) -> Standing | None:
    """As ``Standings.get``, within a transaction."""
    row = conn.execute(select(standings).where(standings.c.task == task)).one_or_none()
    return None if row is None else Standing(**row._mapping)


def set_standing(conn: Connection, standing: Standing, event: Event) -> None:
    """As ``Standings.set``."""
    row = asdict(standing)
    here = standings.c.task == standing.task
    if conn.execute(update(standings).where(here).values(row)).rowcount == 0:
        conn.execute(standings.insert(), row)
    insert_event(conn, event)
    bump(conn)


def insert_event(conn: Connection, event: Event) -> None:
    """As ``Events.insert``."""
    row = asdict(event) | {"detail": pack(event.detail)}
    del row["number"]
    conn.execute(events.insert(), row)
