"""The chain over all runs: an entry where a run starts, where it ends, where values of it are
redacted, and where it expires.

So a run that is removed with all its records is missed, and so is the tail of one that had ended.
"""

import hmac
import struct

from msgspec import Struct
from sqlalchemy import Connection, select

from shoal.storage.database import AnyRow
from shoal.storage.schema import ledger

STARTED, ENDED, REDACTED, EXPIRED = "started", "ended", "redacted", "expired"
NOTHING = bytes(32)  # the hash before the first entry

_ENTRY = struct.Struct(">4s32sqdq3I")  # what, hash before, number, at, records, lengths


class LedgerHead(Struct, frozen=True):
    """Where the ledger has got to: its entries, and the hash of the last one in hex.

    Written down elsewhere, it proves later that nothing which the ledger held was changed since.
    """

    entries: int
    hash: str


def chain_key(secret: bytes) -> bytes:
    """The key of all hashes here, of the store's secret."""
    return hmac.digest(secret, b"shoal runs", "sha256")


def entry_hash(
    key: bytes, before: bytes, number: int, at: float, kind: bytes, run: bytes, counted: int,
    head: bytes,
) -> bytes:  # fmt: skip
    """The hash of an entry after the one whose hash is ``before``.

    Raises:
        struct.error: a value has not the type of its column.
    """
    fixed = _ENTRY.pack(b"led1", before, number, at, counted, len(kind), len(run), len(head))
    return hmac.digest(key, fixed + kind + run + head, "sha256")


def enter(
    conn: Connection, key: bytes, kind: str, run: str, at: float, counted: int, head: bytes
) -> None:
    """Add an entry: a run that has ``counted`` records, the last of which has the hash ``head``."""
    last = _last(conn)
    number, before = (0, NOTHING) if last is None else (last.number, last.hash)
    row = {"number": number + 1, "at": at, "kind": kind, "run": run, "records": counted}
    hashed = entry_hash(key, before, number + 1, at, kind.encode(), run.encode(), counted, head)
    conn.execute(ledger.insert(), {**row, "head": head, "hash": hashed})


def ledger_head(conn: Connection) -> LedgerHead:
    """Where the ledger has got to."""
    last = _last(conn)
    return (
        LedgerHead(0, NOTHING.hex()) if last is None else LedgerHead(last.number, last.hash.hex())
    )


def _last(conn: Connection) -> AnyRow | None:
    query = select(ledger.c.number, ledger.c.hash).order_by(ledger.c.number.desc()).limit(1)
    return conn.execute(query).first()
