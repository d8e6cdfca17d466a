"""Tries: what cheaper models said to calls of a task that the LLM answered as well."""

from collections import defaultdict
from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import ColumnElement, Connection, func, select

from shoal.chat import Answer
from shoal.storage.calls import unpack_answer
from shoal.storage.database import AnyRow, Database
from shoal.storage.packing import pack
from shoal.storage.schema import calls, tries
from shoal.storage.standings import Events

_encode = msgspec.json.Encoder().encode


class Try(Struct, frozen=True, kw_only=True):
    """One model's answer to one call. ``cost`` in USD, None if its price is unknown.

    ``after`` is the card of the specialist that was too unsure to serve the call, "" if none was to
    serve it; with that card as ``model``, ``answer`` is what that specialist would have said, and
    ``signal`` how sure it was of it.
    """

    call_id: str
    model: str
    after: str
    at: float
    answer: Answer
    cost: float | None
    latency_ms: float
    signal: float | None = None


class Ground(Struct, frozen=True):
    """Which calls a certificate of cheaper models may rest on: those of a ``task`` that went past
    the specialist of card ``after`` ("": all), since a moment (unix seconds), to one LLM ("": to
    any)."""

    task: str
    after: str
    since: float
    llm: str = ""

    @classmethod
    def now(cls, events: Events, task: str, rung: str, after: str, llm: str = "") -> Self:
        """What counts now for a task's ``rung`` of cheaper models: calls since audits last broke
        one of its promises, since it was redrawn, since the LLM's answers became of another
        kind."""
        broken = max(events.broken_at(rung), events.broken_at(task))
        since = max(broken, events.redrawn_at(task), events.changed_at(task))
        return cls(task, after, since, llm)

    @property
    def clauses(self) -> tuple[ColumnElement[bool], ...]:
        """The same in SQL, over tries and their calls."""
        llm = (calls.c.llm == self.llm,) if self.llm else ()
        return (
            calls.c.task == self.task,
            calls.c.at >= self.since,
            tries.c.after == self.after,
            *llm,
        )


class Tries:
    """The tries of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, conn: Connection, tried: Try) -> bool:
        """Insert it; false if that model was tried on that call before: then nothing is done."""
        known = select(tries.c.at).where(
            tries.c.call_id == tried.call_id, tries.c.model == tried.model
        )
        if conn.execute(known).first():
            return False
        answer = pack(_encode(replace(tried.answer, body=b"")))
        conn.execute(tries.insert(), asdict(tried) | {"answer": answer})
        return True

    def of_task(self, where: Ground) -> dict[str, dict[str, Try]]:
        """For each call on that ground that has any, its tries by model."""
        found: dict[str, dict[str, Try]] = defaultdict(dict)
        query = select(tries).join(calls, calls.c.id == tries.c.call_id).where(*where.clauses)
        with self._database.read() as conn:
            for row in conn.execute(query):
                found[row.call_id][row.model] = _try(row)
        return dict(found)

    def counts(self, where: Ground) -> dict[str, int]:
        """How many tries of each model there are on that ground."""
        query = (
            select(tries.c.model, func.count())
            .join(calls, calls.c.id == tries.c.call_id)
            .where(*where.clauses)
        )
        with self._database.read() as conn:
            rows = conn.execute(query.group_by(tries.c.model)).all()
        return {model: int(number) for model, number in rows}


def _try(row: AnyRow) -> Try:
    return Try(**dict(row._mapping) | {"answer": unpack_answer(row.answer)})
