"""Runs and their journals: who runs which, and what was done so far.

A run belongs to one owner at a time, by a lease. Whoever lost it can write nothing more: the update
that counts a record asks for the owner, and for the head that the writer knows. Lapsed leases are
told by the clocks of those who claim, so a clock that is ahead takes a run early; what its former
owner has not recorded by then is refused to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, or_, select, update

from shoal.errors import Conflict, LeaseLost, NotFound
from shoal.storage.database import AnyRow, Database, in_slices
from shoal.storage.ledger import ENDED, STARTED, LedgerHead, chain_key, enter, ledger_head
from shoal.storage.packing import pack, unpack
from shoal.storage.prepared import Prepared
from shoal.storage.redaction import redact_run
from shoal.storage.run_records import (
    FINAL,
    GOAL,
    ORIGIN_TEXTS,
    Entry,
    Link,
    RunRecord,
    RunState,
    Tally,
    committed,
    new_salt,
    number,
    origin,
    storable,
)
from shoal.storage.schema import ledger, run_records, runs
from shoal.storage.trail import Verdict, verify

LeftTo = Literal["gateways", "people", ""]

_TALLIES = "run tallies"  # in what is noted of the connection, which a rollback clears
_NOTED = 10_000  # runs


class Run(Struct, frozen=True, kw_only=True):
    """A run of a plan.

    ``id`` is a UUIDv7, given by who starts it; ``name`` is the plan's, ``key`` the id of the key it
    was started with or "". ``owner`` is who runs it, until ``lease_until`` (unix seconds) unless
    renewed; "" if nobody does. ``left_to`` are those who go on with it when its owner is no more:
    "gateways", "people", or "" of runs older than that is kept. The store counts ``state``,
    ``updated_at``, ``head`` (hash of the last record, hex), ``records``, ``cost`` (USD) and
    ``tokens`` by the records.
    """

    id: str
    name: str = ""
    goal: str = ""
    agent: str = ""
    key: str = ""
    episode: str = ""
    started_at: float
    owner: str
    lease_until: float
    left_to: LeftTo = ""
    state: RunState = "running"
    updated_at: float = 0.0
    head: str = ""
    records: int = 0
    cost: float = 0.0
    tokens: int = 0


_here = (runs.c.id == bindparam("run")) & (runs.c.owner == bindparam("by"))
_counted = Prepared(
    update(runs)
    .where(_here, runs.c.head == bindparam("before"))
    .values({name: bindparam(f"new_{name}") for name in Tally.__struct_fields__})
)
_insert = Prepared(run_records.insert())


class Runs:
    """The runs of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @cached_property
    def _key(self) -> bytes:
        return chain_key(self._database.secret())

    def start(self, conn: Connection, run: Run, body: bytes = b"{}") -> RunRecord:
        """Add a run, and its record 0, of the kind "run" with ``body`` (JSON).

        Raises:
            Conflict: there is, or was, one of that id.
            ValueError: a number is not finite, there is no owner, or the state is final.
        """
        if run.state in FINAL or not run.owner:
            raise ValueError(f"run {run.id}: starts with an owner, and in no final state")
        if conn.execute(select(ledger.c.number).where(ledger.c.run == run.id).limit(1)).first():
            raise Conflict(f"there is, or was, a run of id {run.id!r} already; take a new id")
        row = _columns(run)
        texts = [row[name].encode() for name in ORIGIN_TEXTS]
        held = committed(texts[GOAL], row["salt"], None)
        tally = Tally(origin(self._key, row["started_at"], texts, held))
        entry = Entry(kind="run", at=run.started_at, body=body, state=run.state)
        link = _link(run.id, 0, entry)
        hashed = link.hash(self._key, tally.head)
        tally.add(link, hashed)
        conn.execute(runs.insert(), row | _counts(tally))
        first = _row(link, hashed)
        _insert(conn, first)
        enter(conn, self._key, STARTED, run.id, link.at, 1, hashed)
        return _told(first, entry)

    def append(
        self,
        conn: Connection,
        run_id: str,
        owner: str,
        kind: str,
        step: str,
        body: bytes,
        at: float,
        state: RunState | None = None,
        cost: float = 0.0,
        tokens: int = 0,
    ) -> RunRecord:
        """As ``extend``, with one record."""
        entry = Entry(kind=kind, at=at, step=step, body=body, state=state, cost=cost, tokens=tokens)
        return self.extend(conn, run_id, owner, (entry,))[0]

    def extend(
        self, conn: Connection, run_id: str, owner: str, entries: Sequence[Entry]
    ) -> list[RunRecord]:
        """Add records to a run, all or none. A final state ends the run, and its lease.

        Raises:
            LeaseLost: ``owner`` does not have the run (any more), or it has ended.
            NotFound: no such run.
            ValueError: a number is not finite, or something comes after a final state.
        """
        if not entries:
            return []
        noted: dict[str, Tally] = conn.info.setdefault(_TALLIES, {})
        tally = noted.pop(run_id, None)  # until it is written, nothing is known of it
        added = None if tally is None else self._count(conn, run_id, owner, tally, entries)
        if tally is None or added is None:  # nothing was noted, or others had the run in between
            tally = _tally(conn, run_id, owner)
            added = self._count(conn, run_id, owner, tally, entries)
        assert added is not None  # nobody else writes within this transaction
        rows = [_row(link, hashed) for link, hashed in added]
        _insert.many(conn, rows)
        if tally.state in FINAL:
            self.release(conn, run_id, owner)
            enter(conn, self._key, ENDED, run_id, tally.updated_at, tally.records, tally.head)
        else:
            if len(noted) >= _NOTED:
                noted.clear()
            noted[run_id] = tally
        return [_told(row, entry) for row, entry in zip(rows, entries, strict=True)]

    def _count(
        self, conn: Connection, run_id: str, owner: str, tally: Tally, entries: Sequence[Entry]
    ) -> list[tuple[Link, bytes]] | None:
        """Add to ``tally`` and the run's row; None, if that is another's or not at this head."""
        before, added = tally.head, []
        for entry in entries:
            if tally.state in FINAL:
                raise ValueError(f"run {run_id}: {entry.kind!r} comes after the run has ended")
            link = _link(run_id, tally.records, entry)
            hashed = link.hash(self._key, tally.head)
            tally.add(link, hashed)
            added.append((link, hashed))
        change: dict[str, Any] = {"run": run_id, "by": owner, "before": before}
        for name in Tally.__struct_fields__:
            change[f"new_{name}"] = getattr(tally, name)
        return added if _counted(conn, change) == 1 else None

    def claim(self, conn: Connection, run_id: str, owner: str, lease_s: float, now: float) -> bool:
        """Take a run that nobody has, or whose lease has lapsed, for ``lease_s``; false if it is
        somebody's (``owner``'s own as well: ``renew`` is for those), has ended or is not there."""
        free = or_(runs.c.owner == "", runs.c.lease_until <= now)
        here = (runs.c.id == run_id) & runs.c.state.not_in(FINAL) & free
        taken = update(runs).where(here).values(owner=owner, lease_until=now + lease_s)
        return conn.execute(taken).rowcount == 1

    def renew(self, conn: Connection, run_id: str, owner: str, lease_s: float, now: float) -> bool:
        """Have the run for ``lease_s`` from ``now`` on; false if ``owner`` does not have it, and
        must stop."""
        here = (runs.c.id == run_id) & (runs.c.owner == owner)
        kept = update(runs).where(here).values(lease_until=now + lease_s)
        return conn.execute(kept).rowcount == 1

    def release(self, conn: Connection, run_id: str, owner: str) -> bool:
        """Let others have the run; false if ``owner`` did not have it."""
        here = (runs.c.id == run_id) & (runs.c.owner == owner)
        freed = update(runs).where(here).values(owner="", lease_until=0.0)
        return conn.execute(freed).rowcount == 1

    def get(self, run_id: str) -> Run:
        """The run of that id.

        Raises:
            NotFound: no such run; it may have expired.
        """
        with self._database.read() as conn:
            row = conn.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
        if row is None:
            raise _missing(run_id)
        return _run(row)

    def list(
        self,
        state: RunState | None = None,
        agent: str | None = None,
        key: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Run]:
        """Runs, newest first, with an id below ``before``; None leaves a field open."""
        query = select(runs).order_by(runs.c.id.desc()).limit(limit)
        for column, value in ((runs.c.state, state), (runs.c.agent, agent), (runs.c.key, key)):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(runs.c.id < before)
        with self._database.read() as conn:
            return [_run(row) for row in conn.execute(query)]

    def unfinished(self, now: float, after: str = "", limit: int = 1000) -> Sequence[Run]:
        """Runs that gateways are to go on with and that nobody has, or whose lease has lapsed;
        oldest first, those with an id above ``after``. Those that wait, are stuck, or are left to
        people are not among them."""
        free = or_(runs.c.owner == "", runs.c.lease_until <= now)
        query = select(runs).where(
            runs.c.state == "running", runs.c.id > after, free, runs.c.left_to != "people"
        )
        with self._database.read() as conn:
            return [_run(row) for row in conn.execute(query.order_by(runs.c.id).limit(limit))]

    def records(self, run_id: str, after: int = -1, limit: int = 1000) -> Sequence[RunRecord]:
        """The records of a run with a ``seq`` over ``after``, in order; none if there is no such
        run."""
        table = run_records
        query = select(table).where(table.c.run == run_id, table.c.seq > after)
        with self._database.read() as conn:
            rows = conn.execute(query.order_by(table.c.seq).limit(limit)).all()
        return [_record(row) for row in rows]

    def count(self, agent: str) -> int:
        """How many runs of an agent there are, whatever their state."""
        query = select(func.count()).select_from(runs).where(runs.c.agent == agent)
        with self._database.read() as conn:
            found: int = conn.execute(query).scalar_one()
        return found

    def last_of(self, kind: str, run_ids: Iterable[str]) -> dict[str, RunRecord]:
        """Of each of these runs the last record of a kind, where it has one."""
        found: dict[str, RunRecord] = {}
        table = run_records
        with self._database.read() as conn:
            for ids in in_slices(run_ids):
                query = select(table).where(table.c.run.in_(ids), table.c.kind == kind)
                for row in conn.execute(query.order_by(table.c.run, table.c.seq)):
                    found[row.run] = _record(row)
        return found

    def whole(self, until: float, after: str = "", limit: int = 50) -> Sequence[str]:
        """The ids above ``after`` of runs that ended by ``until`` (unix seconds) and were not
        redacted yet, in order."""
        query = select(runs.c.id).where(
            runs.c.salt.is_not(None),
            runs.c.state.in_(FINAL),
            runs.c.updated_at <= until,
            runs.c.id > after,
        )
        with self._database.read() as conn:
            return list(conn.execute(query.order_by(runs.c.id).limit(limit)).scalars())

    def redact(
        self, conn: Connection, run_id: str, goal: str, bodies: Mapping[int, bytes], at: float
    ) -> bool:
        """Put other values in place: see ``redaction``."""
        return redact_run(conn, self._key, run_id, goal, bodies, at)

    def head(self) -> LedgerHead:
        """Where the ledger has got to, to be written down elsewhere."""
        with self._database.read() as conn:
            return ledger_head(conn)

    def verify(self, head: str | None = None) -> Verdict:
        """Check all that runs recorded (see ``trail``), against ``head`` too: a hash of the ledger
        that was written down before. Takes long: not for event loops.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._database.read() as conn:
            return verify(conn, self._key, head)


def _missing(run_id: str) -> NotFound:
    return NotFound(
        f"no run of id {run_id!r}: it was never started here, or has expired; "
        "`shoal runs list` shows those there are"
    )


def _tally(conn: Connection, run_id: str, owner: str) -> Tally:
    row = conn.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise _missing(run_id)
    if row.state in FINAL:
        raise LeaseLost(f"run {run_id}: has ended ({row.state}), nothing more can be recorded")
    if row.owner != owner:
        whose = f"{row.owner!r} has it now" if row.owner else "nobody has it; claim it first"
        raise LeaseLost(f"run {run_id}: is not {owner!r}'s to go on with: {whose}")
    return Tally(*(getattr(row, name) for name in Tally.__struct_fields__))


def _columns(run: Run) -> dict[str, Any]:
    texts = ("name", "goal", "agent", "key", "episode")
    row: dict[str, Any] = {name: storable(getattr(run, name)) for name in texts}
    row |= {"id": run.id, "owner": run.owner, "left_to": run.left_to}
    row |= {"salt": new_salt(), "digest": None, "seal": None}
    row["started_at"] = number(run.started_at, "started_at")
    row["lease_until"] = number(run.lease_until, "lease_until")
    return row


def _counts(tally: Tally) -> dict[str, Any]:
    return {name: getattr(tally, name) for name in Tally.__struct_fields__}


def _link(run_id: str, seq: int, entry: Entry) -> Link:
    return Link(
        run=run_id.encode(),
        seq=seq,
        at=number(entry.at, "at"),
        kind=storable(entry.kind).encode(),
        step=storable(entry.step).encode(),
        body=pack(entry.body),
        state=(entry.state or "").encode(),
        cost=number(entry.cost, "cost"),
        tokens=entry.tokens,
        salt=new_salt(),
    )


def _row(link: Link, hashed: bytes) -> dict[str, Any]:
    return {
        "run": link.run.decode(),
        "seq": link.seq,
        "at": link.at,
        "kind": link.kind.decode(),
        "step": link.step.decode(),
        "body": link.body,
        "state": link.state.decode(),
        "cost": link.cost,
        "tokens": link.tokens,
        "hash": hashed,
        "salt": link.salt,
        "digest": None,
        "seal": None,
    }


def _told(row: dict[str, Any], entry: Entry) -> RunRecord:
    return RunRecord(
        run_id=row["run"],
        seq=row["seq"],
        at=row["at"],
        kind=row["kind"],
        step=row["step"],
        body=entry.body,
        state=entry.state,
        cost=row["cost"],
        tokens=row["tokens"],
        hash=row["hash"].hex(),
    )


def _record(row: AnyRow) -> RunRecord:
    fields = dict(row._mapping)
    fields["run_id"] = fields.pop("run")
    fields["redacted"] = fields["digest"] is not None
    fields |= {"body": unpack(row.body), "state": row.state or None, "hash": row.hash.hex()}
    return RunRecord(**{name: fields[name] for name in RunRecord.__struct_fields__})


def _run(row: AnyRow) -> Run:
    fields = dict(row._mapping) | {"head": row.head.hex()}
    return Run(**{name: fields[name] for name in Run.__struct_fields__})
