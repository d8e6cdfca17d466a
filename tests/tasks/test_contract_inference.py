"""The contract of a task, inferred from answers alone."""

import json
from typing import Any

import pytest
import recurring

from shoal.chat import Answer, ToolCall
from shoal.tasks.comparator import same
from shoal.tasks.contract import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    LabelContract,
    NumberContract,
    TextContract,
    read,
    written,
)
from shoal.tasks.inference import infer, join, revise


def inferred(*texts: str, literals: str = "", given: str = "") -> Contract:
    return infer([(given, Answer(text)) for text in texts], literals)


def shop_answers(key: str, number: int) -> list[tuple[str, Answer]]:
    rows = [row for row in recurring.shop() if key in row["llm"]][:number]
    return [(row["message"], Answer(str(row["llm"][key]))) for row in rows]


@pytest.mark.parametrize(
    ("key", "number", "count"),
    [("urgency", 25, 3), ("about_money", 25, 2), ("department", 300, 7), ("topic", 1000, 28)],
)
def test_real_labels(key: str, number: int, count: int) -> None:
    contract = infer(shop_answers(key, number))
    assert isinstance(contract, LabelContract)
    assert len(contract.labels) == count


def test_real_replies_are_text() -> None:
    assert infer(shop_answers("reply", 211)) == TextContract()


def test_listed_labels_are_known_before_they_are_seen() -> None:
    rows = recurring.data("support_desk/calls.jsonl.gz")[:25]
    intents = json.loads((recurring.DATA / "support_desk/intents.json").read_text())
    pairs = [(row["message"], Answer(row["llm"]["intent"])) for row in rows]
    assert infer(pairs) == TextContract()
    bulleted = "One of:\n" + "\n".join(f"- {intent}" for intent in intents) + "\n\nOnly the name."
    for literals in (bulleted, f"One of {', '.join(intents)}.", json.dumps(intents)):
        contract = infer(pairs, literals)
        assert isinstance(contract, LabelContract)
        assert set(contract.labels) == set(intents)


@pytest.mark.parametrize(
    "literals",
    [
        "Answer with low, normal or high.",
        "urgency: low | normal | high",
        'Pick "low", "normal" or "high".',
        "low: can wait\nnormal: this week\nhigh: today",
        "1. low\n2. normal\n3. high",
        "How urgent (low/normal/high)?",
    ],
)
def test_lists_of_labels_in_prompts(literals: str) -> None:
    contract = inferred(*["low", "normal"] * 5, literals=literals)
    assert contract == LabelContract(("low", "normal", "high"))


def test_odd_answers_do_not_spoil_labels() -> None:
    odd = ["I'm sorry, I cannot tell which of these it is.", "low or normal"]
    assert inferred(*["low"] * 50, *["high"] * 48, *odd) == LabelContract(("high", "low"))


def test_labels_keep_their_commonest_spelling_and_their_prefix() -> None:
    contract = inferred(*["Intent: Refund"] * 9, "Intent: refund.", *["Intent: Order"] * 5)
    assert contract == LabelContract(("Order", "Refund"), "Intent: ")


def test_fields_of_real_answers() -> None:
    rows = recurring.shop()[:300]
    keys = ("urgency", "sentiment", "action")
    triage = [json.dumps({key: row["llm"][key] for key in keys}, indent=2) for row in rows]
    contract = inferred(*triage)
    assert isinstance(contract, FieldsContract)
    assert [(field.name, field.kind) for field in contract.fields] == [(k, "label") for k in keys]
    assert contract.style.indent == 2
    pairs = [(row["message"], Answer(json.dumps(row["llm"]["fields"]))) for row in rows]
    found = infer(pairs)
    assert isinstance(found, FieldsContract)
    assert {(field.kind, field.optional) for field in found.fields} == {("span", True)}


def objects(**values: list[Any]) -> list[str]:
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return [json.dumps(row) for row in rows]


def test_kinds_of_fields() -> None:
    texts = objects(
        flag=[True, False] * 10,
        size=list(range(20)),
        mood=["good", "bad"] * 10,
        note=[f"note {i} of the day" for i in range(20)],
        tags=[["a"], []] * 10,
        none=[None] * 20,
    )
    contract = inferred(*texts)
    assert isinstance(contract, FieldsContract)
    kinds = {field.name: field.kind for field in contract.fields}
    assert kinds == {
        "flag": "boolean",
        "size": "number",
        "mood": "label",
        "note": "text",
        "tags": "json",
        "none": "label",
    }
    assert next(f for f in contract.fields if f.name == "none").nullable


def test_json_without_fixed_keys_is_json_text() -> None:
    assert inferred(*[json.dumps({f"key{i}": i}) for i in range(30)]) == TextContract(json=True)
    assert inferred(*["[1, 2]"] * 30) == TextContract(json=True)


def test_a_code_fence_is_part_of_the_style() -> None:
    contract = inferred(*['```json\n{"a": true}\n```'] * 10, *['```json\n{"a": false}\n```'] * 10)
    assert isinstance(contract, FieldsContract)
    assert contract.style.fence == "```json"


def test_numbers_and_ratings() -> None:
    assert inferred(*[f"${i}.50" for i in range(100)]) == NumberContract("$", "", 2)
    assert inferred(*[str(i * 7) for i in range(100)]) == NumberContract("", "", 0)
    assert inferred(*[str(i % 5) for i in range(100)]) == LabelContract(("0", "1", "2", "3", "4"))


def calling(name: str) -> tuple[str, Answer]:
    return "", Answer("", (ToolCall("1", name, "{}"),))


def test_tool_calls() -> None:
    assert infer([calling("f"), calling("g")] * 10) == CallContract(("f", "g"))
    talking = [("", Answer(f"hello {number}")) for number in range(10)]
    assert infer([calling("f")] * 10 + talking) == CallContract(("f",), talks=True)
    assert infer([calling("f")] + [("", Answer("hello"))] * 20) == TextContract()


def test_what_an_agent_says_word_for_word_is_its_own_kind_of_step() -> None:
    done, odd = ("", Answer(" DONE ")), ("", Answer("Let me think."))
    always = infer([calling("f"), done] * 50 + [odd])
    assert always == CallContract(("f",), says=("DONE",))
    assert read(always, Answer("DONE\n")) == "DONE"
    assert read(always, Answer("done")) is None
    assert read(always, Answer("DONE", (ToolCall("1", "f", "{}"),))) == (ToolCall("1", "f", "{}"),)
    assert written(always, "DONE").text == "DONE"
    assert infer([calling("f"), odd] * 4) == CallContract(("f",), talks=True)  # too seldom
    talking = [("", Answer(f"I found {number}.")) for number in range(9)]
    assert infer([calling("f"), done] * 20 + talking) == CallContract(("f",), True, ("DONE",))
    assert same(always, Answer("DONE"), Answer(" DONE"))
    assert not same(always, Answer("DONE"), Answer("", (ToolCall("1", "f", "{}"),)))
    assert not same(always, Answer("DONE"), Answer("Done?"))


def test_words_that_forbid_others_are_no_label() -> None:
    prompt = "Is there more to do? Answer with GO or STOP, and nothing else."
    answers = [("", Answer(word)) for word in ("GO", "STOP") * 15]
    assert infer(answers, prompt) == LabelContract(("GO", "STOP"))


def test_an_agent_that_talks_once_may_talk_again() -> None:
    talking = [("", Answer(f"hello {number}")) for number in range(10)]
    known = revise(CallContract(("f",)), [calling("g")] * 10 + talking)
    assert known == CallContract(("f", "g"), talks=True)
    assert revise(known, [calling("g")] * 10) == known


def test_cut_and_refused_answers_are_no_evidence() -> None:
    cut = Answer("lo", finish_reason="length")
    refused = Answer("", refusal="I won't")
    pairs = [("", Answer("low")), ("", Answer("high"))] * 10 + [("", cut), ("", refused)] * 10
    assert infer(pairs) == LabelContract(("high", "low"))
    assert infer([("", cut)]) == TextContract()


def test_revising_only_adds_until_the_form_changes() -> None:
    known = LabelContract(("low", "high"))
    new = [("", Answer(text)) for text in ["low"] * 20 + ["middle"] * 20]
    assert revise(known, new) == LabelContract(("low", "high", "middle"))
    assert revise(LabelContract(("low", "middle", "high")), new) == LabelContract(
        ("low", "middle", "high")
    )
    known = LabelContract(("low", "middle"))
    few = new + [("", Answer(f"{i}. A long sentence as an answer.")) for i in range(8)]
    assert revise(known, few) == known
    text = [("", Answer(f"{i}. A long sentence as an answer.")) for i in range(100)]
    assert revise(known, text) == TextContract()
    assert revise(TextContract(), new) == LabelContract(("low", "middle"))
    assert revise(known, []) == known


def test_joining_contracts() -> None:
    one, two = inferred(*objects(a=[1, 2])), inferred(*objects(a=["x y", "z w"], b=[True, False]))
    joined = join(one, two)
    assert isinstance(joined, FieldsContract)
    assert [(f.name, f.kind, f.optional) for f in joined.fields] == [
        ("a", "json", False),
        ("b", "boolean", True),
    ]
    assert join(one, TextContract()) is None
    assert join(LabelContract(("a",)), LabelContract(("b",))) == LabelContract(("a", "b"))


DATES = ["due 11/30/2026", "due 30 Nov 2026", "due 2026-11-30", "on the thirtieth of November 2026"]


def kind_of_field(value: object, *inputs: str, old: Contract | None = None) -> str:
    """What one field is taken for whose value is always the same."""
    pairs = [(given, Answer(json.dumps({"key": value}))) for given in inputs]
    contract = revise(old, pairs) if old else infer(pairs)
    assert isinstance(contract, FieldsContract)
    return contract.fields[0].kind


def test_a_day_that_inputs_write_in_any_way_is_a_date() -> None:
    assert kind_of_field("2026-11-30", *DATES * 5) == "date"
    assert kind_of_field("2026-11-30", *["due 2026-11-30"] * 5) == "date"
    assert kind_of_field("2026-11-30", *["due tomorrow"] * 20) == "label"
    assert kind_of_field("30 Nov 2026", *["due 30 Nov 2026"] * 5) == "span"
    assert kind_of_field("2026-02-30", *["due 2026-02-30"] * 5) == "span"


def test_lists_of_what_the_input_states_are_spans() -> None:
    assert kind_of_field(["pear", "plum"], *["a Plum and a  pear"] * 5) == "spans"
    assert kind_of_field(["pear", "plum"], *["fruit"] * 5) == "json"
    assert kind_of_field(["pear", 1], *["a pear, 1 plum"] * 5) == "json"
    assert kind_of_field([], *["nothing"] * 5) == "json"


def test_days_that_were_known_as_spans_stay_so() -> None:
    old = FieldsContract((Field("key", "span"),))
    assert kind_of_field("2026-11-30", *["due 2026-11-30"] * 5, old=old) == "span"
    known = FieldsContract((Field("key", "date"),))
    assert kind_of_field("2026-11-30", *DATES, old=known) == "date"
    assert kind_of_field("someday", *["due someday"] * 9, old=known) == "text"
