"""Ensembles: votes, and answers fused."""

import pytest
from scripted import Scripted, asked, calls

from shoal.chat import Usage
from shoal.errors import EngineUnreachable
from shoal.reasoning import Fused, Panel


def members(*words: str) -> list[Scripted]:
    return [Scripted(word, name=f"m{at}") for at, word in enumerate(words)]


async def test_most_members_decide() -> None:
    panel = Panel(members("8", "7", "7"), at_once=1)
    answer = await panel.answer(asked())
    assert (answer.text, panel.name) == ("7", "m0+panel:m1,m2")
    assert answer.deliberation is not None
    assert [one.model for one in answer.deliberation.samples] == ["m0", "m1", "m2"]
    assert [one.agrees for one in answer.deliberation.samples] == [False, True, True]


async def test_a_draw_is_the_earlier_members() -> None:
    assert (await Panel(members("8", "7")).answer(asked())).text == "8"


async def test_members_that_cannot_turn_it_are_not_asked() -> None:
    three = members("7", "7", "8")
    await Panel(three, at_once=1).answer(asked())
    assert [len(one.asked) for one in three] == [1, 1, 0]


async def test_one_that_fails_has_no_vote() -> None:
    down = Scripted(EngineUnreachable("down"), name="down")
    first, second = members("8", "7")
    assert (await Panel([down, first, second]).answer(asked())).text == "8"
    with pytest.raises(EngineUnreachable):
        await Panel([down, down]).answer(asked())


async def test_answers_are_fused_by_a_model() -> None:
    fuser = Scripted("both", name="fuser")
    answer = await Fused(fuser, members("this", "that")).answer(asked())
    assert (answer.text, answer.usage) == ("both", Usage(30, 6))
    told = fuser.asked[0].messages[-1].text
    assert "<answer 1>\nthis\n</answer 1>" in told
    assert "<answer 2>\nthat\n</answer 2>" in told


async def test_where_that_fails_they_vote() -> None:
    fuser = Scripted(EngineUnreachable("down"), name="fuser")
    answer = await Fused(fuser, members("7", "8", "8")).answer(asked())
    assert answer.text == "8"
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "the fusion failed: they voted"


async def test_calls_are_voted_on() -> None:
    fuser = Scripted("both", name="fuser")
    three = [
        Scripted(calls("find", text), name=text) for text in ('{"a":2}', '{"a":1}', '{"a": 1}')
    ]
    answer = await Fused(fuser, three).answer(asked())
    assert answer.tool_calls[0].arguments == '{"a":1}'
    assert fuser.asked == []


async def test_one_answer_is_nothing_to_fuse() -> None:
    fuser, down = Scripted("both", name="fuser"), Scripted(EngineUnreachable("down"), name="down")
    assert (await Fused(fuser, [down, *members("7")]).answer(asked())).text == "7"
    assert fuser.asked == []
    with pytest.raises(EngineUnreachable):
        await Fused(fuser, [down]).answer(asked())
