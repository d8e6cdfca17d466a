"""Settings that change while calls are under way."""

import asyncio

import pytest
from keyword_desk import PRICES, Clerk, ask, models, request_of, serving, text_of

from shoal.assembly import Regime, Shoal
from shoal.errors import EngineUnreachable, UnknownModel
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store


class Closing(Clerk):
    """Says whether it was closed, and cannot answer after that."""

    closed = False

    async def aclose(self) -> None:
        self.closed = True


def regime(*engines: Clerk, audit_rate: float = 1e-12) -> Regime:
    return Regime(models(*engines), {}, PromiseOptions(audit_rate=audit_rate))


async def test_a_call_ends_with_the_engine_it_began_with(store: Store) -> None:
    old, new = Closing(), Closing("other")
    async with Shoal(store, regime(old)) as desk:
        old.may_answer.clear()
        under_way = asyncio.create_task(ask(desk, request_of("hello")))
        while not old.asked:  # noqa: ASYNC110
            await asyncio.sleep(0)
        desk.change(regime(new))
        await asyncio.sleep(0.01)
        assert not old.closed
        with pytest.raises(UnknownModel, match="names: other"):
            await ask(desk, request_of("hello"))
        assert (await ask(desk, request_of("hello", model="other")))[0].receipt.llm == "other"
        old.may_answer.set()
        handled, answer = await under_way
        assert answer.model == "gpt"
        assert handled.model is not None
        assert handled.model.tariff == PRICES
        await asyncio.sleep(0.01)
        assert old.closed
        assert not new.closed
    assert new.closed


async def test_a_call_that_fails_holds_no_engine_open(store: Store) -> None:
    old = Closing()
    old.error = EngineUnreachable("gone")
    async with Shoal(store, regime(old)) as desk:
        with pytest.raises(EngineUnreachable):
            await desk.serve(request_of("hello"), "")
        desk.change(regime(Closing()))
        await asyncio.sleep(0.01)
        assert old.closed


async def test_an_audit_ends_with_the_engine_it_began_with(store: Store) -> None:
    serving(store)
    old = Closing()
    async with Shoal(store, regime(old, audit_rate=1.0)) as desk:
        old.may_answer.clear()
        handled, _ = await ask(desk, request_of(text_of(1)))
        assert handled.receipt.certificate
        desk.change(regime(Closing()))
        await asyncio.sleep(0.05)
        assert old.asked
        assert not old.closed
        old.may_answer.set()
        await desk.settle()
        await asyncio.sleep(0.01)
        assert old.closed
        assert desk.health().detail["audits_failed"] == 0


async def test_engines_of_calls_that_never_end_are_closed_at_the_end(store: Store) -> None:
    old = Closing()
    async with Shoal(store, regime(old)) as desk:
        await desk.serve(request_of("hello"), "")
        desk.change(regime(Closing()))
    assert old.closed
