from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from shoal.chat import Answer, Usage
from shoal.errors import NotFound
from shoal.storage import Audit, CallRecord, Spending, SpendRow, SpentBy, Store, StoreOptions
from shoal.storage.spend import day_of

DAY = 86_400.0
MakeCall = Callable[..., CallRecord]
Record = Callable[..., None]


def spending(**fields: object) -> Spending:
    made: dict[str, object] = {"at": 0.0, "key": "", "model": "m", "task": "", "cost": 1.0}
    return Spending(**(made | fields))  # type: ignore[arg-type]


def test_a_call_is_added_to_its_day(store: Store, make_call: MakeCall, record: Record) -> None:
    usage = Usage(200, 20, cached_tokens=100, reasoning_tokens=5)
    for number in range(2):
        answer = Answer("shipping", usage=usage)
        record(make_call(number, answer=answer, cost=0.25, llm_cost=0.5, key="key-1", task="t1"))
    expected = SpendRow(
        group=day_of(1_000_000.0),
        calls=2,
        input_tokens=400,
        output_tokens=40,
        cached_tokens=200,
        reasoning_tokens=10,
        cost=0.5,
        llm_cost=1.0,
    )
    assert store.spend.list() == [expected]
    for by, group in (("key", "key-1"), ("model", "gpt"), ("task", "t1")):
        assert store.spend.list(by) == [SpendRow(**to_dict(expected) | {"group": group})]  # type: ignore[arg-type]
    assert store.calls.get(make_call(0).id).key == "key-1"


def to_dict(row: SpendRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def test_a_call_recorded_twice_is_added_once(store: Store, make_call: MakeCall) -> None:
    with store.database.transaction() as conn:
        assert store.calls.insert(conn, make_call(1))
        assert not store.calls.insert(conn, make_call(1))
    assert [row.calls for row in store.spend.list()] == [1]


def test_what_is_unknown_or_estimated_is_counted(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(
        make_call(1, cost=None, llm_cost=None),
        make_call(2, cost=0.0, llm_cost=None),
        make_call(3, answer=Answer("x", usage=Usage(1, 1, estimated=True))),
        make_call(4),
    )
    (row,) = store.spend.list()
    assert (row.calls, row.unpriced, row.estimated) == (4, 2, 1)
    assert row.cost == row.llm_cost == pytest.approx(0.002)


def test_imported_and_failed_calls_are_no_spend(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(make_call(1, source="import"), make_call(2, answer=None, error="down", cost=None))
    assert store.spend.list() == []


def test_spend_is_undone_with_its_call(store: Store, make_call: MakeCall) -> None:
    def fails(conn: Connection) -> None:
        store.calls.insert(conn, make_call(1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.writer.submit(fails, urgent=True).result(5)
    assert store.spend.list() == []


def test_what_is_unknown_is_held_for_budgets(store: Store, make_call: MakeCall) -> None:
    """Beside what is known, and in no sum of what was spent."""
    with store.database.transaction() as conn:
        store.calls.insert(conn, make_call(1, cost=None, llm_cost=None, key="k"), held=0.25)
        store.calls.insert(conn, make_call(2, cost=0.5, llm_cost=0.5, key="k"), held=0.75)
        lost = spending(at=1_000_000.0, key="k", purpose="attempt", cost=None, held=1.0)
        store.spend.add(conn, lost)
    (row,) = store.spend.list("key")
    assert (row.calls, row.audits, row.unpriced) == (2, 0, 2)
    assert (row.cost, row.held) == (0.5, 1.25)
    day = day_of(1_000_000.0)
    found = store.spend.between(day, day)
    assert sum(one.cost for one in found) == 1.75


def test_spend_outlives_its_calls(store: Store, make_call: MakeCall, record: Record) -> None:
    record(make_call(1))
    before = store.spend.list()
    assert store.expire(1_000_001.0 + 91 * DAY) == 1
    assert store.calls.list() == []
    assert store.spend.list() == before != []


def test_days_are_those_of_utc(store: Store) -> None:
    with store.database.transaction() as conn:
        for at in (0.0, DAY - 0.001, DAY, 2 * DAY):
            store.spend.add(conn, spending(at=at))
    assert [(row.group, row.calls) for row in store.spend.list()] == [
        ("1970-01-01", 2),
        ("1970-01-02", 1),
        ("1970-01-03", 1),
    ]
    assert [row.group for row in store.spend.list(since="1970-01-02")] == [
        "1970-01-02",
        "1970-01-03",
    ]


def test_what_cannot_be_does_not_stop_a_call_from_being_recorded(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    absurd = Answer("x", usage=Usage(2**62, -5))
    for number, (at, cost) in enumerate(
        ((1e19, 1.0), (-1e19, float("inf")), (0.0, -1.0), (0.0, 2.0))
    ):
        record(make_call(number, at=at, cost=cost, llm_cost=cost, answer=absurd))
    rows = {row.group: row for row in store.spend.list()}
    assert list(rows) == ["0001-01-01", "1970-01-01", "9999-12-31"]
    assert (rows["1970-01-01"].cost, rows["1970-01-01"].unpriced) == (2.0, 1)
    assert rows["0001-01-01"].unpriced == 1
    assert rows["1970-01-01"].input_tokens == 2 * 10**12
    assert rows["1970-01-01"].output_tokens == 0


def test_what_keys_spent_on_tasks_between_two_days(store: Store) -> None:
    with store.database.transaction() as conn:
        for day, key in ((0, "a"), (1, "a"), (1, "b"), (2, "a"), (3, "a")):
            store.spend.add(conn, spending(at=day * DAY, key=key, task="t", cost=0.5))
        store.spend.add(conn, spending(at=DAY, key="a", task="t", cost=2.0, purpose="audit"))
    found = store.spend.between("1970-01-02", "1970-01-03")
    assert sorted(found, key=lambda one: one.key) == [
        SpentBy("a", "t", 3.0),
        SpentBy("b", "t", 0.5),
    ]


def test_an_audit_without_its_certificate_adds_nothing(store: Store) -> None:
    """What is spent and what is audited are one transaction."""
    audit = Audit(
        call_id="c",
        at=0.0,
        task="t",
        certificate="none",
        kind="audit",
        agrees=True,
        reference=Answer("x"),
    )
    with pytest.raises(NotFound), store.database.transaction() as conn:
        store.audits.record(conn, audit, 0.05, spending(purpose="audit"))
    assert store.spend.list() == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1e4, allow_subnormal=False), min_size=1, max_size=200))
def test_sums_are_exact_to_a_billionth(
    tmp_path_factory: pytest.TempPathFactory, costs: list[float]
) -> None:
    with Store.open(StoreOptions(path=tmp_path_factory.mktemp("data"))) as store:
        with store.database.transaction() as conn:
            for cost in costs:
                store.spend.add(conn, spending(cost=cost, llm_cost=cost))
        (row,) = store.spend.list()
    true = sum(map(Fraction, costs))
    assert abs(Fraction(row.cost) - true) <= true / 10**9
    assert row.llm_cost == row.cost
