"""What is found wrong with a plan before it runs."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.worlds import CATALOGUE, answer, ask, messages, plan_of, tool
from shoal.errors import MalformedRequest
from shoal.planning.checker import RefusedPlan, check, require
from shoal.planning.estimate import Estimator
from shoal.planning.limits import Limits
from shoal.planning.plan import Ask, read_plan, read_step, written
from shoal.tools.tool import Json, ToolSpec

LOOP: dict[str, Json] = {
    "do": "map",
    "id": "each",
    "over": "${a.names}",
    "steps": [tool("inner", arguments={"id": 2})],
    "result": "${inner.price}",
}


def wrong(*steps: dict[str, Json], **more: Json) -> str:
    return messages(check(plan_of(*steps, **more), CATALOGUE).problems)


def test_a_plan_of_every_kind_passes_and_reads_back() -> None:
    plan = plan_of(
        {"do": "ask", "id": "kind", "task": "intent", "slots": {"text": "${input.text}"}},
        {"do": "retrieve", "id": "rules", "collection": "rules", "query": "${input.text}", "k": 2},
        tool("a"),
        LOOP,
        {
            "do": "branch",
            "id": "which",
            "arms": [
                {
                    "when": [{"value": "${kind}", "op": "equals", "than": "buy"}],
                    "steps": [tool("booked", "book", {"id": 3})],
                    "result": "${booked}",
                }
            ],
            "else": {"when": [], "result": "nothing"},
        },
        {
            "do": "repeat",
            "id": "again",
            "at_most": 3,
            "steps": [ask("better", "better than ${last}: ${rules[0].text}")],
            "result": "${better}",
            "until": [{"value": "${better}", "op": "contains", "than": "good"}],
        },
        {"do": "approve", "id": "ok", "question": "send it?", "show": "${again}"},
        answer({"by": "${ok.by}", "what": "${which}", "prices": "${each}"}),
        input={"type": "object", "properties": {"text": {"type": "string"}}},
    )
    found = check(plan, CATALOGUE)
    assert found.problems == ()
    assert found.least.steps < found.most.steps
    assert read_plan(written(plan)) == plan


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (
            [tool("a", arguments={"id": "${b.price}"}), tool("b", arguments={"id": "${a.price}"})],
            "a: it waits for itself: a, b",
        ),
        ([tool("a", "fire")], "a: tool: 'fire' is not allowed here"),
        (
            [tool("a", "nothing")],
            "a: tool: there is no 'nothing'; there are: book, look, safe, slow",
        ),
        ([tool("a", arguments={})], "a: arguments: look requires 'id'"),
        ([tool("a", arguments={"id": 1, "x": 2})], "a: arguments: look takes no 'x'; it takes: id"),
        ([tool("a", arguments={"id": "one"})], "a: arguments.id: "),
        (
            [tool("a"), tool("b", arguments={"id": "${a.names}"})],
            "b: arguments.id: it is array, expected integer",
        ),
        ([tool("a"), ask("b", "${a.cost}")], "b: a has no 'cost'; it has: names, price"),
        ([ask("b", "${a}")], "b: prompt: there is no result 'a' here"),
        ([ask("b", "${input.x}")], "b: input has no 'x'"),
        ([tool("a"), tool("a")], "a: id: there is another of this name"),
        ([tool("input")], "input: id: there is another of this name"),
        ([tool("a b")], "a b: id: expected a letter"),
        ([tool("a", after=["z"])], "a: after: there is no step 'z' beside it"),
        ([{**LOOP, "over": "some text"}], "each: over: it is string, expected array"),
        ([tool("a"), {**LOOP, "as": "a"}], "each: as: 'a' is a name already"),
        ([tool("a"), LOOP, ask("b", "${inner}")], "b: prompt: there is no result 'inner' here"),
        ([tool("a"), {**LOOP, "result": "${nobody}"}], "each: result: there is no result 'nobody'"),
        ([tool("a", retries=99)], "a: retries: expected 0 to 10"),
        (
            [{"do": "ask", "id": "k", "task": "intent", "slots": {}}],
            "k: slots: intent takes text, found none",
        ),
        (
            [{"do": "ask", "id": "k", "task": "intent", "model": "big"}],
            "k: expected either a task or a model",
        ),
        ([ask("k", "")], "k: a model is asked with a prompt"),
        ([ask("k", output={"type": "nonsense"})], "k: output: is no JSON Schema"),
        ([ask("k", "${a b}")], "k: ${a b}: no path"),
        ([tool("a", fallback=tool("b", "fire"))], "b: tool: 'fire' is not allowed here"),
        (
            [{"do": "retrieve", "id": "r", "collection": "x", "query": "q"}],
            "r: collection: there is no 'x'",
        ),
        (
            [{"do": "retrieve", "id": "r", "collection": "rules", "query": ["q"]}],
            "r: query: it is array",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_step(steps: list[dict[str, Json]], told: str) -> None:
    schema: Json = {"type": "object", "properties": {}, "additionalProperties": False}
    assert told in wrong(*steps, answer("done"), input=schema)


def test_only_what_stands_in_for_a_failed_step_knows_of_errors() -> None:
    assert "there is no result 'error'" in wrong(ask("a", "${error.message}"), answer(1))
    assert "error has no 'cause'" in wrong(tool("a", otherwise="${error.cause}"), answer(1))
    assert "another of this name" in wrong(tool("error"), answer(1))
    assert "arms[0].when" in wrong({"do": "branch", "id": "b", "arms": [{"result": 1}]}, answer(1))


def test_a_plan_that_answers_nothing_is_refused() -> None:
    assert "answer" in wrong(tool("a"))


def test_a_plan_still_being_written_needs_no_answer_yet() -> None:
    assert not check(plan_of(tool("a")), CATALOGUE, whole=False).problems


def test_an_impossible_budget_is_refused_and_one_that_may_be_exceeded_told_of() -> None:
    steps = [tool("a"), LOOP, answer(1)]
    assert "at least 2 steps, of 1" in wrong(*steps, budget={"steps": 1})
    found = check(plan_of(*steps, budget={"steps": 50, "usd": 0.5}), CATALOGUE)
    assert not found.problems
    assert "up to 102 steps, of 50" in messages(found.warnings)
    assert "up to 1.01 USD, of 0.5" in messages(found.warnings)


def test_what_nobody_knows_the_price_of_may_cost_anything() -> None:
    models = {"odd": msgspec.structs.replace(CATALOGUE.models["big"], name="odd", input_price=None)}
    catalogue = msgspec.structs.replace(CATALOGUE, models=models)
    found = check(plan_of(ask("a", model="odd"), answer("x"), budget={"usd": 1.0}), catalogue)
    assert "an unknown amount of USD, of" in messages(found.warnings)


def test_retries_escalations_and_fallbacks_count_at_most() -> None:
    step = ask("a", retries=2, escalate=["huge"], fallback=tool("b"), timeout_s=10)
    limits = Limits(prompt_characters=4_000)
    found = check(plan_of(step, answer("x")), CATALOGUE, limits)
    size = len("hello") + len("{}") + 200  # a token has at least a byte
    asked = 3 * (size * 1e-6 + 1_024 * 1e-5 + size * 1e-5 + 1_024 * 1e-4)
    assert found.most.usd == pytest.approx(asked + 0.01)
    pauses = 2 * (0.2 + 0.4)  # between the tries
    assert found.most.seconds == pytest.approx(6 * 10 + pauses + 30)


def test_steps_deep_within_steps_are_refused_without_end() -> None:
    step: dict[str, Json] = tool("t0")
    for at in range(1, 40):
        step = {"do": "map", "id": f"t{at}", "over": [], "steps": [step], "result": 1}
    assert "levels deep" in wrong(step, answer("x"))


@pytest.mark.parametrize("levels", [120, 700, 950])
def test_values_nested_deeply_are_refused_before_anybody_walks_them(levels: int) -> None:
    nested = "[" * levels + "]" * levels
    step = f'{{"do": "answer", "id": "end", "value": {nested}}}'
    with pytest.raises(MalformedRequest, match="nested more than 100 deep"):
        read_plan(f'{{"name": "x", "steps": [{step}]}}')
    with pytest.raises(MalformedRequest, match="nested more than 100 deep"):
        read_step(step)


def test_too_many_steps_are_refused() -> None:
    assert "more than 500 steps" in wrong(*[tool(f"t{at}") for at in range(600)], answer("x"))


def test_require_raises_with_all_problems() -> None:
    with pytest.raises(RefusedPlan) as raised:
        require(plan_of(tool("a", "fire"), tool("b", "gone"), answer("x")), CATALOGUE)
    assert [one.step for one in raised.value.problems] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"name":"x"}',
        '{"name":"x","steps":[{"do":"eval","id":"a"}]}',
        "[" * 9_999,
        '{"name":"x","steps":[],"extra":1}',
        '{"name":"x","steps":[{"do":"tool","id":"a","tool":"t","run":1}]}',
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest, match="no plan"):
        read_plan(text)


def test_written_out_arguments_are_held_to_schemas_that_refer_to_others() -> None:
    word: dict[str, Json] = {"type": "object", "required": ["said"]}
    words: dict[str, Json] = {"type": "array", "items": {"$ref": "#/$defs/Word"}}
    takes = {"type": "object", "properties": {"words": words}, "$defs": {"Word": word}}
    decide = ToolSpec(
        name="decide", description="decides", takes=msgspec.json.encode(takes).decode()
    )
    offered = msgspec.structs.replace(CATALOGUE, tools={"decide": decide})

    def told(given: Json) -> str:
        plan = plan_of(tool("a", "decide", {"words": given}), answer("${a}"))
        return messages(check(plan, offered).problems)

    assert told([]) == ""
    assert told([{"said": "yes"}]) == ""
    assert "said" in told([{"heard": "yes"}])


def test_a_prompt_that_names_results_may_have_four_bytes_for_each_character() -> None:
    step = ask("b", "of ${a}", max_tokens=10)
    limits = Limits(prompt_characters=1_000)
    found = check(plan_of(tool("a"), step, answer("x")), CATALOGUE, limits)
    assert found.most.tokens == 4_000 + len("{}") + 200 + 10
    assert found.most.usd == pytest.approx(0.01 + 4_202e-6 + 10e-5)
    assert found.usual.tokens == 1_000 / 4 + 10  # 2,000 characters a result, of 1,000 that are sent
    longer = check(plan_of(tool("a"), step, answer("x")), CATALOGUE)
    assert longer.usual.tokens == pytest.approx(2_000 / 4, abs=15)


def test_at_least_an_ask_costs_what_its_model_does_unless_a_specialist_may_answer() -> None:
    step = ask("a", "x" * 4_000, max_tokens=10)
    assert check(plan_of(step, answer("x")), CATALOGUE).least.usd == pytest.approx(1e-6)
    spared = {"big": msgspec.structs.replace(CATALOGUE.models["big"], spared=True)}
    catalogue = msgspec.structs.replace(CATALOGUE, models=spared)
    found = check(plan_of(step, answer("x"), budget={"usd": 1e-9}), catalogue)
    assert (found.problems, found.least.usd, found.least.tokens) == ((), 0.0, 0)
    refused = check(plan_of(step, answer("x"), budget={"usd": 1e-9}), CATALOGUE)
    assert "at least 1e-06 USD" in messages(refused.problems)


def test_a_list_that_is_written_out_is_as_long_as_it_is() -> None:
    each: dict[str, Json] = {"do": "map", "id": "e", "over": [1, 2, 3], "as": "one", "result": 1}
    each |= {"steps": [tool("t")], "at_most": 50}
    assert check(plan_of(each, answer("x")), CATALOGUE).most.steps == 4


def test_tokens_are_warned_of_by_what_is_usual() -> None:
    asks = [ask("a"), *(ask(f"a{at}", f"${{a{at - 1 or ''}}}") for at in range(1, 9))]
    found = check(plan_of(*asks, answer("x")), CATALOGUE)
    assert found.most.tokens > 1_900_000
    assert found.warnings == ()
    told = check(plan_of(*asks, answer("x"), budget={"tokens": 5_000}), CATALOGUE)
    assert "about" in messages(told.warnings)


@given(st.text(max_size=200), st.integers(0, 50))
def test_no_filled_in_prompt_has_more_tokens_than_was_said(text: str, most: int) -> None:
    """With the finest tokenizer there is: one that makes a token of each byte."""
    estimator = Estimator(CATALOGUE, Limits())
    step = Ask(id="a", model="big", prompt="${x}", max_tokens=most)
    filled = msgspec.structs.replace(step, prompt=text)
    size = len(text.encode("utf-8", "surrogatepass"))
    assert size + most <= estimator.filled_tokens(filled) <= estimator.most((step,)).tokens


def test_a_filled_in_prompt_costs_at_most_a_token_a_byte() -> None:
    estimator = Estimator(CATALOGUE, Limits())
    step = Ask(id="a", model="big", prompt="漢" * 20_000 + "\ud800", max_tokens=10)
    assert 0.06 < estimator.filled_usd(step) < 0.061
    assert estimator.filled_usd(msgspec.structs.replace(step, model="free")) == 0


def test_nobody_knows_how_long_the_request_of_a_task_is_that_a_model_is_asked() -> None:
    task: dict[str, Json] = {
        "do": "ask",
        "id": "a",
        "task": "intent",
        "slots": {"text": "x"},
        "escalate": ["huge"],
    }
    assert math.isinf(check(plan_of(task, answer(1)), CATALOGUE).most.usd)


def test_a_name_means_one_thing_wherever_it_is_known() -> None:
    inner: list[Json] = [tool("item"), tool("b", arguments={"id": "${item.price}"})]
    each: dict[str, Json] = {"do": "map", "id": "each", "over": [{"price": 1}], "result": "${b}"}
    taken = wrong(each | {"steps": inner}, answer("${each}"))
    assert "item: id: there is something of this name around it" in taken
    assert not wrong(each | {"steps": inner, "as": "one"}, answer("${each}"))
    named = wrong(each | {"steps": [tool("b")], "as": "error"}, answer("${each}"))
    assert "each: as: 'error' is a name already" in named


def test_arguments_are_held_to_what_they_will_be() -> None:
    takes: Json = {
        "type": "object",
        "properties": {"word": {"enum": ["${x}", "y"]}},
        "patternProperties": {"^x-": {"type": "string"}},
        "additionalProperties": False,
    }
    odd = ToolSpec(name="odd", description="", takes=msgspec.json.encode(takes).decode())
    offered = msgspec.structs.replace(CATALOGUE, tools={"odd": odd})

    def told(**given: Json) -> str:
        plan = plan_of(tool("a", "odd", dict(given)), answer("${a}"))
        return messages(check(plan, offered).problems)

    assert told(word="$${x}") == ""
    assert told(**{"x-more": "1"}) == ""
    assert "word" in told(word="z")
