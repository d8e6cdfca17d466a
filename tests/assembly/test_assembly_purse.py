"""What callers may do and spend, at the desk: models, tasks, limits a minute, budgets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from keyword_desk import PRICES, TASK, Clerk, ask, models, request_of, seen, serving, text_of
from msgspec.structs import replace

from shoal.assembly import Model, Models, Purse, Shoal
from shoal.assembly.regime import Regime
from shoal.chat import Answer, Message, Request, Usage
from shoal.engines import EchoOptions, open_engine
from shoal.errors import (
    BudgetExceeded,
    EngineBusy,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
    NotAllowed,
    NotFound,
    PriceUnknown,
    RateLimited,
)
from shoal.routing.budget import BudgetOptions, Budgets
from shoal.routing.caller import Caller, KeySpec
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store

A_CALL = 60 * 10e-6 + 2 * 100e-6  # USD, what the clerk's answer costs
RECKONED = 31 * 10e-6 + 10 * 100e-6  # and what it may cost at most
MAY_COST = (
    EngineTimeout("no answer in time"),
    EngineUnreachable("the reply broke off"),
    EngineRefused(504, b"{}"),
)
NOTHING_TO_PAY = (
    EngineTimeout("no connection in time", asked=False),
    EngineUnreachable("no connection", asked=False),
    EngineBusy("gpt", 1.0),
    EngineRefused(400, b"{}"),
    EngineRefused(429, b"{}"),
    EngineRefused(500, b"{}"),
)


def caller(**spec: object) -> Caller:
    return Caller(key="k-1", name="ann", spec=KeySpec(**spec))  # type: ignore[arg-type]


@asynccontextmanager
async def desk_of(
    store: Store, *clerks: Clerk, task_budget: float | None = None, audit_rate: float = 1e-12
) -> AsyncIterator[Shoal]:
    tasks = {TASK.name: BudgetOptions(budget_day=task_budget)}
    promise = PromiseOptions(audit_rate=audit_rate)
    async with (
        Purse(Budgets(store.spend.between, tasks), assumed_output=10) as purse,
        Shoal(store, Regime(models(*clerks), {}, promise), purse=purse) as desk,
    ):
        yield desk


async def answered(desk: Shoal, who: Caller, text: str, **params: object) -> str:
    """Who answers."""
    handled = await desk.serve(request_of(text, **params), "", who)
    assert handled.answer is not None
    receipt = await desk.finish(handled, handled.answer, "")
    return receipt.answered_by


async def test_a_key_asks_its_own_models_only(store: Store) -> None:
    async with desk_of(store, Clerk(), Clerk("other")) as desk:
        ann = caller(models=("gpt",))
        assert desk.models(ann) == ["gpt"]
        assert await answered(desk, ann, "?") == "gpt"
        with pytest.raises(NotAllowed, match="other"):
            await desk.serve(request_of("?", "other"), "", ann)


async def test_a_key_for_tasks_does_nothing_else(store: Store) -> None:
    serving(store)
    async with desk_of(store, Clerk()) as desk:
        ann = caller(tasks=(TASK.name,))
        assert await answered(desk, ann, text_of(1)) == "specialist/department"
        with pytest.raises(NotAllowed):
            await desk.serve(open_question(), "", ann)


def open_question() -> Request:
    """Of no known task."""
    return Request("gpt", (Message("user", "How are you?"),))


async def test_calls_bear_the_key_they_came_with(store: Store) -> None:
    async with desk_of(store, Clerk()) as desk:
        handled = await desk.serve(request_of("?"), "", caller())
        assert handled.answer is not None
        await desk.finish(handled, handled.answer, "")
        view = await seen(desk, handled.receipt.call_id)
    assert view.key == "k-1"
    (row,) = store.spend.list("key")
    assert (row.group, row.calls) == ("k-1", 1)
    assert row.cost == pytest.approx(A_CALL)


async def test_limits_a_minute_are_told_and_kept(store: Store) -> None:
    async with desk_of(store, Clerk()) as desk:
        ann = caller(rpm=2)
        handled = await desk.serve(request_of("?"), "", ann)
        assert handled.limits["x-ratelimit-remaining-requests"] == "1"
        await desk.serve(request_of("?"), "", ann)
        with pytest.raises(RateLimited) as caught:
            await desk.serve(request_of("?"), "", ann)
    assert 1 <= int(caught.value.headers["retry-after"]) <= 60


async def test_tokens_a_minute_are_corrected_to_what_was_used(store: Store) -> None:
    """The estimate takes nearly all; the clerk's 62 tokens leave room for more."""
    async with desk_of(store, Clerk()) as desk:
        ann = caller(tpm=1_000)
        for _ in range(5):
            assert await answered(desk, ann, "?", max_tokens=700) == "gpt"


async def test_a_budget_is_reserved_before_anything_is_spent(store: Store) -> None:
    """Two calls at once cannot both take the last of it."""
    llm = Clerk()
    llm.may_answer.clear()
    async with desk_of(store, llm) as desk:
        ann = caller(budget_day=0.0025)  # a call is reckoned at 0.0013, and costs 0.0008
        first = asyncio.create_task(answered(desk, ann, "?"))
        while not llm.asked:  # noqa: ASYNC110  # another task fills it
            await asyncio.sleep(0)
        with pytest.raises(BudgetExceeded, match="ann"):
            await desk.serve(request_of("?"), "", ann)
        llm.may_answer.set()
        assert await first == "gpt"
        assert len(llm.asked) == 1
        assert await answered(desk, ann, "?") == "gpt"  # the true cost left room


async def test_what_failed_gives_its_money_back(store: Store) -> None:
    llm = Clerk()
    async with desk_of(store, llm) as desk:
        ann = caller(budget_day=0.002)
        for error in NOTHING_TO_PAY:
            llm.error = error
            with pytest.raises(type(error)):
                await desk.serve(request_of("?"), "", ann)
        await desk.settle()
    assert store.spend.list() == []


@pytest.mark.parametrize("error", MAY_COST, ids=lambda error: type(error).__name__)
async def test_what_may_have_been_worked_on_in_vain_counts(
    store: Store, error: EngineError
) -> None:
    """At the most that it may have cost, in other processes and after a restart too."""
    ann = caller(budget_day=0.003)  # a call is reckoned at 0.0013
    llm = Clerk()
    llm.error = error
    async with desk_of(store, llm) as desk, desk_of(store, Clerk()) as other:
        for _ in range(2):
            with pytest.raises(type(error)):
                await desk.serve(request_of("?"), "", ann)
        with pytest.raises(BudgetExceeded):
            await desk.serve(request_of("?"), "", ann)
        await desk.settle()
        await asyncio.sleep(1.2)  # until the other has looked
        with pytest.raises(BudgetExceeded):
            await other.serve(request_of("?"), "", ann)
    async with desk_of(store, Clerk()) as desk:
        with pytest.raises(BudgetExceeded, match=r"\$0\.002"):
            await desk.serve(request_of("?"), "", ann)
        assert await answered(desk, caller(), "?") == "gpt"  # no budget, nothing held
        await desk.settle()
    (row,) = store.spend.list("model")
    assert (row.calls, row.unpriced, row.cost) == (1, 2, pytest.approx(A_CALL))
    assert row.held == pytest.approx(2 * RECKONED, rel=0.01)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_hangs_up_pays_for_what_may_have_been_worked_on(
    store: Store, stream: bool
) -> None:
    llm = Clerk()
    llm.may_answer.clear()
    async with desk_of(store, llm) as desk:
        ann = caller(budget_day=0.003)
        for number in (1, 2):
            asking = asyncio.create_task(desk.serve(request_of("?", stream=stream), "", ann))
            while len(llm.asked) < number:  # noqa: ASYNC110  # another task fills it
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait((asking,))
        with pytest.raises(BudgetExceeded):
            await desk.serve(request_of("?", stream=stream), "", ann)
        await desk.settle()
    (row,) = store.spend.list("key")
    assert (row.group, row.unpriced, row.cost) == ("k-1", 2, 0.0)


async def test_what_costs_nothing_is_never_held(store: Store) -> None:
    llm = Clerk()
    llm.error = EngineTimeout("late")
    free = Models({"gpt": Model("gpt", llm, Tariff(input=0.0, output=0.0))})
    async with (
        Purse(Budgets(store.spend.between, {}), 10) as purse,
        Shoal(store, Regime(free, {}, PromiseOptions()), purse=purse) as desk,
    ):
        with pytest.raises(EngineTimeout):
            await desk.serve(request_of("?"), "", caller(budget_day=0.0))
        await desk.settle()
    assert store.spend.list() == []


async def test_a_model_that_failed_in_vain_counts_beside_the_one_that_stood_in(
    store: Store,
) -> None:
    llm, second = Clerk(), Clerk("mini")
    llm.error = EngineTimeout("late")
    both = Models(
        {
            "gpt": Model("gpt", llm, PRICES, ("mini",)),
            "mini": Model("mini", second, Tariff(input=1.0, output=1.0)),
        }
    )
    async with (
        Purse(Budgets(store.spend.between, {}), 10) as purse,
        Shoal(store, Regime(both, {}, PromiseOptions()), purse=purse) as desk,
    ):
        assert await answered(desk, caller(budget_day=1.0), "?") == "mini"
        await desk.settle()
    gpt, mini = store.spend.list("model")
    assert (gpt.group, gpt.calls, gpt.unpriced) == ("gpt", 0, 1)
    assert gpt.held == pytest.approx(RECKONED, rel=0.01)
    assert (mini.group, mini.calls, mini.unpriced, mini.held) == ("mini", 1, 0, 0.0)


async def test_a_budget_that_is_spent_leaves_the_specialist(store: Store) -> None:
    serving(store)
    async with desk_of(store, Clerk(), task_budget=0.0) as desk:
        assert await answered(desk, caller(), text_of(1)) == "specialist/department"
        with pytest.raises(BudgetExceeded, match=TASK.name):
            await desk.serve(request_of("Hello?"), "", caller())


async def test_an_audit_is_spend_too(store: Store) -> None:
    serving(store)
    async with desk_of(store, Clerk(), audit_rate=1.0) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        assert handled.receipt.answered_by == "specialist/department"
        await desk.settle()
    (row,) = store.spend.list("task")
    assert (row.group, row.calls, row.audits, row.cost) == (TASK.id, 1, 1, 0.0)
    assert row.audit_cost == pytest.approx(A_CALL)


async def test_without_a_price_there_is_no_budget(store: Store) -> None:
    echo = open_engine("gpt", EchoOptions(engine="echo"))
    unpriced = Models({"gpt": Model("gpt", echo, Tariff("nobody-knows"))})
    async with (
        Purse(Budgets(store.spend.between, {}), 10) as purse,
        Shoal(store, Regime(unpriced, {}, PromiseOptions()), purse=purse) as desk,
    ):
        assert await answered(desk, caller(), "?") == "gpt"
        with pytest.raises(PriceUnknown):
            await desk.serve(request_of("?"), "", caller(budget_day=1.0))


class Uncounted(Clerk):
    """An LLM whose provider counts no tokens."""

    async def answer(self, request: Request) -> Answer:
        return replace(await super().answer(request), usage=None)


async def test_tokens_that_nobody_counted_are_estimated_and_said_to_be(store: Store) -> None:
    async with desk_of(store, Uncounted()) as desk:
        handled = await desk.serve(request_of(text_of(0)), "", caller())
        assert handled.answer is not None
        receipt = await desk.finish(handled, handled.answer, "")
        view = await seen(desk, receipt.call_id)
    assert view.answer is not None
    assert view.answer.usage is not None
    assert view.answer.usage.estimated
    assert 20 <= view.answer.usage.input_tokens <= 80
    assert receipt.cost is not None
    (row,) = store.spend.list("key")
    assert (row.estimated, row.unpriced) == (1, 0)
    assert row.cost == pytest.approx(receipt.cost)


async def test_a_stream_that_broke_off_is_priced_by_what_came(store: Store) -> None:
    async with desk_of(store, Clerk()) as desk:
        handled = await desk.serve(request_of(text_of(0), stream=True), "", caller())
        came = Answer("deliv", model="gpt", complete=False, finish_reason="")
        receipt = await desk.finish(handled, came, "the client hung up")
        await desk.settle()
    assert receipt.cost is not None
    assert receipt.cost > 0
    (row,) = store.spend.list("key")
    assert row.estimated == 1


async def test_a_budget_counts_what_stands_in_for_a_free_model(store: Store) -> None:
    free, dear = Clerk("free"), Clerk("dear")
    free.error = EngineUnreachable("gone", asked=False)
    both = Models(
        {
            "free": Model("free", free, Tariff(input=0.0, output=0.0), ("dear",)),
            "dear": Model("dear", dear, PRICES),
        }
    )
    async with (
        Purse(Budgets(store.spend.between, {}), 10) as purse,
        Shoal(store, Regime(both, {}, PromiseOptions()), purse=purse) as desk,
    ):
        ann = caller(budget_day=0.0015)  # the dear one costs 0.0008, and is reckoned at 0.0013
        asked = request_of("?", "free")
        handled = await desk.serve(asked, "", ann)
        assert handled.answer is not None
        assert (await desk.finish(handled, handled.answer, "")).answered_by == "dear"
        with pytest.raises(EngineUnreachable):
            await desk.serve(asked, "", ann)
    assert len(dear.asked) == 1


async def test_a_stream_that_broke_off_is_charged_for_all_that_came(store: Store) -> None:
    """Anthropic tells of one output token when a stream begins, and of the others at its end."""
    async with desk_of(store, Clerk()) as desk:
        handled = await desk.serve(request_of(text_of(0), stream=True), "", caller())
        told = Usage(10, 1, estimated=True)
        came = Answer("word " * 400, usage=told, complete=False, finish_reason="")
        receipt = await desk.finish(handled, came, "the client hung up")
        view = await seen(desk, receipt.call_id)
    assert view.answer is not None
    assert view.answer.usage is not None
    assert view.answer.usage.input_tokens == 10
    assert view.answer.usage.output_tokens > 300


async def test_a_key_speaks_of_its_own_calls_only(store: Store) -> None:
    async with desk_of(store, Clerk()) as desk:
        handled = await desk.serve(request_of("?"), "", caller())
        assert handled.answer is not None
        call_id = (await desk.finish(handled, handled.answer, "")).call_id
        other = Caller(key="k-2", name="bob", spec=KeySpec())
        with pytest.raises(NotFound):
            await desk.feedback(call_id, "wrong", "", other)
        await desk.feedback(call_id, "right", "", caller())
        boss = Caller(key="k-3", name="eve", spec=KeySpec(scopes=("call", "admin")))
        await desk.feedback(call_id, "wrong", "", boss)


async def test_a_stream_of_which_nothing_came_has_an_unknown_cost(store: Store) -> None:
    """And counts at the most that it may be, after a restart too."""
    ann = caller(budget_day=0.002)
    async with desk_of(store, Clerk()) as desk:
        handled = await desk.serve(request_of("?", stream=True), "", ann)
        receipt = await desk.finish(handled, Answer(complete=False, finish_reason=""), "it broke")
        await desk.settle()
        with pytest.raises(BudgetExceeded):
            await desk.serve(request_of("?"), "", ann)
    assert receipt.cost is None
    (row,) = store.spend.list("key")
    assert (row.calls, row.unpriced, row.cost) == (1, 1, 0.0)
    assert row.held == pytest.approx(RECKONED, rel=0.01)
    async with desk_of(store, Clerk()) as desk:
        with pytest.raises(BudgetExceeded):
            await desk.serve(request_of("?"), "", ann)
