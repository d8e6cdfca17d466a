"""Several upstreams of one model: spread, retried, left alone, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from scripted_upstream import ScriptedUpstream, running_upstream

from shoal.chat import Answer, Request
from shoal.engines import NeverAsked, RemoteOptions
from shoal.engines.circuit import FAILURES
from shoal.engines.options import Endpoint
from shoal.engines.remote import RemoteEngine
from shoal.errors import EngineBusy, EngineRefused, EngineTimeout, EngineUnreachable
from shoal.formats.chat_completions import decode_request, encode_answer
from shoal.formats.responses.kept import AskedResponse
from written_streams import envelope

ASKED = decode_request(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
REPLY = encode_answer(Answer(text="ho", model="up"), envelope())


@pytest.fixture
async def upstreams() -> AsyncIterator[list[ScriptedUpstream]]:
    async with AsyncExitStack() as stack:
        three = [await stack.enter_async_context(running_upstream()) for _ in range(3)]
        for upstream in three:
            upstream.replies(REPLY)
        yield three


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


def engine(
    stack: AsyncExitStack, upstreams: list[ScriptedUpstream], **options: object
) -> RemoteEngine:
    first, *others = upstreams
    chosen = {
        "engine": "remote",
        "base_url": first.base_url,
        "endpoints": [{"base_url": other.base_url} for other in others],
        "timeout_s": 2,
        **options,
    }
    opened = RemoteEngine("m", RemoteOptions.model_validate(chosen))
    stack.push_async_callback(opened.aclose)
    return opened


def asked(upstreams: list[ScriptedUpstream]) -> list[int]:
    return [len(upstream.bodies) for upstream in upstreams]


async def test_requests_are_spread(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    opened = engine(stack, upstreams)
    for _ in range(9):
        await opened.answer(ASKED)
    assert asked(upstreams) == [3, 3, 3]


async def test_by_weight(upstreams: list[ScriptedUpstream], stack: AsyncExitStack) -> None:
    """Under load the one of weight 3 works on three times as many as the one of weight 1."""
    came, free = asyncio.Semaphore(0), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        came.release()
        await free.wait()
        return web.Response(body=REPLY, content_type="application/json")

    for upstream in upstreams[:2]:
        upstream.handler = slow
    heavy = Endpoint(base_url=upstreams[1].base_url, weight=3)
    opened = engine(stack, upstreams[:1], endpoints=[heavy])
    running = [asyncio.create_task(opened.answer(ASKED)) for _ in range(16)]
    for _ in running:
        await came.acquire()
    free.set()
    await asyncio.gather(*running)
    assert asked(upstreams)[:2] == [4, 12]


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_was_refused_is_tried_elsewhere(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack, status: int, streamed: bool
) -> None:
    upstreams[0].replies(b'{"error":{"message":"overloaded"}}', status)
    opened = engine(stack, upstreams[:2])
    if streamed:
        stream = await opened.stream(ASKED)
        texts = [delta.text async for piece in stream for delta in piece.deltas]
        assert "".join(texts) == "ho"
    else:
        assert (await opened.answer(ASKED)).text == "ho"
    assert asked(upstreams) == [1, 1, 0]


@pytest.mark.parametrize("status", [400, 401, 404, 422, 504])
async def test_what_would_be_refused_again_or_paid_twice_is_not(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack, status: int
) -> None:
    upstreams[0].replies(b'{"error":{"message":"no"}}', status)
    with pytest.raises(EngineRefused) as caught:
        await engine(stack, upstreams[:2]).answer(ASKED)
    assert caught.value.status == status
    assert asked(upstreams) == [1, 0, 0]


async def test_an_answer_that_got_lost_is_not_asked_for_again(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    async def vanish(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    upstreams[0].handler = vanish
    with pytest.raises(EngineUnreachable):
        await engine(stack, upstreams[:2]).answer(ASKED)
    assert asked(upstreams) == [1, 0, 0]


async def test_the_last_refusal_is_passed_on(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    upstreams[0].replies(b'{"error":{"message":"full"}}', 503, headers={"retry-after": "0"})
    with pytest.raises(EngineRefused) as caught:
        await engine(stack, upstreams[:1], retries=2).answer(ASKED)
    assert caught.value.body == b'{"error":{"message":"full"}}'
    assert asked(upstreams) == [3, 0, 0]


async def test_one_that_wants_long_to_be_left_alone_is_not_waited_for(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    upstreams[0].replies(b'{"error":{"message":"full"}}', 429, headers={"retry-after": "600"})
    with pytest.raises(EngineRefused) as caught:
        await engine(stack, upstreams[:1]).answer(ASKED)
    assert caught.value.retry_after == "600"
    assert asked(upstreams) == [1, 0, 0]


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_gives_up_between_two_tries_asked_nobody(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack, streamed: bool
) -> None:
    upstreams[0].replies(b'{"error":{"message":"full"}}', 429, headers={"retry-after": "9"})
    opened = engine(stack, upstreams[:1])
    asking = asyncio.create_task((opened.stream if streamed else opened.answer)(ASKED))
    await asyncio.sleep(0.2)
    assert asked(upstreams) == [1, 0, 0]
    asking.cancel()
    with pytest.raises(NeverAsked):
        await asking
    assert asking.cancelled()


async def test_who_gives_up_while_it_is_worked_on_may_have_to_pay(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    """In a second try, too."""
    tries = 0

    async def refuse_then_work(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        if tries == 2:
            await asyncio.sleep(30)
        return web.Response(status=503, headers={"retry-after": "0"}, text="{}")

    upstreams[0].handler = refuse_then_work
    asking = asyncio.create_task(engine(stack, upstreams[:1]).answer(ASKED))
    while tries < 2:  # noqa: ASYNC110  # the upstream counts
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await asking
    assert type(caught.value) is asyncio.CancelledError


async def test_one_that_keeps_failing_is_left_alone(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    opened = engine(stack, upstreams[:2], retries=0)
    upstreams[0].replies(b"{}", 500)
    failures = 0
    for _ in range(4 * FAILURES):
        try:
            await opened.answer(ASKED)
        except EngineRefused:
            failures += 1
    assert failures == FAILURES
    assert asked(upstreams)[0] == FAILURES


async def test_when_all_keep_failing_callers_are_told_when_to_come_back(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    opened = engine(stack, upstreams[:1], retries=0)
    upstreams[0].replies(b"{}", 500)
    for _ in range(FAILURES):
        with pytest.raises(EngineRefused):
            await opened.answer(ASKED)
    with pytest.raises(EngineBusy) as caught:
        await opened.answer(ASKED)
    assert int(caught.value.retry_after) >= 1
    assert asked(upstreams)[0] == FAILURES


async def test_a_stream_must_begin_in_time(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    upstreams[0].handler = silent
    opened = engine(stack, upstreams[:1], first_byte_timeout_s=0.1, timeout_s=20)
    with pytest.raises(EngineTimeout):
        await opened.stream(Request("m", ASKED.messages, stream=True))
    await asyncio.wait_for(upstreams[0].hung_up.wait(), 2)


async def test_who_has_it_is_found_behind_one_that_is_gone(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack
) -> None:
    asking = AskedResponse("resp_1", "retrieve")
    with pytest.raises(EngineRefused) as nowhere:
        await keeper(stack, upstreams, (404, 404, 404)).kept_response(asking)
    assert nowhere.value.status == 404
    found = await keeper(stack, upstreams, (503, 404, 200)).kept_response(asking)
    assert found.body == REPLY
    with pytest.raises(EngineRefused) as unsure:
        await keeper(stack, upstreams, (404, 503, 404)).kept_response(asking)
    assert unsure.value.status == 503


def keeper(
    stack: AsyncExitStack, upstreams: list[ScriptedUpstream], statuses: tuple[int, ...]
) -> RemoteEngine:
    for upstream, status in zip(upstreams, statuses, strict=True):
        upstream.replies(REPLY, status)
    return engine(stack, upstreams, formats=["responses"])


async def test_each_endpoint_has_its_own_key(
    upstreams: list[ScriptedUpstream], stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE", "key-number-one")
    monkeypatch.setenv("TWO", "key-number-two")
    second = {"key_env": "TWO"}
    opened = engine(stack, upstreams[:1], key_env="ONE", endpoints=[second])
    await opened.answer(ASKED)
    await opened.answer(ASKED)
    sent = {headers["Authorization"] for headers in upstreams[0].headers}
    assert sent == {"Bearer key-number-one", "Bearer key-number-two"}
