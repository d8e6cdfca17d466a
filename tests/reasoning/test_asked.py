"""The ``shoal`` field of a request, and what counts as the same answer."""

import json

import pytest
from scripted import asked, calls

from shoal.chat import Answer
from shoal.errors import MalformedRequest
from shoal.formats import FORMATS
from shoal.formats.strategy_field import ASKED
from shoal.reasoning import Limit, comparator, parse_strategy
from shoal.reasoning.asked import asked_strategy
from shoal.reasoning.comparing import counts
from shoal.tasks import CallContract, LabelContract

BODIES = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    "responses": {"model": "m", "input": "x"},
    "messages": {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9},
}
FIELD = {"strategy": "cot+vote", "n": 7, "budget": {"usd": 0.5, "tokens": 900}}


@pytest.mark.parametrize("name", BODIES)
def test_it_is_read_in_every_format_and_never_sent(name: str) -> None:
    wire = FORMATS[name]  # type: ignore[index]
    plain = json.dumps(BODIES[name]).encode()
    request = wire.decode_request(json.dumps({**BODIES[name], "shoal": FIELD}).encode(), None)
    found = asked_strategy(request)
    assert found is not None
    assert (found.strategy, found.limit) == (parse_strategy("cot+vote:7"), Limit(0.5, 900))
    assert json.loads(request.body) == json.loads(plain)
    for other in FORMATS.values():
        from shoal.formats import Target

        assert b"shoal" not in other.encode_request(request, Target("m"))


@pytest.mark.parametrize("name", BODIES)
def test_a_request_without_it_keeps_its_bytes(name: str) -> None:
    body = json.dumps(BODIES[name]).encode()
    request = FORMATS[name].decode_request(body, None)  # type: ignore[index]
    assert request.body is body
    assert asked_strategy(request) is None


def test_a_number_is_usd() -> None:
    params = json.dumps({ASKED: {"strategy": "vote", "budget": 2}})
    found = asked_strategy(asked(params=params))
    assert found is not None
    assert found.limit == Limit(usd=2.0)


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ({}, "shoal"),
        ({"strategy": 1}, "shoal.strategy"),
        ({"strategy": "vote", "n": 0}, "shoal.strategy"),
        ({"strategy": "vote", "budget": {"tokens": 0}}, "shoal.budget"),
        ({"strategy": "vote", "budget": {"eur": 1}}, "shoal.budget"),
        ({"strategy": "vote", "validators": "schema"}, "shoal.validators"),
    ],
)
def test_what_is_wrong_is_told(field: dict[str, object], param: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        asked_strategy(asked(params=json.dumps({ASKED: field})))
    assert caught.value.param == param


def test_of_no_task_answers_say_how_they_are_compared() -> None:
    same = comparator(None)
    assert same(Answer('{"a": 1, "b": 2}'), Answer('{"b":2,"a":1}'))
    assert same(Answer(" Yes. "), Answer("yes"))
    assert not same(Answer("yes"), Answer("no"))
    assert same(calls("find", '{"a":1}', "Let me see."), calls("find", '{"a": 1}'))
    assert not same(calls("find", '{"a":1}'), calls("look", '{"a":1}'))
    assert not same(calls("find", "{}"), Answer(""))


def test_what_is_no_answer_has_no_vote() -> None:
    assert counts(None, Answer("x"))
    assert not counts(None, Answer(" "))
    assert not counts(None, Answer("x", finish_reason="length"))
    assert not counts(None, Answer("x", refusal="no"))
    assert not counts(LabelContract(("a",)), Answer("b"))
    assert counts(CallContract(("find",), talks=True), Answer("What is your order number?"))
    assert not counts(CallContract(("find",)), Answer("What is your order number?"))
    assert counts(CallContract(("find",)), calls("find", "{}"))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    "field",
    [
        "null",
        "[]",
        '"vote"',
        '{"strategy": "vote", "budget": 1e999}',
        '{"strategy": "vote", "n": 1000000000}',
        '{"strategy": "vote", "n": 1.5}',
        '{"strategy": "vote", "n": -1}',
        '{"strategy": "panel", "models": [1]}',
        '{"strategy": "vote", "budget": "much"}',
        '{"strategy": {"strategy": "vote"}}',
        '{"strategy": "vote:' + "9" * 5_000 + '"}',
        '{"strategy": "' + "vote+" * 5_000 + '"}',
    ],
)
def test_no_field_is_worse_than_malformed(name: str, field: str) -> None:
    whole = json.dumps(BODIES[name])[:-1] + f', "shoal": {field}}}'
    with pytest.raises(MalformedRequest) as caught:
        asked_strategy(FORMATS[name].decode_request(whole.encode(), None))  # type: ignore[index]
    assert str(caught.value.param).startswith("shoal")
    assert len(str(caught.value)) < 300
