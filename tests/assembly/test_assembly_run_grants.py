"""What a key is not for it cannot reach by a plan, nor by an agent."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from run_stage import Ledger, agent_of, answer, ask, order_of, plan_of, stage, use
from shoal.assembly.library import Library
from shoal.chat import Message, Request
from shoal.errors import NotAllowed, UnknownModel
from shoal.formats.runs import NewRun
from shoal.planning.checker import RefusedPlan
from shoal.planning.plan import Plan
from shoal.retrieval.collection import Collection
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.key_order import KeyOrder
from shoal.routing.key_ring import new_key
from shoal.storage import Store
from shoal.tools.toolset import Toolset
from tiny_encoder import TinyEncoder

Step = Mapping[str, Any]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    root = tmp_path / "collections"
    for name in ("open", "secret"):
        collection = Collection.create(root / name, TinyEncoder())
        collection.intake.add("a.md", f"# {name}\n\nThe word is {name}.\n".encode())
        collection.close()
    library = Library(root, TinyEncoder)
    yield library
    library.close()


def key_in(store: Store, **spec: object) -> Caller:
    order = KeyOrder.model_validate({"name": "app", **spec})
    made = new_key(order.name, order.spec(), time.time())
    with store.database.transaction() as conn:
        store.keys.insert(conn, made.row)
    return Caller(key=made.row.id, name="app", spec=order.spec())


def retrieve(id: str, collection: str, **more: Any) -> Step:
    return {"do": "retrieve", "id": id, "collection": collection, "query": "word", **more}


@pytest.mark.parametrize(
    ("spec", "step", "field"),
    [
        ({"models": ["gpt"]}, ask("a", model="big"), "model: 'big'"),
        ({"models": ["gpt"]}, ask("a", escalate=["big"], output={"type": "number"}), "'big'"),
        ({"models": ["gpt"]}, ask("a", fallback=ask("b", model="big")), "b: model: 'big'"),
        ({"tools": ["look"]}, use("a", "pay"), "tool: 'pay'"),
        ({"tools": ["look"]}, use("a", fallback=use("b", "pay")), "b: tool: 'pay'"),
        ({"tools": ["none"]}, use("a"), "tool: 'look'"),
        ({"collections": ["open"]}, retrieve("a", "secret"), "collection: 'secret'"),
        (
            {"collections": ["open"]},
            retrieve("a", "open", fallback=retrieve("b", "secret")),
            "b: collection: 'secret'",
        ),
        (
            {"tools": ["look"]},
            {"do": "map", "id": "m", "over": [1], "steps": [use("a", "pay")], "result": "${a}"},
            "a: tool: 'pay'",
        ),
        (
            {"tools": ["look"]},
            {
                "do": "branch",
                "id": "m",
                "arms": [{"when": [], "steps": [use("b")]}],
                "else": {"when": [], "steps": [use("a", "pay")]},
            },
            "a: tool: 'pay'",
        ),
    ],
)
async def test_a_plan_of_ones_own_reaches_no_further_than_the_key(
    store: Store, library: Library, spec: dict[str, object], step: Step, field: str
) -> None:
    caller, ledger = key_in(store, **spec), Ledger()
    plan = plan_of(step, answer("x"))
    async with stage(store, ledger.tools(), library=library) as here:
        with pytest.raises(RefusedPlan, match=f"{field}.* is not allowed here"):
            await here.orchestra.begin(order_of(plan), caller)
        with pytest.raises(RefusedPlan):
            await here.runs.outline(_new(plan), caller)
    assert (ledger.done, store.runs.list(), store.calls.list()) == ([], [], [])


async def test_what_it_is_for_it_reaches(store: Store, library: Library) -> None:
    caller = key_in(store, models=["gpt"], tools=["look"], collections=["open"])
    plan = plan_of(ask("a"), use("b"), retrieve("c", "open"), answer("${c[0].text}"))
    async with stage(store, Ledger().tools(), library=library) as here:
        outcome = await here.orchestra.run(order_of(plan), caller)
    assert (outcome.state, "open" in str(outcome.value)) == ("done", True)


async def test_a_task_is_no_way_to_a_model_that_the_key_is_not_for(store: Store) -> None:
    """A task's request names the model that it was recorded with."""
    caller = key_in(store, models=["gpt"])
    async with stage(store) as here:
        hands = (await here.scenes.set(order_of(plan_of(answer(1))), caller)).hands

        async def request(step: object) -> Request:
            return Request("big", (Message("user", "hello"),))

        hands._request = request  # type: ignore[method-assign, assignment]
        with pytest.raises(NotAllowed, match="may not ask 'big'"):
            await hands.ask(plan_of(ask("a"), answer(1)).steps[0], 1.0, math.inf)  # type: ignore[arg-type]
        assert here.scribes["big"].asked == []


async def test_a_key_for_tasks_asks_no_model_by_a_prompt(store: Store) -> None:
    caller = key_in(store, tasks=["department"])
    async with stage(store) as here:
        outcome = await here.orchestra.run(order_of(plan_of(ask("a"), answer("${a}"))), caller)
        assert outcome.state == "failed"
        assert "is for the tasks department only" in outcome.error
        assert here.scribes["gpt"].asked == []


async def test_an_agent_asks_its_models_for_who_may_ask_it_and_calls_only_tools_of_the_key(
    store: Store, library: Library
) -> None:
    asks = agent_of("asks", plan_of(ask("a", model="big"), answer("${a}")))
    pays = agent_of("pays", plan_of(use("a", "pay"), answer("${a}")))
    reads = agent_of("reads", plan_of(retrieve("a", "secret"), answer("${a[0].text}")))
    caller = key_in(
        store,
        models=["shoal/agent:asks", "shoal/agent:pays", "shoal/agent:reads"],
        tools=["look"],
        collections=["open"],
    )
    ledger = Ledger()
    agents = [asks, pays, reads, agent_of("other", plan_of(answer(1)))]
    async with stage(store, ledger.tools(), agents=agents, library=library) as here:
        order = order_of(agent="asks", goal="go")
        assert (await here.orchestra.run(order, caller)).state == "done"
        assert len(here.scribes["big"].asked) == 1
        for name, what in (("pays", "tool: 'pay'"), ("reads", "collection: 'secret'")):
            with pytest.raises(RefusedPlan, match=f"a: {what} is not allowed here"):
                await here.orchestra.begin(order_of(agent=name, goal="go"), caller)
        with pytest.raises(NotAllowed, match="may not ask 'shoal/agent:other'"):
            await here.runs.begin(NewRun(agent="other", goal="go"), caller)
        request = Request("shoal/agent:other", (Message("user", "go"),))
        with pytest.raises(NotAllowed, match="may not ask 'shoal/agent:other'"):
            await here.shoal.serve(request, "", caller)
        assert "shoal/agent:asks" in here.shoal.models(caller)
        assert "shoal/agent:other" not in here.shoal.models(caller)
    assert ledger.done == []


async def test_an_agent_that_plans_uses_nothing_that_is_not_named_for_it(store: Store) -> None:
    plan = (
        '{"name":"x","steps":[{"do":"tool","id":"a","tool":"pay","arguments":{"amount":1}},'
        '{"do":"answer","id":"end","value":"${a}"}]}'
    )
    ledger = Ledger()
    agents = [agent_of("plans", tools=["look"], replans=0)]
    async with stage(store, ledger.tools(), lambda request: plan, agents) as here:
        outcome = await here.orchestra.run(order_of(agent="plans", goal="pay it"), key_in(store))
    assert (outcome.state, ledger.done) == ("failed", [])
    assert "pay" in outcome.error


async def test_agents_of_none_are_not_told_of(store: Store) -> None:
    async with stage(store, agents=[agent_of("a", plan_of(answer(1)))]) as here:
        with pytest.raises(UnknownModel, match=r"no agent 'b'; you may ask: shoal/agent:a$"):
            await here.shoal.serve(Request("shoal/agent:b", (Message("user", "x"),)), "")


def _new(plan: Plan) -> NewRun:

    return NewRun(plan=msgspec.to_builtins(plan))


async def test_servers_of_tools_that_a_plan_does_not_name_hold_up_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[object]()

    async def look(self: Toolset, granted: object) -> None:
        asked.append(granted)

    monkeypatch.setattr(Toolset, "look", look)
    told = plan_of(use("a", fallback=use("b", "pay")), answer(1))
    async with stage(store, Ledger().tools()) as on:
        key = key_in(store, tools=["pay"])
        await on.scenes.set(order_of(told), ANYBODY)
        await on.scenes.set(order_of(told), key)
        await on.scenes.set(order_of(plan_of(answer(1))), ANYBODY)
    assert asked == [{"look", "pay"}, {"pay"}, set()]
