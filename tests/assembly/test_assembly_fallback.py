"""Models that stand in for one that cannot answer."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from keyword_desk import PRICES, TASK, Clerk, ask, certify, request_of, seen, text_of

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.engines import RemoteOptions, open_engine
from shoal.errors import (
    ConfigError,
    ContextLengthExceeded,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
    Untranslatable,
)
from shoal.flywheel.promotion import promote
from shoal.routing.caller import ANYBODY
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store

CHEAP = Tariff(model="cheap", provider="a provider", input=1.0, output=1.0)
OUTAGE = EngineUnreachable("gpt: nobody listens there")
BAD_REQUEST = EngineRefused(400, b'{"error":{"message":"too long"}}')


@asynccontextmanager
async def desk_of(store: Store, *clerks: Clerk) -> AsyncIterator[Shoal]:
    """The first clerk is the LLM, the others stand in for it; all but it are cheap."""
    llm, *others = clerks
    models = {other.name: Model(other.name, other, CHEAP) for other in others}
    names = tuple(models)
    models[llm.name] = Model(llm.name, llm, PRICES, fallback=names)
    async with Shoal(store, Regime(Models(models), {}, PromiseOptions())) as desk:
        yield desk


def clerk(name: str, error: EngineError | None = None) -> Clerk:
    made = Clerk(name)
    made.error = error
    return made


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_next_stands_in(store: Store, streamed: bool) -> None:
    llm, second, third = clerk("gpt", OUTAGE), clerk("mini"), clerk("tiny")
    before = time.time()
    async with desk_of(store, llm, second, third) as desk:
        handled, answer = await ask(desk, request_of(text_of(0), stream=streamed))
        view = await seen(desk, handled.receipt.call_id)
    assert answer.text == "delivery"
    assert third.asked == []
    receipt = view.receipt
    assert (receipt.llm, receipt.answered_by) == ("gpt", "mini")
    assert receipt.reason == "gpt could not answer, mini stands in for it"
    assert [(tried.answerer, tried.accepted) for tried in receipt.tried] == [
        ("gpt", False),
        ("mini", True),
    ]
    assert "nobody listens there" in receipt.tried[0].reason
    gone, stood_in = receipt.tried
    assert (gone.error, stood_in.error) == ("upstream_unreachable", "")
    assert before < gone.at <= stood_in.at
    assert gone.at + gone.latency_ms / 1e3 == pytest.approx(stood_in.at, abs=0.01)
    assert gone.latency_ms + stood_in.latency_ms == pytest.approx(receipt.waited_ms, abs=0.002)
    assert receipt.provider == "a provider"
    assert receipt.cost == pytest.approx(62e-6)  # what the one who answered takes
    assert receipt.llm_cost == pytest.approx(60 * 10e-6 + 2 * 100e-6)


@pytest.mark.parametrize("stood_in", [False, True])
async def test_the_upstreams_address_is_not_stored(store: Store, stood_in: bool) -> None:
    """Whoever may read the call may read that."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        dead = open_engine("gpt", RemoteOptions(engine="remote", base_url=url, retries=0))
        there = Models(
            {
                "gpt": Model("gpt", dead, PRICES, fallback=("mini",) if stood_in else ()),
                "mini": Model("mini", clerk("mini"), CHEAP),
            }
        )
        async with Shoal(store, Regime(there, {}, PromiseOptions())) as desk:
            if stood_in:
                handled, _ = await ask(desk, request_of("?"))
                call_id = handled.receipt.call_id
            else:
                with pytest.raises(EngineUnreachable) as caught:
                    await desk.serve(request_of("?"), "")
                receipt = await desk.failed(
                    request_of("?"), "", ANYBODY, caught.value, perf_counter()
                )
                call_id = receipt.call_id
            stored = (await desk.call(call_id)).decode()
    assert "gpt: no connection" in stored
    assert "127.0.0.1" not in stored


async def test_its_answers_teach_nobody(store: Store) -> None:
    async with desk_of(store, clerk("gpt", OUTAGE), clerk("mini")) as desk:
        await ask(desk, request_of(text_of(0)))
        await desk.settle()
    with store.database.transaction() as conn:
        calls = [call.id for page in store.calls.pages() for call in page]
        store.calls.assign(conn, dict.fromkeys(calls, "t"))
    assert list(store.examples.of("t")) == []
    assert store.calls.volumes()["t"].small == 0


@pytest.mark.parametrize("error", [OUTAGE, EngineTimeout("late"), EngineRefused(429, b"{}")])
async def test_the_first_error_is_told_if_nobody_can(store: Store, error: EngineError) -> None:
    last = EngineUnreachable("mini: gone as well")
    async with desk_of(store, clerk("gpt", error), clerk("mini", last)) as desk:
        with pytest.raises(EngineError) as caught:
            await desk.serve(request_of("?"), "")
        receipt = await desk.failed(request_of("?"), "", ANYBODY, caught.value, perf_counter())
        kept = (await seen(desk, receipt.call_id)).receipt
    assert caught.value is error
    assert [tried.answerer for tried in kept.tried] == ["gpt", "mini"]
    assert all(tried.at and not tried.accepted for tried in kept.tried)


async def test_a_request_that_is_at_fault_goes_no_further(store: Store) -> None:
    second = clerk("mini")
    async with desk_of(store, clerk("gpt", BAD_REQUEST), second) as desk:
        with pytest.raises(EngineRefused) as caught:
            await desk.serve(request_of("?"), "")
    assert caught.value is BAD_REQUEST
    assert second.asked == []


@pytest.mark.parametrize("wrong", ["gpt", "nobody"])
def test_a_fallback_must_be_another_model(wrong: str) -> None:
    options = RemoteOptions(engine="remote", base_url="http://x/v1", fallback=(wrong,))
    with pytest.raises(ConfigError, match=r"models\.gpt\.fallback: .*found '" + wrong):
        Models.open({"gpt": options})


def small_and_large(small: Clerk, large: Clerk) -> Models:
    models = [
        Model(small.name, small, PRICES, fallback=("large",), context=50),
        Model(large.name, large, CHEAP, context=5_000),
    ]
    return Models({model.name: model for model in models})


async def test_what_is_too_long_goes_to_one_that_it_fits(store: Store) -> None:
    small, large = clerk("gpt"), clerk("large")
    async with Shoal(store, Regime(small_and_large(small, large), {}, PromiseOptions())) as desk:
        short, _ = await ask(desk, request_of(text_of(0)))
        long, answer = await ask(desk, request_of(text_of(0) * 100))
        with pytest.raises(ContextLengthExceeded) as caught:
            await desk.serve(request_of(text_of(0) * 1_000), "")
    assert short.receipt.answered_by == "gpt"
    assert (long.receipt.answered_by, answer.text) == ("large", "delivery")
    assert "its context has 50 tokens" in long.receipt.tried[0].reason
    assert (long.receipt.tried[0].error, long.receipt.tried[0].at) == ("context_length_exceeded", 0)
    assert caught.value.code == "context_length_exceeded"
    assert (len(small.asked), len(large.asked)) == (1, 1)


def test_the_context_is_stated_or_listed() -> None:
    def context(**stated: object) -> int | None:
        given = {"engine": "remote", "base_url": "http://127.0.0.1:9/v1", **stated}
        models = Models.open({"gpt-4o-mini": RemoteOptions.model_validate(given)})
        return models.get("gpt-4o-mini").context

    assert context() == 128_000
    assert context(context_tokens=7) == 7
    assert context(model="mine") is None


async def test_what_stands_in_is_no_reference_for_a_shadow(store: Store) -> None:
    certify(store)
    promote(store, TASK.id, "shadow", "test", "")
    async with desk_of(store, clerk("gpt", OUTAGE), clerk("mini")) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        await desk.settle()
    assert handled.receipt.answered_by == "mini"
    assert store.audits.of_calls([handled.receipt.call_id]) == {}


async def test_one_that_cannot_be_told_is_passed_over(store: Store) -> None:
    dumb = clerk("dumb")
    dumb.error = Untranslatable("n: cannot be said", "n")  # type: ignore[assignment]
    async with desk_of(store, clerk("gpt", OUTAGE), dumb, clerk("mini")) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        assert handled.receipt.answered_by == "mini"
    async with desk_of(store, dumb, clerk("mini")) as desk:
        with pytest.raises(Untranslatable):
            await desk.serve(request_of("?", "dumb"), "")
