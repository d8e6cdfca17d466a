"""Runs whose plan is written for their goal, or known from others."""

from typing import Any

import msgspec
import pytest

from planned_desk import certify, desk, examples, is_planning, loader, planning, written
from run_stage import Ledger, agent_of, answer, ask, order_of, stage, use
from shoal.assembly.runs.agent import Agent
from shoal.assembly.runs.performance import PLANNED
from shoal.flywheel.planned_runs import known_of, planned_runs
from shoal.flywheel.promotion import promote
from shoal.flywheel.stored_plans import drop_plans
from shoal.planning.options import plans_id
from shoal.routing.caller import ANYBODY
from shoal.storage import Store

LOOKING = [use("a"), ask("b", "of ${a}"), answer("${b}")]
PAYING = [use("a"), use("p", "pay", after=["a"]), answer("${p}")]


def planner(**options: Any) -> Agent:
    return agent_of("desk", tools=("look", "pay"), models=("big", "gpt"), **options)


async def test_a_plan_is_written_for_a_goal_and_run(store: Store) -> None:
    for early in (True, False):
        agents = [planner(begin_early=early)]
        async with stage(store, Ledger().tools(), planning(written(*LOOKING)), agents) as on:
            run_id = await on.orchestra.begin(order_of(agent="desk", goal="look"), ANYBODY)
            found = await on.orchestra.outcome(run_id)
            assert (found.state, found.value) == ("done", "said of seen it")
            told = [one for one in store.runs.records(run_id) if one.kind == PLANNED]
            assert msgspec.json.decode(told[0].body)["by"] == "planner/gpt"
            assert found.tokens == 30, "the planning call's and the step's"


async def test_a_planned_call_that_changes_something_waits_for_a_word(store: Store) -> None:
    ledger = Ledger()
    async with stage(store, ledger.tools(), planning(written(*PAYING)), [planner()]) as on:
        run_id = await on.orchestra.begin(order_of(agent="desk", goal="pay"), ANYBODY)
        assert (await on.orchestra.outcome(run_id)).state == "waiting"
        assert ledger.done == []
        assert set((await on.orchestra.story(run_id, ANYBODY)).past.open) == {"approve_p"}

    trusted = [planner(ask_before_writing=False)]
    async with stage(store, ledger.tools(), planning(written(*PAYING)), trusted) as on:
        found = await on.orchestra.run(order_of(agent="desk", goal="pay"), ANYBODY)
        assert (found.state, found.value, len(ledger.done)) == ("done", "paid 1", 1)


@pytest.mark.parametrize("early", [True, False])
async def test_planning_may_not_cost_more_than_the_run(store: Store, early: bool) -> None:
    agents = [planner(usd=1e-6, begin_early=early)]
    async with stage(store, Ledger().tools(), planning(written(*LOOKING)), agents) as on:
        found = await on.orchestra.run(order_of(agent="desk", goal="look"), ANYBODY)
        assert (found.state, on.scribes["gpt"].asked) == ("failed", [])
        assert "could cost" in found.error


@pytest.mark.parametrize("early", [True, False])
async def test_a_plan_that_cannot_be_run_is_sent_back_once(store: Store, early: bool) -> None:
    wrong = written(use("a", "fire"), answer("${a}"))
    says = planning(*([wrong] * (1 + early)), written(*LOOKING))
    async with stage(store, Ledger().tools(), says, [planner(begin_early=early)]) as on:
        found = await on.orchestra.run(order_of(agent="desk", goal="look"), ANYBODY)
        assert found.state == "done", found
        mending = on.scribes["gpt"].asked[-2].messages[-1].text
        assert "fire" in mending

    async with stage(store, Ledger().tools(), planning(*[wrong] * 3), [planner()]) as on:
        found = await on.orchestra.run(order_of(agent="desk", goal="look"), ANYBODY)
        assert found.state == "failed"
        assert "there is no 'fire'" in found.error
        run = store.runs.list(limit=1)[0]  # all of it was paid for
        assert (found.tokens, run.tokens, run.cost) == (45, 45, pytest.approx(found.usd))


async def test_a_plan_that_failed_is_replaced_by_one_that_knows_what_happened(store: Store) -> None:
    broken = [use("a"), ask("b", "${a}", output={"type": "integer"}), answer("${b}")]
    better = [ask("c", "again ${done.a}"), answer("${c}")]
    says = planning(written(*broken), written(*better))
    async with stage(store, Ledger().tools(), says, [planner()]) as on:
        run_id = await on.orchestra.begin(order_of(agent="desk", goal="look"), ANYBODY)
        found = await on.orchestra.outcome(run_id)
        assert (found.state, found.value) == ("done", "said again seen it")
        places = [one.step for one in store.runs.records(run_id) if one.kind == "finished"]
        assert places == ["a", "2:c", "2:end"]
        asked = [one for one in on.scribes["gpt"].asked if is_planning(one)]
        assert "expected JSON" in asked[-1].messages[-1].text

    says = planning(written(*broken))
    async with stage(store, Ledger().tools(), says, [planner(replans=0)]) as on:
        found = await on.orchestra.run(order_of(agent="desk", goal="look"), ANYBODY)
        assert found.state == "failed"


async def test_a_goal_that_recurs_needs_no_planning_call_once_that_is_proven(store: Store) -> None:
    found = certify(store, examples(30))
    assert not found.certificate
    assert "more examples" in found.reason
    found = certify(store, examples(1_600))
    assert found.certificate, found.reason
    promote(store, plans_id("desk"), "serve", "person", "by hand")

    ledger, agent = Ledger(), desk()
    async with stage(store, ledger.tools(), planning(), [agent], loader=loader(store)) as on:
        goal = examples(1_600)[2].goal
        run_id = await on.orchestra.begin(order_of(agent="desk", goal=goal), ANYBODY)
        outcome = await on.orchestra.outcome(run_id)
        assert (outcome.state, outcome.value) == (
            "done",
            "seen " + str(examples(3)[2].slots["thing"]),
        )
        assert on.scribes["gpt"].asked == []
        told = [one for one in store.runs.records(run_id) if one.kind == PLANNED]
        assert msgspec.json.decode(told[0].body)["by"] == "planner/stored"

        odd = order_of(agent="desk", goal="write me a poem about rivers and their fish")
        on.scribes["gpt"].says = planning(written(answer("no")))
        assert (await on.orchestra.run(odd, ANYBODY)).value == "no"
        assert len(on.scribes["gpt"].asked) == 1

    drop_plans(store, "desk")
    async with stage(store, ledger.tools(), planning(written(*LOOKING)), [agent]) as on:
        await on.orchestra.run(order_of(agent="desk", goal=goal), ANYBODY)
        assert len([one for one in on.scribes["gpt"].asked if is_planning(one)]) == 1


async def test_runs_are_examples_of_the_plans_they_needed(store: Store) -> None:
    agents = [planner(ask_before_writing=False, begin_early=False)]
    for number in range(101, 113):
        step = {"do": "tool", "id": "t", "tool": "pay", "arguments": {"amount": number}}
        says = planning(written(step, answer("${t}")))
        async with stage(store, Ledger().tools(), says, agents) as on:
            order = order_of(agent="desk", goal=f"refund {number}")
            assert (await on.orchestra.run(order, ANYBODY)).state == "done"
    known = known_of(planned_runs(store, "desk", "gpt"), [], [], least=3)
    (plan,) = known.plans
    (name,) = plan.input["properties"]  # type: ignore[misc]
    assert [one.slots for one in known.examples] == [{name: at} for at in range(101, 113)]
    assert planned_runs(store, "desk", "big") == [], "another model wrote them"
