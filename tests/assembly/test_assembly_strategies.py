"""Models with a strategy as rungs, beside calls and under the rules of one."""

import pytest
from keyword_desk import (
    KEYWORDS,
    LABELS,
    NEVER,
    PRICES,
    TASK,
    Clerk,
    ask,
    open_desk,
    request_of,
    seen,
    text_of,
)
from sqlalchemy import select

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.assembly.aside import Aside
from shoal.assembly.counting import Counting
from shoal.assembly.models import check_models
from shoal.assembly.strategies import upper
from shoal.chat import Answer, Request, Usage
from shoal.engines import EchoOptions
from shoal.errors import ConfigError, EffortExceeded, NotAllowed, UnknownModel
from shoal.flywheel.agreeing import AgreementExaminer
from shoal.flywheel.finding import task_row
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.promotion import promote
from shoal.formats.strategy_field import ASKED
from shoal.reasoning import parse_strategy
from shoal.reasoning.options import ReasoningOptions
from shoal.routing.caller import Caller
from shoal.routing.cascade_options import CascadeOptions
from shoal.routing.filing import agreement_id
from shoal.routing.key_ring import KeySpec
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.storage import Ground, Store
from shoal.storage.schema import spend

EXAMPLES = 160
PROMISE = PromiseOptions(alpha=0.1, confidence=0.9)
EACH = 60 * 10e-6 + 2 * 100e-6


class Guesser(Clerk):
    """A cheap model that knows one keyword for sure, and of the others guesses every other time:
    its samples agree where it knows."""

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        text = request.messages[-1].text
        label = next(label for label, words in KEYWORDS.items() if words in text)
        if label != LABELS[0]:
            label = LABELS[1 + len(self.asked) % 2]
        return Answer(label, model=self.name, usage=Usage(60, 2))


def known_task(store: Store) -> None:
    with store.database.transaction() as conn:
        store.tasks.put(conn, task_row(TASK, 0.0, 0.0))


async def test_a_rung_of_samples_says_how_they_agreed(store: Store) -> None:
    known_task(store)
    llm, ann = Clerk(), Guesser("ann")
    cascade = CascadeOptions(models=("ann+vote:4",), tries=1_000, try_rate=1)
    promises = {TASK.name: PROMISE}
    async with open_desk(store, llm, ann, cascade=cascade, promises=promises) as desk:
        for number in range(EXAMPLES):
            await ask(desk, request_of(text_of(number)))
            if number % 40 == 39:
                await desk.settle()
        await desk.settle()
        tries = store.tries.of_task(Ground(TASK.id, "", 0.0))
        said = [one["ann+vote:4"].answer.deliberation for one in tries.values()]
        assert {one and one.agreement for one in said} <= {0.5, 2 / 3, 0.75, 1.0}
        assert not any(one and one.samples for one in said)  # they are paid for already
        examiner = AgreementExaminer(store, LearnOptions(), ("ann+vote:4",))
        verdict = examiner.certify(TASK, examiner.hearing(TASK), PROMISE)
        assert verdict.certificate is not None, verdict.reason
        promote(store, agreement_id(TASK.id), "serve", "test", "for a test")
        await desk.reload()
        handled, _ = await ask(desk, request_of(text_of(3 * 400)))
        view = await seen(desk, handled.receipt.call_id)
    told = view.receipt.deliberation
    assert told is not None
    assert (told.strategy, told.agreement, len(told.samples)) == ("vote:4", 1.0, 2)
    assert view.receipt.cost == pytest.approx(2 * EACH)

    assert verdict.certificate.sampling == "risk 0.05, worth 0, 4 at once"
    bolder = Models(
        {"gpt": Model("gpt", llm, PRICES), "ann": Model("ann", ann, PRICES)},
        ReasoningOptions(risk=0.4),
    )
    regime = Regime(bolder, promises, PromiseOptions(audit_rate=NEVER), cascade=cascade)
    async with Shoal(store, regime) as desk:
        handled, _ = await ask(desk, request_of(text_of(3 * 500)))
    assert handled.receipt.answered_by == "gpt"
    reasons = " ".join(one.reason for one in handled.receipt.tried)
    assert "certified with strategies at risk 0.05" in reasons


async def test_the_reference_may_have_a_strategy(store: Store) -> None:
    """Then it is another one than the model alone, for certificates as for prices."""
    known_task(store)
    regime = Regime(
        Models({"gpt": Model("gpt", Clerk(), PRICES)}),
        {},
        PromiseOptions(audit_rate=NEVER),
        strategies={TASK.name: parse_strategy("vote:4")},
    )
    async with Shoal(store, regime) as desk:
        handled, _ = await ask(desk, request_of(text_of(1)))
        view = await seen(desk, handled.receipt.call_id)
    assert (view.receipt.llm, view.request.model) == ("gpt+vote:4", "gpt+vote:4")
    assert view.receipt.cost == view.receipt.llm_cost == pytest.approx(2 * EACH)
    assert view.answer is not None
    assert view.answer.deliberation is None  # once is enough: it is in the receipt


async def test_who_may_ask_a_model_may_ask_it_so_and_nobody_else(store: Store) -> None:
    models = {name: Model(name, Clerk(name), PRICES) for name in ("gpt", "ann")}
    only = Caller(spec=KeySpec(models=("ann",)))
    async with Shoal(store, Regime(Models(models), {}, PromiseOptions())) as desk:
        await desk.serve(request_of(text_of(0), "ann+vote:3"), "", only)
        with pytest.raises(NotAllowed, match="gpt"):
            await desk.serve(request_of(text_of(0), "ann+panel:gpt"), "", only)
        for field in ({"strategy": "panel:gpt"}, {"strategy": "fuse", "models": ["gpt"]}):
            opened = request_of(text_of(0), "ann", **{ASKED: field})
            with pytest.raises(NotAllowed, match="gpt"):
                await desk.serve(opened, "", only)
        await desk.serve(request_of(text_of(0), "ann", **{ASKED: {"strategy": "vote"}}), "", only)
        with pytest.raises(UnknownModel):
            await desk.serve(request_of(text_of(0), "eve+vote:3"), "", only)


async def test_an_ensemble_costs_what_each_of_it_does(store: Store) -> None:
    dear = Tariff(model="ann", input=100.0, output=1_000.0)
    models = {"gpt": Model("gpt", Clerk(), PRICES), "ann": Model("ann", Clerk("ann"), dear)}
    async with Shoal(store, Regime(Models(models), {}, PromiseOptions())) as desk:
        handled, _ = await ask(desk, request_of(text_of(0), "gpt+fuse:ann,gpt"))
        view = await seen(desk, handled.receipt.call_id)
    told = view.receipt.deliberation
    assert told is not None
    assert [one.model for one in told.samples] == ["ann", "gpt", "gpt"]
    assert view.receipt.cost == pytest.approx(12 * EACH)


def test_names_that_cannot_be_told_apart_are_refused() -> None:
    echo = EchoOptions(engine="echo")
    with pytest.raises(ConfigError, match="reads like gpt with the strategy vote:5"):
        Models.open({"gpt": echo, "gpt+vote:5": echo})
    Models.open({"gpt+vote:5": echo})


def test_settings_name_models_with_strategies() -> None:
    models = Models.open({"gpt": EchoOptions(engine="echo")}, ReasoningOptions(max_samples=8))
    check_models("cascade.models", ["gpt", "gpt+vote:8", "gpt+cot"], models)
    with pytest.raises(ConfigError, match="at most 8"):
        check_models("cascade.models", ["gpt+vote:9"], models)
    with pytest.raises(ConfigError, match="found 'eve"):
        check_models("cascade.models", ["eve+vote:3"], models)
    with pytest.raises(ConfigError, match=r"tasks\.x\.strategy"):
        Regime(models, {}, PromiseOptions(), strategies={"x": parse_strategy("vote:9")})


@pytest.mark.parametrize("name", ["vote", "vote:5", "cot+vote:3", "think:500", "wait:2"])
def test_what_it_may_cost_is_reckoned_beforehand(name: str) -> None:
    models = Models({"gpt": Model("gpt", Clerk(), PRICES, context=8_000)})
    asked = request_of(text_of(0), max_tokens=50)
    alone = upper(models.get("gpt"), asked, 100, None)
    whole = upper(models.get(f"gpt+{name}"), asked, 100, None)
    assert alone is not None
    assert whole is not None
    assert whole >= 2 * alone


def test_reading_in_parts_costs_in_proportion_to_what_is_read() -> None:
    models = Models({"gpt": Model("gpt", Clerk(), PRICES, context=8_000)})
    short, long = (request_of("word " * words, max_tokens=50) for words in (10, 20_000))
    model = models.get("gpt+fold")
    assert upper(model, short, 100, None) == upper(models.get("gpt"), short, 100, None)
    alone, whole = (upper(one, long, 100, None) for one in (models.get("gpt"), model))
    assert alone is not None
    assert whole is not None
    assert alone < whole < 20 * alone


@pytest.mark.parametrize("asked_before", [True, False])
async def test_what_is_asked_beside_a_call_in_vain_is_spent(
    store: Store, asked_before: bool
) -> None:
    """As an audit whose strategy had a first turn, and could not pay for the last."""
    short = EffortExceeded("ann")
    short.may_cost = asked_before
    ann = Model("ann", Clerk("ann"), PRICES)
    async with open_desk(store, Clerk(), Clerk("ann")) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        ann.engine.error = short  # type: ignore[attr-defined]
        with pytest.raises(EffortExceeded):
            await Aside(store, Counting(), "audit").ask(handled, ann)
        store.writer.submit(lambda conn: None, urgent=True).result(5)
    with store.database.read() as conn:
        found = conn.execute(select(spend.c.model).where(spend.c.purpose == "audit")).all()
    assert len(found) == asked_before
