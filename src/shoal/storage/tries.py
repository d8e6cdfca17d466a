"""Tries: what cheaper models said to calls of a task that the LLM answered as well."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, func, select

from shoal.chat import Answer
from shoal.storage.calls import unpack_answer
from shoal.storage.database import Database, in_slices
from shoal.storage.packing import pack
from shoal.storage.schema import calls, tries

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

    def of_calls(self, call_ids: Iterable[str]) -> dict[str, dict[str, Try]]:
        """For each of these calls that has any, its tries by model."""
        found: dict[str, dict[str, Try]] = defaultdict(dict)
        with self._database.read() as conn:
            for ids in in_slices(call_ids):
                for row in conn.execute(select(tries).where(tries.c.call_id.in_(ids))):
                    found[row.call_id][row.model] = Try(
                        call_id=row.call_id,
                        model=row.model,
                        after=row.after,
                        at=row.at,
                        answer=unpack_answer(row.answer),
                        cost=row.cost,
                        latency_ms=row.latency_ms,
                        signal=row.signal,
                    )
        return dict(found)

    def counts(self, task: str, after: str) -> dict[str, int]:
        """How many tries of each model the task has behind that specialist."""
        query = (
            select(tries.c.model, func.count())
            .join(calls, calls.c.id == tries.c.call_id)
            .where(calls.c.task == task, tries.c.after == after)
        )
        with self._database.read() as conn:
            rows = conn.execute(query.group_by(tries.c.model)).all()
        return {model: int(number) for model, number in rows}
