"""A model asked for a task's sake: rules and budgets hold, and only what was spent is recorded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from keyword_desk import PRICES, TASK, Clerk

from shoal.assembly import Commission, Model, Models, Purse, Regime
from shoal.chat import Message, Request
from shoal.errors import (
    BudgetExceeded,
    EngineError,
    EngineTimeout,
    NoAnswerer,
    PrivacyRefused,
    ShoalError,
    UnknownModel,
)
from shoal.routing.budget import BudgetOptions, Budgets
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store

MAIL = "ann@example.com"
ASKED = Request("gpt", (Message("user", f"Write messages like: a broken lamp, {MAIL}"),))
A_CALL = 60 * 10e-6 + 2 * 100e-6  # USD, what the clerk's answer costs


@asynccontextmanager
async def commission(
    store: Store, clerk: Clerk, budget: float | None = None, **rules: object
) -> AsyncIterator[Commission]:
    models = Models({"gpt": Model("gpt", clerk, PRICES, local=False)})
    regime = Regime(models, {}, PromiseOptions(), PrivacyOptions.model_validate(rules))
    budgets = Budgets(store.spend.between, {TASK.name: BudgetOptions(budget_day=budget)})
    async with Purse(budgets, assumed_output=10) as purse:
        found = Commission(store, regime, purse, TASK)
        yield found
        found.close()
        assert budgets.outstanding() == 0.0
    store.writer.submit(lambda conn: None, urgent=True).result()


async def test_it_answers_and_only_what_was_spent_is_recorded(store: Store) -> None:
    clerk = Clerk()
    async with commission(store, clerk) as asking:
        assert (await asking.answer(ASKED)).text == "returns"
    (spent,) = store.spend.list("task")
    assert (spent.group, spent.calls, spent.audits) == (TASK.id, 0, 1)
    assert spent.audit_cost == pytest.approx(A_CALL)
    assert store.calls.list() == []


async def test_the_budget_of_the_task_holds(store: Store) -> None:
    clerk = Clerk()
    async with commission(store, clerk, budget=0.0025) as asking:
        await asking.answer(ASKED)
        await asking.answer(ASKED)
        with pytest.raises(BudgetExceeded):
            await asking.answer(ASKED)
    assert len(clerk.asked) == 2
    async with commission(store, clerk, budget=A_CALL) as asking:  # as another process sees it
        with pytest.raises(BudgetExceeded):
            await asking.answer(ASKED)


async def test_what_was_asked_in_vain_counts_at_the_most_that_it_may_cost(store: Store) -> None:
    clerk = Clerk()
    clerk.error = EngineTimeout("no answer in time")
    async with commission(store, clerk, budget=1.0) as asking:
        with pytest.raises(EngineError):
            await asking.answer(ASKED)
    (spent,) = store.spend.list("task")
    assert (spent.audits, spent.unpriced) == (0, 1)
    assert spent.held > 0


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({"refuse": ("email",)}, PrivacyRefused),
        ({"local_only": ("email",)}, NoAnswerer),
        ({"residency": ("eu",)}, NoAnswerer),
    ],
)
async def test_nobody_is_asked_who_may_not_be(
    store: Store, rules: dict[str, object], error: type[ShoalError]
) -> None:
    clerk = Clerk()
    async with commission(store, clerk, **rules) as asking:
        with pytest.raises(error):
            await asking.answer(ASKED)
    assert clerk.asked == []
    assert store.spend.list("task") == []


async def test_placeholders_leave(store: Store) -> None:
    clerk = Clerk()
    async with commission(store, clerk, redact=("email",)) as asking:
        await asking.answer(ASKED)
    assert clerk.asked[0].messages[0].text.endswith("[EMAIL_1]")


async def test_a_model_that_is_unknown_is_not_asked(store: Store) -> None:
    async with commission(store, Clerk()) as asking:
        with pytest.raises(UnknownModel):
            await asking.answer(Request("gone", ASKED.messages))
