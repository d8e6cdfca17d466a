"""Values of a run that has ended are replaced by what may be kept of them.

The chain goes on to hold: it covers digests of the values, which stay. What it can say no more is
what they were. That they were redacted, which, and by what they were replaced is sealed with the
store's key, and stands in the ledger.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from shoal.storage.ledger import REDACTED, enter
from shoal.storage.packing import pack
from shoal.storage.run_records import (
    FINAL,
    GOAL,
    ORIGIN_TEXTS,
    committed,
    origin,
    seal_of,
    seals_hash,
    storable,
)
from shoal.storage.schema import run_records, runs


def redact_run(
    conn: Connection, key: bytes, run_id: str, goal: str, bodies: Mapping[int, bytes], at: float
) -> bool:
    """Put ``goal`` in place of a run's, and ``bodies`` (JSON, by number of the record) in place of
    those of its records; ``at`` is unix seconds. A run is redacted once, also if that changes
    nothing of it: what it holds then is sealed.

    False, and nothing is done, if it has not ended, is not there any more, or was redacted before.
    """
    row = conn.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    if row is None or row.state not in FINAL or row.salt is None:
        return False
    texts = [getattr(row, name).encode() for name in ORIGIN_TEXTS]
    digest = committed(texts[GOAL], row.salt, None)
    assert digest is not None  # there is a salt
    goal = storable(goal)
    began = origin(key, row.started_at, texts, digest)
    seals = [seal_of(key, began, digest, goal.encode())]
    own = {"goal": goal, "salt": None, "digest": digest, "seal": seals[0]}
    conn.execute(update(runs).where(runs.c.id == run_id).values(own))
    for seq, body in sorted(bodies.items()):
        seals += _redacted(conn, key, run_id, seq, body)
    enter(conn, key, REDACTED, run_id, at, len(seals) - 1, seals_hash(key, seals))
    return True


def _redacted(conn: Connection, key: bytes, run_id: str, seq: int, body: bytes) -> list[bytes]:
    """The seal on a record's new body; none on one of before there were salts."""
    here = (run_records.c.run == run_id) & (run_records.c.seq == seq)
    row = conn.execute(select(run_records).where(here)).one()
    digest = committed(row.body, row.salt, None)
    if digest is None:
        return []
    kept = pack(body)
    seal = seal_of(key, row.hash, digest, kept)
    changed = {"body": kept, "salt": None, "digest": digest, "seal": seal}
    conn.execute(update(run_records).where(here).values(changed))
    return [seal]
