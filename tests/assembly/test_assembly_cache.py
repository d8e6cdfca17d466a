"""Calls answered from the exact cache, and those that must not be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from keyword_desk import TASK, Clerk, ask, certify, models, request_of, seen, serving, text_of

from shoal.assembly import Models, Regime, Shoal
from shoal.assembly.handled import Handled
from shoal.chat import Answer, Request
from shoal.engines import EchoOptions
from shoal.errors import ConfigError, RateLimited
from shoal.flywheel.promotion import promote
from shoal.routing.answer_cache import AnswerCache
from shoal.routing.caller import Caller, KeySpec
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.routing.receipt import OWN
from shoal.storage import Store

REQUEST = request_of(text_of(1), temperature=0)


@asynccontextmanager
async def cached_desk(
    store: Store, clerk: Clerk, privacy: PrivacyOptions | None = None
) -> AsyncIterator[Shoal]:
    cache = AnswerCache({TASK.name: 60.0}, 1_000_000)
    promise = PromiseOptions(audit_rate=1.0)
    async with Shoal(store, Regime(models(clerk), {}, promise, privacy, cache)) as desk:
        yield desk


async def by(desk: Shoal, request: Request = REQUEST, key: str = "") -> str:
    """Who answers."""
    handled = await desk.serve(request, "", Caller(key=key))
    if handled.stream is not None:
        async for _ in handled.stream:
            pass
    answer = handled.answer or (handled.stream.answer if handled.stream else None)
    assert answer is not None
    return (await desk.finish(handled, answer, "")).answered_by


async def test_the_same_request_is_answered_once(store: Store) -> None:
    certify(store)
    clerk = Clerk()
    async with cached_desk(store, clerk) as desk:
        _, first = await ask(desk, REQUEST)
        handled, again = await ask(desk, REQUEST)
        assert again == first
        assert handled.receipt.reason == "gpt answered the same request 0 s ago"
        call = await seen(desk, handled.receipt.call_id)
        assert (call.receipt.answered_by, call.receipt.task) == ("cache", TASK.name)
        assert (call.receipt.cost, call.receipt.provider) == (0.0, OWN)
        assert call.receipt.llm_cost == pytest.approx((60 * 10 + 2 * 100) / 1e6)
        assert not call.receipt.llm_cost_estimated
        assert not call.receipt.sampled
        assert await by(desk, request_of(text_of(1), stream=True, temperature=0)) == "cache"
        assert len(clerk.asked) == 1
        assert len(list(store.examples.of(TASK.id))) == 1


async def test_what_is_not_answered_from_the_cache(store: Store) -> None:
    certify(store)
    clerk = Clerk()
    async with cached_desk(store, clerk) as desk:
        await by(desk)
        assert await by(desk, key="k1") == "gpt"
        assert await by(desk, key="k1") == "cache"
        assert await by(desk, key="k2") == "gpt"
        for _ in range(2):
            assert await by(desk, request_of(text_of(1))) == "gpt"
            assert await by(desk, request_of(text_of(1), temperature=1)) == "gpt"
            of_no_task = Request("gpt", REQUEST.messages[1:], params=REQUEST.params)
            assert await by(desk, of_no_task) == "gpt"
        desk.change(Regime(models(Clerk()), {}, PromiseOptions()))
        assert await by(desk) == "gpt"


async def test_a_cached_answer_is_a_request_and_no_tokens(store: Store) -> None:
    certify(store)
    ann = Caller(key="k1", name="ann", spec=KeySpec(rpm=3, tpm=200))
    async with cached_desk(store, Clerk()) as desk:
        asked = request_of(text_of(1), temperature=0, max_tokens=100)
        for left, by_whom in (("2", "gpt"), ("1", "cache"), ("0", "cache")):
            handled = await desk.serve(asked, "", ann)
            assert handled.answer is not None
            assert (await desk.finish(handled, handled.answer, "")).answered_by == by_whom
            assert handled.limits["x-ratelimit-remaining-requests"] == left
        with pytest.raises(RateLimited, match="3 requests a minute"):
            await desk.serve(asked, "", ann)


async def test_a_cached_answer_comes_when_no_tokens_are_left(store: Store) -> None:
    """And leaves as many as there were."""
    certify(store)
    ann = Caller(key="k1", name="ann", spec=KeySpec(tpm=130))
    async with cached_desk(store, Clerk()) as desk:
        asked = request_of(text_of(1), temperature=0, max_tokens=60)
        await by_caller(desk, asked, ann)
        with pytest.raises(RateLimited):  # 62 are taken
            await desk.serve(request_of(text_of(2), temperature=0, max_tokens=60), "", ann)
        for _ in range(5):
            handled = await by_caller(desk, asked, ann)
            assert handled.receipt.answered_by == "cache"
            assert handled.limits["x-ratelimit-remaining-tokens"] == "68"


async def by_caller(desk: Shoal, request: Request, caller: Caller) -> Handled:
    handled = await desk.serve(request, "", caller)
    assert handled.answer is not None
    await desk.finish(handled, handled.answer, "")
    return handled


async def test_what_broke_off_is_not_kept(store: Store) -> None:
    certify(store)
    async with cached_desk(store, Clerk()) as desk:
        for answer, error in ((Answer("deliv", complete=False), ""), (Answer("x"), "hung up")):
            handled = await desk.serve(REQUEST, "")
            assert handled.receipt.answered_by == "gpt"
            await desk.finish(handled, answer, error)


async def test_a_request_that_is_redacted_is_not_cached(store: Store) -> None:
    certify(store)
    mail = request_of(f"{text_of(1)} I am ann@example.org", temperature=0)
    for rule in ({"redact": ["email"]}, {"local_only": ["email"]}):
        async with cached_desk(store, Clerk(), PrivacyOptions.model_validate(rule)) as desk:
            assert [await by(desk, mail) for _ in range(2)] == ["gpt", "gpt"]
            assert [await by(desk) for _ in range(2)] == ["gpt", "cache"]


async def test_neither_shadows_nor_audits_see_cached_calls(store: Store) -> None:
    certify(store)
    promote(store, TASK.id, "shadow", "test", "for a test")
    async with cached_desk(store, Clerk()) as desk:
        assert [await by(desk) for _ in range(3)] == ["gpt", "cache", "cache"]
        await desk.settle()
        assert len(store.audits.of_certificate("c-1")) == 1


async def test_a_specialists_answer_is_not_kept(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    async with cached_desk(store, clerk) as desk:
        assert {await by(desk) for _ in range(3)} == {f"specialist/{TASK.name}"}
        await desk.settle()


def test_no_model_is_called_as_the_cache_is() -> None:
    with pytest.raises(ConfigError, match=r"models\.cache: the exact cache is called so"):
        Models.open({"cache": EchoOptions(engine="echo")})
