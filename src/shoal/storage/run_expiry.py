"""Old runs go, with their records; the ledger keeps that they were there, and that they expired."""

import time

from sqlalchemy import ColumnElement, delete, func, or_, select

from shoal.storage.database import Database
from shoal.storage.ledger import EXPIRED, chain_key, enter
from shoal.storage.run_records import FINAL
from shoal.storage.schema import audits, run_records, runs

_AT_ONCE = 50  # runs in one transaction, at most
_RECORDS = 2_000  # at which no more join it: a few tens of milliseconds


def expire_runs(database: Database, kept_since: float, moment: float) -> int:
    """Remove the runs of which nothing was recorded since ``kept_since`` and that nobody has at
    ``moment`` (unix seconds); returns how many. One that waits for a person goes too.

    Raises:
        StoreError: the database cannot be written; what was removed before stays removed.
    """
    free = or_(runs.c.owner == "", runs.c.lease_until <= moment)
    removed = 0
    while gone := _remove_oldest(database, (runs.c.updated_at < kept_since) & free, moment):
        removed += gone
    return removed


def remove_share_of_runs(database: Database, share: float, moment: float) -> int:
    """Remove the oldest of the runs that have ended, about so much of all runs."""
    with database.read() as conn:
        goal: float = share * conn.execute(select(func.count()).select_from(runs)).scalar_one()
    removed = 0
    while removed < goal:
        gone = _remove_oldest(database, runs.c.state.in_(FINAL), moment)
        if not gone:
            break
        removed += gone
    return removed


def _remove_oldest(database: Database, which: ColumnElement[bool], moment: float) -> int:
    begun, key = time.monotonic(), chain_key(database.secret())
    columns = (runs.c.id, runs.c.records, runs.c.head)
    oldest = select(*columns).where(which).order_by(runs.c.updated_at).limit(_AT_ONCE)
    removed = counted = 0
    with database.transaction() as conn:
        for row in conn.execute(oldest).all():
            if removed and counted + row.records > _RECORDS:
                break
            conn.execute(delete(audits).where(audits.c.call_id == row.id))  # of its stored plan
            conn.execute(delete(run_records).where(run_records.c.run == row.id))
            conn.execute(delete(runs).where(runs.c.id == row.id))
            enter(conn, key, EXPIRED, row.id, moment, row.records, row.head)
            removed, counted = removed + 1, counted + row.records
    if removed:
        time.sleep(time.monotonic() - begun)  # so that writers of other processes get their turn
    return removed
