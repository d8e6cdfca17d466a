import pytest
from sqlalchemy import Connection

from shoal.errors import Conflict, LeaseLost, NotFound
from shoal.storage import Entry, Run, RunRecord, Store

LEASE = 30.0


def run_of(number: int, **fields: object) -> Run:
    given = {
        "id": f"0190b000-0000-7000-8000-{number:012d}",
        "name": "triage",
        "goal": "Answer the customer – Grüße",
        "agent": "support",
        "started_at": 1000.0 + number,
        "owner": "a",
        "lease_until": 1000.0 + number + LEASE,
    }
    return Run(**(given | fields))  # type: ignore[arg-type]


@pytest.fixture
def run(store: Store) -> Run:
    run = run_of(1)
    with store.database.transaction() as conn:
        store.runs.start(conn, run, b'{"plan":1}')
    return run


def test_a_run_is_what_its_records_say(store: Store, run: Run) -> None:
    entries = [
        Entry(kind="started", step="each[3].price", at=1002.0, body=b'{"n":1}'),
        Entry(kind="finished", step="each[3].price", at=1003.0, cost=0.25, tokens=7,
              body=b'{"text":"' + b"long " * 500 + b'"}'),
    ]  # fmt: skip
    with store.database.transaction() as conn:
        made = store.runs.extend(conn, run.id, "a", entries)
        assert store.runs.extend(conn, run.id, "a", []) == []
        last = store.runs.append(
            conn, run.id, "a", "waiting", "", b"{}", 1004.0, "waiting", cost=0.5, tokens=3
        )
    read = store.runs.records(run.id)
    assert read[1:] == [*made, last]
    assert [(r.seq, r.kind) for r in read] == [
        (0, "run"), (1, "started"), (2, "finished"), (3, "waiting")
    ]  # fmt: skip
    assert read[0].body == b'{"plan":1}'
    assert read[2].body == entries[1].body
    assert store.runs.records(run.id, after=1, limit=1) == [read[2]]
    found = store.runs.get(run.id)
    assert (found.state, found.updated_at, found.cost, found.tokens) == ("waiting", 1004, 0.75, 10)
    assert (found.records, found.head) == (4, last.hash)
    assert (found.goal, found.owner) == (run.goal, "a")


def test_a_run_that_ended_takes_nothing_more(store: Store, run: Run) -> None:
    with store.database.transaction() as conn:
        store.runs.append(conn, run.id, "a", "ended", "", b"{}", 1002.0, "done")
    assert store.runs.get(run.id).owner == ""
    with pytest.raises(LeaseLost, match="has ended"), store.database.transaction() as conn:
        store.runs.append(conn, run.id, "a", "started", "x", b"{}", 1003.0)
    with store.database.transaction() as conn:
        assert not store.runs.claim(conn, run.id, "b", LEASE, 9999.0)
    assert store.runs.head().entries == 2


def test_runs_that_are_left_to_people_do_not_stand_before_those_of_gateways(store: Store) -> None:
    with store.database.transaction() as conn:
        for number in range(1, 9):
            left_to = "gateways" if number > 5 else "people"
            store.runs.start(conn, run_of(number, left_to=left_to))
        store.runs.start(conn, run_of(9, left_to=""))  # of a time when that was not kept
    found = store.runs.unfinished(9e9, limit=3)
    assert [int(run.id[-12:]) for run in found] == [6, 7, 8]
    rest = store.runs.unfinished(9e9, after=found[-1].id, limit=3)
    assert [(int(run.id[-12:]), run.left_to) for run in rest] == [(9, "")]


def test_who_lost_the_lease_writes_nothing_more(store: Store, run: Run) -> None:
    def claim(owner: str, now: float) -> bool:
        with store.database.transaction() as conn:
            return store.runs.claim(conn, run.id, owner, LEASE, now)

    def append(owner: str) -> RunRecord:
        with store.database.transaction() as conn:
            return store.runs.append(conn, run.id, owner, "started", "x", b"{}", 1010.0)

    append("a")
    assert not claim("b", 1010.0)
    assert not claim("a", 1010.0)
    assert claim("b", 1031.0)
    for _ in range(2):
        with pytest.raises(LeaseLost, match="'b' has it now"):
            append("a")
    assert append("b").seq == 2
    with store.database.transaction() as conn:
        assert not store.runs.renew(conn, run.id, "a", LEASE, 1031.0)
        assert store.runs.renew(conn, run.id, "b", LEASE, 1050.0)
        assert not store.runs.release(conn, run.id, "a")
    assert store.runs.get(run.id).lease_until == 1080.0
    assert store.runs.unfinished(1079.0) == []
    assert [found.id for found in store.runs.unfinished(1080.0)] == [run.id]
    with store.database.transaction() as conn:
        assert store.runs.release(conn, run.id, "b")
    assert store.runs.unfinished(0.0) == [store.runs.get(run.id)]
    assert store.runs.unfinished(0.0, after=run.id) == []
    with pytest.raises(LeaseLost, match="nobody has it"):
        append("b")
    assert claim("a", 1060.0)
    assert append("a").seq == 3  # though what was noted of its head is old


def test_what_is_rolled_back_was_never_recorded(store: Store, run: Run) -> None:
    def append_and_fail(conn: Connection) -> None:
        store.runs.append(conn, run.id, "a", "started", "x", b"{}", 1010.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), store.database.transaction() as conn:
        append_and_fail(conn)
    with store.database.transaction() as conn:
        assert store.runs.append(conn, run.id, "a", "started", "y", b"{}", 1010.0).seq == 1


def test_runs_are_listed_newest_first(store: Store) -> None:
    with store.database.transaction() as conn:
        for number in range(6):
            run = run_of(number, agent="odd" if number % 2 else "even", key=f"k{number}")
            store.runs.start(conn, run)
        store.runs.append(conn, run_of(5).id, "a", "ended", "", b"{}", 1100.0, "failed")
    assert [run.id for run in store.runs.list()] == [run_of(n).id for n in range(5, -1, -1)]
    odd = store.runs.list(agent="odd", limit=2)
    assert [run.id for run in odd] == [run_of(5).id, run_of(3).id]
    assert [run.id for run in store.runs.list(agent="odd", before=odd[-1].id)] == [run_of(1).id]
    assert [run.id for run in store.runs.list(state="failed")] == [run_of(5).id]
    assert [run.id for run in store.runs.list(key="k2")] == [run_of(2).id]


def test_of_many_runs_the_last_record_of_a_kind_is_found(store: Store) -> None:
    for number in range(1, 4):
        add(store, run_of(number))
    said = [("planned", b"1"), ("planned", b"2"), ("finished", b"3")]
    with store.database.transaction() as conn:
        for kind, body in said:
            store.runs.append(conn, run_of(1).id, "a", kind, "", body, 1.0)
        store.runs.append(conn, run_of(2).id, "a", "planned", "", b"4", 1.0)
    names = [run_of(number).id for number in (1, 2, 3)]
    found = store.runs.last_of("planned", [*names, "nothing"])
    assert {name: one.body for name, one in found.items()} == {names[0]: b"2", names[1]: b"4"}
    assert (store.runs.count("support"), store.runs.count("nobody")) == (3, 0)


def add(store: Store, run: Run) -> None:
    with store.database.transaction() as conn:
        store.runs.start(conn, run)


def test_what_cannot_be_is_refused(store: Store, run: Run) -> None:
    with pytest.raises(NotFound):
        store.runs.get("nothing")
    with store.database.transaction() as conn:
        with pytest.raises(Conflict, match="already"):
            store.runs.start(conn, run)
        for wrong in (run_of(2, owner=""), run_of(2, state="done"), run_of(2, started_at=1e999)):
            with pytest.raises(ValueError, match=r"owner|finite"):
                store.runs.start(conn, wrong)
        with pytest.raises(NotFound):
            store.runs.append(conn, "nothing", "a", "started", "", b"{}", 1.0)
        with pytest.raises(ValueError, match="cost"):
            store.runs.append(conn, run.id, "a", "x", "", b"{}", 1.0, cost=float("nan"))
        both = [Entry(kind="ended", at=1.0, state="done"), Entry(kind="late", at=1.0)]
        with pytest.raises(ValueError, match="'late' comes after"):
            store.runs.extend(conn, run.id, "a", both)
        assert store.runs.append(conn, run.id, "a", "ok", "", b"{}", 1.0).seq == 1


def test_texts_that_no_database_holds_are_mended(store: Store) -> None:
    with store.database.transaction() as conn:
        store.runs.start(conn, run_of(1, goal="a\0b\ud83d"))
        store.runs.append(conn, run_of(1).id, "a", "started", "x\0", b"{}", -0.0)
    assert store.runs.get(run_of(1).id).goal == "a\ufffdb?"
    assert store.runs.records(run_of(1).id)[1].step == "x\ufffd"
