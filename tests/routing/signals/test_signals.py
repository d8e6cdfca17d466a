"""Signals: agreement, validators, and what is learned of them."""

import json
import math

import numpy as np
import pytest

from shoal.chat import Answer, Message, Request, ToolCall
from shoal.errors import LearningError
from shoal.routing.signals import (
    Agreement,
    CallsFitTools,
    CitesRequest,
    Evidence,
    KeepsSchema,
    Learned,
    Valid,
    fit_logistic,
)
from shoal.routing.signals.learned import look_of
from shoal.tasks import NumberContract

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "units": {"enum": ["metric", "imperial"]},
    },
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = json.dumps([{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}])
FORMAT = json.dumps({"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}})
ASKED = Request("m", (Message("user", "Weather in Kyiv for 3 days?"),), TOOLS, FORMAT)


def numbers(answer: str, *witnesses: str | None) -> float:
    said = tuple(None if one is None else Answer(text=one) for one in witnesses)
    signal = Agreement(NumberContract())
    return signal.score(Evidence(ASKED, Answer(text=answer), said))


def test_agreement_is_the_share_of_witnesses_that_say_the_same() -> None:
    assert numbers("1000", "1,000", "1000.0") == 1.0
    assert numbers("1000", "1,000", "999") == 0.5
    assert numbers("1000", "1000", None) == 0.5
    assert numbers("1000") == 0.0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ('{"city": "Kyiv", "days": 3}', ""),
        ('{"city": "Kyiv", "days": 3.0}', ""),
        ('{"days": 3}', '"city" is a required property'),
        ('{"city": ""}', "shorter than 1 character"),
        ('{"city": "Kyiv", "days": 99}', "greater than the maximum"),
        ('{"city": "Kyiv", "days": true}', 'not of type "integer"'),
        ('{"city": "Kyiv", "units": "kelvin"}', "is not one of"),
        ('{"city": "Kyiv", "when": 1}', "'when' was unexpected"),
        ('{"city": ', "not JSON"),
    ],
)
def test_calls_and_texts_are_held_against_the_schema(arguments: str, complaint: str) -> None:
    called = Answer(tool_calls=(ToolCall("1", "weather", arguments),))
    assert complaint in CallsFitTools().complaint(ASKED, called)
    assert complaint in KeepsSchema().complaint(ASKED, Answer(text=arguments))
    if not complaint:
        assert CallsFitTools().complaint(ASKED, called) == ""
        assert KeepsSchema().complaint(ASKED, Answer(text=arguments)) == ""


def test_a_tool_that_is_not_there_is_a_complaint() -> None:
    called = Answer(tool_calls=(ToolCall("1", "wether", "{}"),))
    assert "no tool 'wether'" in CallsFitTools().complaint(ASKED, called)


def test_valid_is_all_or_nothing() -> None:
    signal = Valid([CallsFitTools(), KeepsSchema()])
    assert signal.name == "calls fit the tools, keeps the schema"
    assert signal.score(Evidence(ASKED, Answer(text='{"city": "Kyiv"}'))) == 1.0
    assert signal.score(Evidence(ASKED, Answer(text="Kyiv"))) == -math.inf


def test_a_learned_signal_finds_what_decides() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 3)) * [1.0, 100.0, 0.01] + [0.0, 5.0, 1.0]
    odds = 2.0 * features[:, 0] - 1.0
    right = rng.random(800) < 1 / (1 + np.exp(-odds))
    model = fit_logistic(features[:600], right[:600])
    found = model.logits(features[600:])
    assert np.corrcoef(found, odds[600:])[0, 1] > 0.97
    assert abs(np.mean(1 / (1 + np.exp(-found))) - right[600:].mean()) < 0.06


def test_what_is_infinite_is_a_weak_score_and_not_a_crash() -> None:
    features = np.column_stack([np.r_[np.full(50, -np.inf), np.linspace(0, 1, 150)]])
    right = np.r_[np.zeros(50), np.ones(150)]
    model = fit_logistic(features, right)
    assert model.logits([[-np.inf]])[0] < 0 < model.logits([[0.5]])[0]


def test_a_veto_of_a_part_is_a_veto_of_the_whole() -> None:
    size = 1 + len(look_of(ASKED))
    rng = np.random.default_rng(1)
    model = fit_logistic(rng.normal(size=(40, size)), rng.random(40) < 0.5)
    signal = Learned([Valid([KeepsSchema()])], look_of, model)
    assert signal.score(Evidence(ASKED, Answer(text="Kyiv"))) == -math.inf
    assert math.isfinite(signal.score(Evidence(ASKED, Answer(text='{"city": "Kyiv"}'))))


def test_there_must_be_something_to_learn() -> None:
    with pytest.raises(LearningError, match="alike"):
        fit_logistic(np.ones((5, 1)), np.ones(5))
    with pytest.raises(LearningError, match="must be"):
        fit_logistic(np.ones((5, 1)), np.ones(4))


def citing(text: str) -> str:
    asked = Request(
        "m",
        (
            Message(
                "system",
                "Answer from the passages, and cite them.\n[1] The ferry to Aero leaves "
                "at nine.\n[2] Bicycles travel free of charge.",
            ),
            Message("user", "When does it leave?"),
        ),
    )
    return CitesRequest().complaint(asked, Answer(text=text))


@pytest.mark.parametrize(
    "text",
    [
        "At nine [1].",
        "It says “the Ferry to Aero leaves at nine.”",
        'Free [2]: "bicycles travel  free".',
    ],
)
def test_what_is_cited_stands_in_the_request(text: str) -> None:
    assert citing(text) == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("At nine.", "nothing is cited"),
        ('It is called "Aero".', "nothing is cited"),
        ("At nine [3].", "'[3]'"),
        ('At nine [1]: "the ferry leaves at ten".', "'the ferry leaves at ten'"),
    ],
)
def test_what_is_not_there_is_a_complaint(text: str, complaint: str) -> None:
    assert complaint in citing(text)


def test_a_schema_that_would_be_fetched_is_not() -> None:
    schema = {"$ref": "http://127.0.0.1:9/schema.json"}
    form = json.dumps({"type": "json_schema", "json_schema": {"name": "w", "schema": schema}})
    asked = Request("m", (Message("user", "?"),), "", form)
    assert KeepsSchema().complaint(asked, Answer(text="{}")) == "the schema cannot be read"
