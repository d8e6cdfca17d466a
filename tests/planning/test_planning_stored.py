"""Goals that are recognised: stored plans without a planning call."""

import asyncio
import json
import math
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.stored_plans import PLANS, PRICE, RULES, TRAVEL, takes
from planning.worlds import CATALOGUE, World, answer, plan_of, tool
from shoal.chat import Answer, Message, Request
from shoal.errors import EngineUnreachable, MalformedRequest
from shoal.planning.catalogue import Catalogue
from shoal.planning.earlier import Earlier
from shoal.planning.llm_planner import LlmPlanner
from shoal.planning.plan import Plan, written
from shoal.planning.plan_book import PlanBook
from shoal.planning.planner import NoPlan, Planned, goal_of
from shoal.planning.recurring import OTHER, PlanExample
from shoal.planning.run import Around, run_plan
from shoal.planning.stored_planner import Declined, NarrowedSpecialist, Planners, StoredPlanner
from shoal.routing.cascade import Cascade, CascadeRung
from shoal.routing.scored import OwnScore, ScoredAnswerer
from shoal.specialists.specialist import Prediction
from shoal.tasks import Input, Output, parse
from shoal.tools.tool import Json

BOOK = PlanBook(PLANS)
FIELDS = {field.name: field for field in BOOK.contract.fields}


class Says:
    """A specialist that says what it is told to."""

    kind, recipe = "fields", "told"

    def __init__(self, output: Output | None, signal: float = 0.9) -> None:
        self._prediction = Prediction(output, signal)

    def predict(self, given: Input) -> Prediction:
        if self._prediction.output == "break":
            raise ValueError("broken")
        return self._prediction

    def explain(self, given: Input) -> tuple[()]:
        return ()

    def save(self, folder: object) -> None:
        raise AssertionError("nothing is saved")


def stored(
    output: Mapping[str, Json] | str | None,
    signal: float = 0.9,
    threshold: float = 0.8,
    catalogue: Catalogue = CATALOGUE,
) -> StoredPlanner:
    whole = dict.fromkeys(FIELDS) | dict(output) if isinstance(output, dict) else output
    return StoredPlanner(BOOK, Says(whole, signal), lambda: threshold, catalogue)  # type: ignore[arg-type]


def test_the_contract_has_a_field_for_each_input_that_a_goal_states() -> None:
    assert [(name, field.kind) for name, field in FIELDS.items()] == [
        ("plan", "label"),
        ("id", "number"),
        ("city", "span"),
        ("origin", "span"),
    ]
    assert FIELDS["plan"].labels == ("price", "travel", "rules", "other")


def test_inputs_of_one_name_and_other_forms_have_fields_of_their_own() -> None:
    other = plan_of(answer("${input.id}"), name="x", input=takes(id={"type": "string"}))
    odd = plan_of(answer("${input.plan}"), name="y", input=takes(plan={"enum": ["a", "b"]}))
    book = PlanBook((PRICE, other, odd))
    assert [field.name for field in book.contract.fields] == ["plan", "price.id", "x.id", "y.plan"]
    example = PlanExample("g", "y", {"plan": "b"})
    assert book.filled("g", book.output(example)) == (odd, {"plan": "b"})


@pytest.mark.parametrize(
    "example",
    [
        PlanExample("g", "price", {"id": 12}),
        PlanExample("g", "travel", {"city": "Rome", "origin": "Oslo"}),
        PlanExample("g", "rules", {"goal": "g"}),
    ],
)
def test_an_example_is_written_and_filled_in_again(example: PlanExample) -> None:
    output = parse(BOOK.contract, BOOK.written(example))
    assert output == BOOK.output(example)
    found = BOOK.filled("g", output)
    assert found == (BOOK.plans[example.plan], example.slots)


def test_every_form_of_input_is_filled_in() -> None:
    forms = takes(
        n={"type": "number"},
        day={"type": "string", "format": "date"},
        yes={"type": "boolean"},
        unit={"enum": ["C", "F"]},
        names={"type": "array", "items": {"type": "string"}},
    )
    book = PlanBook((plan_of(answer(1), name="x", input=forms),))
    slots: dict[str, Json] = {
        "n": 2.5,
        "day": "2026-11-30",
        "yes": False,
        "unit": "F",
        "names": ["a", "b"],
    }
    text = book.written(PlanExample("g", "x", slots))
    assert json.loads(text) == {"plan": "x", **slots}
    found = book.filled("g", parse(book.contract, text))
    assert not isinstance(found, str)
    assert found[1] == slots


OPEN = plan_of(
    {
        "do": "tool",
        "id": "a",
        "tool": "book",
        "arguments": {"id": 1, "to": "${input.to}", "kind": "${input.kind}"},
    },
    answer("${a}"),
    name="open",
    input={
        "type": "object",
        "properties": {
            "to": {"type": ["string", "null"]},
            "kind": {"type": "string", "default": "any"},
        },
    },
)


def test_inputs_that_are_not_required_may_be_left_unsaid() -> None:
    book = PlanBook((OPEN,))
    said = book.output(PlanExample("g", "open", {"to": "Rome"}))
    assert book.filled("g", said) == (OPEN, {"to": "Rome", "kind": "any"})
    unsaid = book.output(PlanExample("g", "open"))
    assert book.filled("g", unsaid) == (OPEN, {"to": None, "kind": "any"})


def test_a_written_plan_may_leave_out_what_is_not_required() -> None:
    def wrote(**arguments: Json) -> Plan:
        return plan_of(tool("b", "book", {"id": 1, **arguments}), answer("${b}"))

    book = PlanBook((OPEN,))
    assert book.example("g", wrote(to="Rome")) == PlanExample("g", "open", {"to": "Rome"})
    assert book.example("g", wrote()) == PlanExample("g", "open")
    assert book.example("g", wrote(other=1)).plan == OTHER


def test_what_no_goal_can_state_is_refused_with_what_to_do() -> None:
    table = plan_of(answer(1), name="x", input=takes(rows={"type": "object"}))
    with pytest.raises(MalformedRequest, match=r"x: input 'rows': .* mark it as \"given\": true"):
        PlanBook((table,))
    with pytest.raises(MalformedRequest, match="a name of its own"):
        PlanBook((PRICE, PRICE))
    with pytest.raises(MalformedRequest, match="there is no stored plan 'x'"):
        BOOK.output(PlanExample("g", "x"))


def test_a_sure_one_is_filled_in_and_checked() -> None:
    found = stored({"plan": "price", "id": 12.0, "city": "Rome"}).find("what does 12 cost")
    assert found == Planned(PRICE, {"id": 12}, "planner/stored", "recognised, signal 0.900")


def test_a_recognised_goal_runs_without_a_planning_call() -> None:
    found = stored({"plan": "price", "id": 12.0}).find("what does 12 cost")
    assert isinstance(found, Planned)
    world = World()
    around = Around(run_id="r", hands=world, catalogue=CATALOGUE)
    outcome = asyncio.run(run_plan(found.plan, found.given, around))
    assert (outcome.state, outcome.value) == ("done", 2.5)
    assert world.calls == [("look", {"id": 12})]


@given(
    st.sampled_from(["price", "travel", "rules"]),
    st.integers(-(10**6), 10**6),
    st.text(min_size=1, max_size=20),
    st.text(min_size=1, max_size=20),
)
def test_any_values_are_written_and_filled_in_again(
    plan: str, number: int, city: str, origin: str
) -> None:
    slots: dict[str, dict[str, Json]] = {
        "price": {"id": number},
        "travel": {"city": city, "origin": origin},
        "rules": {"goal": "g"},
    }
    output = parse(BOOK.contract, BOOK.written(PlanExample("g", plan, slots[plan])))
    assert BOOK.filled("g", output) == (BOOK.plans[plan], slots[plan])


@pytest.mark.parametrize(
    ("planner", "told"),
    [
        (stored({"plan": "price", "id": 12.0}, 0.7), "signal 70 % under the certified 80 %"),
        (stored({"plan": "price", "id": 12.0}, math.nan), "under the certified"),
        (stored({"plan": OTHER}), "it is none of the stored plans"),
        (stored(None), "it is none of the stored plans"),
        (stored({"plan": "price"}), "price: the goal does not say 'id', which it requires"),
        (stored({"plan": "price", "id": 1.5}), 'price: id: 1.5 is not of type "integer"'),
        (stored({"plan": "travel", "city": "Rome"}), "the goal does not say 'origin'"),
        (stored("break"), "failed: ValueError"),
        (stored({"plan": "price", "id": 12.0}, threshold=math.inf), "no certificate holds"),
        (
            stored({"plan": "price", "id": 12.0}, catalogue=Catalogue()),
            "price cannot be run now: a: tool: there is no 'look'; there are: none",
        ),
    ],
)
def test_anything_else_is_declined_with_the_reason(planner: StoredPlanner, told: str) -> None:
    found = planner.find("what does 12 cost")
    assert isinstance(found, Declined)
    assert told in found.reason


def test_what_is_given_goes_before_what_the_goal_states() -> None:
    found = stored({"plan": "price", "id": 12.0}).find("what does 12 cost", {"id": 13})
    assert isinstance(found, Planned)
    assert found.given == {"id": 13}
    wrong = stored({"plan": "price", "id": 12.0}).find("what does 12 cost", {"id": "x"})
    assert isinstance(wrong, Declined)


def test_inputs_that_are_given_beside_the_goal_must_be_there() -> None:
    plan = plan_of(
        tool("a", arguments={"id": "${input.key}"}),
        answer("${a}"),
        name="x",
        input=takes(key={"type": "integer", "given": True}),
    )
    planner = StoredPlanner(PlanBook((plan,)), Says({"plan": "x"}), lambda: 0.5, CATALOGUE)
    found = planner.find("do it", {"key": 4})
    assert isinstance(found, Planned)
    declined = planner.find("do it")
    assert isinstance(declined, Declined)
    assert "does not say 'key'" in declined.reason


def test_as_an_answerer_it_says_plan_and_inputs_and_nothing_else() -> None:
    request = Request("m", (Message("user", "what does 12 cost"),))
    sure = stored({"plan": "price", "id": 12.0, "city": "Rome"})
    assert json.loads(asyncio.run(sure.answer(request)).text) == {"plan": "price", "id": 12}
    with pytest.raises(NoPlan, match="none of the stored plans"):
        asyncio.run(stored({"plan": OTHER}).answer(request))


@pytest.mark.parametrize("signal", [0.9, 0.1])
def test_planning_is_a_task_that_a_cascade_serves(signal: float) -> None:
    """A stored plan where the signal reaches the threshold, else the plan that a model writes."""

    class Writes:
        name = "large"

        async def answer(self, request: Request) -> Answer:
            return Answer(
                text=written(plan_of(tool("a", arguments={"id": 12}), answer(1))).decode()
            )

    output: Output = {"plan": "price", "id": 12.0, "city": None, "origin": None}
    told = NarrowedSpecialist(BOOK, Says(output, signal))
    rung = ScoredAnswerer("stored", told, BOOK.contract, lambda asked: Input(goal_of(asked)))
    planner = LlmPlanner(Writes(), CATALOGUE)
    cascade = Cascade("planning", (CascadeRung(rung, OwnScore(rung), 0.8),), planner)
    request = Request("m", (Message("user", "what does 12 cost"),))
    reached = asyncio.run(cascade.reach(request))
    plan, values = BOOK.read("what does 12 cost", reached.answer.text)
    if signal > 0.8:
        assert (reached.answered_by, plan, values) == ("stored", PRICE, {"id": 12})
    else:
        assert (reached.answered_by, len(plan.steps), values) == ("planner/large", 2, {})


def test_an_answer_that_is_no_plan_is_told() -> None:
    with pytest.raises(MalformedRequest, match="none of the stored plans"):
        BOOK.read("g", '{"plan": "other"}')
    with pytest.raises(MalformedRequest, match="does not say 'id'"):
        BOOK.read("g", '{"plan": "price"}')
    with pytest.raises(MalformedRequest, match="expected a JSON object"):
        BOOK.read("g", "no idea")


def test_a_plan_that_was_written_is_told_as_the_stored_one_that_it_is() -> None:
    plan = plan_of(answer("${z.price}"), tool("z", arguments={"id": 77}))
    assert BOOK.example("77?", plan) == PlanExample("77?", "price", {"id": 77})
    assert BOOK.example("?", plan_of(tool("z", "book"), answer(1))) == PlanExample("?", OTHER)
    retrieval = msgspec.to_builtins(RULES.steps[0]) | {"query": "may I?"}
    assert BOOK.example("may I?", plan_of(retrieval, answer("${r}"))).plan == "rules"
    assert BOOK.example("must I?", plan_of(retrieval, answer("${r}"))).plan == OTHER


class Plans:
    """A planner that has a plan, or not."""

    def __init__(self, name: str, plan: Plan | None, error: Exception | None = None) -> None:
        self.name, self._plan, self._error = name, plan, error

    async def plan(
        self, goal: str, given: Mapping[str, Json] | None = None, past: Earlier | None = None
    ) -> Planned:
        if self._error is not None:
            raise self._error
        if self._plan is None:
            raise NoPlan(f"{self.name}: nothing", 10, 0.5, ("c",))
        return Planned(self._plan, by=self.name, why="written", tokens=5, cost=0.25)


def test_planners_are_asked_in_order_until_one_has_a_plan() -> None:
    both = Planners((Plans("a", None), Plans("b", TRAVEL), Plans("c", PRICE)))
    found = asyncio.run(both.plan("goal"))
    assert found == Planned(
        TRAVEL, by="b", why="written; a: nothing", tokens=15, cost=0.75, call_ids=("c",)
    )
    with pytest.raises(NoPlan, match="a: nothing; b: nothing") as error:
        asyncio.run(Planners((Plans("a", None), Plans("b", None))).plan("goal"))
    assert (error.value.tokens, error.value.cost) == (20, 1.0)


def test_a_planner_that_cannot_be_asked_is_passed_over_but_for_the_last() -> None:
    broken = Plans("a", None, EngineUnreachable("nobody listens"))
    found = asyncio.run(Planners((broken, Plans("b", PRICE))).plan("goal"))
    assert found.why == "written; a: nobody listens"
    with pytest.raises(EngineUnreachable):
        asyncio.run(Planners((Plans("b", None), broken)).plan("goal"))


def test_a_stored_plan_is_not_planned_anew() -> None:
    with pytest.raises(NoPlan, match="does not change"):
        asyncio.run(stored({"plan": "price", "id": 12.0}).plan("goal", past=Earlier()))
