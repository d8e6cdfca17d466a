"""Which calls people are asked to judge, where people are the reference.

People correct what they notice, so what they say of calls that they picked is no fair sample. The
calls that count are drawn by the secret draw of audits, which looks at no answer, and count in the
order in which they arrived: only those before the first that still waits for a word. So whatever
people leave out, or say before they are asked, the calls that count are all that were drawn in a
stretch of time.
"""

from collections.abc import Collection, Sequence

from msgspec import Struct
from sqlalchemy import Connection, func, select

from shoal.guarantees.audit import draw
from shoal.storage.calls import CallRecord, numbered_calls
from shoal.storage.database import Database
from shoal.storage.feedback import newest_feedback
from shoal.storage.schema import audits, calls

NEWEST = 10_000
"""Calls of a task, all of them counted, before which nobody is asked any more."""


class ReviewQueue(Struct, frozen=True):
    """Drawn calls by id, in order of arrival: those that count, all with a person's word, and from
    the first that ``waits`` on all without one."""

    counts: tuple[str, ...]
    waits: tuple[str, ...]

    @classmethod
    def of(cls, drawn: Sequence[str], judged: Collection[str]) -> "ReviewQueue":
        """The queue of calls ``drawn``, in order of arrival, of which some are ``judged``.

        >>> ReviewQueue.of(["a", "b", "c", "d"], {"a", "c"})
        ReviewQueue(counts=('a',), waits=('b', 'd'))
        """
        first = next((at for at, one in enumerate(drawn) if one not in judged), len(drawn))
        return cls(tuple(drawn[:first]), tuple(one for one in drawn[first:] if one not in judged))


class Reviews:
    """The calls of one store that people are asked to judge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(
        self, task: str, rate: float, since: float = 0.0, newest: int = NEWEST
    ) -> ReviewQueue:
        """Of the ``newest`` calls of a task, as far as they were made ``since`` (unix seconds) and
        belong to the unbiased sample, a share ``rate`` drawn at random.

        A word is one that says what is right: "wrong" alone leaves the call waiting.
        """
        drawn = (
            select(calls.c.id)
            .where(calls.c.task == task, calls.c.sampled, calls.c.error == "")
            .where(calls.c.answer.is_not(None))
        )
        secret = self._database.secret()
        with self._database.read() as conn:
            begin = asked_since(conn, task, since, newest)
            rows = conn.execute(drawn.where(calls.c.at >= begin).order_by(calls.c.number)).all()
            ids = [row.id for row in rows if draw(row.id, rate, secret)]
            words = newest_feedback(conn, ids)
        judged = {call_id for call_id, word in words.items() if word.verdict != "wrong"}
        return ReviewQueue.of(ids, judged)


def asked_since(conn: Connection, task: str, since: float, newest: int = NEWEST) -> float:
    """The moment (unix seconds) from which on people are asked: ``since``, or that of the oldest of
    the ``newest`` calls of a task."""
    ages = select(calls.c.at).where(calls.c.task == task).order_by(calls.c.at.desc())
    oldest: float | None = conn.execute(ages.offset(newest - 1).limit(1)).scalar()
    return since if oldest is None else max(since, oldest)


def last_audited(conn: Connection, certificate: str) -> int:
    """The number of the latest call that was audited for a certificate; 0 if none was."""
    query = select(func.max(calls.c.number)).join(audits, audits.c.call_id == calls.c.id)
    found: int | None = conn.execute(query.where(audits.c.certificate == certificate)).scalar()
    return found or 0


def next_served(
    conn: Connection, task: str, prefix: str, since: float, mark: int
) -> tuple[int, CallRecord] | None:
    """The first of a task's calls after number ``mark`` that was made ``since`` (unix seconds),
    belongs to the unbiased sample and was answered by somebody whose name has this ``prefix``."""
    query = (
        select(calls)
        .where(calls.c.number > mark, calls.c.task == task, calls.c.at >= since)
        .where(calls.c.sampled, calls.c.error == "", calls.c.answer.is_not(None))
        .where(calls.c.answered_by.startswith(prefix, autoescape=True))
    )
    found = numbered_calls(conn, query.order_by(calls.c.number).limit(1))
    return next(iter(found.items()), None)
