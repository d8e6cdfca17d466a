"""Chains of thought, and budgets of it that are forced."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, asked, calls

from shoal.chat import Answer, Message, Reasoning, Usage
from shoal.errors import EngineUnreachable
from shoal.reasoning import BudgetForcing, ChainOfThought
from shoal.reasoning.chain_of_thought import divided

FORM = '{"type":"json_object"}'


async def test_the_answer_is_told_from_the_thoughts() -> None:
    model = Scripted("2 and 2 is 4.\nANSWER: 4")
    answer = await ChainOfThought(model).answer(asked(body=b"{}"))
    assert (answer.text, answer.reasoning) == ("4", (Reasoning("2 and 2 is 4."),))
    (sent,) = model.asked
    assert sent.messages[-1].text.startswith("How many?\n\nThink step by step")
    assert not sent.body


async def test_one_that_tells_none_is_given_as_it_is() -> None:
    answer = await ChainOfThought(Scripted("Just 4.")).answer(asked())
    assert answer.text == "Just 4."
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "it did not tell its answer from its thoughts"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\nAnswer: x\nANSWER: y", ("a\nAnswer: x", "y")),
        ("a\n**Final answer:** y\nz", ("a", "y\nz")),
        ("Answer: y", ("", "y")),
        ("The answer: y", None),
        ("a\nANSWER:", None),
        ("", None),
    ],
)
def test_where_the_answer_stands(text: str, found: tuple[str, str] | None) -> None:
    assert divided(text) == found


@given(st.text(), st.text().map(str.strip).filter(bool))
def test_a_marked_answer_is_found_whatever_was_thought(thought: str, answer: str) -> None:
    found = divided(f"{thought}\nANSWER: {answer}")
    assert found is not None
    assert answer.endswith(found[1])


async def test_an_answer_with_a_form_takes_two_turns() -> None:
    model = Scripted("2 and 2.", '{"n": 4}')
    answer = await ChainOfThought(model).answer(asked(response_format=FORM, tools="[1]"))
    assert answer.text == '{"n": 4}'
    thought, told = model.asked
    assert (thought.response_format, thought.tools) == ("", "")
    assert '"max_completion_tokens":1024' in thought.params
    assert (told.response_format, told.tools) == (FORM, "[1]")
    assert told.messages[-2] == Message("assistant", "2 and 2.")
    assert answer.deliberation is not None
    assert (answer.deliberation.strategy, len(answer.deliberation.samples)) == ("cot", 2)


@pytest.mark.parametrize("params", ['{"max_tokens":5}', '{"stop":["\\n"]}', '{"stop":"x"}'])
async def test_so_does_a_short_one(params: str) -> None:
    model = Scripted("thoughts", "4")
    assert (await ChainOfThought(model).answer(asked(params=params))).text == "4"
    thought, told = model.asked
    assert "stop" not in thought.params
    assert told.params == params


async def test_thoughts_are_cut_where_their_budget_ends() -> None:
    cut = Answer("2 and", finish_reason="length", usage=Usage(5, 64))
    model = Scripted(cut, "4")
    answer = await BudgetForcing(model, 64).answer(asked())
    assert answer.text == "4"
    assert '"max_completion_tokens":64' in model.asked[0].params
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "thoughts were cut 1 times at 64 tokens"


async def test_and_made_to_go_on() -> None:
    model = Scripted("first", "second", "third", "4")
    answer = await BudgetForcing(model, waits=2).answer(asked())
    assert answer.text == "4"
    assert [one.text for one in answer.reasoning] == ["first", "second", "third"]
    assert model.asked[1].messages[-1].text.startswith("Wait.")
    assert model.asked[3].messages[-2].text == "first\n\nsecond\n\nthird"
    assert answer.usage == Usage(40, 8)


async def test_the_answer_may_be_a_call() -> None:
    model = Scripted("thoughts", calls("find", "{}"))
    answer = await ChainOfThought(model).answer(asked(tools="[1]"))
    assert answer.tool_calls[0].name == "find"


async def test_a_turn_that_fails_tells_of_those_before() -> None:
    model = Scripted("thoughts", EngineUnreachable("down"))
    with pytest.raises(EngineUnreachable) as caught:
        await BudgetForcing(model).answer(asked())
    assert len(caught.value.tried) == 1


@pytest.mark.parametrize("noise", ["\n", "*", " ", "\n*", "final ", "answer"])
def test_a_model_that_never_ends_costs_no_time(noise: str) -> None:
    began = time.process_time()
    assert divided(noise * 50_000) is None
    assert time.process_time() - began < 0.5
