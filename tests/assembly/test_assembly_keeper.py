"""Who looks after runs: leases, keys that are in force no longer, runs that were left behind."""

import asyncio
import time
from functools import partial

import pytest
import uuid_utils
from msgspec.structs import replace

from run_stage import QUICK, Ledger, answer, order_of, plan_of, stage, until, use
from shoal.assembly.runs.leases import Watch
from shoal.assembly.runs.order import Order, written_order
from shoal.routing.caller import ANYBODY, Caller, KeySpec
from shoal.routing.key_ring import new_key
from shoal.storage import Run, Store

LOOK = order_of(plan_of(use("seen"), answer("${seen}")))
PAY = order_of(plan_of(use("paid", "pay"), answer("${paid}")))


def left_behind(store: Store, order: Order, *records: tuple[str, bytes]) -> str:
    """A run of a process that is no more, and what it wrote down."""
    run_id = str(uuid_utils.uuid7())
    run = Run(id=run_id, started_at=1.0, owner="gone", lease_until=1.0)
    with store.database.transaction() as conn:
        store.runs.start(conn, run, written_order(order))
        for kind, body in records:
            store.runs.append(conn, run_id, "gone", kind, "", body, 2.0, "running")
    return run_id


def key_in(store: Store) -> Caller:
    made = new_key("app", KeySpec(), time.time())
    with store.database.transaction() as conn:
        store.keys.insert(conn, made.row)
    return Caller(key=made.row.id, name="app")


async def test_a_run_that_takes_long_to_stop_costs_others_no_lease(store: Store) -> None:
    ledger, caller = Ledger(), key_in(store)
    ledger.go.clear()
    async with stage(store, ledger.tools(), watch=Watch(lease_s=0.5, every_s=0.05)) as here:
        refused = await here.orchestra.begin(PAY, caller)
        other = await here.orchestra.begin(LOOK, ANYBODY)
        await ledger.begun.wait()
        with store.database.transaction() as conn:
            store.keys.revoke(conn, caller.key, time.time())
        await asyncio.sleep(1.0)
        assert store.runs.get(refused).state == "running"  # what it pays for may end first
        assert store.runs.get(other).lease_until > time.time()
        ledger.go.set()
        await until(lambda: store.runs.get(refused).state == "failed")
    assert len(ledger.done) == 1


async def test_who_waits_for_a_run_that_somebody_cancels_hears_of_it(store: Store) -> None:
    ledger = Ledger()
    ledger.go.clear()
    async with stage(store, ledger.tools()) as here:
        run_id = await here.orchestra.begin(LOOK, ANYBODY)
        waiting = asyncio.create_task(here.orchestra.outcome(run_id))
        await ledger.begun.wait()
        await here.orchestra.cancel(run_id, ANYBODY)
        assert (await waiting).state == "cancelled"


@pytest.mark.parametrize(("times", "state"), [(9, "done"), (10, "stuck")])
async def test_a_run_that_ends_each_process_is_not_resumed_for_ever(
    store: Store, times: int, state: str
) -> None:
    vain = (("resumed", b"{}"), ("planning", b"{}"))
    run_id = left_behind(store, LOOK, ("finished", b'{"value": 1}'), *(vain * times))
    async with stage(store, Ledger().tools(), watch=QUICK, resumes=True) as here:
        await until(lambda: store.runs.get(run_id).state == state)
        if state == "stuck":
            assert "broken off 10 times" in store.runs.records(run_id)[-1].body.decode()
            await until(lambda: not store.runs.get(run_id).owner)
            await here.orchestra.resume(run_id, ANYBODY)  # a person may have it tried again
            assert (await here.orchestra.outcome(run_id)).state == "done"


async def test_a_run_whose_records_cannot_be_read_does_not_keep_others(store: Store) -> None:
    broken = left_behind(store, LOOK, ("planned", b'{"course": {"plan": 3}}'))
    whole = left_behind(store, LOOK)
    async with stage(store, Ledger().tools(), watch=QUICK, resumes=True):
        await until(lambda: store.runs.get(whole).state == "done")
        await until(lambda: store.runs.get(broken).state == "stuck")
    assert [one.kind for one in store.runs.records(broken)].count("resumed") == 1


async def test_runs_that_cannot_be_gone_on_with_do_not_crowd_out_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = replace(LOOK, by="here")  # of a time when the store did not keep who goes on with it
    kept = [left_behind(store, here) for _ in range(7)]
    whole = left_behind(store, LOOK)
    few = partial(store.runs.unfinished, limit=3)
    monkeypatch.setattr(store.runs, "unfinished", few)
    async with stage(store, Ledger().tools(), watch=QUICK, resumes=True):
        await until(lambda: store.runs.get(whole).state == "done")
    assert {store.runs.get(run_id).state for run_id in kept} == {"running"}
