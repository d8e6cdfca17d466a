"""What is recorded: every call, people's words, and what happens when the store fails."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter, time

import pytest
from keyword_desk import (
    Clerk,
    ask,
    open_desk,
    request_of,
    seen,
    serving,
    text_of,
)

from shoal.assembly import Shoal
from shoal.errors import EngineUnreachable, MalformedRequest, NotFound
from shoal.routing.caller import ANYBODY
from shoal.storage import Store, StoreOptions

SMALL = "specialist/department"
PADDING = " padding" * 2_000  # so that a call does not fit into pages that are half empty


@contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """Meanwhile the database cannot grow."""
    with store.database.transaction() as conn:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        with store.database.transaction() as conn:
            conn.exec_driver_sql("PRAGMA max_page_count = 1073741823")


@asynccontextmanager
async def serving_desk(store: Store) -> AsyncIterator[Shoal]:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        yield desk


async def until_health(desk: Shoal, ok: bool) -> None:
    async with asyncio.timeout(8):
        while desk.health().ok is not ok:  # noqa: ASYNC110  # a thread of the store changes it
            await asyncio.sleep(0.01)


async def test_a_failed_call_is_recorded(store: Store) -> None:
    async with serving_desk(store) as desk:
        failure, began = EngineUnreachable("nobody listens on port 9"), perf_counter() - 2
        told = await desk.failed(request_of("?", "nobody"), "episode 1", ANYBODY, failure, began)
        call_id = told.call_id
        view = await seen(desk, call_id)
    assert (view.error, view.episode, view.answer) == (str(failure), "episode 1", None)
    assert view.receipt.reason == "no answer: EngineUnreachable"
    assert (view.receipt.llm, view.receipt.answered_by) == ("nobody", "")
    assert view.receipt.cost is None
    assert 2_000 <= view.receipt.latency_ms < 60_000
    assert view.receipt.at <= time() - 2


async def test_a_persons_words_are_kept(store: Store) -> None:
    async with serving_desk(store) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        await desk.feedback(handled.receipt.call_id, "wrong", "")
        feedback = (await seen(desk, handled.receipt.call_id)).feedback
        assert feedback is not None
        assert (feedback.verdict, feedback.answer) == ("wrong", "")
        await desk.feedback(handled.receipt.call_id, "", "returns")
        feedback = (await seen(desk, handled.receipt.call_id)).feedback
        assert feedback is not None
        assert (feedback.verdict, feedback.answer) == ("answer", "returns")


async def test_words_that_cannot_be_kept_are_refused(store: Store) -> None:
    async with serving_desk(store) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        with pytest.raises(MalformedRequest, match="expected right or wrong, found 'maybe'"):
            await desk.feedback(handled.receipt.call_id, "maybe", "")
        with pytest.raises(NotFound):
            await desk.feedback("no-such-call", "right", "")
        with pytest.raises(NotFound):
            await desk.call("no-such-call")
        assert (await seen(desk, handled.receipt.call_id)).feedback is None


async def test_answers_go_on_while_the_disk_is_full(store: Store) -> None:
    async with serving_desk(store) as desk:
        with full_disk(store):
            asked = []
            for number in range(4):
                handled, answer = await ask(desk, request_of(text_of(number)), PADDING)
                asked.append((handled.receipt.call_id, answer))
                assert handled.receipt.answered_by == SMALL
            await until_health(desk, ok=False)
            state = desk.health().detail["store"]
            assert isinstance(state, dict)
            assert "full" in state["last_error"]
            assert desk.health().ready
            assert state["backlog"] > 0
            assert state["dropped"] == 0
            _, answer = await ask(desk, request_of(text_of(1)))
            assert answer.text == "payments"
        await until_health(desk, ok=True)
        for call_id, answer in asked:  # nothing was lost
            assert (await seen(desk, call_id)).answer == answer


async def test_a_full_disk_delays_durable_calls_only_until_it_is_known(
    options: StoreOptions,
) -> None:
    with Store.open(options.model_copy(update={"durable": True})) as store:
        async with serving_desk(store) as desk:
            with full_disk(store):
                async with asyncio.timeout(8):
                    for number in range(20):
                        await ask(desk, request_of(text_of(number)), PADDING)
                assert not desk.health().ok
            await until_health(desk, ok=True)


async def test_who_is_too_fast_for_the_writer_waits_for_it(store: Store) -> None:
    async with serving_desk(store) as desk:
        with store.database.transaction():  # the writer waits for this to end
            await ask(desk, request_of(text_of(1)))
            await asyncio.sleep(0.05)
            asking = asyncio.create_task(ask(desk, request_of(text_of(2))))
            done, _ = await asyncio.wait((asking,), timeout=0.3)
            assert not done
        handled, answer = await asyncio.wait_for(asking, 2)
        assert store.calls.get(handled.receipt.call_id).answer == answer


async def test_nobody_waits_for_a_writer_that_hangs(store: Store) -> None:
    async with serving_desk(store) as desk:
        with store.database.transaction():
            await ask(desk, request_of(text_of(1)))
            await asyncio.sleep(2.1)
            async with asyncio.timeout(1):
                for number in range(20):
                    await ask(desk, request_of(text_of(number)))


async def test_a_file_that_is_taken_away_is_told_and_calls_are_answered(store: Store) -> None:
    async with serving_desk(store) as desk:
        assert desk.health().ok
        path = store.database.path
        path.rename(path.with_name("aside.db"))
        health = desk.health()
        assert (health.ok, health.ready) == (False, True)
        assert "was removed or moved away" in str(health.detail["store_file"])
        handled, answer = await ask(desk, request_of(text_of(1)))
        assert (handled.receipt.answered_by, answer.text) == (SMALL, "payments")
        path.with_name("aside.db").rename(path)
        assert desk.health().ok
        assert (await seen(desk, handled.receipt.call_id)).answer == answer


async def test_a_durable_call_is_written_when_it_is_finished(options: StoreOptions) -> None:
    with Store.open(options.model_copy(update={"durable": True})) as store:
        async with serving_desk(store) as desk:
            for number in range(5):
                handled, answer = await ask(desk, request_of(text_of(number)))
                assert store.calls.get(handled.receipt.call_id).answer == answer


async def test_answers_go_on_though_the_writer_is_closed(store: Store) -> None:
    async with serving_desk(store) as desk:
        store.writer.close()
        handled, answer = await ask(desk, request_of(text_of(1)))
        assert (handled.receipt.answered_by, answer.text) == (SMALL, "payments")
        receipt = await desk.failed(
            request_of("?"), "", ANYBODY, EngineUnreachable("no"), perf_counter()
        )
        assert receipt.call_id
        assert receipt.reason == "no answer: EngineUnreachable"
        assert (desk.health().ok, desk.health().ready) == (False, True)
    assert not desk.health().ready
