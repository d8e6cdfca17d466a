"""Which calls people are asked to judge, where people are the reference.

People correct what they notice, so what they say of calls that they picked is no fair sample. The
calls that count are drawn by the secret draw of audits, which looks at no answer, and count in the
order in which they arrived: only those before the first that still waits for a word. So whatever
people leave out, or say before they are asked, the calls that count are all that were drawn in a
stretch of time.

A call that expires while it waits would free those after it, of which people may have said words:
what they left out would be gone. So the stretch then begins anew, after the last drawn call with a
word (``begin_anew``).
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct
from sqlalchemy import Connection, delete, func, select

from shoal.guarantees.audit import draw
from shoal.storage.database import AnyRow, Database, in_slices
from shoal.storage.feedback import newest_feedback
from shoal.storage.schema import audits, calls, feedback, review_starts

LISTED = 1_000
"""So many calls that wait are listed at most."""

_PAGE = 2_000


class ReviewQueue(Struct, frozen=True):
    """Drawn calls by id, in order of arrival: those that count, all with a person's word, and from
    the first that ``waits`` on those without one."""

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


class Asking(Struct, frozen=True):
    """What people are asked of a task: a share ``rate`` of the calls made ``since`` (unix
    seconds)."""

    rate: float
    since: float = 0.0


class Reviews:
    """The calls of one store that people are asked to judge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(
        self, task: str, rate: float, since: float = 0.0, listed: int = LISTED
    ) -> ReviewQueue:
        """Of the calls of a task, as far as they were made ``since`` (unix seconds) and belong to
        the unbiased sample, a share ``rate`` drawn at random; of those that wait, the first
        ``listed``.

        Any word judges a call, the newest counts.
        """
        drawn, judged = list[str](), set[str]()
        secret = self._database.secret()
        with self._database.read() as conn:
            found = drawn_calls(conn, task, Asking(rate, since), secret)
            for ids in in_slices(found):
                drawn += ids
                judged.update(newest_feedback(conn, ids))
                if len(drawn) - len(judged) >= listed:
                    break
        queue = ReviewQueue.of(drawn, judged)
        return ReviewQueue(queue.counts, queue.waits[:listed])


def drawn_calls(
    conn: Connection, task: str, asking: Asking, secret: bytes, after: int = 0, prefix: str = ""
) -> Iterator[str]:
    """The ids of a task's calls that people are asked about, in order of arrival; of those with a
    number above ``after`` that were answered by somebody whose name has this ``prefix``."""
    begin = max(asking.since, _begun(conn, task))
    query = (
        select(calls.c.number, calls.c.id)
        .where(calls.c.task == task, calls.c.at >= begin, calls.c.sampled, calls.c.error == "")
        .where(calls.c.answer.is_not(None))
        .where(calls.c.answered_by.startswith(prefix, autoescape=True))
        .order_by(calls.c.number)
        .limit(_PAGE)
    )
    while rows := conn.execute(query.where(calls.c.number > after)).all():
        yield from (row.id for row in rows if draw(row.id, asking.rate, secret))
        after = rows[-1].number


def last_audited(conn: Connection, certificate: str) -> int:
    """The number of the latest call that was audited for a certificate; 0 if none was."""
    query = select(func.max(calls.c.number)).join(audits, audits.c.call_id == calls.c.id)
    found: int | None = conn.execute(query.where(audits.c.certificate == certificate)).scalar()
    return found or 0


def begin_anew(
    conn: Connection, expiring: Sequence[AnyRow], asked: Mapping[str, Asking], secret: bytes
) -> None:
    """Of tasks of which a call still waits among those that expire (rows of ``calls``), let the
    stretch of calls that count begin anew: after the last drawn one with a word, so that no word
    decides what is in it."""
    for task, asking in asked.items():
        begin = max(asking.since, _begun(conn, task))
        drawn = {
            row.id: row.at
            for row in expiring
            if (row.task, row.sampled, row.error) == (task, True, "")
            and row.answered
            and row.at >= begin
            and draw(row.id, asking.rate, secret)
        }
        words = newest_feedback(conn, drawn)
        left_out = [at for call_id, at in drawn.items() if call_id not in words]
        if not left_out:
            continue
        said = select(calls.c.id, calls.c.at).join(feedback, feedback.c.call_id == calls.c.id)
        rows = conn.execute(said.where(calls.c.task == task, calls.c.sampled)).all()
        judged = [row.at for row in rows if draw(row.id, asking.rate, secret)]
        start = math.nextafter(max(left_out + judged), math.inf)
        conn.execute(delete(review_starts).where(review_starts.c.task == task))
        conn.execute(review_starts.insert(), {"task": task, "at": start})


def _begun(conn: Connection, task: str) -> float:
    query = select(review_starts.c.at).where(review_starts.c.task == task)
    found: float | None = conn.execute(query).scalar()
    return found or 0.0
