"""Best of n, by a checker or a scorer."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scripted import Longest, Scripted, asked, is_

from shoal.errors import EngineUnreachable
from shoal.reasoning import BestOf, Reranked


async def test_the_first_that_passes_ends_it() -> None:
    model = Scripted("1", "2", "24", "3")
    answer = await BestOf(model, 100, [is_("24")], at_once=1).answer(asked())
    told = answer.deliberation
    assert told is not None
    assert (answer.text, len(model.asked)) == ("24", 3)
    assert told.stopped == "sample 3 passes"
    assert [one.agrees for one in told.samples] == [False, False, True]


async def test_rounds_grow_up_to_what_may_run_at_once() -> None:
    model = Scripted("1", "2", "3", "4", "5", "6", "24", "7")
    await BestOf(model, 100, [is_("24")], at_once=4).answer(asked())
    assert len(model.asked) == 8  # 1, 1, 2, 4
    assert model.most_at_once == 4


async def test_where_none_passes_that_is_said() -> None:
    answer = await BestOf(Scripted("1", "2", "3"), 3, [is_("24")]).answer(asked())
    assert answer.text == "1"
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "all 3 were asked and none passes"
    assert answer.deliberation.agreement == 0.0


async def test_a_scorer_ranks_all() -> None:
    model = Scripted("a", "ccc", "bb")
    answer = await BestOf(model, 3, scorer=Longest()).answer(asked())
    assert (answer.text, len(model.asked)) == ("ccc", 3)


async def test_and_decides_where_none_passes() -> None:
    best = BestOf(Scripted("a", "ccc", "bb"), 3, [is_("24")], Longest())
    assert (await best.answer(asked())).text == "ccc"


async def test_a_reranker_is_asked_what_the_user_said() -> None:
    class Words:
        def scores(self, query: str, passages: object) -> NDArray[np.float64]:
            assert query == "How many?"
            return np.array([0.1, 0.9, 0.2])

    best = BestOf(Scripted("a", "b", "c"), 3, scorer=Reranked(Words()))
    assert (await best.answer(asked())).text == "b"


async def test_it_gives_up_where_hardly_another_would_pass() -> None:
    model = Scripted("1")
    best = BestOf(model, 100, [is_("24")], at_once=1, worth=0.1)
    answer = await best.answer(asked())
    assert len(model.asked) == 36  # the first at which the sequence of bounds is under a tenth
    assert answer.deliberation is not None
    assert answer.deliberation.stopped == "another would pass with a chance of at most 0.1"


async def test_failures_are_left_out() -> None:
    model = Scripted("1", EngineUnreachable("down"), "24")
    assert (await BestOf(model, 9, [is_("24")], at_once=1).answer(asked())).text == "24"
    with pytest.raises(EngineUnreachable):
        await BestOf(Scripted(EngineUnreachable("down")), 9, [is_("24")]).answer(asked())


def test_it_needs_something_to_go_by() -> None:
    with pytest.raises(ValueError, match="tells good answers"):
        BestOf(Scripted("1"), 3)
