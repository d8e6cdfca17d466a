"""Audits and shadows: found out after the answer has left, and acted on at once."""

import asyncio

import pytest
from keyword_desk import (
    LABELS,
    NEVER,
    TASK,
    UNCLEAR,
    Clerk,
    ask,
    certify,
    echo,
    make_certificate,
    open_desk,
    request_of,
    seen,
    serving,
    text_of,
    threshold,
)
from msgspec.structs import replace

from shoal.errors import EngineUnreachable
from shoal.flywheel.promotion import promote
from shoal.guarantees import Certificate, LabelProof
from shoal.guarantees.sequential import EProcess
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store

SMALL = "specialist/department"


def errors_to_break() -> int:
    """How many audits that all disagree it takes to break the certificate."""
    certificate = make_certificate()
    process = EProcess.start(certificate.alpha)
    while not process.crossed(1 - certificate.confidence):
        process = process.update(wrong=True)
    return process.n


async def test_a_broken_promise_demotes_at_once(store: Store) -> None:
    serving(store)
    async with open_desk(store, echo(), audit_rate=1) as desk:
        for number in range(errors_to_break()):
            handled, _ = await ask(desk, request_of(text_of(number)))
            assert handled.receipt.answered_by == SMALL
            assert handled.receipt.sampled
            await desk.settle()
        handled, answer = await ask(desk, request_of(text_of(0)))
    assert handled.receipt.answered_by == "gpt"
    assert answer.text == text_of(0)
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert standing.stage == "observe"
    newest = store.events.list(TASK.id)[0]
    assert (newest.kind, newest.by) == ("demoted", "audit")
    audits = store.audits.of_certificate("c-1")
    assert [audit.agrees for audit in audits] == [False] * errors_to_break()
    assert store.audits.process("c-1").errors == errors_to_break()


async def test_audits_that_agree_are_recorded_with_the_reference(store: Store) -> None:
    serving(store)
    clerk, headers = Clerk(), (("anthropic-beta", "context-1m-2025-08-07"),)
    async with open_desk(store, clerk, audit_rate=1) as desk:
        for number in range(6):
            request = replace(request_of(text_of(number)), headers=headers)
            handled, _ = await ask(desk, request)
        await desk.settle()
        view = await seen(desk, handled.receipt.call_id)
        assert view.request.headers == ()  # nobody asks by what is stored
        assert desk.health().detail["audits_failed"] == 0
    assert len(clerk.asked) == 6
    assert {asked.headers for asked in clerk.asked} == {headers}
    assert view.audit is not None
    assert (view.audit.kind, view.audit.agrees) == ("audit", True)
    assert view.audit.reference.text == "returns"
    assert store.audits.process("c-1").n == 6
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert standing.stage == "serve"


async def test_only_the_drawn_share_is_audited(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    async with open_desk(store, clerk, audit_rate=0.3) as desk:
        receipts = [(await ask(desk, request_of(text_of(n))))[0].receipt for n in range(120)]
        await desk.settle()
    drawn = {receipt.call_id for receipt in receipts if receipt.sampled}
    audits = store.audits.of_certificate("c-1")
    assert {audit.call_id for audit in audits} == drawn
    assert len(clerk.asked) == len(drawn)
    assert 12 <= len(drawn) <= 62  # 36 expected; outside by chance once in 10⁶ runs


async def test_a_task_may_have_its_own_audit_rate(store: Store) -> None:
    serving(store)
    own = {"department": PromiseOptions(audit_rate=1)}
    async with open_desk(store, Clerk(), audit_rate=NEVER, promises=own) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        await desk.settle()
    assert handled.receipt.sampled
    assert len(store.audits.of_certificate("c-1")) == 1


async def test_what_the_llm_answered_is_not_audited(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    async with open_desk(store, clerk, audit_rate=1) as desk:
        await ask(desk, request_of(UNCLEAR))
        await desk.settle()
    assert len(clerk.asked) == 1
    assert store.audits.of_certificate("c-1") == []


async def test_an_audit_that_fails_is_counted_and_loses_nothing(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    clerk.error = EngineUnreachable("nobody listens")
    async with open_desk(store, clerk, audit_rate=1) as desk:
        first, _ = await ask(desk, request_of(text_of(0)))
        await desk.settle()
        assert desk.health().detail["audits_failed"] == 1
        view = await seen(desk, first.receipt.call_id)
        assert (view.receipt.answered_by, view.audit) == (SMALL, None)
        clerk.error = None
        second, _ = await ask(desk, request_of(text_of(1)))
        await desk.settle()
        view = await seen(desk, second.receipt.call_id)
    assert view.audit is not None
    assert store.audits.process("c-1").n == 1
    spent = {row.group: (row.audits, row.unpriced) for row in store.spend.list(by="model")}
    assert spent["gpt"] == (2, 1)  # the one that failed may have been worked on


async def test_the_caller_does_not_wait_for_the_audit(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    clerk.may_answer.clear()
    async with open_desk(store, clerk, audit_rate=1) as desk:
        async with asyncio.timeout(5):
            for number in range(8):  # more than are compared at once
                handled, _ = await ask(desk, request_of(text_of(number)))
                assert handled.receipt.answered_by == SMALL
            view = await seen(desk, handled.receipt.call_id)
        assert view.audit is None
        clerk.may_answer.set()
        await desk.settle()
        assert (await seen(desk, handled.receipt.call_id)).audit is not None
    assert store.audits.process("c-1").n == 8


async def test_closing_stops_audits_that_hang(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    clerk.may_answer.clear()
    async with asyncio.timeout(5):
        async with open_desk(store, clerk, audit_rate=1) as desk:
            await ask(desk, request_of(text_of(0)))
            await asyncio.sleep(0)
    assert store.audits.of_certificate("c-1") == []


@pytest.mark.parametrize("agrees", [True, False])
async def test_a_shadow_is_compared_with_the_llm(store: Store, agrees: bool) -> None:
    certify(store)
    promote(store, TASK.id, "shadow", "test", "")
    clerk = Clerk()
    async with open_desk(store, clerk if agrees else echo(), audit_rate=NEVER) as desk:
        handled, answer = await ask(desk, request_of(text_of(0)))
        await desk.settle()
        view = await seen(desk, handled.receipt.call_id)
    assert view.receipt.answered_by == "gpt"
    assert view.audit is not None
    assert (view.audit.kind, view.audit.agrees) == ("shadow", agrees)
    assert view.audit.reference.text == answer.text


async def test_a_shadow_says_nothing_of_what_it_would_not_serve(store: Store) -> None:
    certify(store)
    promote(store, TASK.id, "shadow", "test", "")
    async with open_desk(store, Clerk(), Clerk("other")) as desk:
        await ask(desk, request_of(UNCLEAR))
        await ask(desk, request_of(text_of(0), "other"))
        await desk.settle()
    assert store.audits.of_certificate("c-1") == []


async def test_a_shadow_that_disagrees_too_often_is_demoted(store: Store) -> None:
    certify(store)
    promote(store, TASK.id, "shadow", "test", "")
    async with open_desk(store, echo()) as desk:
        for number in range(errors_to_break()):
            await ask(desk, request_of(text_of(number)))
            await desk.settle()
        assert desk.roster.posts[TASK.id].stage == "observe"


async def test_an_answer_that_broke_off_is_not_compared(store: Store) -> None:
    certify(store)
    promote(store, TASK.id, "shadow", "test", "")
    async with open_desk(store, Clerk()) as desk:
        handled = await desk.serve(request_of(text_of(0)), "")
        assert handled.answer is not None
        await desk.finish(handled, handled.answer, "the client hung up")
        await desk.settle()
        view = await seen(desk, handled.receipt.call_id)
    assert (view.error, view.audit) == ("the client hung up", None)


def make_certificate_by_label() -> Certificate:
    proofs = tuple(LabelProof(label, threshold(), 300, 200, 2, 0.03) for label in LABELS)
    return replace(make_certificate(), labels=proofs)


async def test_a_broken_promise_of_one_label_demotes_and_names_it(store: Store) -> None:
    serving(store, make_certificate_by_label())
    clerk = Clerk()
    async with open_desk(store, clerk, audit_rate=1) as desk:
        for number in range(90):
            await ask(desk, request_of(text_of(number)))
        await desk.settle()
        clerk.mistakes = {"returns": "payments"}  # what the LLM calls returns from now on
        number = LABELS.index("returns")
        while desk.roster.posts[TASK.id].stage == "serve":
            await ask(desk, request_of(text_of(number)))
            await desk.settle()
            number += 3
            assert number < 60
    newest = store.events.list(TASK.id)[0]
    assert (newest.kind, newest.by) == ("demoted", "audit")
    assert "audited answers that said 'returns' were wrong" in newest.reason
    watch = store.audits.watch("c-1")
    assert [watch.labels[label].errors for label in ("delivery", "payments")] == [0, 0]
    assert {audit.label for audit in store.audits.of_certificate("c-1")} == set(LABELS)


async def test_shadows_are_watched_by_label_too(store: Store) -> None:
    certify(store, make_certificate_by_label())
    promote(store, TASK.id, "shadow", "test", "")
    async with open_desk(store, Clerk()) as desk:
        for number in range(6):
            await ask(desk, request_of(text_of(number)))
        await desk.settle()
    processes = store.audits.watch("c-1").labels
    assert {label: process.n for label, process in processes.items()} == dict.fromkeys(LABELS, 2)


async def test_a_promise_on_the_average_is_watched_on_the_average(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk(), audit_rate=1) as desk:
        await ask(desk, request_of(text_of(0)))
        await desk.settle()
    assert store.audits.watch("c-1").labels == {}
    assert [audit.label for audit in store.audits.of_certificate("c-1")] == [None]
