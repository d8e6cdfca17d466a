"""Cheaper models: tried beside the LLM, certified, and then answering where they agree."""

import asyncio
import threading
import time
from collections.abc import Sequence

import msgspec
import pytest
from keyword_desk import (
    LABELS,
    NEVER,
    PRICES,
    TASK,
    UNCLEAR,
    Clerk,
    ask,
    certify,
    make_certificate,
    open_desk,
    request_of,
    seen,
    serving,
    text_of,
)
from msgspec.structs import replace
from pydantic import ValidationError

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.assembly.linking import not_worth_asking
from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.errors import ConfigError, EngineUnreachable, LearningError
from shoal.evaluation.report import render
from shoal.flywheel.agreeing import AgreementExaminer, serving_card
from shoal.flywheel.agreement_trial import SHARE
from shoal.flywheel.certification import Verdict
from shoal.flywheel.finding import task_row
from shoal.flywheel.options import LearnOptions, LessonOptions
from shoal.flywheel.promotion import promote
from shoal.flywheel.reporting import facts_of
from shoal.guarantees import Certificate
from shoal.routing.caller import Caller
from shoal.routing.cascade_options import CascadeOptions
from shoal.routing.episodes import Found, Strand
from shoal.routing.estimate import upper_cost
from shoal.routing.filing import agreement_id
from shoal.routing.promise import PromiseOptions
from shoal.routing.signals.registry import register_validator
from shoal.storage import Event, Ground, Store
from shoal.tasks.comparators import register

RUNG = agreement_id(TASK.id)
SMALL = CascadeOptions(models=("ann", "bob"), tries=300, try_rate=1)
PROMISE = PromiseOptions(alpha=0.05, confidence=0.95).halved
EXAMPLES = 150


class Parrot(Clerk):
    """A cheap model that always says the same."""

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        return Answer(LABELS[0], model=self.name, usage=Usage(60, 2))


async def tell(desk: Shoal, texts: Sequence[str]) -> None:
    for text in texts:
        await ask(desk, request_of(text))
    await desk.settle()


def certify_agreement(
    store: Store, models: Sequence[str] = SMALL.models, own: LessonOptions | None = None
) -> Verdict:
    judged = {} if own is None else {TASK.name: own}
    examiner = AgreementExaminer(store, LearnOptions(), models, own=judged)
    return examiner.certify(TASK, examiner.hearing(TASK), PROMISE)


async def agreeing(store: Store, *engines: Clerk) -> Certificate:
    """Tried, certified, and promoted."""
    async with open_desk(store, *engines, cascade=SMALL) as desk:
        await tell(desk, [text_of(number) for number in range(EXAMPLES)])
    verdict = certify_agreement(store)
    assert verdict.certificate is not None, verdict.reason
    promote(store, RUNG, "serve", "test", "for a test")
    return verdict.certificate


def known_task(store: Store) -> None:
    """The task without a specialist."""
    with store.database.transaction() as conn:
        store.tasks.put(conn, task_row(TASK, 0.0, 0.0))


async def test_models_are_tried_beside_the_llm(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Parrot("bob")
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        handled, answer = await ask(desk, request_of(text_of(1)))
        await desk.settle()
    assert (handled.receipt.answered_by, answer.text) == ("gpt", LABELS[1])
    call_id = handled.receipt.call_id
    tries = store.tries.of_task(Ground(TASK.id, "", 0.0))[call_id]
    assert {name: tried.answer.text for name, tried in tries.items()} == {
        "ann": LABELS[1],
        "bob": LABELS[0],
    }
    assert tries["ann"].cost == pytest.approx(60 * 10e-6 + 2 * 100e-6)
    assert tried(store, "") == {"ann": 1, "bob": 1}
    row = next(row for row in store.spend.list("model", "") if row.group == "ann")
    assert (row.calls, row.audits, row.audit_cost) == (0, 1, tries["ann"].cost)


async def test_no_more_are_tried_than_asked_for(store: Store) -> None:
    known_task(store)
    few = SMALL.model_copy(update={"tries": 50})
    ann = Clerk("ann")
    async with open_desk(store, Clerk(), ann, Clerk("bob"), cascade=few) as desk:
        for start in range(0, 80, 10):
            await tell(desk, [text_of(number) for number in range(start, start + 10)])
    assert len(ann.asked) == 50


async def test_only_a_drawn_share_is_tried(store: Store) -> None:
    known_task(store)
    rarely = SMALL.model_copy(update={"try_rate": 0.25})
    ann = Clerk("ann")
    async with open_desk(store, Clerk(), ann, Clerk("bob"), cascade=rarely) as desk:
        await tell(desk, [text_of(number) for number in range(200)])
    assert 25 <= len(ann.asked) <= 80


async def test_where_they_agree_they_answer(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    certificate = await agreeing(store, llm, ann, bob)
    assert (certificate.models, certificate.after) == (("ann", "bob"), "")
    assert certificate.n == EXAMPLES
    before = len(llm.asked)
    async with open_desk(store, llm, ann, bob, cascade=SMALL, audit_rate=NEVER) as desk:
        handled, answer = await ask(desk, request_of(text_of(500)))
        streamed, told = await ask(desk, request_of(text_of(501), stream=True))
        view = await seen(desk, handled.receipt.call_id)
    assert (answer.text, told.text) == (LABELS[500 % 3], LABELS[501 % 3])
    assert handled.receipt.answered_by == "agreement/department"
    assert streamed.receipt.answered_by == "agreement/department"
    assert len(llm.asked) == before
    assert view.receipt.certificate == certificate.id
    each = 60 * 10e-6 + 2 * 100e-6
    assert view.receipt.cost == pytest.approx(2 * each)
    assert view.receipt.llm_cost_estimated
    volume = store.calls.volumes()[TASK.id]
    assert (volume.calls, volume.small) == (EXAMPLES + 2, 2)


async def test_in_a_tool_loop_they_are_asked_only_if_they_save_more_than_they_take(
    store: Store,
) -> None:
    """The LLM that holds the loop reads the conversation from its cache."""
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    certificate = await agreeing(store, llm, ann, bob)
    cached = replace(PRICES, cached=0.1)  # a hundredth
    models = Models({one.name: Model(one.name, one, cached) for one in (llm, ann, bob)})
    regime = Regime(models, {}, PromiseOptions(audit_rate=NEVER), cascade=SMALL)
    async with Shoal(store, regime) as desk:
        handled, _ = await ask(desk, request_of(text_of(500)))
        assert handled.receipt.answered_by == f"agreement/{TASK.name}"
        strand = Strand("e", "gpt", 1, Usage(60_000, 2))
        call = ToolCall("c", "look_up", "{}")
        loop = (
            Message("user", "?"),
            Message("assistant", tool_calls=(call,)),
            Message("tool", "1"),
        )
        held = replace(
            handled,
            request=replace(handled.request, messages=loop),
            found=Found("e", strand, 0, 0),
        )
        names = certificate.models
        assert "holds this tool loop" in not_worth_asking(held, names, 0.9)
        assert not_worth_asking(handled, names, 0.9) == ""
        others = replace(held, found=Found("e", replace(strand, answered_by="ann"), 0, 0))
        assert not_worth_asking(others, names, 0.9) == ""


async def test_where_they_do_not_the_llm_answers_and_all_is_paid(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    async with open_desk(store, llm, ann, Parrot("bob"), cascade=SMALL) as desk:
        handled, answer = await ask(desk, request_of(text_of(500)))
        view = await seen(desk, handled.receipt.call_id)
    assert (handled.receipt.answered_by, answer.text) == ("gpt", LABELS[500 % 3])
    first, last = view.receipt.tried
    assert (first.answerer, first.accepted, first.signal) == ("agreement/department", False, 0.0)
    assert (last.answerer, last.accepted) == ("gpt", True)
    assert view.receipt.cost == pytest.approx(3 * (60 * 10e-6 + 2 * 100e-6))


async def test_a_model_that_fails_leaves_the_call_to_the_llm(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    bob.error = EngineUnreachable("bob is out")
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        handled, _ = await ask(desk, request_of(text_of(500)))
    assert handled.receipt.answered_by == "gpt"
    assert handled.receipt.tried[0].reason == "bob is out"


async def test_models_that_agree_on_wrong_answers_are_refused(store: Store) -> None:
    known_task(store)
    async with open_desk(store, Clerk(), Parrot("ann"), Parrot("bob"), cascade=SMALL) as desk:
        await tell(desk, [text_of(number) for number in range(EXAMPLES)])
    verdict = certify_agreement(store)
    assert verdict.certificate is None
    assert "agreement of ann, bob" in verdict.reason


async def test_audits_that_disagree_take_it_back(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    llm = Parrot()
    async with open_desk(store, llm, ann, bob, cascade=SMALL, audit_rate=1) as desk:
        for number in range(200):
            handled, _ = await ask(desk, request_of(text_of(3 * number + 1)))
            await desk.settle()
            if handled.receipt.answered_by == "gpt":
                break
    assert handled.receipt.answered_by == "gpt"
    standing = store.standings.get(RUNG)
    assert standing is not None
    assert standing.stage == "observe"


async def test_after_a_specialist_only_what_it_passes_on_counts(store: Store) -> None:
    card = serving(store, replace(make_certificate(), confidence=PROMISE.confidence))
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    unclear = [f"{UNCLEAR} {number} times" for number in range(EXAMPLES)]
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        await tell(desk, [text_of(number) for number in range(20)])
        assert not ann.asked
        await tell(desk, unclear)
    assert serving_card(store, TASK.id) == card.id
    counts = tried(store, card.id)
    assert counts["ann"] == counts["bob"] == counts[card.id] == len(ann.asked)
    verdict = certify_agreement(store)
    assert verdict.certificate is not None, verdict.reason
    assert verdict.certificate.after == card.id
    promote(store, RUNG, "serve", "test", "for a test")
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        handled, _ = await ask(desk, request_of(f"{UNCLEAR} again"))
        clear, _ = await ask(desk, request_of(text_of(7)))
    assert handled.receipt.answered_by == "agreement/department"
    assert [one.answerer for one in handled.receipt.tried] == [
        "specialist/department",
        "agreement/department",
    ]
    assert clear.receipt.answered_by == "specialist/department"


async def test_a_certificate_for_other_calls_serves_none(store: Store) -> None:
    """Certified on all calls, it says nothing of those that a specialist passes on."""
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    certificate = await agreeing(store, llm, ann, bob)
    assert certificate.after == ""
    card = serving(store).id
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        handled, _ = await ask(desk, request_of(UNCLEAR))
    assert serving_card(store, TASK.id) == card
    assert handled.receipt.answered_by == "gpt"


def test_a_model_is_no_witness_of_itself() -> None:
    with pytest.raises(ValidationError, match="named once"):
        CascadeOptions(models=("ann", "ann"))


async def test_a_cascade_of_unknown_models_is_refused(store: Store) -> None:
    unknown = CascadeOptions(models=("nobody",))
    with pytest.raises(ConfigError, match=r"cascade\.models: expected names of models"):
        async with open_desk(store, Clerk(), cascade=unknown):
            pass


async def test_what_the_models_cost_is_counted_though_the_llm_fails(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    before = spent(store)
    llm.error = EngineUnreachable("the LLM is out")
    async with open_desk(store, llm, ann, Parrot("bob"), cascade=SMALL) as desk:
        with pytest.raises(EngineUnreachable):
            await ask(desk, request_of(text_of(500)))
        await desk.settle()
    assert spent(store) - before == pytest.approx(2 * (60 * 10e-6 + 2 * 100e-6))


async def test_a_caller_that_hangs_up_leaves_nothing_uncounted(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    before = spent(store)
    bob.may_answer.clear()
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        asking = asyncio.create_task(ask(desk, request_of(text_of(500))))
        await asyncio.sleep(0.2)  # ann has answered by then, and bob thinks on
        assert len(bob.asked) > EXAMPLES
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await desk.settle()
    assert spent(store) - before == pytest.approx(60 * 10e-6 + 2 * 100e-6)


async def test_a_model_that_is_gone_from_the_settings_is_not_asked_for(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    asked = len(ann.asked)
    async with open_desk(store, llm, ann) as desk:
        handled, _ = await ask(desk, request_of(text_of(500)))
    assert handled.receipt.answered_by == "gpt"
    assert "no model 'ann'" in handled.receipt.tried[0].reason
    assert len(ann.asked) == asked


async def test_a_specialist_with_the_whole_budget_leaves_the_models_none(store: Store) -> None:
    serving(store)  # certified before there was a cascade
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        await tell(desk, [f"{UNCLEAR} {number} times" for number in range(EXAMPLES)])
    assert certify_agreement(store).certificate is not None
    promote(store, RUNG, "serve", "test", "for a test")
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        handled, _ = await ask(desk, request_of(f"{UNCLEAR} again"))
    assert handled.receipt.answered_by == "gpt"
    assert "no part of the error budget" in handled.receipt.tried[1].reason


async def test_a_cascade_taken_out_of_the_settings_answers_no_more(store: Store) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    async with open_desk(store, llm, ann, bob) as desk:
        handled, _ = await ask(desk, request_of(text_of(500)))
    assert handled.receipt.answered_by == "gpt"
    assert "[cascade] in shoal.toml names no model" in handled.receipt.tried[0].reason


async def test_calls_that_the_models_would_not_be_asked_about_are_not_tried(store: Store) -> None:
    known_task(store)
    ann = Clerk("ann")
    async with open_desk(store, Clerk(), ann, Clerk("bob"), cascade=SMALL) as desk:
        await ask(desk, request_of(text_of(1), logprobs=True))
        await desk.settle()
        assert not ann.asked
        await ask(desk, request_of(text_of(1)))
        await desk.settle()
    assert len(ann.asked) == 1


async def test_a_model_that_always_fails_does_not_have_the_others_paid(store: Store) -> None:
    known_task(store)
    few = SMALL.model_copy(update={"tries": 50})
    ann, bob = Clerk("ann"), Clerk("bob")
    bob.error = EngineUnreachable("bob is out")
    async with open_desk(store, Clerk(), ann, bob, cascade=few) as desk:
        for number in range(40):
            await tell(desk, [text_of(number)])
    assert len(ann.asked) <= 1
    assert len(bob.asked) >= 39


async def test_after_a_break_the_models_are_tried_again(store: Store) -> None:
    known_task(store)
    few = SMALL.model_copy(update={"tries": 50})
    ann = Clerk("ann")
    engines = (Clerk(), ann, Clerk("bob"))
    async with open_desk(store, *engines, cascade=few) as desk:
        for number in range(60):
            await tell(desk, [text_of(number)])
    assert len(ann.asked) == 50
    broken = Event(at=time.time(), task=RUNG, kind="demoted", by="audit", reason="for a test")
    with store.database.transaction() as conn:
        store.events.insert(conn, broken)
    async with open_desk(store, *engines, cascade=few) as desk:
        await tell(desk, [text_of(100)])
    assert len(ann.asked) == 51
    assert tried(store, "") == {"ann": 1, "bob": 1}


async def test_a_specialist_that_begins_to_serve_meanwhile_ends_the_attempt(store: Store) -> None:
    """What was heard is of all calls; what the rung would be asked about is not any more."""
    known_task(store)
    async with open_desk(store, Clerk(), Clerk("ann"), Clerk("bob"), cascade=SMALL) as desk:
        await tell(desk, [text_of(number) for number in range(EXAMPLES)])
    examiner = AgreementExaminer(store, LearnOptions(), SMALL.models)
    hearing = examiner.hearing(TASK)
    assert len(hearing.heard) == EXAMPLES
    serving(store)
    with pytest.raises(LearningError, match="another specialist serves"):
        examiner.certify(TASK, hearing, PROMISE)
    assert store.attempts.list(RUNG) == []


async def test_a_lapse_of_the_specialist_is_one_of_the_models_too(store: Store) -> None:
    """The LLM's answers are of another kind since: an old proof about them proves nothing."""
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    now = time.time()
    detail = msgspec.json.encode({"since": now})
    lapsed = Event(
        at=now, task=TASK.id, kind="lapsed", by="learner", reason="another LLM", detail=detail
    )
    with store.database.transaction() as conn:
        store.events.insert(conn, lapsed)
    with pytest.raises(LearningError, match="another LLM"):
        promote(store, RUNG, "serve", "test", "for a test")
    assert AgreementExaminer(store, LearnOptions(), SMALL.models).hearing(TASK).heard == ()


async def test_beside_a_rung_that_serves_shadows_are_compared_on_the_drawn_calls_only(
    store: Store,
) -> None:
    """Of the others only those would be seen on which the models do not agree."""
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    certify(store)
    promote(store, TASK.id, "shadow", "test", "for a test")
    async with open_desk(store, llm, ann, bob, cascade=SMALL, audit_rate=1) as desk:
        drawn, _ = await ask(desk, request_of(text_of(500)))
        await desk.settle()
    assert drawn.receipt.answered_by == "gpt"
    assert store.audits.process("c-1").n == 1
    async with open_desk(store, llm, ann, Parrot("bob"), cascade=SMALL) as desk:
        await ask(desk, request_of(text_of(500)))
        await desk.settle()
    assert store.audits.process("c-1").n == 1


@pytest.mark.parametrize(("factor", "by"), [(2.9, "gpt"), (3.1, "agreement/department")])
async def test_a_callers_limit_is_on_the_models_and_the_llm_together(
    store: Store, factor: float, by: str
) -> None:
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    await agreeing(store, llm, ann, bob)
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        request = request_of(text_of(500), max_tokens=10)
        each = upper_cost(request, PRICES, 0)
        assert each is not None
        handled = await desk.serve(request, "", Caller(max_cost=factor * each))
    assert handled.receipt.answered_by == by


async def test_a_validator_that_never_returns_does_not_hold_back_the_bill(store: Store) -> None:
    known_task(store)
    waiting, release = threading.Event(), threading.Event()

    class Slow:
        name = "slow"

        def complaint(self, request: Request, answer: Answer) -> str:
            waiting.set()
            release.wait(10)
            return ""

    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    own = LessonOptions(validators=("test.py:slow",))
    register_validator("test.py:slow", Quick())
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        await tell(desk, [text_of(number) for number in range(EXAMPLES)])
    assert certify_agreement(store, own=own).certificate is not None
    promote(store, RUNG, "serve", "test", "for a test")
    register_validator("test.py:slow", Slow())
    before = spent(store)
    async with open_desk(store, llm, ann, bob, cascade=SMALL, judging=own) as desk:
        asking = asyncio.create_task(ask(desk, request_of(text_of(500))))
        assert await asyncio.to_thread(waiting.wait, 10)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        release.set()
        await desk.settle()
    assert spent(store) - before == pytest.approx(2 * (60 * 10e-6 + 2 * 100e-6))


class Quick:
    """A validator that finds nothing."""

    name = "quick"

    def complaint(self, request: Request, answer: Answer) -> str:
        return ""


class Narrow(Clerk):
    """A cheap model that takes what is for the first department to be for the second."""

    async def answer(self, request: Request) -> Answer:
        said = await super().answer(request)
        return replace(said, text=LABELS[1]) if said.text == LABELS[0] else said


async def test_one_model_alone_answers_where_it_may_be_trusted(store: Store) -> None:
    """Two thirds of its answers are right, and which, the message tells."""
    known_task(store)
    alone = SMALL.model_copy(update={"models": ("ann",), "tries": 400})
    llm, ann = Clerk(), Narrow("ann")
    async with open_desk(store, llm, ann, cascade=alone) as desk:
        await tell(desk, [text_of(number) for number in range(400)])
    verdict = certify_agreement(store, alone.models)
    certificate = verdict.certificate
    assert certificate is not None, verdict.reason
    assert (certificate.signal, certificate.models) == ("learned", ("ann",))
    assert 0.55 < certificate.coverage < 0.75
    assert [step.recipe for step in verdict.ladder if step.refused] == [SHARE]
    promote(store, RUNG, "serve", "test", "for a test")
    async with open_desk(store, llm, ann, cascade=alone) as desk:
        knows, answer = await ask(desk, request_of(text_of(3 * 500 + 1)))
        knows_not, right = await ask(desk, request_of(text_of(3 * 500)))
    assert (knows.receipt.answered_by, answer.text) == ("agreement/department", LABELS[1])
    assert (knows_not.receipt.answered_by, right.text) == ("gpt", LABELS[0])
    assert knows_not.receipt.tried[0].reason == "ann said this: not enough to go by"


async def test_the_report_tells_what_the_models_were_proven_on(store: Store) -> None:
    known_task(store)
    alone = SMALL.model_copy(update={"models": ("ann",), "tries": 400})
    async with open_desk(store, Clerk(), Narrow("ann"), cascade=alone) as desk:
        await tell(desk, [text_of(number) for number in range(400)])
    certificate = certify_agreement(store, alone.models).certificate
    assert certificate is not None
    points = store.evidence.points(certificate.id)
    assert points is not None
    accepted = points.signals >= certificate.threshold
    assert (points.n, accepted.sum()) == (certificate.n, certificate.accepted)
    assert points.errors[accepted].sum() == certificate.errors
    assert {part.name for part in certificate.slices if part.by == "label"} == {*LABELS[1:]}
    facts = facts_of(store, TASK, LearnOptions())
    assert facts.certificate is None
    assert facts.agreement is not None
    assert (facts.agreement.certificate, facts.agreement.log_odds) == (certificate, True)
    promote(store, RUNG, "serve", "test", "for a test")
    async with open_desk(store, Clerk(), Narrow("ann"), cascade=alone) as desk:
        await ask(desk, request_of(text_of(3 * 500 + 1)))
    page = render(facts_of(store, TASK, LearnOptions()))
    assert "Cheaper models of department" in page
    assert "Of the answers that the cheaper models give in its place" in page
    assert "<tr><th>Models</th><td>ann</td></tr>" in page
    assert f"${60 * 10e-6 + 2 * 100e-6:.6f} a call" in page
    assert page.count("<svg") == 2  # what was proven by no specialist is not drawn


async def test_a_voice_that_fails_a_validator_is_not_counted(store: Store) -> None:
    register_validator("test.py:not_returns", NotReturns())
    own = LessonOptions(validators=("test.py:not_returns",))
    known_task(store)
    llm, ann, bob = Clerk(), Clerk("ann"), Clerk("bob")
    async with open_desk(store, llm, ann, bob, cascade=SMALL, judging=own) as desk:
        await tell(desk, [text_of(number) for number in range(EXAMPLES)])
    verdict = certify_agreement(store, own=own)
    certificate = verdict.certificate
    assert certificate is not None, verdict.reason
    assert certificate.validators == own.validators
    assert certificate.coverage == pytest.approx(2 / 3, abs=0.05)
    promote(store, RUNG, "serve", "test", "for a test")
    async with open_desk(store, llm, ann, bob, cascade=SMALL, judging=own) as desk:
        passes, _ = await ask(desk, request_of(text_of(LABELS.index("payments"))))
        fails, _ = await ask(desk, request_of(text_of(LABELS.index("returns"))))
    assert passes.receipt.answered_by == "agreement/department"
    assert fails.receipt.tried[0].reason == "no answer of ann and bob counts"
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        handled, _ = await ask(desk, request_of(text_of(1)))
    assert handled.receipt.answered_by == "gpt"
    assert "other validators" in handled.receipt.tried[0].reason


class NotReturns:
    """A validator that knows of no returns."""

    name = "not returns"

    def complaint(self, request: Request, answer: Answer) -> str:
        return "we take nothing back" if answer.text == "returns" else ""


async def test_answers_are_the_same_as_the_tasks_comparator_says(store: Store) -> None:
    """Ann and Bob are never of the LLM's words, and for this task that does not matter."""
    register("test.py:alike", lambda a, b: True)
    own = LessonOptions(comparator="test.py:alike")
    known_task(store)
    llm, ann, bob = Clerk(), Parrot("ann"), Parrot("bob")
    async with open_desk(store, llm, ann, bob, cascade=SMALL, judging=own) as desk:
        await tell(desk, [text_of(number) for number in range(EXAMPLES)])
    assert certify_agreement(store).certificate is None
    certificate = certify_agreement(store, own=own).certificate
    assert certificate is not None
    assert (certificate.comparator, certificate.coverage) == ("test.py:alike", 1.0)
    promote(store, RUNG, "serve", "test", "for a test")
    async with open_desk(store, llm, ann, bob, cascade=SMALL, judging=own, audit_rate=1) as desk:
        handled, _ = await ask(desk, request_of(text_of(2)))
        await desk.settle()
    assert handled.receipt.answered_by == "agreement/department"
    assert store.audits.process(certificate.id).errors == 0
    async with open_desk(store, llm, ann, bob, cascade=SMALL) as desk:
        handled, _ = await ask(desk, request_of(text_of(2)))
    assert handled.receipt.answered_by == "gpt"
    assert handled.receipt.tried[0].reason == (
        "certified with answers compared by: test.py:alike; shoal.toml says: equal label"
    )


async def test_how_sure_a_specialist_was_is_kept_with_what_it_would_have_said(
    store: Store,
) -> None:
    card = serving(store)
    alone = SMALL.model_copy(update={"models": ("ann",)})
    async with open_desk(store, Clerk(), Clerk("ann"), cascade=alone) as desk:
        handled, _ = await ask(desk, request_of(UNCLEAR))
        await desk.settle()
    tries = store.tries.of_task(Ground(TASK.id, card.id, 0.0))[handled.receipt.call_id]
    assert tries[card.id].signal == handled.receipt.tried[0].signal
    assert tries["ann"].signal is None


def tried(store: Store, after: str) -> dict[str, int]:
    return store.tries.counts(Ground.now(store.events, TASK.id, RUNG, after))


def spent(store: Store) -> float:
    """USD beside the calls' own."""
    return sum(row.audit_cost for row in store.spend.list("model", ""))
