"""Where people are the reference, audits wait for their words, which end what is wrong."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import keyword_desk
import pytest
from keyword_desk import (
    CONTRACT,
    LABELS,
    TASK,
    Clerk,
    ask,
    make_card,
    make_certificate,
    open_desk,
    request_of,
    seen,
    serving,
    text_of,
    threshold,
)
from msgspec.structs import replace
from sqlalchemy import Connection, Engine, event

from shoal.assembly import Shoal, reviewing
from shoal.chat import Answer
from shoal.flywheel.promotion import promote
from shoal.guarantees import Certificate, LabelProof, assumptions_of, draw
from shoal.routing.judging import JudgingOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import CallFilter, Store, eprocesses
from shoal.tasks import comparators

SMALL = "specialist/department"
PROMISE = {"department": PromiseOptions(audit_rate=1, reference="people")}
HALF = {"department": PromiseOptions(audit_rate=0.5, reference="people")}


def by_people(**fields: object) -> Certificate:
    assumptions = assumptions_of("held-out", "people", by_people=True)
    made = replace(make_certificate(), reference="people", by_people=True, assumptions=assumptions)
    return replace(made, **fields)


async def served(desk: Shoal, count: int) -> list[str]:
    """The ids of so many calls that were served small and belong to the sample."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        handled, _ = await ask(desk, request_of(text_of(number)))
        assert handled.receipt.answered_by == SMALL, handled.receipt
        if handled.receipt.sampled:
            found.append(handled.receipt.call_id)
        number += 1
    await desk.settle()
    return found


async def test_no_llm_is_asked_and_words_move_the_evidence(store: Store) -> None:
    serving(store, by_people())
    clerk = Clerk()
    async with open_desk(store, clerk, promises=PROMISE) as desk:
        first, second, third = await served(desk, 3)
        assert clerk.asked == []
        assert store.audits.process("c-1").n == 0
        await desk.feedback(first, "right", "")
        await desk.feedback(second, "", LABELS[2])  # it said LABELS[1]
        view = await seen(desk, second)
    process = store.audits.process("c-1")
    assert (process.n, process.errors) == (2, 1)
    assert view.audit is not None
    assert (view.audit.kind, view.audit.agrees) == ("review", False)
    assert view.audit.reference.text == LABELS[2]
    assert store.audits.of_calls([third]) == {}
    examples = {example.call_id: example for example in store.examples.of(TASK.id)}
    assert {example.by for example in examples.values()} == {"people"}
    assert all(example.llm_answer is None for example in examples.values())


async def test_the_same_answer_in_a_persons_words_agrees(store: Store) -> None:
    serving(store, by_people())
    async with open_desk(store, Clerk(), promises=PROMISE) as desk:
        (first,) = await served(desk, 1)
        await desk.feedback(first, "", f" {LABELS[0].upper()}. ")
    assert [audit.agrees for audit in store.audits.of_certificate("c-1")] == [True]


async def test_words_that_break_the_promise_demote_at_once(store: Store) -> None:
    serving(store, by_people())
    clerk = Clerk()
    async with open_desk(store, clerk, promises=PROMISE) as desk:
        for call_id in await served(desk, 12):
            await desk.feedback(call_id, "wrong", "")
            if desk.roster.posts[TASK.id].stage == "observe":
                break
        handled, _ = await ask(desk, request_of(text_of(0)))
    assert handled.receipt.answered_by == "gpt"
    newest = store.events.list(TASK.id)[0]
    assert (newest.kind, newest.by) == ("demoted", "audit")
    assert store.audits.process("c-1").n < 12


async def test_a_word_waits_for_those_on_calls_before_it(store: Store) -> None:
    """People who say first what is wrong would make any specialist look bad."""
    serving(store, by_people())
    async with open_desk(store, Clerk(), promises=PROMISE) as desk:
        ids = await served(desk, 8)
        for call_id in ids[1:]:
            await desk.feedback(call_id, "wrong", "")
        assert store.audits.process("c-1").n == 0
        await desk.feedback(ids[0], "right", "")
    process = store.audits.process("c-1")
    assert process.crossed(0.05)  # they were taken one after another, up to what broke it
    assert 3 <= process.n < 8
    stand = store.standings.get(TASK.id)
    assert stand is not None
    assert stand.stage == "observe"


async def test_words_on_calls_that_were_not_drawn_move_nothing(store: Store) -> None:
    serving(store, by_people())
    async with open_desk(store, Clerk(), promises=HALF) as desk:
        drawn = await served(desk, 20)
        everything = store.calls.list(CallFilter(limit=500))
        others = [call.id for call in everything if call.id not in drawn]
        assert others
        for call_id in others:
            await desk.feedback(call_id, "wrong", "")
        assert store.audits.process("c-1").n == 0
        for call_id in drawn:
            await desk.feedback(call_id, "right", "")
    process = store.audits.process("c-1")
    assert (process.n, process.errors) == (20, 0)


async def test_calls_that_are_asked_no_more_hold_up_nothing(store: Store) -> None:
    """Drawn at a higher rate than now: `shoal review` does not list them any more."""
    serving(store, by_people())
    async with open_desk(store, Clerk(), promises=PROMISE) as desk:
        ids = await served(desk, 40)
    asked = [one for one in ids if draw(one, 0.5, store.database.secret())]
    assert 0 < len(asked) < 40
    async with open_desk(store, Clerk(), promises=HALF) as desk:
        assert store.reviews.queue(TASK.id, 0.5).waits == tuple(asked)
        for call_id in asked:
            await desk.feedback(call_id, "right", "")
    assert store.audits.process("c-1").n == len(asked)


async def test_a_word_that_completes_many_reads_and_writes_few_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviewing, "_AT_ONCE", 4)
    serving(store, by_people())
    async with open_desk(store, Clerk(), promises=PROMISE) as desk:
        ids = await served(desk, 120)
    rate = 0.1
    asked = [one for one in ids if draw(one, rate, store.database.secret())]
    own = {"department": PromiseOptions(audit_rate=rate, reference="people")}
    recorded, statements = list[int](), list[str]()
    written = store.writer.submit

    def submit(operation: Callable[[Connection], object], **how: Any) -> "Future[Any]":
        def counted(conn: Connection) -> object:
            before = store.audits.process("c-1").n
            found = operation(conn)
            recorded.append(eprocesses.load(conn, "c-1").average.n - before)
            return found

        return written(counted, **how)

    async with open_desk(store, Clerk(), promises=own) as desk:
        for call_id in asked[1:]:
            await desk.feedback(call_id, "right", "")
        assert store.audits.process("c-1").n == 0
        monkeypatch.setattr(store.writer, "submit", submit)
        with watched(lambda *ran: statements.append(ran[2])):
            await desk.feedback(asked[0], "right", "")
    assert store.audits.process("c-1").n == sum(recorded) == len(asked)
    assert max(recorded) <= 4
    assert sum("FROM calls" in one for one in statements) < len(ids) / 2


async def test_no_writer_waits_while_answers_are_compared(store: Store) -> None:
    def slow(first: Answer, second: Answer) -> bool:
        store.writer.submit(lambda conn: None, urgent=True).result(1)
        return first.text == second.text

    with own_comparator(store, slow) as judging:
        async with open_desk(store, Clerk(), promises=PROMISE, judging=judging) as desk:
            (first,) = await served(desk, 1)
            await desk.feedback(first, "", LABELS[0])
    assert [audit.agrees for audit in store.audits.of_certificate("c-1")] == [True]


async def test_a_word_is_kept_though_the_comparator_is_gone(store: Store) -> None:
    with own_comparator(store, lambda first, second: first.text == second.text) as judging:
        async with open_desk(store, Clerk(), promises=PROMISE, judging=judging) as desk:
            ids = await served(desk, 3)
    async with open_desk(store, Clerk(), promises=PROMISE) as desk:
        for call_id in ids[:2]:
            await desk.feedback(call_id, "", LABELS[0])
    assert set(store.feedback.newest(ids)) == set(ids[:2])
    assert store.audits.process("c-1").n == 0
    with own_comparator(store, lambda first, second: True) as judging:  # it is back
        async with open_desk(store, Clerk(), promises=PROMISE, judging=judging) as desk:
            await desk.feedback(ids[2], "right", "")
    assert store.audits.process("c-1").n == 3


@contextmanager
def watched(see: Callable[..., None]) -> Iterator[None]:
    """Every statement is seen on its way to the database."""
    event.listen(Engine, "before_cursor_execute", see)
    yield
    event.remove(Engine, "before_cursor_execute", see)


@contextmanager
def own_comparator(store: Store, same: comparators.Same) -> Iterator[JudgingOptions]:
    """What serves is compared by this function, which is known meanwhile."""
    name = "hooks.py:same"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparators, "_known", {name: same})
        if not store.cards.list(TASK.id):
            card = make_card(store)
            compared = replace(card, contract=replace(CONTRACT, comparator=name))
            patch.setattr(keyword_desk, "make_card", lambda store: compared)
            serving(store, by_people(comparator=name))
        yield JudgingOptions(comparator=name)


async def test_people_watch_each_label_where_each_is_promised(store: Store) -> None:
    proofs = tuple(LabelProof(label, threshold(), 300, 200, 2, 0.03) for label in LABELS)
    serving(store, by_people(labels=proofs))
    async with open_desk(store, Clerk(), promises=PROMISE) as desk:
        for call_id in await served(desk, 6):
            await desk.feedback(call_id, "right", "")
    processes = store.audits.watch("c-1").labels
    assert {label: process.n for label, process in processes.items()} == dict.fromkeys(LABELS, 2)


async def test_feedback_where_the_llm_is_the_reference_audits_nothing(store: Store) -> None:
    serving(store)
    own = {"department": PromiseOptions(audit_rate=1)}
    async with open_desk(store, Clerk(), promises=own) as desk:
        (first,) = await served(desk, 1)
        await desk.feedback(first, "wrong", "")
    (audit,) = store.audits.of_certificate("c-1")
    assert (audit.kind, audit.agrees) == ("audit", True)


@pytest.mark.parametrize("people", [True, False])
async def test_a_certificate_of_another_reference_does_not_serve(
    store: Store, people: bool
) -> None:
    serving(store, make_certificate() if people else by_people())
    reference = "people" if people else "llm"
    own = {"department": PromiseOptions.model_validate({"reference": reference})}
    async with open_desk(store, Clerk(), promises=own) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
    assert handled.receipt.answered_by == "gpt"
    assert "certified to agree with" in handled.receipt.tried[0].reason


async def test_a_shadow_is_not_compared_with_the_llm(store: Store) -> None:
    serving(store, by_people())
    promote(store, TASK.id, "shadow", "test", "")
    async with open_desk(store, Clerk(), promises=PROMISE) as desk:
        await ask(desk, request_of(text_of(0)))
        await desk.settle()
    assert store.audits.process("c-1").n == 0
