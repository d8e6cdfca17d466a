"""Runs whose plan is written for their goal, or known from others."""

import json
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from run_stage import Ledger, agent_of, answer, ask, order_of, stage, use
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.loader import Loader
from shoal.assembly.runs.agent import Agent
from shoal.assembly.runs.performance import PLANNED
from shoal.chat import Request
from shoal.encoder import Encoder
from shoal.flywheel.stored_plans import certify_plans, drop_plans, gathered
from shoal.planning.options import AgentOptions
from shoal.planning.plan import Plan, read_plan
from shoal.planning.recurring import PlanExample
from shoal.routing.caller import ANYBODY
from shoal.routing.promise import PromiseOptions
from shoal.specialists.senses import Senses
from shoal.storage import Store
from tiny_encoder import TinyEncoder, tiny_senses

LOOKING = [use("a"), ask("b", "of ${a}"), answer("${b}")]
PAYING = [use("a"), use("p", "pay", after=["a"]), answer("${p}")]


def written(*steps: dict[str, Any]) -> str:
    return json.dumps({"name": "a plan", "steps": steps})


def is_planning(request: Request) -> bool:
    return request.messages[0].text.startswith("You write plans")


def planning(*plans: str) -> Callable[[Request], str]:
    """Says these plans, one after the other, and something else where it is no planner."""
    left = list(plans)

    def says(request: Request) -> str:
        return left.pop(0) if is_planning(request) else f"said {request.messages[-1].text}"

    return says


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


def stored(name: str, tool: str, field: str, kind: str) -> Plan:
    told = {
        "name": name,
        "input": {"type": "object", "properties": {field: {"type": kind}}, "required": [field]},
        "steps": [
            {"do": "tool", "id": "t", "tool": tool, "arguments": {
                "amount" if tool == "pay" else "what": f"${{input.{field}}}"}},
            {"do": "answer", "id": "end", "value": "${t}"},
        ],
    }  # fmt: skip
    return read_plan(msgspec.json.encode(told))


PLANS = [stored("refund", "pay", "amount", "integer"), stored("status", "look", "thing", "string")]
ENCODER = TinyEncoder()


def senses() -> Senses:
    return tiny_senses(ENCODER)


ASKING = ("please", "now", "if you can", "thanks", "today", "at once", "kindly", "again")


def examples(count: int) -> list[PlanExample]:
    found = list[PlanExample]()
    for at in range(count):
        polite, number = ASKING[at % len(ASKING)], 100 + (at * 37) % 900
        if at % 2:
            goal = f"refund {number} {polite}" if at % 3 else f"{polite}, pay back {number}"
            found.append(PlanExample(goal, "refund", {"amount": number}))
        else:
            thing = ("parcel", "letter", "invoice", "box", "order")[at % 5] + f"{number}"
            goal = f"where is {thing} {polite}" if at % 3 else f"{polite} tell me where {thing} is"
            found.append(PlanExample(goal, "status", {"thing": thing}))
    return found


async def test_a_goal_that_recurs_needs_no_planning_call_once_that_is_proven(store: Store) -> None:
    agent = Agent("desk", AgentOptions(planner="gpt", tools=("look", "pay"), models=("gpt",)), None,
                  {plan.name: plan for plan in PLANS})  # fmt: skip
    promise = PromiseOptions(alpha=0.02)
    found = certify_plans(store, "desk", PLANS, examples(30), senses, promise, "ann")
    assert not found.certificate
    assert "more examples" in found.reason
    found = certify_plans(store, "desk", PLANS, examples(1_600), senses, promise, "ann")
    assert found.certificate, found.reason

    ledger = Ledger()
    loader = Loader(store, LazyEncoder(cast(Encoder, ENCODER)))
    async with stage(store, ledger.tools(), planning(), [agent], loader=loader) as on:
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

    drop_plans(store, "desk", "ann")
    async with stage(store, ledger.tools(), planning(written(*LOOKING)), [agent]) as on:
        await on.orchestra.run(order_of(agent="desk", goal=goal), ANYBODY)
        assert len([one for one in on.scribes["gpt"].asked if is_planning(one)]) == 1


async def test_runs_are_examples_of_the_plans_they_needed(store: Store) -> None:
    agents = [planner(ask_before_writing=False, begin_early=False)]
    for number in (101, 202, 303):
        step = {"do": "tool", "id": "t", "tool": "pay", "arguments": {"amount": number}}
        says = planning(written(step, answer("${t}")))
        async with stage(store, Ledger().tools(), says, agents) as on:
            order = order_of(agent="desk", goal=f"refund {number}")
            assert (await on.orchestra.run(order, ANYBODY)).state == "done"
    plans, known = gathered(store, "desk", [], [], least=3)
    assert len(plans) == 1
    (name,) = plans[0].input["properties"]  # type: ignore[misc]
    assert [one.slots for one in known] == [{name: 101}, {name: 202}, {name: 303}]
