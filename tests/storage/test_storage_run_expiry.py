from functools import partial

import pytest
from test_storage_runs import run_of

from shoal.chat import Answer
from shoal.errors import Conflict, LeaseLost, NotFound
from shoal.guarantees import Watch
from shoal.storage import Audit, Entry, Store, eprocesses
from shoal.storage.expiry import expire
from shoal.storage.run_expiry import remove_share_of_runs

DAY = 86_400.0


def add(store: Store, number: int, day: float, state: str, records: int = 1) -> None:
    run = run_of(number, started_at=day * DAY, lease_until=day * DAY + 60)
    entry = Entry(kind="x", at=day * DAY, body=b"x" * 100)
    with store.database.transaction() as conn:
        store.runs.start(conn, run)
        store.runs.extend(conn, run.id, "a", [entry] * records)
        store.runs.append(conn, run.id, "a", state, "", b"{}", day * DAY, state)  # type: ignore[arg-type]


def numbers(store: Store) -> list[int]:
    return sorted(int(run.id[-4:]) for run in store.runs.list(limit=1_000))


def test_runs_go_by_age_and_are_missed_by_nobody(store: Store) -> None:
    for number, state in enumerate(["done", "failed", "waiting", "running", "done"]):
        add(store, number, 10.0 + number, state)
    expire_at = partial(expire, store.database, keep_days=5, max_gb=5.0)
    assert expire_at(18.5 * DAY) == 4
    assert numbers(store) == [4]
    assert store.runs.verify().findings == []
    assert store.runs.head().entries == 5 + 3 + 4
    with pytest.raises(NotFound):
        store.runs.get(run_of(1).id)
    with store.database.transaction() as conn:
        with pytest.raises(Conflict):  # an id is not given twice
            store.runs.start(conn, run_of(1))
        with pytest.raises((NotFound, LeaseLost)):
            store.runs.append(conn, run_of(3).id, "a", "x", "", b"{}", 1.0)


def test_the_audit_of_a_stored_plan_goes_with_its_run(store: Store) -> None:
    add(store, 1, 10.0, "done")
    with store.database.transaction() as conn:
        eprocesses.start(conn, "c-1", Watch.start(0.02))
        audit = Audit(
            call_id=run_of(1).id,
            at=10 * DAY,
            task="plans:desk",
            certificate="c-1",
            kind="audit",
            agrees=True,
            reference=Answer(text="{}"),
        )
        store.audits.record(conn, audit, 0.05)
    assert store.expire(110 * DAY) == 1
    assert store.audits.of_calls([run_of(1).id]) == {}
    assert store.audits.process("c-1").n == 1, "what it said stays"


def test_a_run_that_somebody_has_stays(store: Store) -> None:
    add(store, 1, 10.0, "running")
    with store.database.transaction() as conn:
        assert store.runs.renew(conn, run_of(1).id, "a", 60.0, 100 * DAY)
    assert store.expire(110 * DAY - 1) == 1
    add(store, 2, 10.0, "running")
    with store.database.transaction() as conn:
        assert store.runs.renew(conn, run_of(2).id, "a", DAY, 110 * DAY)
    assert store.expire(110 * DAY) == 0
    assert numbers(store) == [2]


def test_the_oldest_that_ended_go_when_there_is_no_room(store: Store) -> None:
    for number in range(120):
        add(store, number, 10.0 + number, "waiting" if number < 10 else "done")
    assert 40 <= remove_share_of_runs(store.database, 0.3, 130 * DAY) <= 90
    left = numbers(store)
    assert left[:10] == list(range(10))
    assert left[-1] == 119
    assert remove_share_of_runs(store.database, 1.0, 130 * DAY) == len(left) - 10
    assert store.runs.verify().findings == []


def test_a_run_of_many_records_expires_by_itself(store: Store) -> None:
    for number in range(3):
        add(store, number, 10.0, "done", records=1_500)
    assert store.expire(200 * DAY) == 3
    assert store.runs.verify().findings == []
    assert store.runs.verify().records == 0
