"""Old calls go: by age, and the oldest when the store has grown too large.

With a call go its feedback, its audit and what no other call shares of its conversation; tasks,
cards, certificates, e-processes and events stay. Everything happens in short transactions, so that
recording goes on meanwhile.
"""

import time

from sqlalchemy import ColumnElement, Connection, delete, select, true

from shoal.storage import bodies
from shoal.storage.database import Database
from shoal.storage.schema import audits, calls, feedback

_AT_ONCE = 200  # calls in one transaction, a few milliseconds
_DAY = 86_400.0


def expire(database: Database, now: float, keep_days: float, max_gb: float) -> int:
    """Remove the calls older than ``keep_days`` before ``now`` (unix seconds), and the oldest while
    more than ``max_gb`` (10⁹ bytes) are in use. Returns how many went.

    Raises:
        StoreError: the file cannot be written; what was removed before stays removed.
    """
    removed = 0
    while gone := _remove_oldest(database, calls.c.at < now - keep_days * _DAY):
        removed += gone
    while database.bytes_used() > max_gb * 1e9 and (gone := _remove_oldest(database, true())):
        removed += gone
    if removed:
        database.shrink()
    return removed


def _remove_oldest(database: Database, which: ColumnElement[bool]) -> int:
    begun = time.monotonic()
    with database.transaction() as conn:
        oldest = select(calls.c.number, calls.c.id, calls.c.node).where(which)
        rows = conn.execute(oldest.order_by(calls.c.at).limit(_AT_ONCE)).all()
        if not rows:
            return 0
        ids = [row.id for row in rows]
        _remove(conn, ids)
        bodies.collect(conn, {row.node for row in rows})
    time.sleep(time.monotonic() - begun)  # so that writers of other processes get their turn
    return len(ids)


def _remove(conn: Connection, ids: list[str]) -> None:
    conn.execute(delete(audits).where(audits.c.call_id.in_(ids)))
    conn.execute(delete(feedback).where(feedback.c.call_id.in_(ids)))
    conn.execute(delete(calls).where(calls.c.id.in_(ids)))
