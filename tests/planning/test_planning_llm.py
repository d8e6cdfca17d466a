"""The planner that asks a model."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.worlds import CATALOGUE, answer, plan_of, tool
from shoal.chat import Answer, Message, Request, Usage
from shoal.errors import EngineRefused, MalformedRequest
from shoal.planning.checker import check
from shoal.planning.earlier import Done, Earlier
from shoal.planning.llm_planner import LlmPlanner, PlannerOptions
from shoal.planning.plan import Plan, read_plan, written
from shoal.planning.plan_text import plan_in
from shoal.planning.planner import NoPlan, Planned
from shoal.tools.tool import Json

GOOD = plan_of(tool("a", arguments={"id": 3}), answer("${a.price}"))
TEXT = written(GOOD).decode()
BAD = written(plan_of(tool("a", arguments={"id": "three"}), answer("${b}"))).decode()


class Says:
    """Answers with one text after the other, and keeps what it was asked."""

    name = "large"

    def __init__(self, *answers: str | Answer) -> None:
        self._answers = [*answers]
        self.asked = list[Request]()

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        said = self._answers.pop(0)
        if isinstance(said, Answer):
            return said
        return Answer(text=said, usage=Usage(100, 20), id=f"call-{len(self.asked)}")


def planned(
    ask: Says,
    given: dict[str, Json] | None = None,
    past: Earlier | None = None,
    options: PlannerOptions | None = None,
) -> Planned:
    planner = LlmPlanner(ask, CATALOGUE, options, price=lambda usage: 0.01)
    return asyncio.run(planner.plan("What does 3 cost?", given, past))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        f"Here is {{the}} plan you want:\n\n```\n{TEXT}\n```\nGood luck!",
        f"Sure. {TEXT} That should do.",
        json.dumps({"plan": json.loads(TEXT)}),
        f"First {{}} and then {TEXT}",
    ],
)
def test_a_plan_is_found_whatever_stands_around_it(text: str) -> None:
    assert plan_in(text) == GOOD


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("I cannot.", "expected a JSON object, found none"),
        ('{"name": "x"}', "missing required field `steps`"),
        ('{"name": "x", "steps": [{"do": "sing", "id": "a"}]}', "sing"),
        (TEXT[:-20], "no plan"),
        ("{" * 5_000, "no plan"),
    ],
)
def test_what_is_no_plan_is_told(text: str, told: str) -> None:
    with pytest.raises(MalformedRequest, match=told):
        plan_in(text)


PIECES = ['{"plan":', "{", "}", "[", "]", TEXT, TEXT[:40], TEXT[40:], "```", '"', "\\", ",", ":"]
PIECES += ["NaN", "1e999", "9" * 5_000, "\ud83d", "${", "null", '"steps"', "\x00", " "]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join))
def test_any_text_is_a_plan_or_told_to_be_none(text: str) -> None:
    with suppress(MalformedRequest):
        assert isinstance(plan_in(text), Plan)


@given(st.data())
def test_a_plan_with_anything_in_its_place_is_mended_or_refused(data: st.DataObject) -> None:
    """Mutated plans: a planner gives a plan that was checked, or an error that says why."""
    told = json.loads(TEXT)
    for _ in range(data.draw(st.integers(1, 3))):
        at = told
        while isinstance(at, dict | list) and at:
            keys = list(at) if isinstance(at, dict) else range(len(at))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
                at[key] = deepcopy(data.draw(st.sampled_from(ODD)))
                break
            at = at[key]
    text = json.dumps(told)
    try:
        found = planned(Says(text, text))
    except NoPlan:
        return
    assert check(found.plan, CATALOGUE).problems == ()


ODD: list[Json] = [None, True, -1, 1e308, "", "a", "${a}", "${end}", "${input.x}", "${", "fire"]
ODD += [[], {}, ["${a.price}"], {"do": "answer", "id": "x", "value": 1}, "x" * 300, "\ud83d"]


def test_one_call_is_enough_for_a_plan_that_can_be_run() -> None:
    ask = Says(TEXT)
    found = planned(ask)
    told = Planned(GOOD, {}, "planner/large", "written", 120, 0.01, ("call-1",), output_tokens=20)
    assert found == told
    assert json.loads(ask.asked[0].response_format)["type"] == "json_schema"
    assert json.loads(ask.asked[0].params) == {"max_tokens": 8_192, "temperature": 0.0}


def test_a_wrong_plan_is_sent_back_once_with_what_is_wrong() -> None:
    ask = Says(BAD, TEXT)
    found = planned(ask)
    assert (found.plan, found.tokens, found.cost) == (GOOD, 240, 0.02)
    assert found.call_ids == ("call-1", "call-2")
    *_, wrote, mend = ask.asked[1].messages
    assert wrote.text == BAD
    assert "a: arguments.id" in mend.text
    assert "end: value: there is no result 'b' here" in mend.text


class Refuses(Says):
    """Takes no form for its answers."""

    status = 400

    async def answer(self, request: Request) -> Answer:
        if request.response_format:
            self.asked.append(request)
            raise EngineRefused(self.status, b"no such schema")
        return await super().answer(request)


def test_a_provider_that_refuses_the_form_is_asked_again_without() -> None:
    ask = Refuses(BAD, TEXT)
    assert planned(ask).plan == GOOD
    assert [bool(request.response_format) for request in ask.asked] == [True, False, False]


def test_a_provider_that_refuses_something_else_is_not_asked_again() -> None:
    ask = Refuses(TEXT)
    ask.status = 401
    with pytest.raises(EngineRefused):
        planned(ask)
    assert len(ask.asked) == 1


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (BAD, "a: arguments.id"),
        ("I cannot do that.", "found none"),
        (Answer(refusal="not me"), "you refused: not me"),
        (Answer(text=TEXT[:50], finish_reason="length"), "cut short"),
    ],
)
def test_a_plan_that_stays_wrong_is_an_error_that_says_why(last: str | Answer, told: str) -> None:
    with pytest.raises(NoPlan, match="large wrote no plan that can be run, in 2 tries") as error:
        planned(Says(BAD, last))
    assert told in str(error.value)
    assert error.value.tokens >= 120
    assert error.value.may_fall_back


def test_a_tool_that_is_withheld_is_refused_by_name() -> None:
    forbidden = written(plan_of(tool("a", "fire"), answer(1))).decode()
    with pytest.raises(NoPlan, match="'fire' is not allowed here"):
        planned(Says(forbidden, forbidden))


def test_what_is_given_is_known_with_its_types() -> None:
    plan = plan_of(tool("a", arguments={"id": "${input.number}"}), answer("${a}"))
    text = written(plan).decode()
    assert planned(Says(text), {"number": 3}).given == {"number": 3}
    with pytest.raises(NoPlan, match="it is string, expected integer"):
        planned(Says(text, text), {"number": "three"})
    with pytest.raises(NoPlan, match="input has no 'number'"):
        planned(Says(text, text), {"other": 3})


def test_what_a_model_says_of_the_input_binds_nobody() -> None:
    odd = plan_of(answer("${input.rows}"), input={"type": "object", "required": ["more"]})
    found = planned(Says(written(odd).decode()), {"n": 3, "rows": [{"a": 1}]})
    assert found.plan.input == {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "rows": {}},
        "additionalProperties": False,
    }
    assert planned(Says(written(plan_of(answer(1), input={"x": 1})).decode())).plan.input == {}


PAST = Earlier(
    (Done("order", "tool look", {"rows": [{"id": 7, "note": "${input.secret}"}]}),),
    "mail",
    "no such address",
    "ask for the address",
)


def test_a_new_plan_builds_on_what_was_done() -> None:
    plan = plan_of(tool("a", arguments={"id": "${done.order.rows[0].id}"}), answer("${a}"))
    ask = Says(written(plan).decode())
    assert planned(ask, past=PAST).plan == plan
    told = json.loads(ask.asked[0].messages[1].text.partition("\n")[2])
    assert told["past"]["failed"] == {
        "step": "mail",
        "error": "no such address",
        "hint": "ask for the address",
    }


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (plan_of(answer("${done.order.lines}")), "done.order has no 'lines'; it has: rows"),
        (plan_of(answer("${done.paid}")), "done has no 'paid'; it has: order"),
        (
            plan_of(tool("a", arguments={"id": "${done.order.rows[0].note}"}), answer(1)),
            "it is string, expected integer",
        ),
        (plan_of(tool("done"), answer(1)), "'done' is the name of the results so far"),
    ],
)
def test_paths_into_what_was_done_are_checked(plan: Plan, told: str) -> None:
    text = written(plan).decode()
    with pytest.raises(NoPlan) as error:
        planned(Says(text, text), past=PAST)
    assert told in str(error.value)


def test_as_an_answerer_it_says_the_plan() -> None:
    ask = Says(TEXT)
    request = Request(model="x", messages=_user(["an older goal", "What does 3 cost?"]))
    found = asyncio.run(LlmPlanner(ask, CATALOGUE).answer(request))
    assert read_plan(found.text) == GOOD
    assert found.usage == Usage(100, 20)
    assert "What does 3 cost?" in ask.asked[0].messages[1].text
    with pytest.raises(MalformedRequest, match="expected a goal"):
        asyncio.run(LlmPlanner(ask, CATALOGUE).answer(Request("x", ())))


def _user(texts: Sequence[str]) -> tuple[Message, ...]:
    return tuple(Message("user", text) for text in texts)
