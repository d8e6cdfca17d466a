"""A vote over samples."""

import asyncio

import pytest
from scripted import Finds, Scripted, asked, calls, is_

from shoal.chat import Answer, Usage
from shoal.errors import EngineUnreachable
from shoal.reasoning import SelfConsistency
from shoal.reasoning.consistency import Voting
from shoal.tasks import LabelContract, NumberContract

SURE = Voting(risk=0.0)


def down() -> EngineUnreachable:
    return EngineUnreachable("nobody listens")


async def test_the_answer_that_most_give() -> None:
    model = Scripted("8", "7", "7", "9", "7")
    answer = await SelfConsistency(model, 5, SURE).answer(asked())
    told = answer.deliberation
    assert told is not None
    assert (answer.text, told.strategy, told.most) == ("7", "vote:5", 5)
    assert told.agreement == pytest.approx(3 / 5)
    assert answer.usage == Usage(50, 10)
    assert told.stopped == "all 5 were asked"


async def test_it_stops_when_the_vote_cannot_turn() -> None:
    model = Scripted("7")
    answer = await SelfConsistency(model, 9, SURE).answer(asked())
    assert len(model.asked) == 5
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "the vote cannot turn any more"


async def test_or_hardly() -> None:
    model = Scripted("7")
    answer = await SelfConsistency(model, 40, Voting(risk=0.05)).answer(asked())
    assert len(model.asked) == 7
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "the vote turns with a chance of at most 0.05"


async def test_no_more_run_at_once_than_may() -> None:
    model = Scripted("7")
    await SelfConsistency(model, 40, SURE, at_once=3).answer(asked())
    assert model.most_at_once == 3


async def test_votes_are_compared_as_the_task_says() -> None:
    model = Scripted("1,000", "1000.0", "999")
    voting = Voting(NumberContract(), risk=0.0)
    answer = await SelfConsistency(model, 3, voting).answer(asked())
    assert (answer.text, len(model.asked)) == ("1,000", 2)


async def test_what_breaks_the_contract_has_no_vote() -> None:
    model = Scripted("well, …", "well, …", "b", "well, …", "b")
    voting = Voting(LabelContract(("a", "b")), risk=0.0)
    answer = await SelfConsistency(model, 5, voting).answer(asked())
    assert answer.text == "b"


async def test_nor_what_a_checker_finds_wrong() -> None:
    model = Scripted("8", "8", "7", "8", "7")
    voting = Voting(checkers=(Finds(lambda text: "" if text == "7" else "no"),), risk=0.0)
    assert (await SelfConsistency(model, 5, voting).answer(asked())).text == "7"


async def test_where_nothing_is_a_vote_the_first_that_came_is_given() -> None:
    voting = Voting(checkers=(is_("7"),))
    answer = await SelfConsistency(Scripted("1", "2", "3"), 3, voting).answer(asked())
    assert answer.text == "1"
    assert answer.deliberation is not None
    assert answer.deliberation.agreement == 0.0


async def test_calls_are_compared_as_calls() -> None:
    model = Scripted(
        calls("find", '{"a": 1, "b": 2}', "Let me look."),
        calls("find", '{"b":2,"a":1}'),
        calls("find", '{"a": 3}'),
    )
    answer = await SelfConsistency(model, 3, SURE).answer(asked(tools="[]"))
    assert answer.tool_calls[0].arguments == '{"a": 1, "b": 2}'
    assert len(model.asked) == 2


async def test_a_failed_sample_does_not_fail_the_whole() -> None:
    model = Scripted("7", down(), "7", "8")
    answer = await SelfConsistency(model, 4, SURE, at_once=2).answer(asked())
    assert answer.text == "7"


async def test_when_a_first_round_fails_it_is_over() -> None:
    model = Scripted(down())
    with pytest.raises(EngineUnreachable):
        await SelfConsistency(model, 40, SURE).answer(asked())
    assert len(model.asked) == 4


async def test_being_cancelled_cancels_all_samples() -> None:
    model = Scripted("7")
    model.hold = asyncio.Event()
    asking = asyncio.create_task(SelfConsistency(model, 8, SURE).answer(asked()))
    await model.several.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0)
    assert model.cancelled == 4


async def test_a_defect_is_no_failed_sample_and_stops_the_others() -> None:
    class Broken(Scripted):
        async def answer(self, request: object) -> Answer:
            if len(self.asked) == 1:
                raise ZeroDivisionError
            return await super().answer(asked())

    model = Broken("7")
    model.hold = asyncio.Event()
    with pytest.raises(ZeroDivisionError):
        await SelfConsistency(model, 8, SURE).answer(asked())
    await asyncio.sleep(0)
    assert model.cancelled == len(model.asked) == 1


async def test_samples_are_not_frozen_alike() -> None:
    model = Scripted("7", "8", "9")
    await SelfConsistency(model, 3, SURE).answer(
        asked(params='{"temperature":0,"seed":5,"top_p":0.9}', body=b"{}")
    )
    params = [request.params for request in model.asked]
    assert params[0] == '{"temperature":0.7,"seed":5,"top_p":0.9}'
    assert [text.split('"seed":')[1][0] for text in params] == ["5", "6", "7"]
    assert all(not request.body for request in model.asked)


async def test_a_request_that_may_vary_is_sent_as_it_came() -> None:
    model = Scripted("7")
    await SelfConsistency(model, 3, SURE).answer(asked(body=b'{"model":"small"}'))
    assert {request.body for request in model.asked} == {b'{"model":"small"}'}
