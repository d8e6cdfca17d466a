"""Whether what runs recorded is what was recorded: the chain of each run, and the ledger over all.

Everything is read in one snapshot and in order, so runs may go on meanwhile, and what is held in
memory does not grow with what is checked.

The key of the hashes is derived from the store's secret, which lies in the same database. So this
finds what was changed by somebody who has not read the secret; who has can write both chains anew.
That is found only by a head of the ledger that was written down elsewhere, for all that it covers:
runs that had ended by then, and that the others had started. Of a run that has not ended, a tail
that was cut is found unless its row in ``runs`` was changed to fit.
"""

import struct
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, LargeBinary, Select, Text, cast, func, select

from shoal.storage.database import AnyRow
from shoal.storage.dialects import is_postgres
from shoal.storage.ledger import (
    ENDED,
    EXPIRED,
    NOTHING,
    REDACTED,
    STARTED,
    LedgerHead,
    entry_hash,
)
from shoal.storage.run_records import (
    FINAL,
    Link,
    Tally,
    committed,
    origin,
    seal_of,
    seals_hash,
)
from shoal.storage.schema import ledger, run_records, runs

_AT_ONCE = 100  # rows in memory
_MOST = 1_000  # findings that are told one by one
_WRONG_TYPE = (struct.error, TypeError, OverflowError)  # SQLite keeps any type in any column


class Finding(Struct, frozen=True):
    """Something that is not as it was recorded: of which ``run`` ("" if of none), which record
    (None: not of one) and what, in words."""

    run: str
    seq: int | None
    what: str


class Redacted(Struct, frozen=True):
    """A run whose values were redacted when it had ended: its ``goal``, perhaps, and the bodies of
    these ``records``. What they were nobody can check any more, only that this is what was left of
    them."""

    run: str
    records: list[int]


class Verdict(Struct, frozen=True):
    """What a check found: ``found`` findings, the first 1,000 of which are told; how much there was
    to check; where the ledger has got to; and how many records of how many runs were ``redacted``,
    of the first 1,000 of which is told which."""

    findings: list[Finding]
    found: int
    runs: int
    records: int
    entries: int
    head: LedgerHead
    redacted_runs: int = 0
    redacted_records: int = 0
    redacted: list[Redacted] = []


class _Counts(Struct):
    redacted_runs: int = 0
    redacted_records: int = 0
    redacted: list[Redacted] = []
    runs: int = 0
    records: int = 0
    entries: int = 0
    head: bytes = NOTHING


class _Entries(Struct):
    """What the ledger says of a run."""

    started: AnyRow | None = None
    ended: AnyRow | None = None
    redacted: AnyRow | None = None
    expired: AnyRow | None = None


def verify(conn: Connection, key: bytes, head: str | None = None) -> Verdict:
    """Check everything; ``head`` is a hash of the ledger (hex) that was written down before."""
    counts, told, found = _Counts(), list[Finding](), 0
    for checked in (_ledger(conn, key, head, counts), _runs(conn, key, counts)):
        for finding in checked:
            found += 1
            if len(told) < _MOST:
                told.append(finding)
    last = LedgerHead(counts.entries, counts.head.hex())
    return Verdict(
        told,
        found,
        counts.runs,
        counts.records,
        counts.entries,
        last,
        counts.redacted_runs,
        counts.redacted_records,
        counts.redacted,
    )


def _ledger(conn: Connection, key: bytes, head: str | None, counts: _Counts) -> Iterator[Finding]:
    expected, seen = 1, head is None or head == NOTHING.hex()
    before: bytes | None = NOTHING
    for row in _stream(conn, _raw(conn, select(*ledger.c).order_by(ledger.c.number))):
        counts.entries += 1
        if row.number != expected:
            before = None
            yield Finding("", None, f"ledger: {_gap(expected, row.number, 'entry')}")
        if before is not None and not _same(row.hash, _entry_hash, key, before, row):
            run = _text(row.run)
            yield Finding(run, None, f"ledger: entry {row.number} is not the one that was written")
        before, expected = row.hash, row.number + 1
        counts.head = row.hash
        seen = seen or row.hash.hex() == head
    if not seen:
        what = "the ledger no longer holds the head that was written down: it was cut or rewritten"
        yield Finding("", None, what)


def _entry_hash(key: bytes, before: bytes, row: AnyRow) -> bytes:
    return entry_hash(key, before, row.number, row.at, row.kind, row.run, row.records, row.head)


def _runs(conn: Connection, key: bytes, counts: _Counts) -> Iterator[Finding]:
    tables = (
        select(runs.c.id.label("run"), *list(runs.c)[1:]).order_by(runs.c.id),
        select(*ledger.c).order_by(ledger.c.run, ledger.c.number),
        select(*run_records.c).order_by(run_records.c.run, run_records.c.seq),
    )
    for run, (rows, entries, records) in _merged(
        *(_stream(conn, _raw(conn, table)) for table in tables)
    ):
        row = next(rows, None)
        counts.runs += row is not None
        try:
            yield from _run(key, _text(run), row, entries, _counted(records, counts), counts)
        except _WRONG_TYPE:
            yield Finding(_text(run), None, "holds a value of another type than its column's")


def _run(
    key: bytes,
    run: str,
    row: AnyRow | None,
    entries: Iterable[AnyRow],
    records: Iterator[AnyRow],
    counts: _Counts,
) -> Iterator[Finding]:
    listed = _Entries()
    yield from _listed(run, entries, listed)
    if listed.started is None:
        yield Finding(run, None, "is not in the ledger: put in, or its entries were removed")
    elif listed.expired is not None:
        if row is not None or next(records, None) is not None:
            yield Finding(run, None, "had expired, and is there again")
    elif row is None:
        last = listed.ended or listed.started
        had = "record" if last.records == 1 else "records"
        yield Finding(run, None, f"was removed; it had at least {last.records} {had}")
    else:
        seals = _Seals(key, run)
        yield from _journal(key, run, row, listed, records, seals)
        yield from seals.against(listed.redacted)
        if listed.redacted is not None:
            counts.redacted_runs += 1
            counts.redacted_records += len(seals.records)
            if len(counts.redacted) < _MOST:
                counts.redacted.append(Redacted(run, seals.records[:_MOST]))


def _listed(run: str, entries: Iterable[AnyRow], listed: _Entries) -> Iterator[Finding]:
    for entry in entries:
        if entry.kind == STARTED.encode() and listed.started is None:
            listed.started = entry
        elif entry.kind == ENDED.encode() and listed.ended is None:
            listed.ended = entry
        elif entry.kind == REDACTED.encode() and listed.redacted is None:
            listed.redacted = entry
        elif entry.kind == EXPIRED.encode() and listed.expired is None:
            listed.expired = entry
        else:
            yield Finding(run, None, f"ledger: entry {entry.number} says what cannot be")


class _Seals:
    """The seals of a run's redacted values."""

    def __init__(self, key: bytes, run: str) -> None:
        self._key, self._run = key, run
        self._seals, self.records = list[bytes](), list[int]()

    def check(self, row: AnyRow, hash_: bytes, text: bytes, seq: int | None) -> Iterator[Finding]:
        """What is wrong with a value that may have been redacted; notes its seal."""
        if row.digest is None and row.seal is None:
            return
        well = None not in (row.digest, row.seal) and row.salt is None
        if not well or seal_of(self._key, hash_, row.digest, text) != row.seal:
            yield Finding(self._run, seq, "is not what was left of it when it was redacted")
        self._seals.append(row.seal or b"")
        if seq is not None:
            self.records.append(seq)

    def against(self, entry: AnyRow | None) -> Iterator[Finding]:
        """What is wrong with them by the ledger."""
        if entry is None:
            if self._seals:
                yield Finding(self._run, None, "was redacted, which is not in the ledger")
        elif (len(self.records), seals_hash(self._key, self._seals)) != (entry.records, entry.head):
            yield Finding(self._run, None, "was not redacted as the ledger says")


def _journal(
    key: bytes,
    run: str,
    row: AnyRow,
    listed: _Entries,
    records: Iterator[AnyRow],
    seals: _Seals,
) -> Iterator[Finding]:
    """The records of a run against each other, its row and the ledger."""
    try:
        texts = (row.run, row.name, row.goal, row.agent, row.key, row.episode)
        held = committed(row.goal, row.salt, row.digest)
        before: bytes | None = origin(key, row.started_at, texts, held)
        yield from seals.check(row, before or b"", row.goal, None)
    except _WRONG_TYPE:
        before = b""  # no record hangs on it
    tally, expected, first, well = Tally(b""), 0, b"", True
    for record in records:
        if record.seq != expected:
            well, before = False, None
            yield Finding(run, record.seq, _gap(expected, record.seq, "record"))
        if before is not None and not _same(record.hash, _record_hash, key, before, record):
            well = False
            own = "; or name, goal, agent, key, episode or start of the run are not"
            what = f"is not the record that was written{own if record.seq == 0 else ''}"
            yield Finding(run, record.seq, what)
        yield from seals.check(record, record.hash, record.body, record.seq)
        if record.seq == 0:
            first = record.hash
        before, expected = record.hash, record.seq + 1
        if well:
            tally.add(_link(record), record.hash)
    if expected < row.records:
        well = False
        yield Finding(run, expected, f"{_span(expected, row.records, 'record')} removed at the end")
    if expected > row.records:
        well = False
        yield Finding(run, row.records, f"{_span(row.records, expected, 'record')} put in")
    if well:
        yield from _counts_of_row(run, row, tally)
    yield from _against_ledger(run, row, listed, first)


def _counts_of_row(run: str, row: AnyRow, tally: Tally) -> Iterator[Finding]:
    for name in Tally.__struct_fields__:
        says, follows = getattr(row, name), getattr(tally, name)
        if name == "state":
            says = _text(says)
        if says != follows:
            yield Finding(run, None, f"its row has another {name} than its records")


def _against_ledger(run: str, row: AnyRow, listed: _Entries, first: bytes) -> Iterator[Finding]:
    started, ended = listed.started, listed.ended
    if started is not None and started.head != first:
        yield Finding(run, 0, "is not the record with which the ledger says that it started")
    if ended is None and _text(row.state) in FINAL:
        yield Finding(run, None, "has ended, which is not in the ledger")
    if ended is not None and (ended.records, ended.head) != (row.records, row.head):
        yield Finding(run, None, "has not the records that the ledger says it ended with")


def _link(row: AnyRow) -> Link:
    return Link(*(getattr(row, name) for name in Link.__struct_fields__))


def _record_hash(key: bytes, before: bytes, row: AnyRow) -> bytes:
    return _link(row).hash(key, before)


def _same(hash_: bytes, hashed: Any, *given: Any) -> bool:
    try:
        return bool(hash_ == hashed(*given))
    except _WRONG_TYPE:
        return False


def _gap(expected: int, found: int, noun: str) -> str:
    if found < expected:
        return f"{noun} {found} was put in"
    return f"{_span(expected, found, noun)} removed"


def _span(first: int, end: int, noun: str) -> str:
    if end - first == 1:
        return f"{noun} {first} was"
    return f"{noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'} {first} to {end - 1} were"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _counted(records: Iterator[AnyRow], counts: _Counts) -> Iterator[AnyRow]:
    for record in records:
        counts.records += 1
        yield record


def _merged(
    *streams: Iterator[AnyRow],
) -> Iterator[tuple[bytes, list[Iterator[AnyRow]]]]:
    """The rows of each stream, run by run; each stream is in the order of runs."""
    groups = [groupby(stream, lambda row: bytes(row.run)) for stream in streams]
    ahead = [next(group, None) for group in groups]
    while there := [group[0] for group in ahead if group is not None]:
        run = min(there)
        here = [group is not None and group[0] == run for group in ahead]
        none: Iterator[AnyRow] = iter(())
        yield (
            run,
            [
                group[1] if group is not None and mine else none
                for group, mine in zip(ahead, here, strict=True)
            ],
        )
        for at, mine in enumerate(here):
            if mine:
                ahead[at] = next(groups[at], None)


def _raw(conn: Connection, query: Select[Any]) -> Select[Any]:
    """``query`` with texts and bytes as the bytes that are stored, whatever was made of them."""
    return query.with_only_columns(
        *(
            _bytes(conn, column).label(column.name)
            if isinstance(column.type, Text | LargeBinary)
            else column
            for column in query.selected_columns
        )
    )


def _bytes(conn: Connection, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if not is_postgres(conn):
        return cast(column, LargeBinary)
    return func.convert_to(column, "UTF8") if isinstance(column.type, Text) else column


def _stream(conn: Connection, query: Select[Any]) -> Iterator[AnyRow]:
    in_parts = {"stream_results": True, "yield_per": _AT_ONCE}
    return iter(conn.execute(query, execution_options=in_parts))
