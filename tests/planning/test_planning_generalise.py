"""Stored plans made of plans that were run, and found again."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.worlds import CATALOGUE, answer, ask, plan_of, tool
from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import check
from shoal.planning.generalise import generalise
from shoal.planning.plan import Plan
from shoal.planning.recurring import OTHER, PlanExample, Recurring
from shoal.planning.references import filled
from shoal.planning.unifying import plain, unify
from shoal.tools.tool import Json, ToolSpec, schema

GOAL = "What does order 4711 cost for Anna Weiß, as of 3 May 2026?"


def order_plan(number: Json = 4711, name: Json = "Anna Weiß", day: Json = "2026-05-03") -> Plan:
    return plan_of(
        tool("a", arguments={"id": number}),
        tool("b", "book", {"id": 7, "name": name, "from": day, "why": "asked"}),
        ask("c", f"Write to {name} what it costs: ${{a.price}} as of ${{b}}"),
        answer("${c}"),
    )


def test_what_the_goal_states_becomes_an_input_with_its_type() -> None:
    found = generalise(order_plan(), GOAL, "order_cost")
    assert found.slots == {"id": 4711, "name": "Anna Weiß", "from": "2026-05-03"}
    assert found.plan.input["properties"] == {
        "id": {"type": "integer"},
        "name": {"type": "string"},
        "from": {"type": "string", "format": "date"},
    }
    assert (
        found.plan.steps
        == plan_of(
            tool("a", arguments={"id": "${input.id}"}),
            tool(
                "b",
                "book",
                {"id": 7, "name": "${input.name}", "from": "${input.from}", "why": "asked"},
            ),
            ask("c", "Write to ${input.name} what it costs: ${a.price} as of ${b}"),
            answer("${c}"),
        ).steps
    )
    assert check(found.plan, CATALOGUE).problems == check(order_plan(), CATALOGUE).problems


@pytest.mark.parametrize(
    ("argument", "goal", "slot"),
    [
        (12, "give me twelve of them", 12),
        (1234.5, "pay 1,234.50 now", 1234.5),
        ("PARIS", "fly to  Paris", "PARIS"),
        ("2026-11-30", "due November 30th, 2026", "2026-11-30"),
        ("4711", "order 4711", "4711"),
        ("art", "start", None),
        (True, "is it true or 1", None),
        (3, "give me some", None),
        ("", "anything", None),
    ],
)
def test_values_are_found_as_a_goal_writes_them(argument: Json, goal: str, slot: Json) -> None:
    found = generalise(plan_of(tool("a", arguments={"x": argument}), answer("ok")), goal)
    assert found.slots == ({} if slot is None else {"x": slot})


def test_the_goal_itself_is_an_input() -> None:
    plan = plan_of(
        {"do": "retrieve", "id": "r", "collection": "rules", "query": GOAL},
        ask("c", f"Answer this: {GOAL} By these: ${{r}}"),
        answer("${c}"),
    )
    found = generalise(plan, GOAL)
    assert found.slots == {"goal": GOAL}
    assert "Answer this: ${input.goal} By these" in msgspec.json.encode(found.plan).decode()
    assert unify(found.plan, plan) == {"goal": GOAL}


def test_equal_values_are_one_input_and_others_of_a_name_are_numbered() -> None:
    plan = plan_of(
        tool("a", arguments={"to": "Rome", "via": "Rome"}),
        tool("b", arguments={"to": "Oslo"}),
        answer(1),
    )
    found = generalise(plan, "to Rome and to Oslo")
    assert found.slots == {"to": "Rome", "to_2": "Oslo"}


def test_a_closed_set_stays_one() -> None:
    spec = ToolSpec(
        name="weather",
        description="",
        takes=schema({"unit": {"type": "string", "enum": ["celsius", "kelvin"]}}),
    )
    plan = plan_of(tool("a", "weather", {"unit": "kelvin"}), answer(1))
    found = generalise(plan, "weather in Kelvin", catalogue=Catalogue(tools={"weather": spec}))
    assert found.plan.input["properties"] == {"unit": {"enum": ["celsius", "kelvin"]}}


def test_inputs_that_were_given_stay_given() -> None:
    plan = plan_of(tool("a", arguments={"id": "${input.key}", "n": 5}), answer(1))
    found = generalise(plan, "five times")
    assert found.plan.input["properties"] == {"key": {"given": True}, "n": {"type": "integer"}}
    assert unify(found.plan, plan) == {"n": 5}


STORED = generalise(order_plan(), GOAL, "order_cost").plan


def test_the_same_plan_with_other_values_is_found() -> None:
    other = plan_of(
        answer("${reply}"),
        ask("reply", "Write to Bo what it costs: ${x.price} as of ${y}"),
        tool("y", "book", {"why": "asked", "id": 7, "name": "Bo", "from": "2026-01-02"}),
        tool("x", arguments={"id": 12}),
    )
    assert unify(STORED, other) == {"id": 12, "name": "Bo", "from": "2026-01-02"}


@pytest.mark.parametrize(
    "other",
    [
        order_plan(number="twelve"),
        order_plan(day="tomorrow"),
        order_plan(number="${b.id}"),
        plan_of(tool("a", arguments={"id": 12}), answer("${a}")),
        plan_of(
            tool("a", arguments={"id": 12}),
            tool("b", "book", {"id": 8, "name": "Bo", "from": "2026-01-02", "why": "asked"}),
            ask("c", "Write to Bo what it costs: ${a.price} as of ${b}"),
            answer("${c}"),
        ),
        plan_of(
            tool("a", arguments={"id": 12}),
            tool("b", "book", {"id": 7, "name": "Bo", "from": "2026-01-02", "why": "asked"}),
            ask("c", "Write to Jo what it costs: ${a.price} as of ${b}"),
            answer("${c}"),
        ),
        plan_of(
            tool("a", arguments={"id": 12}),
            tool("b", "book", {"id": 7, "name": "Bo", "from": "2026-01-02", "why": "asked"}),
            ask("c", "Write to Bo what it costs: ${b.price} as of ${a}"),
            answer("${c}"),
        ),
    ],
)
def test_another_plan_is_another_plan(other: Plan) -> None:
    assert unify(STORED, other) is None


def test_what_waits_for_what_counts() -> None:
    def plan(first: str, after: list[str]) -> Plan:
        steps = [tool(first), tool("y", "book"), tool("z", "safe", after=after), answer(1)]
        return plan_of(*steps)

    assert unify(plan("x", ["x"]), plan("w", ["w"])) == {}
    assert unify(plan("x", ["x"]), plan("x", ["y"])) is None


VALUES = st.integers(-99, 99) | st.text("abc xyz", min_size=1, max_size=6) | st.booleans()


@st.composite
def plans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Steps that use one another's results, loops and branches among them."""
    steps: list[dict[str, Any]] = []
    for at in range(draw(st.integers(1, 5))):
        earlier = [f"${{{step['id']}}}" for step in steps]
        value = draw(st.sampled_from([*earlier, "literal"]) | VALUES)
        kind = draw(st.sampled_from(["tool", "ask", "map", "branch"]))
        id = f"s{at}"
        if kind == "tool":
            name = draw(st.sampled_from(["look", "book"]))
            steps.append(tool(id, name, {"id": value, "why": draw(VALUES)}))
        elif kind == "ask":
            steps.append(ask(id, f"about {value}"))
        elif kind == "map":
            inner = [tool(f"{id}_in", arguments={"id": "${item}", "of": value})]
            loop = {"do": "map", "id": id, "over": [1, draw(VALUES)], "steps": inner}
            steps.append({**loop, "result": f"${{{id}_in}}"})
        else:
            arm = {"when": [{"value": value, "op": "equals", "than": 1}], "result": draw(VALUES)}
            steps.append({"do": "branch", "id": id, "arms": [arm]})
    return steps


def renamed(value: Any, names: dict[str, str]) -> Any:
    text = msgspec.json.encode(value).decode()
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"').replace(f"${{{old}", f"${{{new}")
        text = text.replace(f'"{old}_in"', f'"{new}_in"')
    return msgspec.json.decode(text)


@given(plans(), st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(steps: list[dict[str, Any]], rng: random.Random) -> None:
    names = {step["id"]: f"q{at}" for at, step in enumerate(steps)}
    shuffled = renamed(steps, names)
    rng.shuffle(shuffled)
    assert unify(plan_of(*steps), plan_of(*shuffled)) == {}


@given(plans(), st.lists(VALUES, min_size=1, max_size=4))
def test_what_was_generalised_is_the_plan_with_its_values(
    steps: list[dict[str, Any]], stated: list[Json]
) -> None:
    goal = "do it with " + " , ".join(map(str, stated))
    plan = plan_of(*steps)
    found = generalise(plan, goal)
    bound = unify(found.plan, plan)
    assert bound is not None
    inputs = set(found.slots) - {"goal"}
    assert {key: bound[key] for key in inputs} == {key: found.slots[key] for key in inputs}
    assert _with(plain(found.plan.steps), found.slots) == plain(plan.steps)


def _with(value: Any, slots: dict[str, Json]) -> Any:
    """Paths into the input filled in, other paths as they are."""
    match value:
        case dict():
            return {key: _with(one, slots) for key, one in value.items()}
        case list():
            return [_with(one, slots) for one in value]
        case str() if "${input." in value:
            kept = value.replace("${s", "$${s").replace("${item", "$${item")
            return filled(kept, {"input": slots})
        case _:
            return value


@given(plans(), plans())
def test_unifying_is_exact(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Without inputs it holds both ways or neither."""
    first, second = plan_of(*one), plan_of(*other)
    assert (unify(first, second) is None) == (unify(second, first) is None)


def test_a_plan_of_many_steps_that_look_alike_is_given_up_in_time() -> None:
    same = [tool(f"s{at}", arguments={"id": 1}, after=[f"s{(at + 1) % 40}"]) for at in range(40)]
    odd = [tool(f"s{at}", arguments={"id": 1}, after=["s0"]) for at in range(40)]
    assert unify(plan_of(*same), plan_of(*odd)) is None


def test_examples_accumulate_from_runs() -> None:
    runs = Recurring()
    first = runs.add(GOAL, order_plan())
    second = runs.add(
        "Order 12 for Bo, as of 1 June 2026, please", order_plan(12, "Bo", "2026-06-01")
    )
    other = runs.add("Say hello", plan_of(ask("c", "Say hello"), answer("${c}")))
    assert first.plan == second.plan == "some plan"
    assert second.slots == {"id": 12, "name": "Bo", "from": "2026-06-01"}
    assert other.plan == "some plan_2"
    plans, examples = runs.found(least=2)
    assert [plan.name for plan in plans] == ["some plan"]
    assert examples[2] == PlanExample("Say hello", OTHER, {})


def test_a_query_that_is_not_the_goal_is_not_taken_for_it() -> None:
    def plan(query: str) -> Plan:
        step = {"do": "retrieve", "id": "r", "collection": "rules", "query": query}
        return plan_of(step, answer("${r}"))

    runs = Recurring()
    assert runs.add("may I return it", plan("may I return it")).plan == "some plan"
    assert runs.add("what of shoes", plan("something else")).plan == "some plan_2"
    assert runs.add("what of hats", plan("what of hats")).plan == "some plan"


def test_what_a_goal_stated_by_chance_is_found_out_with_the_next() -> None:
    def plan(number: int) -> Plan:
        step = tool("a", arguments={"id": number, "unit": "days", "n": 3})
        return plan_of(step, ask("c", "In days: ${a}"), answer("${c}"))

    runs = Recurring()
    first = runs.add("order 12 takes how many days, of three", plan(12))
    assert first.slots == {"id": 12, "unit": "days", "n": 3}
    runs.add("when does order 14 come", plan(14))
    runs.add("order 15?", plan(15))
    (found,), examples = runs.found()
    assert (
        found.steps
        == plan_of(
            tool("a", arguments={"id": "${input.id}", "unit": "days", "n": 3}),
            ask("c", "In days: ${a}"),
            answer("${c}"),
        ).steps
    )
    assert found.input["required"] == ["id"]
    assert [dict(one.slots) for one in examples] == [{"id": 12}, {"id": 14}, {"id": 15}]
    assert unify(found, plan(9)) == {"id": 9}


def test_a_value_that_all_goals_state_stays_an_input() -> None:
    def plan(city: str) -> Plan:
        told: dict[str, Json] = {"id": 1, "city": city, "day": "2026-05-03"}
        return plan_of(tool("a", arguments=told), answer("${a}"))

    runs = Recurring()
    for goal in ("to Rome, 3 May 2026", "go to Rome on 2026-05-03", "Rome, May 3rd, 2026"):
        runs.add(goal, plan("Rome"))
    assert runs.found()[0][0].input["required"] == ["city", "day"]


def test_goals_of_which_none_recurs_make_no_endless_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.planning.recurring._MOST_ALIKE", 3)
    runs = Recurring()
    for at in range(6):
        runs.add(f"goal {at}", plan_of(ask("c", f"{'abcdef'[at]} what"), answer("${c}")))
    runs.add("another", plan_of(tool("a", arguments={"id": 1}), answer("${a}")))
    plans, examples = runs.found()
    assert len(plans) == 4
    assert [one.plan for one in examples].count(OTHER) == 3


def test_plans_that_there_were_stay_as_they_are() -> None:
    """A person's input is one, even if all runs had one value of it so far."""
    (stored,), _ = _found("order {0} in days", 2)
    more = [(f"when comes {at}", plan_of(*_days(7))) for at in range(4)]
    runs = Recurring([stored])
    for goal, plan in more:
        runs.add(goal, plan)
    (same,), examples = runs.found(least=50)
    assert same == stored
    assert all(one.plan == stored.name for one in examples)


def _days(number: int) -> list[dict[str, Any]]:
    return [tool("a", arguments={"id": number}), answer("${a}")]


def _found(goal: str, count: int) -> tuple[list[Plan], list[PlanExample]]:
    runs = Recurring()
    for at in range(count):
        runs.add(goal.format(at + 10), plan_of(*_days(at + 10)))
    return runs.found()
