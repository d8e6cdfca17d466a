"""Refinement by what a checker says."""

import pytest
from scripted import Finds, Scripted, asked, calls, is_

from shoal.chat import Message
from shoal.errors import EngineUnreachable
from shoal.reasoning import Refined


async def test_the_complaint_is_told_and_the_answer_corrected() -> None:
    model = Scripted("SELEC 1", "SELECT 1")
    checker = Finds(lambda text: "" if text == "SELECT 1" else "near SELEC: syntax error")
    answer = await Refined(model, 3, [checker]).answer(asked())
    assert (answer.text, len(model.asked)) == ("SELECT 1", 2)
    before, told = model.asked[1].messages[-2:]
    assert before == Message("assistant", "SELEC 1")
    assert "near SELEC: syntax error" in told.text
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "it passes after 1 corrections"
    assert [one.agrees for one in answer.deliberation.samples] == [False, True]


async def test_what_passes_at_once_is_asked_once() -> None:
    model = Scripted("7")
    assert (await Refined(model, 3, [is_("7")]).answer(asked())).text == "7"
    assert len(model.asked) == 1


async def test_the_last_is_given_and_said_to_be_wrong() -> None:
    model = Scripted("1", "2", "3")
    answer = await Refined(model, 2, [is_("7")]).answer(asked())
    assert (answer.text, len(model.asked)) == ("3", 3)
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "the last correction does not pass: it is not 7"


async def test_a_correction_that_fails_leaves_what_was_there() -> None:
    model = Scripted("1", EngineUnreachable("down"))
    answer = await Refined(model, 2, [is_("7")]).answer(asked())
    assert answer.text == "1"
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "a correction failed"
    with pytest.raises(EngineUnreachable):
        await Refined(Scripted(EngineUnreachable("down")), 2, [is_("7")]).answer(asked())


async def test_calls_are_told_in_words() -> None:
    """A call in the conversation would want a result."""
    model = Scripted(calls("find", '{"a":1}'), "7")
    await Refined(model, 1, [is_("7")]).answer(asked())
    assert model.asked[1].messages[-2] == Message("assistant", 'find({"a":1})')


def test_it_needs_a_checker() -> None:
    with pytest.raises(ValueError, match="finds what is wrong"):
        Refined(Scripted("1"), 2, [])
