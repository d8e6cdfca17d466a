"""Contracts: reading answers into canonical outputs, and writing them as the LLM would."""

import json

import msgspec
import pytest

from shoal.chat import Answer, ToolCall
from shoal.tasks.contract import (
    CallContract,
    Contract,
    Field,
    FieldsContract,
    LabelContract,
    NumberContract,
    Output,
    TextContract,
    is_closed,
    parse,
    read,
    render,
)
from shoal.tasks.json_style import JsonStyle, style_of

MOOD = LabelContract(("positive", "Negative", "N/A"))
ORDER = FieldsContract(
    (
        Field("id", "span", optional=True),
        Field("urgency", "label", ("low", "high")),
        Field("paid", "boolean", nullable=True, missing="null"),
        Field("total", "number", optional=True, nullable=True, missing="blank"),
    )
)

STAY = FieldsContract((Field("from", "date"), Field("rooms", "spans")))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("positive", "positive"),
        (" Positive.\n", "positive"),
        ('"NEGATIVE"', "Negative"),
        ("**negative**", "Negative"),
        ("n/a", "N/A"),
        ("positively", None),
        ("positive or negative", None),
        ("", None),
    ],
)
def test_labels_are_read_in_any_usual_spelling(text: str, label: str | None) -> None:
    assert parse(MOOD, text) == label


def test_a_spelling_that_fits_two_labels_is_none_of_them() -> None:
    contract = LabelContract(("Us", "us.", "them"))
    assert parse(contract, "US") is None
    assert parse(contract, "us.") == "us."


def test_label_prefix_is_read_and_written() -> None:
    contract = LabelContract(("yes", "no"), prefix="Answer: ")
    assert parse(contract, "Answer: Yes") == "yes"
    assert parse(contract, "no") == "no"
    assert render(contract, "no") == "Answer: no"


def test_fields_come_back_under_every_name() -> None:
    text = '{"id": "A 1", "urgency": "HIGH", "paid": true, "total": 3}'
    assert parse(ORDER, text) == {"id": "A 1", "urgency": "high", "paid": True, "total": 3.0}
    bare = {"id": None, "urgency": "low", "paid": None, "total": None}
    assert parse(ORDER, '{"urgency": "low", "paid": null}') == bare
    assert parse(ORDER, '```json\n{"urgency": "low", "id": null, "total": ""}\n```') == bare


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"urgency": "medium", "paid": true}',
        '{"urgency": "low", "extra": 1}',
        '{"urgency": "low", "paid": "yes"}',
        '{"urgency": "low", "total": true}',
        '{"urgency": ["low"]}',
        '{"urgency": "low"',
        '[{"urgency": "low"}]',
        "low",
    ],
)
def test_answers_that_break_the_fields_are_none(text: str) -> None:
    assert parse(ORDER, text) is None


def test_dates_and_lists_are_read_and_written() -> None:
    text = '{"from": "2026-11-30", "rooms": ["blue", "red"]}'
    output = parse(STAY, text)
    assert output == {"from": "2026-11-30", "rooms": '["blue", "red"]'}
    assert render(STAY, output) == text
    empty = '{"from": "2026-11-30", "rooms": []}'
    assert render(STAY, parse(STAY, empty) or {}) == empty
    tight = FieldsContract(STAY.fields, JsonStyle(",", ":"))
    assert render(tight, output) == text.replace(" ", "")
    for broken in ("2026-02-30", "30 Nov 2026", "2026-11-30T10:00", "2026-1-1"):
        assert parse(STAY, text.replace("2026-11-30", broken)) is None
    for broken in ('"blue"', "[1]", '[["blue"]]', '["blue", null]'):
        assert parse(STAY, text.replace('["blue", "red"]', broken)) is None
    for rooms in ("blue", "[1]", 1.0):
        with pytest.raises(ValueError, match=r"no list of strings|does not fit|JSON"):
            render(STAY, {"from": "2026-11-30", "rooms": rooms})


def test_missing_fields_are_written_in_the_llms_way() -> None:
    output = {"id": None, "urgency": "low", "paid": None, "total": None}
    assert render(ORDER, output) == '{"urgency": "low", "paid": null, "total": ""}'
    assert render(ORDER, output | {"total": 2.0}).endswith('"total": 2}')


@pytest.mark.parametrize(
    ("contract", "output", "message"),
    [
        (MOOD, "angry", "does not fit LabelContract"),
        (ORDER, {"urgency": None}, "urgency needs a value"),
        (ORDER, {"urgency": "mid"}, "'mid' does not fit field urgency"),
        (ORDER, {"urgency": "low", "colour": "red"}, "no such field: colour"),
        (NumberContract(), "three", "does not fit NumberContract"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    contract: Contract, output: Output, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        render(contract, output)


@pytest.mark.parametrize(
    ("text", "number"),
    [("$1,234.50", 1234.5), ("$3", 3.0), ("-2.", -2.0), ("−7", -7.0), ("1,23", None), ("x", None)],
)
def test_numbers(text: str, number: float | None) -> None:
    assert parse(NumberContract("$"), text) == number


def test_numbers_are_written_with_their_decimals() -> None:
    assert render(NumberContract("$", "", 2), 3.0) == "$3.00"
    assert render(NumberContract("", " %"), 12.0) == "12 %"
    assert render(NumberContract(), 0.1) == "0.1"


def test_read_refuses_what_is_cut_short_or_refused() -> None:
    assert read(MOOD, Answer("positive")) == "positive"
    assert read(MOOD, Answer("positive", complete=False)) is None
    assert read(MOOD, Answer("positive", finish_reason="length")) is None
    assert read(MOOD, Answer("positive", refusal="no")) is None
    assert read(MOOD, Answer("positive", (ToolCall("1", "f", "{}"),))) is None


def test_calls_are_read_by_name() -> None:
    calls = (ToolCall("1", "f", "{}"),)
    assert read(CallContract(("f", "g")), Answer("", calls)) == calls
    assert read(CallContract(("g",)), Answer("", calls)) is None
    assert read(CallContract(("f",)), Answer("f")) is None


def test_closed_contracts_are_those_without_free_text() -> None:
    assert is_closed(MOOD)
    assert is_closed(STAY)
    assert all(map(is_closed, (ORDER, NumberContract(), CallContract(("f",)))))
    free = FieldsContract((Field("why", "text"),))
    assert not any(map(is_closed, (free, TextContract())))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": "é"}',
        '{"a":1,"b":"x"}',
        '{\n  "a": 1,\n  "b": [\n    2\n  ]\n}',
        '```json\n{"a": 1}\n```',
        '{"a": "\\u00e9"}',
        "{}",
    ],
)
def test_json_style_writes_the_same_text_again(text: str) -> None:
    style = style_of(text)
    assert style.write(JsonStyle.read(text)) == text


def test_contracts_that_older_versions_stored_are_read() -> None:
    for old, contract in (
        (b'{"type":"call","tools":["f"]}', CallContract(("f",))),
        (b'{"type":"number","prefix":"$"}', NumberContract("$")),
    ):
        assert msgspec.json.decode(old, type=Contract) == contract
        assert msgspec.json.encode(contract) == old


def test_contracts_survive_json() -> None:
    for contract in (MOOD, ORDER, NumberContract("$"), CallContract(("f",)), TextContract(True)):
        packed = msgspec.json.encode(contract)
        assert msgspec.json.decode(packed, type=Contract) == contract
        assert json.loads(packed)["type"] in {"label", "fields", "number", "call", "text"}
