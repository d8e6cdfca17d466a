"""Whatever is altered is found, and nothing else is."""

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Table, delete, select, update
from test_storage_runs import run_of

from shoal.errors import Conflict, LeaseLost, NotFound
from shoal.storage import Entry, RunState, Store, StoreOptions, Verdict
from shoal.storage.ledger import chain_key
from shoal.storage.schema import ledger, run_records, runs
from shoal.storage.trail import verify

DAY = 86_400.0
TABLES = (runs, run_records, ledger)
NOT_COVERED = {"owner", "lease_until", "left_to"}  # who works on a run is no part of its trail
LONG = b'{"text":"' + b"again and again " * 100 + b'"}'
KEPT = 1e6  # ages count from when there is nothing to be expired yet

Tamper = Callable[[Connection, st.DataObject], object]


def fill(store: Store) -> None:
    """Runs that ended, wait, go on, have only begun, and have expired."""
    with store.database.transaction() as conn:
        for number in range(6):
            at = KEPT + number if number else 0.0
            store.runs.start(conn, run_of(number, started_at=at), b'{"plan":"p"}')
        for number in (1, 2, 3, 4):
            for seq in range(3):
                body = LONG if seq == 1 else b'{"n":%d}' % seq
                for kind in ("started", "finished"):
                    store.runs.append(conn, run_of(number).id, "a", kind, f"each[{seq}].price",
                                      body, KEPT + 10 * seq, cost=0.1, tokens=3)  # fmt: skip
        for number, state in ((1, "done"), (2, "failed"), (3, "waiting")):
            entry = Entry(kind="ended", at=KEPT + 50, state=state)
            store.runs.extend(conn, run_of(number).id, "a", [entry])
        kept = {0: b'{"plan":"[NAME]"}', 4: b"{}", 6: LONG.replace(b"again", b"[EMAIL]")}
        assert store.runs.redact(conn, run_of(1).id, "Answer [NAME]", kept, KEPT + 60)
        assert store.runs.redact(conn, run_of(2).id, run_of(2).goal, {}, KEPT + 60)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("trail") / "data"
    places = [None] if request.param == "sqlite" else request.getfixturevalue("some_schema")
    for url in places:
        with Store.open(StoreOptions(path=path, url=url)) as store:
            fill(store)
            assert store.expire(KEPT + 90 * DAY) == 1
            yield store


@pytest.fixture(scope="module")
def some_schema() -> Iterator[list[str]]:
    from postgres_home import postgres_url

    with postgres_url() as url:
        yield [url]


def whats(verdict: Verdict) -> list[str]:
    return [f"{f.run[-1:]} {f.seq}: {f.what}" for f in verdict.findings]


def tampered(store: Store, tamper: Callable[[Connection], object]) -> Verdict:
    """What is found after ``tamper``, which is undone."""
    key = chain_key(store.database.secret())
    with store.database._writes.connect() as conn:
        transaction = conn.begin()
        try:
            tamper(conn)
            return verify(conn, key)
        finally:
            transaction.rollback()


def test_what_was_recorded_is_well(filled: Store) -> None:
    verdict = filled.runs.verify()
    assert (verdict.findings, verdict.found) == ([], 0)
    assert (verdict.runs, verdict.records, verdict.entries) == (5, 5 + 4 * 6 + 3, 6 + 2 + 2 + 1)
    assert (verdict.redacted_runs, verdict.redacted_records) == (2, 3)
    assert [one.records for one in verdict.redacted] == [[0, 4, 6], []]
    assert verdict.head == filled.runs.head()
    assert filled.runs.verify(verdict.head.hash).found == 0


def rows_of(conn: Connection, table: Table) -> list[dict[str, Any]]:
    order = list(table.primary_key.columns)
    return [dict(row._mapping) for row in conn.execute(select(table).order_by(*order))]


def this(table: Table, row: dict[str, Any]) -> Any:
    where = [column == row[column.name] for column in table.primary_key.columns]
    return where[0] if len(where) == 1 else where[0] & where[1]


def other(value: Any, data: st.DataObject) -> Any:
    if value is None:
        return data.draw(st.sampled_from([b"", bytes(16), bytes(32)]))
    if isinstance(value, bytes):
        how = data.draw(st.sampled_from(["flip", "cut", "longer"]))
        if how == "flip" and value:
            at, bit = data.draw(st.integers(0, len(value) - 1)), data.draw(st.integers(0, 7))
            return value[:at] + bytes([value[at] ^ 1 << bit]) + value[at + 1 :]
        return value[:-1] if how == "cut" and value else value + b"x"
    if isinstance(value, str):
        if value and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(value) - 1))
            return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
        return value + data.draw(st.sampled_from([" ", "x", "ü"]))
    return value + data.draw(st.sampled_from([1, -1, 1000]))


def alter(conn: Connection, data: st.DataObject) -> object:
    table = data.draw(st.sampled_from(TABLES))
    row = data.draw(st.sampled_from(rows_of(conn, table)))
    name = data.draw(st.sampled_from(sorted(row.keys() - NOT_COVERED)))
    value = other(row[name], data)
    taken = [{**row, name: value}[c.name] for c in table.primary_key.columns]
    if name in table.primary_key.columns:
        for present in rows_of(conn, table):
            if [present[c.name] for c in table.primary_key.columns] == taken:
                conn.execute(delete(table).where(this(table, present)))
    conn.execute(update(table).where(this(table, row)).values({name: value}))
    return table.name, row, name, value


def remove(conn: Connection, data: st.DataObject) -> object:
    table = data.draw(st.sampled_from(TABLES))
    row = data.draw(st.sampled_from(rows_of(conn, table)))
    conn.execute(delete(table).where(this(table, row)))
    return table.name, row


def remove_run(conn: Connection, data: st.DataObject) -> object:
    run = data.draw(st.sampled_from(rows_of(conn, runs)))["id"]
    conn.execute(delete(runs).where(runs.c.id == run))
    conn.execute(delete(run_records).where(run_records.c.run == run))
    return run


def truncate(conn: Connection, data: st.DataObject) -> object:
    row = data.draw(st.sampled_from(rows_of(conn, run_records)))
    tail = (run_records.c.run == row["run"]) & (run_records.c.seq >= row["seq"])
    conn.execute(delete(run_records).where(tail))
    return row


def swap(conn: Connection, data: st.DataObject) -> object:
    """Two rows of a table change places."""
    table = data.draw(st.sampled_from((run_records, ledger)))
    pair = data.draw(st.permutations(rows_of(conn, table)))[:2]
    keys = [c.name for c in table.primary_key.columns]
    for row, place in (pair, pair[::-1]):
        conn.execute(delete(table).where(this(table, place)))
        conn.execute(table.insert(), row | {name: place[name] for name in keys})
    return pair


def insert(conn: Connection, data: st.DataObject) -> object:
    table = data.draw(st.sampled_from(TABLES))
    row = data.draw(st.sampled_from(rows_of(conn, table)))
    if table is runs:
        new = row | {"id": row["id"] + "x"}
    elif table is ledger:
        new = row | {"number": data.draw(st.sampled_from([0, -1, 12, 14]))}
    else:
        new = row | {"seq": data.draw(st.sampled_from([-1, 8, 9]))}
    conn.execute(table.insert(), new)
    return new


@given(
    how=st.sampled_from([alter, remove, remove_run, truncate, swap, insert]),
    data=st.data(),
)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_whatever_is_altered_is_found(filled: Store, how: Tamper, data: st.DataObject) -> None:
    verdict = tampered(filled, lambda conn: how(conn, data))
    assert verdict.found
    assert filled.runs.verify().found == 0  # it was undone


ACTS = st.sampled_from("SSAAAEWRCXRBHDD")


@given(steps=st.lists(st.tuples(ACTS, st.integers(0, 4)), max_size=60))
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_no_false_alarm(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever two owners do to five runs in turn, refused or not, is well; so is each snapshot."""
    path = tmp_path_factory.mktemp("legal") / "data"
    options = StoreOptions(path=path, keep_days=1)
    now, heads = KEPT, [bytes(32).hex()]
    with Store.open(options) as first, Store.open(options) as second:
        first.expire(now)
        for turn, (what, number) in enumerate(steps):
            now += 1_000.0
            store, owner = ((first, "a"), (second, "b"))[turn % 2]
            with suppress(LeaseLost, NotFound, Conflict, ZeroDivisionError):
                act(store, owner, what, number, now)
            if what == "H":
                heads.append(store.runs.head().hash)
        for head in heads:
            assert whats(first.runs.verify(head)) == []
        first.expire(now + 3_000.0)
        assert whats(second.runs.verify(heads[-1])) == []


def act(store: Store, owner: str, what: str, number: int, now: float) -> None:
    """Start, append, end, wait, roll back, claim or expire."""
    run = run_of(number, started_at=now, owner=owner, lease_until=now + 2_500.0)
    if what == "X":
        store.expire(now)
        return
    with store.database.transaction() as conn:
        if what == "S":
            store.runs.start(conn, run)
        elif what == "C":
            store.runs.claim(conn, run.id, owner, 2_500.0, now)
        elif what in "AB":
            both = [Entry(kind="finished", at=now, cost=0.1, tokens=n, body=LONG) for n in (1, 2)]
            store.runs.extend(conn, run.id, owner, both)
        elif what in "EW":
            state: RunState = "done" if what == "E" else "waiting"
            store.runs.append(conn, run.id, owner, "ended", "", b"{}", now, state)
        elif what == "D":
            store.runs.redact(conn, run.id, "less", {0: b'"less"'}, now)
        elif what == "R":
            store.runs.append(conn, run.id, owner, "started", "x", b"{}", now, cost=0.3)
            raise ZeroDivisionError


def test_a_value_of_another_type_is_found(store: Store) -> None:
    if store.options.url is not None:
        pytest.skip("Postgres keeps to the types of columns")
    fill(store)
    numbers = {
        runs: ("records", "cost", "started_at"),
        run_records: ("seq", "at", "tokens"),
        ledger: ("at", "records"),
    }
    for table, name in ((table, name) for table, names in numbers.items() for name in names):
        for value in ("'x'", "1.5", "X'ff'"):
            change = f"UPDATE {table.name} SET {name} = {value} WHERE rowid = 3"
            assert tampered(store, partial(Connection.exec_driver_sql, statement=change)).found


def test_findings_name_run_record_and_what(filled: Store) -> None:
    def found(change: Callable[[Connection], object]) -> list[str]:
        return whats(tampered(filled, change))

    def row(run: int, *seqs: int) -> Any:
        return (run_records.c.run == run_of(run).id) & run_records.c.seq.in_(seqs)

    assert found(lambda conn: conn.execute(delete(run_records).where(row(1, 2, 3)))) == [
        "1 4: records 2 to 3 were removed"
    ]
    assert found(lambda conn: conn.execute(delete(run_records).where(row(2, 6, 7)))) == [
        "2 6: records 6 to 7 were removed at the end"
    ]
    assert found(lambda conn: conn.execute(update(runs).where(runs.c.id == run_of(3).id)
                                           .values(goal="x"))) == [
        "3 0: is not the record that was written; or name, goal, agent, key, episode or start of "
        "the run are not"
    ]  # fmt: skip
    assert found(lambda conn: conn.execute(update(runs).where(runs.c.id == run_of(3).id)
                                           .values(cost=0.0))) == [
        "3 None: its row has another cost than its records"
    ]  # fmt: skip
    assert found(lambda conn: conn.execute(delete(ledger).where(ledger.c.number == 2))) == [
        " None: ledger: entry 2 was removed",
        "1 None: is not in the ledger: put in, or its entries were removed",
    ]
    assert filled.runs.verify("ab" * 32).findings[0].what.startswith("the ledger no longer holds")


def test_a_head_finds_chains_that_were_written_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.storage.runs.new_salt", lambda: bytes(16))  # so that they are equal
    fill(store)
    head = store.runs.head().hash
    with store.database.transaction() as conn:
        for table in TABLES:
            conn.execute(delete(table))
    fill(store)  # by somebody who has the secret
    with store.database.transaction() as conn:
        store.runs.append(conn, run_of(4).id, "a", "ended", "", b"{}", KEPT + 51, "done")
    assert store.runs.verify().found == 0
    assert store.runs.verify(head).found == 0  # nothing that the head covers is different
    with store.database.transaction() as conn:
        for table in TABLES:
            conn.execute(delete(table))
        store.runs.start(conn, run_of(1))
    assert store.runs.verify().found == 0
    assert store.runs.verify(head).found == 1


def test_what_was_redacted_is_gone_and_what_stands_there_is_sealed(filled: Store) -> None:
    run = run_of(1).id
    assert filled.runs.get(run).goal == "Answer [NAME]"
    records = filled.runs.records(run)
    assert [one.seq for one in records if one.redacted] == [0, 4, 6]
    assert (records[0].body, records[4].body) == (b'{"plan":"[NAME]"}', b"{}")
    with filled.database.read() as conn:
        rows = conn.execute(select(run_records).where(run_records.c.run == run)).all()
    for row in rows:  # without the salt a digest says nothing of a value that is guessed
        assert (row.salt is None) == (row.digest is not None) == (row.seq in (0, 4, 6))

    def found(change: Callable[[Connection], object]) -> list[str]:
        return whats(tampered(filled, change))

    def put(**values: object) -> Callable[[Connection], object]:
        here = (run_records.c.run == run) & (run_records.c.seq == 4)
        return lambda conn: conn.execute(update(run_records).where(here).values(values))

    not_left = "1 4: is not what was left of it when it was redacted"
    assert found(put(body=b'{"n":1}')) == [not_left]
    other = rows[6]
    assert found(put(body=other.body, seal=other.seal))[0] == not_left  # sealed for another place
    assert found(put(seal=None))[0] == not_left
    assert "1 None: has not been" not in found(put(seal=None))
    goal = update(runs).where(runs.c.id == run).values(goal="Answer nobody")
    assert found(lambda conn: conn.execute(goal)) == [
        "1 None: is not what was left of it when it was redacted"
    ]


def test_a_run_is_redacted_once_and_not_before_it_has_ended(store: Store) -> None:
    fill(store)
    with store.database.transaction() as conn:
        for number in (1, 3, 5):  # was redacted, waits, runs
            assert not store.runs.redact(conn, run_of(number).id, "", {0: b"{}"}, KEPT + 70)
        assert not store.runs.redact(conn, "nothing", "", {}, KEPT + 70)
    assert store.runs.whole(KEPT + 99) == []
    with store.database.transaction() as conn:
        store.runs.append(conn, run_of(3).id, "a", "ended", "", b"{}", KEPT + 80, "done")
    assert store.runs.whole(KEPT + 79) == []
    assert store.runs.whole(KEPT + 80) == [run_of(3).id]
    assert store.runs.whole(KEPT + 80, after=run_of(3).id) == []
    assert store.runs.verify().found == 0


def test_records_from_before_there_were_salts_stay_as_they_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.storage.runs.new_salt", lambda: None)
    run = run_of(1)
    with store.database.transaction() as conn:
        store.runs.start(conn, run, b'{"old":1}')
        store.runs.append(conn, run.id, "a", "ended", "", b"{}", KEPT, "done")
        assert not store.runs.redact(conn, run.id, "", {0: b"{}"}, KEPT)
    assert store.runs.whole(KEPT) == []
    assert store.runs.records(run.id)[0].body == b'{"old":1}'
    assert store.runs.verify().found == 0


def test_a_long_trail_takes_little_memory(store: Store) -> None:
    if store.options.url is not None:
        pytest.skip("the client's memory is the same for both")
    with store.database.transaction() as conn:
        store.runs.start(conn, run_of(1))
        for _ in range(6):
            many = [Entry(kind="finished", at=1.0, body=os.urandom(1000))] * 1_000
            store.runs.extend(conn, run_of(1).id, "a", many)
    tracemalloc.start()
    try:
        assert store.runs.verify().records == 6_001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
