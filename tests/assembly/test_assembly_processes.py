"""Two gateways in processes of their own, on one store: what each does, the other sees."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import pytest
from keyword_desk import TASK, Clerk, ask, certify, echo, open_desk, request_of, serving, text_of

from shoal.flywheel.promotion import demote, promote
from shoal.storage import CallFilter, Store, StoreOptions

SMALL = "specialist/department"
pytestmark = pytest.mark.parametrize("home", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as process:
        yield process


def move(options: StoreOptions, stage: str) -> float:
    """Promote or demote; returns when that was done (time.monotonic)."""
    with Store.open(options) as store:
        if stage == "serve":
            promote(store, TASK.id, "serve", "test", "")
        else:
            demote(store, TASK.id, "test", "")
        return time.monotonic()


def serve_and_audit(options: StoreOptions, calls: int) -> list[str]:
    """A gateway whose LLM never agrees with the specialist; the ids of the calls it answered."""

    async def run() -> list[str]:
        with Store.open(options) as store:
            async with open_desk(store, echo(), audit_rate=1.0) as desk:
                asked = [await ask(desk, request_of(text_of(n))) for n in range(calls)]
                await desk.settle()
                return [handled.receipt.call_id for handled, _ in asked]

    return asyncio.run(run())


async def test_a_promotion_by_one_is_seen_by_the_other(
    store: Store, options: StoreOptions, elsewhere: ProcessPoolExecutor
) -> None:
    certify(store)
    loop, took = asyncio.get_running_loop(), []
    async with open_desk(store, Clerk()) as desk:
        for stage in ("serve", "observe") * 4:
            moving = loop.run_in_executor(elsewhere, move, options, stage)
            while desk.roster.posts[TASK.id].stage != stage:  # noqa: ASYNC110  # by a process
                await asyncio.sleep(0.001)
            seen_at = time.monotonic()
            took.append(seen_at - await moving)
            handled, _ = await ask(desk, request_of(text_of(0)))
            assert handled.receipt.answered_by == (SMALL if stage == "serve" else "gpt")
    assert median(took) < 0.1


async def test_audits_of_one_demote_for_the_other_and_calls_of_both_are_kept(
    store: Store, options: StoreOptions, elsewhere: ProcessPoolExecutor
) -> None:
    serving(store)
    loop = asyncio.get_running_loop()
    async with open_desk(store, Clerk()) as desk:
        there = loop.run_in_executor(elsewhere, serve_and_audit, options, 30)
        here = []
        while desk.roster.posts[TASK.id].stage == "serve":
            here.append((await ask(desk, request_of(text_of(1))))[0].receipt.call_id)
            await asyncio.sleep(0.01)
        ids = await there
        await desk.settle()
    found = store.calls.list(CallFilter(limit=10_000))
    assert {call.id for call in found} == {*ids, *here}
    assert store.audits.process("c-1").n >= 2
    assert [event.kind for event in store.events.list(TASK.id)][:1] == ["demoted"]
