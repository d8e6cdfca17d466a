"""Old calls and runs go: by age, and the oldest when the store has grown too large.

With a call go its feedback, its audit, its tries, the mistake it was and what no other call shares
of its conversation; tasks, cards, certificates, e-processes and events stay. Everything happens in
short transactions, so that recording goes on meanwhile.

A system clock that stands far ahead for once must not make all calls old. So the moment that their
age is counted from is kept, and moves on by at most an hour each time: the learner expires every
ten minutes, and after a long rest catches up six times as fast as time goes by.
"""

import time
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, delete, func, select, true, update

from shoal.storage import bodies
from shoal.storage.database import Database
from shoal.storage.reviews import Asking, begin_anew
from shoal.storage.run_expiry import expire_runs, remove_share_of_runs
from shoal.storage.schema import audits, calls, feedback, meta, mistakes, tries

_AT_ONCE = 200  # calls in one transaction, a few milliseconds
_DAY = 86_400.0
_SHARE = 0.5  # of what seems too much, removed before the size is looked at again
_STEP = 3_600.0  # seconds by which the moment that ages are counted from moves on at a time
_COLUMNS = (
    *(calls.c[name] for name in ("id", "at", "task", "sampled", "error", "node")),
    calls.c.answer.is_not(None).label("answered"),
)


def expire(
    database: Database,
    now: float,
    keep_days: float,
    max_gb: float,
    asked: Mapping[str, Asking] | None = None,
) -> int:
    """Remove the calls and runs older than ``keep_days`` before ``now`` (unix seconds), which may
    be taken for an earlier moment as said above, and the oldest while more than ``max_gb`` (10⁹
    bytes) are in use. Returns how many went. ``asked``, by task id, is what people are asked to
    judge: where what they left out goes, their reviewing begins anew.

    Raises:
        StoreError: the database cannot be written; what was removed before stays removed.
    """
    removed = 0
    moment = _move_on(database, now)
    kept_since = moment - keep_days * _DAY
    while gone := _remove_oldest(database, calls.c.at < kept_since, asked or {}):
        removed += gone
    removed += expire_runs(database, kept_since, moment)
    most = max_gb * 1e9
    while (used := database.bytes_used(most)) > most:
        share = _SHARE * (1 - most / used)
        gone = _remove_share(database, share, asked or {})
        gone += remove_share_of_runs(database, share, moment)
        if not gone:
            break
        removed += gone
    if removed:
        database.shrink()
    return removed


def _move_on(database: Database, now: float) -> float:
    """The moment that ages are counted from this time; the first time that is ``now``."""
    with database.transaction() as conn:
        before: float | None = conn.execute(select(meta.c.expired_at)).scalar_one()
        moment = now if before is None else min(now, before + _STEP)
        conn.execute(update(meta).values(expired_at=moment))
    return moment


def _remove_share(database: Database, share: float, asked: Mapping[str, Asking]) -> int:
    """Remove the oldest calls, so much of all; to look at the size can take long."""
    with database.read() as conn:
        goal: float = share * conn.execute(select(func.count()).select_from(calls)).scalar_one()
    removed = 0
    while gone := _remove_oldest(database, true(), asked):
        removed += gone
        if removed >= goal:
            break
    return removed


def _remove_oldest(
    database: Database, which: ColumnElement[bool], asked: Mapping[str, Asking]
) -> int:
    begun, secret = time.monotonic(), database.secret()
    with database.transaction() as conn:
        oldest = select(*_COLUMNS).where(which)
        rows = conn.execute(oldest.order_by(calls.c.at).limit(_AT_ONCE)).all()
        if not rows:
            return 0
        ids = [row.id for row in rows]
        begin_anew(conn, rows, asked, secret)
        _remove(conn, ids)
        bodies.collect(conn, {row.node for row in rows})
    time.sleep(time.monotonic() - begun)  # so that writers of other processes get their turn
    return len(ids)


def _remove(conn: Connection, ids: list[str]) -> None:
    conn.execute(delete(audits).where(audits.c.call_id.in_(ids)))
    conn.execute(delete(feedback).where(feedback.c.call_id.in_(ids)))
    conn.execute(delete(tries).where(tries.c.call_id.in_(ids)))
    conn.execute(delete(mistakes).where(mistakes.c.call_id.in_(ids)))
    conn.execute(delete(calls).where(calls.c.id.in_(ids)))
