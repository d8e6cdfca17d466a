"""Stored plans that serve are audited: the model that plans is asked too, beside the run."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest
from sqlalchemy import select

from planned_desk import (
    certify,
    desk,
    examples,
    is_planning,
    loader,
    plan_for,
    promoted,
    writes,
    written,
)
from run_stage import Ledger, Stage, answer, order_of, stage, until
from shoal.assembly.runs.agent import Agent
from shoal.assembly.runs.performance import PLANNED
from shoal.chat import Request
from shoal.flywheel.planned_runs import planned_runs
from shoal.flywheel.promotion import promote
from shoal.planning.options import plans_id
from shoal.planning.outcome import Outcome
from shoal.routing.caller import ANYBODY, Caller, KeySpec
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store
from shoal.storage.schema import spend

TASK = plans_id("desk")
ALL = PromiseOptions(alpha=0.3, audit_rate=1.0)
GOALS = [one.goal for one in examples(60)]
WRONG = written(answer("no"))


def audited(
    store: Store, says: Callable[[Request], str], agent: Agent | None = None
) -> AbstractAsyncContextManager[Stage]:
    """A place where every run that a stored plan answers is audited."""
    tools, own = Ledger().tools(), loader(store)
    return stage(store, tools, says, [agent or desk()], loader=own, promise=ALL)


async def run(on: Stage, goal: str) -> Outcome:
    return await on.orchestra.run(order_of(agent="desk", goal=goal), ANYBODY)


async def test_an_audit_asks_the_model_after_the_run_got_its_plan(store: Store) -> None:
    certificate, ledger = promoted(store), Ledger()
    on_its_way = asyncio.Event()

    def says(request: Request) -> str:
        on_its_way.set()
        return plan_for(request.messages[-1].text)

    stands = stage(store, ledger.tools(), says, [desk()], loader=loader(store), promise=ALL)
    async with stands as on:
        goal = GOALS[1]
        run_id = await on.orchestra.begin(order_of(agent="desk", goal=goal), ANYBODY)
        outcome = await on.orchestra.outcome(run_id)
        assert (outcome.state, outcome.usd) == ("done", 0.0), "the audit is not the run's to pay"
        await on.orchestra.compared()
        assert on_its_way.is_set()
        assert len(ledger.done) == 1, "nothing of the other plan was run"
        (audit,) = store.audits.of_certificate(certificate)
        assert (audit.call_id, audit.task, audit.kind, audit.agrees) == (
            run_id,
            TASK,
            "audit",
            True,
        )
        assert store.audits.process(certificate).n == 1
    with store.database.read() as conn:
        (spent,) = conn.execute(select(spend).where(spend.c.purpose == "audit")).all()
    assert (spent.model, spent.task, spent.calls, spent.cost > 0) == ("gpt", TASK, 1, True)
    (seen,) = planned_runs(store, "desk", "gpt")
    assert (seen.goal, seen.sampled) == (goal, True), "an audited goal is an example"


async def test_goals_that_are_not_learned_from_are_the_models(store: Store) -> None:
    promoted(store)
    tools, own, less = Ledger().tools(), loader(store), PrivacyOptions(learn="redacted")
    says = writes(plan_for)
    on_it = stage(store, tools, says, [desk()], loader=own, promise=ALL, privacy=less)
    async with on_it as on:
        for goal, by in ((GOALS[1], "stored"), (f"{GOALS[1]} for jo@example.com", "gpt")):
            await run(on, goal)
            (latest,) = store.runs.list(limit=1)
            planned = store.runs.last_of(PLANNED, [latest.id])[latest.id]
            assert msgspec.json.decode(planned.body)["by"] == f"planner/{by}"


async def test_a_promise_that_audits_break_is_taken_back_at_once(store: Store) -> None:
    certificate = promoted(store)
    stands = audited(store, lambda _: WRONG)
    async with stands as on:
        for goal in GOALS[:20]:
            await run(on, goal)
            await on.orchestra.compared()
            standing = store.standings.get(TASK)
            assert standing is not None
            if standing.stage == "observe":
                break
        process = store.audits.process(certificate)
        assert standing.stage == "observe"
        assert process.n == process.errors < 10
        last = store.events.list(TASK)[0]
        assert (last.kind, last.by) == ("demoted", "audit")
        assert f"{process.errors} of {process.n} audited answers were wrong" in last.reason
        asked = len(on.scribes["gpt"].asked)
        await run(on, GOALS[0])
        assert len(on.scribes["gpt"].asked) == asked + 1, "the model plans again"


async def test_a_model_that_hangs_or_writes_no_plan_is_no_reference(store: Store) -> None:
    certificate = promoted(store)
    stands = audited(store, lambda _: "no plan")
    async with stands as on:
        outcome = await run(on, GOALS[0])
        assert outcome.state == "done"
        await on.orchestra.compared()
        assert len(on.scribes["gpt"].asked) == 2, "it was sent back once"
        assert on.shoal.health().detail["audits_failed"] == 1
        assert store.audits.process(certificate).n == 0


async def test_in_shadow_the_model_plans_and_the_stored_plan_is_compared(store: Store) -> None:
    certificate = promoted(store, "shadow")
    agent = desk(ask_before_writing=False)
    stands = stage(
        store, Ledger().tools(), writes(plan_for), [agent], loader=loader(store), promise=ALL
    )
    async with stands as on:
        for goal in GOALS[:6]:
            assert (await run(on, goal)).state == "done"
        await on.orchestra.compared()
        assert len([one for one in on.scribes["gpt"].asked if is_planning(one)]) == 6
        found = store.audits.of_certificate(certificate)
        assert found
        assert all(one.kind == "shadow" and one.agrees for one in found)
    assert len(planned_runs(store, "desk", "gpt")) == 6


async def test_a_person_being_asked_first_makes_no_plan_another(store: Store) -> None:
    certificate = promoted(store, "shadow")
    goal = GOALS[1]
    stands = stage(
        store, Ledger().tools(), writes(plan_for), [desk()], loader=loader(store), promise=ALL
    )
    async with stands as on:
        assert (await run(on, goal)).state == "waiting"
        await on.orchestra.compared()
        (audit,) = store.audits.of_certificate(certificate)
        assert audit.agrees


@pytest.mark.parametrize("why", ["tool", "model", "file", "gone", "promise"])
async def test_what_changed_since_goes_to_the_model_with_the_reason(store: Store, why: str) -> None:
    promoted(store, files=("refund", "status"))
    tools, agent = Ledger().tools(), desk(ask_before_writing=False)
    told = "tool: 'pay' is not allowed here"
    if why == "tool":
        agent = desk(tools=("look",))
    elif why == "gone":
        agent = Agent("desk", agent.options, None, {})
        told = "refund: its file is there no more"
    elif why == "promise":
        told = "and promised is 1 % with 95 % now"
    elif why == "model":
        agent = desk(planner="big")
        told = "proven against gpt, and big plans now"
    else:
        changed = dict(agent.stored)
        changed["refund"] = type(changed["refund"])(name="refund", steps=changed["status"].steps)
        agent = Agent("desk", agent.options, None, changed)
        told = "refund: its file has changed since it was certified"
    promise = PromiseOptions(alpha=0.01 if why == "promise" else 0.3)
    stands = stage(store, tools, lambda _: WRONG, [agent], loader=loader(store), promise=promise)
    async with stands as on:
        run_id = await on.orchestra.begin(order_of(agent="desk", goal=GOALS[1]), ANYBODY)
        assert (await on.orchestra.outcome(run_id)).value == "no"
        records = store.runs.records(run_id)
        (planned,) = (one for one in records if one.kind == PLANNED)
        assert told in msgspec.json.decode(planned.body)["why"]


async def test_of_those_that_the_model_plans_only_a_drawn_share_may_judge(store: Store) -> None:
    promoted(store)
    half = PromiseOptions(alpha=0.3, audit_rate=0.5)
    stands = stage(
        store, Ledger().tools(), lambda _: WRONG, [desk()], loader=loader(store), promise=half
    )
    async with stands as on:
        for at in range(12):
            odd = f"write me poem {at} about rivers and their fish"
            await run(on, odd)
    seen = planned_runs(store, "desk", "gpt")
    assert len(seen) == 12
    assert 0 < sum(one.sampled for one in seen) < 12


async def test_runs_do_not_wait_for_their_audit(store: Store) -> None:
    certificate, go = promoted(store), asyncio.Event()
    stands = audited(store, writes(plan_for))
    async with stands as on:
        inner = on.scribes["gpt"].answer

        async def slow(request: Request):  # type: ignore[no-untyped-def]
            await go.wait()
            return await inner(request)

        on.scribes["gpt"].answer = slow  # type: ignore[method-assign]
        outcome = await run(on, GOALS[0])
        assert outcome.state == "done"
        assert store.audits.process(certificate).n == 0
        go.set()
        await until(lambda: store.audits.process(certificate).n == 1)


async def test_a_stored_plan_that_no_person_wrote_asks_before_it_writes(store: Store) -> None:
    """The learner makes such of plans that a model wrote, maybe when nobody had to be asked."""
    promoted(store)
    goal, ledger = GOALS[1], Ledger()
    agent = desk()
    for stored, state in ((agent.stored, "done"), ({}, "waiting")):
        own = Agent("desk", agent.options, None, stored)
        async with stage(
            store, ledger.tools(), agents=[own], loader=loader(store), promise=ALL
        ) as on:
            found = await run(on, goal)
            assert (found.state, len(ledger.done)) == (state, 1)
            (run_of,) = (one for one in store.runs.list(limit=1))
            assert run_of.tokens == 0, "no planning call"


async def test_an_audit_that_may_cost_too_much_is_left_out(store: Store) -> None:
    certificate = promoted(store)
    poor = Caller(key="k", spec=KeySpec(budget_day=1e-9))
    stands = audited(store, writes(plan_for))
    async with stands as on:
        found = await on.orchestra.run(order_of(agent="desk", goal=GOALS[0]), poor)
        assert found.state == "done"
        await on.orchestra.compared()
        assert on.scribes["gpt"].asked == []
        assert store.audits.process(certificate).n == 0


async def test_what_people_certified_no_model_audits(store: Store) -> None:
    found = certify(store, examples(120), promise=PromiseOptions(alpha=0.2), model="")
    assert found.certificate is not None
    assert found.certificate.by_people
    promote(store, TASK, "serve", "person", "by hand")
    stands = audited(store, writes(plan_for))
    async with stands as on:
        await run(on, GOALS[0])
        await on.orchestra.compared()
        assert on.scribes["gpt"].asked == []


async def test_stored_plans_whose_files_are_damaged_leave_the_goal_to_the_model(
    store: Store,
) -> None:
    promoted(store)
    for file in (store.options.path / "artifacts").rglob("plans.json"):
        file.chmod(0o600)
        file.write_text("{}")
    async with audited(store, lambda _: WRONG) as on:
        run_id = await on.orchestra.begin(order_of(agent="desk", goal=GOALS[0]), ANYBODY)
        assert (await on.orchestra.outcome(run_id)).value == "no"
        (planned,) = (one for one in store.runs.records(run_id) if one.kind == PLANNED)
        assert "planner/stored: " in msgspec.json.decode(planned.body)["why"]
