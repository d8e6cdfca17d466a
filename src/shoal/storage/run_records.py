"""What a run did, as a chain: each record's hash covers the record and the hash before it.

A hash is an HMAC-SHA-256 under a key that is derived from the store's secret. What is hashed has a
head of fixed size that says how long each text is, so no two records read the same. Bodies are
hashed as they lie in the column, so that checking inflates nothing.

Of a body, and of a run's goal, the chain holds a digest under a random salt. Once a run has ended,
what is personal in them may be redacted: the digest stays, so that the chain does, the salt goes,
so that nobody can find out the value by trying, and a seal under the key is set on what stands
there now. Records from before there were salts hold the body itself, and cannot be redacted.

The run's own row says nothing that its records do not: the first record hangs on a hash over what
never changes of it (``origin``), and the rest of it follows from the records (``Tally``).
"""

import hmac
import math
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

RunState = Literal["running", "waiting", "done", "failed", "cancelled", "stuck"]
FINAL: frozenset[str] = frozenset({"done", "failed", "cancelled"})

ORIGIN_TEXTS = ("id", "name", "goal", "agent", "key", "episode")
GOAL = 2  # among them

_RECORD = struct.Struct(">4s32sqddq5I")  # what, hash before, seq, at, cost, tokens, lengths
_ORIGIN = struct.Struct(">4sd6I")
_BIGGEST = 2**63 - 1


class Entry(Struct, frozen=True, kw_only=True):
    """What is to be recorded of a run.

    ``at`` is unix seconds, ``step`` the path of a step's instance ("each[3].price") or "" for the
    run, ``body`` JSON, ``state`` what the run is from here on (None: as before). ``cost`` (USD) and
    ``tokens`` are added to the run's.
    """

    kind: str
    at: float
    step: str = ""
    body: bytes = b"{}"
    state: RunState | None = None
    cost: float = 0.0
    tokens: int = 0


class RunRecord(Struct, frozen=True, kw_only=True):
    """A record of a run: the ``seq``-th, from 0, and its ``hash`` in hex. The rest is as in
    ``Entry``; ``redacted``: its body is not what was recorded, but what was left of it."""

    run_id: str
    seq: int
    at: float
    kind: str
    step: str
    body: bytes
    state: RunState | None
    cost: float
    tokens: int
    hash: str
    redacted: bool = False


class Link(Struct, frozen=True):
    """A record as it is stored and hashed; texts in UTF-8. ``salt`` None: a record from before
    there were any, or one that was redacted, which has the ``digest`` of what it held."""

    run: bytes
    seq: int
    at: float
    kind: bytes
    step: bytes
    body: bytes
    state: bytes
    cost: float
    tokens: int
    salt: bytes | None = None
    digest: bytes | None = None

    def hash(self, key: bytes, before: bytes) -> bytes:
        """The hash of this record after the one whose hash is ``before`` (32 bytes).

        Raises:
            struct.error: a value has not the type of its column.
        """
        held = committed(self.body, self.salt, self.digest)
        texts = (self.run, self.kind, self.step, self.body if held is None else held, self.state)
        numbers = (self.seq, self.at, self.cost, self.tokens)
        mark = b"rec1" if held is None else b"rec2"
        head = _RECORD.pack(mark, before, *numbers, *map(len, texts))
        return hmac.digest(key, head + b"".join(texts), "sha256")


class Tally(Struct):
    """What follows of a run from its records, so far: ``head`` is the hash of the last one."""

    head: bytes
    records: int = 0
    state: str = ""
    updated_at: float = 0.0
    cost: float = 0.0
    tokens: int = 0

    def add(self, link: Link, hash_: bytes) -> None:
        """Count one more record."""
        self.head = hash_
        self.records += 1
        self.state = link.state.decode() or self.state
        self.updated_at = link.at
        self.cost += link.cost
        self.tokens += link.tokens


def origin(
    key: bytes, started_at: float, texts: Sequence[bytes], held: bytes | None = None
) -> bytes:
    """The hash that a run's first record hangs on; ``texts`` are id, name, goal, agent, key and
    episode. ``held`` stands for the goal: see ``committed``."""
    told = list(texts) if held is None else [*texts[:2], held, *texts[3:]]
    head = _ORIGIN.pack(b"run1" if held is None else b"run2", started_at, *map(len, told))
    return hmac.digest(key, head + b"".join(told), "sha256")


def new_salt() -> bytes:
    """A salt: 16 random bytes."""
    return os.urandom(16)


def committed(text: bytes, salt: bytes | None, digest: bytes | None) -> bytes | None:
    """What stands for ``text`` in a hash: the ``digest`` that was kept of what stood there, or else
    its own under ``salt``; None where it stands for itself."""
    if digest is not None:
        return digest
    return None if salt is None else hmac.digest(salt, text, "sha256")


def seal_of(key: bytes, hash_: bytes, digest: bytes, text: bytes) -> bytes:
    """The seal on ``text``, which stands in place of what had ``digest``, in the record whose hash
    is ``hash_``, or in the run whose origin that is."""
    return hmac.digest(key, b"red1" + hash_ + digest + text, "sha256")


def seals_hash(key: bytes, seals: Iterable[bytes]) -> bytes:
    """The hash that the ledger keeps of a run's seals, the run's own first."""
    return hmac.digest(key, b"red2" + b"".join(seals), "sha256")


def storable(text: str) -> str:
    """``text`` without what a database cannot hold: NUL, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def number(value: float, what: str) -> float:
    """``value`` as both databases give it back.

    Raises:
        ValueError: it is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}; a finite number is expected")
    return float(value) + 0.0  # SQLite keeps no -0.0
