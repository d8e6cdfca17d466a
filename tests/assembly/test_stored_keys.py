"""The key ring of a gateway follows the store, and budgets follow what was spent."""

import asyncio
import sqlite3
import time
from collections.abc import Callable

import pytest
from keyword_desk import Clerk, ask, open_desk, request_of, serving, text_of
from msgspec.structs import replace

from shoal.assembly import StoredKeys
from shoal.assembly.budget_watch import BudgetWatch
from shoal.chat import Answer, Request, Usage
from shoal.errors import BudgetExceeded, Conflict, InvalidKey, NotFound, StoreError
from shoal.routing.budget import Budgets
from shoal.routing.caller import Caller, KeySpec
from shoal.routing.key_order import KeyOrder
from shoal.routing.key_ring import new_key
from shoal.storage import CallRecord, Spending, Store, StoreOptions

ORDER = KeyOrder(name="team", rpm=5)


async def until(seen: Callable[[], bool]) -> float:
    """How many seconds it took."""
    began = time.monotonic()
    for _ in range(1000):
        if seen():
            return time.monotonic() - began
        await asyncio.sleep(0.005)
    raise AssertionError("not within 5 s")


def holds(keys: StoredKeys, key: str) -> bool:
    try:
        keys.ring.find(key, time.time())
    except InvalidKey:
        return False
    return True


async def test_a_key_works_once_it_is_made_and_no_more_once_revoked(store: Store) -> None:
    async with StoredKeys(store) as keys:
        assert len(keys.ring) == 0
        made = await keys.create(ORDER)
        caller = keys.ring.find(made.key, time.time())
        assert (caller.name, caller.spec.rpm) == ("team", 5)
        assert [row.name for row in await keys.keys()] == ["team"]
        await keys.revoke("team")
        with pytest.raises(InvalidKey, match="revoked"):
            keys.ring.find(made.key, time.time())
        with pytest.raises(Conflict):
            await keys.create(ORDER)
        with pytest.raises(NotFound):
            await keys.revoke("nobody")


async def test_a_key_of_another_process_is_seen_within_100_ms(store: Store) -> None:
    made = new_key("other", KeySpec(), time.time())
    async with StoredKeys(store) as keys:
        ring = keys.ring
        with Store.open(StoreOptions(path=store.options.path)) as other:
            with other.database.transaction() as conn:
                other.keys.insert(conn, made.row)
            assert (
                await until(lambda: holds(keys, made.key)) < 1
            )  # 0.1 on a machine that is not busy
        assert len(ring) == 0  # a ring never changes


async def test_a_locked_store_locks_nobody_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with StoredKeys(store) as keys:
        made = await keys.create(ORDER)

        def fails() -> int:
            raise StoreError("unreadable")

        with monkeypatch.context() as broken:
            broken.setattr(store.database, "revision", fails)
            await keys.reload()
            assert "unreadable" in keys.trouble
            keys.ring.find(made.key, time.time())
        await keys.reload()
        assert keys.trouble == ""


async def test_a_store_that_cannot_be_written_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.assembly.stored_keys._WRITE_S", 0.1)
    blocker = sqlite3.connect(store.database.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    async with StoredKeys(store) as keys:
        with pytest.raises(StoreError, match="cannot be written now"):
            await keys.create(ORDER)
        blocker.execute("ROLLBACK")
        blocker.close()
        await until(lambda: bool(store.keys.list()))  # it was only late


async def test_budgets_see_what_others_spend(store: Store) -> None:
    now = time.time()
    caller = Caller(key="k", name="team", spec=KeySpec(budget_day=1.0))
    budgets = Budgets(store.spend.between, {})

    def spend(cost: float) -> None:
        with store.database.transaction() as conn:
            spent = Spending(at=now, key="k", model="m", task="", cost=cost, llm_cost=cost)
            store.spend.add(conn, spent)

    spend(0.25)
    async with BudgetWatch(budgets, every_s=0.02) as watch:
        assert budgets.spent("key", "k")[0] == 0.25
        spend(0.5)
        await until(lambda: budgets.spent("key", "k")[0] == 0.75)
        with pytest.raises(BudgetExceeded):
            budgets.reserve(caller, "", "", lambda: 0.3, now)
        assert watch.trouble == ""


async def test_a_recorded_call_takes_the_place_of_its_reservation(store: Store) -> None:
    """The whole way: reserved, settled, written, seen."""
    now = time.time()
    caller = Caller(key="k", name="team", spec=KeySpec(budget_day=1.0))
    budgets = Budgets(store.spend.between, {})
    for number in range(3):
        reservation = budgets.reserve(caller, "", "", lambda: 0.3, now)
        call = CallRecord(
            id=str(number),
            at=now,
            key="k",
            request=Request("m", ()),
            answer=Answer("x", usage=Usage(1, 1)),
            answered_by="m",
            cost=0.2,
            llm_cost=0.2,
        )
        recorded = store.record(call)
        reservation.settle(0.2, recorded)
        recorded.result(5)
        budgets.refresh()
    assert budgets.spent("key", "k")[0] == pytest.approx(0.6)
    assert not budgets._settled_here
    assert budgets.outstanding() == 0


async def test_an_audit_is_money_too(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    async with open_desk(store, clerk, audit_rate=1) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        await desk.settle()
    assert handled.receipt.certificate
    rows = {row.group: row for row in store.spend.list("model")}
    small, reference = rows["specialist/department"], rows["gpt"]
    assert (small.calls, small.cost, small.audits) == (1, 0.0, 0)
    assert small.llm_cost > 0
    assert (reference.calls, reference.audits) == (0, 1)
    assert reference.audit_cost == pytest.approx((60 * 10 + 2 * 100) / 1e6)


async def test_an_audit_that_broke_off_was_paid_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving(store)
    clerk = Clerk()
    answer = clerk.answer

    async def broken_off(request: Request) -> Answer:
        return replace(await answer(request), complete=False)

    monkeypatch.setattr(clerk, "answer", broken_off)
    async with open_desk(store, clerk, audit_rate=1) as desk:
        await ask(desk, request_of(text_of(0)))
        await desk.settle()
        assert desk.health().detail["audits_failed"] == 1
    (reference,) = (row for row in store.spend.list("model") if row.group == "gpt")
    assert (reference.audits, reference.audit_cost) == (1, pytest.approx(800e-6))
