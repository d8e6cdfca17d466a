"""What people said of answers."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, select

from shoal.errors import NotFound
from shoal.storage.database import Database, in_slices
from shoal.storage.schema import calls, feedback


class Feedback(Struct, frozen=True, kw_only=True):
    """A person's word on a call: its answer is right, or is wrong, or ``answer`` is right."""

    call_id: str
    at: float
    verdict: Literal["right", "wrong", "answer"]
    answer: str = ""


class FeedbackLog:
    """The feedback of one store: every word is kept until its call expires, the newest counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, conn: Connection, word: Feedback, key: str | None = None) -> str:
        """Add a word; with ``key``, on a call that came with that key only. Returns the call's
        task, "" if it has none.

        Raises:
            NotFound: no such call.
        """
        query = select(calls.c.key, calls.c.task).where(calls.c.id == word.call_id)
        found = conn.execute(query).one_or_none()
        if found is None or key not in (None, found.key):
            raise NotFound(f"no call of id {word.call_id!r}")
        conn.execute(feedback.insert(), asdict(word))
        task: str = found.task
        return task

    def newest(self, call_ids: Iterable[str]) -> dict[str, Feedback]:
        """The newest word on each of these calls that has any."""
        with self._database.read() as conn:
            return newest_feedback(conn, call_ids)


def newest_feedback(conn: Connection, call_ids: Iterable[str]) -> dict[str, Feedback]:
    """As ``FeedbackLog.newest``, within a transaction."""
    found: dict[str, Feedback] = {}
    columns = [feedback.c[name] for name in Feedback.__struct_fields__]
    for ids in in_slices(call_ids):
        query = select(*columns).where(feedback.c.call_id.in_(ids))
        for row in conn.execute(query.order_by(feedback.c.at, feedback.c.number)):
            found[row.call_id] = Feedback(**row._mapping)
    return found
