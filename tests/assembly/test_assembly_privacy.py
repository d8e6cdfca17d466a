"""What the privacy rules keep on the machine, out of the store, and out of training."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from keyword_desk import KEYWORDS, PRICES, TASK, Clerk, ask, request_of, seen, serving, text_of
from msgspec.structs import replace

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.assembly.shield import Discretion
from shoal.chat import Answer, Deliberation, Piece, Request, ToolCall
from shoal.engines import WrittenStream
from shoal.errors import EngineUnreachable, NoAnswerer, PrivacyRefused
from shoal.flywheel.lessons import curate, scrubbed
from shoal.routing.caller import ANYBODY
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.routing.receipt import Receipt
from shoal.storage import Store

MAIL = "bob@example.com"
ASKED = f"Write to {MAIL} about {KEYWORDS['delivery']}."


def arguments(said: str) -> str:
    return json.dumps({"to": said})


class Parrot(Clerk):
    """Repeats what it is told, in text and in a call of a tool; its stream is cut into letters."""

    async def answer(self, request: Request) -> Answer:
        await super().answer(request)
        said = request.messages[-1].text
        calls = (ToolCall("c1", "mail", arguments(said)),)
        return Answer(said, calls, "tool_calls", model=self.name)

    async def stream(self, request: Request) -> "Letters":  # type: ignore[override]
        return Letters(await self.answer(request))


class Letters(WrittenStream):
    """A text letter by letter."""

    async def __aiter__(self) -> AsyncIterator[Piece]:
        async for piece in super().__aiter__():
            for delta in piece.deltas:
                for letter in delta.text:
                    yield Piece(deltas=(replace(delta, text=letter),))
            if not any(delta.text for delta in piece.deltas):
                yield piece


@asynccontextmanager
async def desk_of(
    kept_in: Store, /, llm: Clerk, *others: Clerk, audit_rate: float = 1e-12, **rules: object
) -> AsyncIterator[Shoal]:
    """``llm`` is out in the world, the others are local and stand in for it."""
    models = {other.name: Model(other.name, other, PRICES) for other in others}
    models[llm.name] = Model(llm.name, llm, PRICES, tuple(models), local=False)
    privacy = PrivacyOptions.model_validate(rules)
    promise = PromiseOptions(audit_rate=audit_rate)
    async with Shoal(kept_in, Regime(Models(models), {}, promise, privacy)) as desk:
        yield desk


async def test_what_is_refused_reaches_nobody_and_is_stored_without_it(store: Store) -> None:
    llm = Clerk()
    async with desk_of(store, llm, refuse=["email"]) as desk:
        with pytest.raises(PrivacyRefused) as caught:
            await desk.serve(request_of(ASKED), "")
        assert MAIL not in str(caught.value)
        receipt = await desk.failed(request_of(ASKED), "", ANYBODY, caught.value, perf_counter())
        view = await seen(desk, receipt.call_id)
        await ask(desk, request_of(text_of(1)))
    assert [request.messages[-1].text for request in llm.asked] == [text_of(1)]
    assert view.request.messages[-1].text == ASKED.replace(MAIL, "[EMAIL]")


async def test_what_is_local_only_is_answered_by_a_local_model(store: Store) -> None:
    llm, local = Clerk(), Clerk("here")
    async with desk_of(store, llm, local, local_only=["email"]) as desk:
        handled, _ = await ask(desk, request_of(ASKED))
    assert handled.receipt.answered_by == "here"
    assert llm.asked == []
    assert local.asked[0].messages[-1].text == ASKED
    assert "not local" in handled.receipt.tried[0].reason


async def test_or_by_a_specialist(store: Store) -> None:
    serving(store)
    llm = Clerk()
    async with desk_of(store, llm, audit_rate=1.0, local_only=["email"]) as desk:
        handled, answer = await ask(desk, request_of(f"{text_of(0)} {MAIL}"))
        await desk.settle()
        assert desk.health().detail["audits_failed"] == 1
    assert (handled.receipt.answered_by, answer.text) == ("specialist/department", "delivery")
    assert llm.asked == []  # not even to audit it


async def test_or_by_nobody(store: Store) -> None:
    llm = Clerk()
    async with desk_of(store, llm, local_only=["email"]) as desk:
        with pytest.raises(NoAnswerer) as caught:
            await desk.serve(request_of(ASKED), "")
    assert llm.asked == []
    assert "email" in str(caught.value)
    assert MAIL not in str(caught.value)


@pytest.mark.parametrize("streamed", [False, True])
async def test_placeholders_leave_and_values_come_back(store: Store, streamed: bool) -> None:
    llm = Parrot()
    async with desk_of(store, llm, redact=["email"]) as desk:
        handled, answer = await ask(desk, request_of(ASKED, stream=streamed))
        view = await seen(desk, handled.receipt.call_id)
    assert llm.asked[0].messages[-1].text == ASKED.replace(MAIL, "[EMAIL_1]")
    assert answer.text == ASKED
    assert answer.tool_calls[0].arguments == arguments(ASKED)
    assert view.answer is not None
    assert view.answer.text == ASKED


async def test_a_stream_reaches_the_caller_with_the_values(store: Store) -> None:
    async with desk_of(store, Parrot(), redact=["email"]) as desk:
        handled = await desk.serve(request_of(ASKED, stream=True), "")
        assert handled.stream is not None
        assert handled.stream.format is None
        pieces = [piece async for piece in handled.stream]
    deltas = [delta for piece in pieces for delta in piece.deltas]
    assert "".join(delta.text for delta in deltas) == ASKED
    reasons = [at for at, delta in enumerate(deltas) if delta.finish_reason]
    assert not any(delta.text or delta.calls for delta in deltas[reasons[0] :])
    assert [piece.last for piece in pieces].index(True) == len(pieces) - 1


async def test_an_audit_sees_no_more_than_the_call_did(store: Store) -> None:
    serving(store)
    llm = Clerk()
    async with desk_of(store, llm, audit_rate=1.0, redact=["email"]) as desk:
        handled, _ = await ask(desk, request_of(f"{text_of(0)} {MAIL}"))
        await desk.settle()
    assert handled.receipt.answered_by == "specialist/department"
    assert [request.messages[-1].text for request in llm.asked] == [f"{text_of(0)} [EMAIL_1]"]


async def test_what_is_stored_may_be_scrubbed(store: Store) -> None:
    async with desk_of(store, Parrot(), store="redacted") as desk:
        handled, answer = await ask(desk, request_of(ASKED))
        await desk.feedback(handled.receipt.call_id, "", f"no, {MAIL}")
        await desk.settle()
        view = await seen(desk, handled.receipt.call_id)
    assert answer.text == ASKED
    assert MAIL not in repr(view)
    assert view.request.messages[-1].text == ASKED.replace(MAIL, "[EMAIL]")
    raw = store.database.path.read_bytes()
    raw += store.database.path.with_name(store.database.path.name + "-wal").read_bytes()
    assert MAIL.encode() not in raw


async def test_a_specialist_is_asked_what_it_learned_from(store: Store) -> None:
    """With "learn" it learns from scrubbed texts, so it is asked about scrubbed ones."""
    serving(store)
    async with desk_of(store, Clerk(), learn="redacted") as desk:
        handled, _ = await ask(desk, request_of(f"{text_of(0)} {MAIL}"))
        scrubbed_signal = handled.receipt.tried[0].signal
        same, _ = await ask(desk, request_of(f"{text_of(0)} [EMAIL]"))
        other, _ = await ask(desk, request_of(text_of(0)))
        await desk.settle()
    assert scrubbed_signal == same.receipt.tried[0].signal != other.receipt.tried[0].signal
    with store.database.transaction() as conn:
        store.calls.assign(conn, {handled.receipt.call_id: TASK.id})


async def test_lessons_are_scrubbed(store: Store) -> None:
    async with desk_of(store, Parrot(), learn="redacted") as desk:
        handled, _ = await ask(desk, request_of(ASKED))
        await desk.settle()
        assert MAIL in (await seen(desk, handled.receipt.call_id)).request.messages[-1].text
    with store.database.transaction() as conn:
        store.calls.assign(conn, {handled.receipt.call_id: TASK.id})
    kinds = PrivacyOptions(learn="redacted").scrubbed
    lessons = curate(TASK, (scrubbed(one, kinds) for one in store.examples.of(TASK.id)))
    assert [lesson.text for lesson in lessons.lessons] == [ASKED.replace(MAIL, "[EMAIL]")]
    assert MAIL not in repr(lessons)


async def test_what_an_upstream_said_is_scrubbed_too(store: Store) -> None:
    llm, local = Clerk(), Clerk("here")
    llm.error = EngineUnreachable(f"gpt: it starts '<p>{MAIL}'")
    async with desk_of(store, llm, local, store="redacted") as desk:
        handled, _ = await ask(desk, request_of(ASKED))
        assert handled.receipt.answered_by == "here"
        failed = await desk.failed(request_of("?"), "", ANYBODY, llm.error, perf_counter())
        views = [await seen(desk, one.call_id) for one in (handled.receipt, failed)]
    assert MAIL not in repr(views)
    assert "[EMAIL]" in views[0].receipt.tried[0].reason
    assert "[EMAIL]" in views[1].error


def test_what_a_checker_said_of_an_answer_is_scrubbed_too() -> None:
    told = Deliberation("refine:2", 3, (), stopped=f"does not pass: {MAIL} is no number")
    receipt = Receipt("c-1", 0.0, "gpt", "gpt", "", deliberation=told)
    kept = Discretion(PrivacyOptions(store="redacted")).kept_receipt(receipt)
    assert kept.deliberation is not None
    assert kept.deliberation.stopped == "does not pass: [EMAIL] is no number"


async def test_what_may_not_be_stored_is_no_voice_of_a_cheaper_model() -> None:
    """Two addresses that are scrubbed alike are not the same answer."""
    redacted = Discretion(PrivacyOptions(redact=("email",), store="redacted"))
    as_it_is = Discretion(PrivacyOptions())
    mail, plain = Answer(f"write to {MAIL}"), Answer("write to nobody")
    assert await redacted.storable(mail) is None
    assert await redacted.storable(plain) == plain
    assert await as_it_is.storable(mail) == mail
