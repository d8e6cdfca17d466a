"""A call that may cost more than its caller allows is not sent."""

import pytest
from keyword_desk import PRICES, TASK, Clerk, request_of, serving, text_of

from shoal.assembly import Model, Models, Shoal
from shoal.assembly.regime import Regime
from shoal.errors import EngineUnreachable, MaxCostExceeded, PriceUnknown
from shoal.routing.caller import Caller
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store

ASKED = request_of(text_of(0), max_tokens=1_000)  # some 45 tokens at 10, 1,000 at 100 a million
CHEAP = Tariff(input=0.1, output=0.1)


def desk_of(store: Store, *models: Model) -> Shoal:
    promise = PromiseOptions(audit_rate=1e-12)
    return Shoal(store, Regime(Models({m.name: m for m in models}), {}, promise))


def may_cost(usd: float) -> Caller:
    return Caller(max_cost=usd)


async def test_over_it_nothing_is_sent(store: Store) -> None:
    llm = Clerk()
    async with desk_of(store, Model("gpt", llm, PRICES)) as desk:
        with pytest.raises(MaxCostExceeded) as caught:
            await desk.serve(ASKED, "", may_cost(0.1))
        assert llm.asked == []
        assert (await desk.serve(ASKED, "", may_cost(0.102))).answer is not None
    assert (caught.value.status, caught.value.code) == (403, "max_cost_exceeded")
    assert "0.10044" in str(caught.value)


async def test_an_unknown_price_is_over_it(store: Store) -> None:
    llm = Clerk()
    async with desk_of(store, Model("gpt", llm, Tariff(model="nobody-sells-this"))) as desk:
        with pytest.raises(PriceUnknown):
            await desk.serve(ASKED, "", may_cost(100.0))
    assert llm.asked == []


async def test_a_dearer_one_does_not_stand_in(store: Store) -> None:
    llm, dear, cheap = Clerk(), Clerk("dear"), Clerk("cheap")
    llm.error = EngineUnreachable("gpt: nobody listens there")
    first = Model("gpt", llm, CHEAP, fallback=("dear", "cheap"))
    others = Model("dear", dear, PRICES), Model("cheap", cheap, CHEAP)
    async with desk_of(store, first, *others) as desk:
        handled = await desk.serve(ASKED, "", may_cost(0.01))
    assert (handled.receipt.answered_by, dear.asked) == ("cheap", [])
    assert "x-shoal-max-cost" in handled.receipt.tried[1].reason


async def test_it_does_not_count_for_one_that_is_not_asked(store: Store) -> None:
    llm, cheap = Clerk(), Clerk("cheap")
    first = Model("gpt", llm, PRICES, fallback=("cheap",), context=5)
    async with desk_of(store, first, Model("cheap", cheap, CHEAP)) as desk:
        handled = await desk.serve(ASKED, "", may_cost(0.01))
    assert (handled.receipt.answered_by, llm.asked) == ("cheap", [])


async def test_a_specialist_costs_nothing(store: Store) -> None:
    serving(store)
    llm = Clerk()
    async with desk_of(store, Model("gpt", llm, PRICES)) as desk:
        handled = await desk.serve(request_of(text_of(0)), "", may_cost(0.0))
    assert handled.receipt.answered_by == f"specialist/{TASK.name}"
