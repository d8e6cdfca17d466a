"""What a strategy may spend is kept, whatever its model takes within what it was told."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, asked

from shoal.chat import Answer, Request, Usage
from shoal.errors import EffortExceeded, EngineError, EngineUnreachable, NotRecorded
from shoal.reasoning import Effort, Limit, Metered, Terms, parse_strategy, reasoner
from shoal.reasoning.asking import limit_of
from shoal.reasoning.build import most_usage

IN, OUT = 1e-6, 10e-6  # USD a token
ASSUMED = 200


def cost(usage: Usage | None) -> float | None:
    return None if usage is None else usage.input_tokens * IN + usage.output_tokens * OUT


def reckon(request: Request) -> Usage:
    size = sum(len(message.text) for message in request.messages)
    limit = limit_of(request)
    return Usage(size, ASSUMED if limit is None else limit)


class Greedy(Scripted):
    """Takes as many tokens as it may, or as is drawn."""

    def __init__(self, draws: list[float], *words: str) -> None:
        super().__init__(*words)
        self._draws = draws

    async def answer(self, request: Request) -> Answer:
        answer = await super().answer(request)
        most = reckon(request)
        drawn = self._draws[len(self.asked) % len(self._draws)]
        used = Usage(most.input_tokens, int(most.output_tokens * drawn))
        return Answer(answer.text, usage=used)


def metered(model: Scripted, effort: Effort) -> Metered:
    return Metered(model, effort, reckon, cost, lambda request, answer: answer.usage)


@given(
    st.sampled_from(["vote:9", "cot+vote:5", "best:9", "refine:4", "wait:3", "vote:3+best:3"]),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.one_of(st.none(), st.floats(0, 0.02)),
    st.one_of(st.none(), st.integers(1, 3_000)),
    st.one_of(st.none(), st.integers(1, 300)),
)
def test_a_budget_is_never_exceeded(
    name: str, draws: list[float], usd: float | None, tokens: int | None, most: int | None
) -> None:
    model = Greedy(draws, *"abcdefgh")
    effort = Effort(Limit(usd, tokens))
    first = metered(model, effort)

    class Never:
        name = "never"

        def complaint(self, request: Request, answer: Answer) -> str:
            return "no"

    answerer = reasoner(parse_strategy(name), first, {}, Terms(checkers=(Never(),)))
    request = asked(params="{}" if most is None else f'{{"max_tokens":{most}}}')
    try:
        answer: Answer | None = asyncio.run(answerer.answer(request))
    except EffortExceeded:
        answer = None
    spent = effort.tokens, effort.usd
    assert tokens is None or spent[0] <= tokens
    assert usd is None or spent[1] <= usd * (1 + 1e-9)
    if answer is not None:
        assert answer.usage is not None
        assert answer.usage.input_tokens + answer.usage.output_tokens == spent[0]
        assert answer.deliberation is not None
        assert answer.deliberation.cost == pytest.approx(spent[1])


async def test_without_a_limit_the_request_stays_as_it_is() -> None:
    model, effort = Scripted("7"), Effort()
    request = asked(body=b"{}")
    answer = await metered(model, effort).answer(request)
    assert model.asked == [request]
    assert answer.deliberation is not None
    (sample,) = answer.deliberation.samples
    assert (sample.model, sample.usage, sample.cost) == ("small", Usage(10, 2), 10 * IN + 2 * OUT)


async def test_with_one_it_may_not_run_on() -> None:
    model = Scripted("7")
    await metered(model, Effort(Limit(tokens=100))).answer(asked())
    assert limit_of(model.asked[0]) == 100 - len("How many?")


async def test_what_failed_unasked_is_given_back_and_what_may_cost_is_not() -> None:
    effort = Effort(Limit(tokens=1_000))
    failing = metered(Scripted(NotRecorded("none")), effort)
    with pytest.raises(NotRecorded) as caught:
        await failing.answer(asked())
    assert (effort.tokens, caught.value.tried[0].error) == (0, "not_recorded")  # type: ignore[attr-defined]
    failing = metered(Scripted(EngineUnreachable("broke off")), effort)
    with pytest.raises(EngineUnreachable):
        await failing.answer(asked())
    assert effort.tokens > 0 or not EngineUnreachable("").may_cost


async def test_what_broke_off_has_failed() -> None:
    broken = Scripted(Answer("7", complete=False, usage=Usage(10, 1)))
    with pytest.raises(EngineError, match="broke off"):
        await metered(broken, Effort()).answer(asked())


async def test_where_nobody_knows_the_price_nothing_is_spent_of_a_budget_in_usd() -> None:
    unpriced = Metered(
        Scripted("7"), Effort(Limit(usd=1.0)), reckon, lambda usage: None, lambda r, a: a.usage
    )
    with pytest.raises(EffortExceeded):
        await unpriced.answer(asked())


def test_a_limit_beyond_all_numbers_is_none() -> None:
    effort = Effort(Limit(usd=1.7e308))
    assert effort.affordable(Usage(10, 50), cost) == 50
    assert Effort(Limit(usd=0.0)).affordable(Usage(10, 50), cost) == 0


@pytest.mark.parametrize("name", ["think:5000", "wait:3", "think:700+vote:3", "vote:3+think:700"])
async def test_thoughts_are_reckoned_whatever_the_answer_may_have(name: str) -> None:
    model = Greedy([1.0], *"abcdefgh")
    request, strategy = asked("x" * 40, params='{"max_tokens": 20}'), parse_strategy(name)
    ((_, most),) = most_usage(strategy, reckon(request))
    first = metered(model, Effort())
    answer = await reasoner(strategy, first, {}, Terms(risk=0)).answer(request)
    assert answer.usage is not None
    assert answer.usage.output_tokens <= most.output_tokens
    assert answer.usage.input_tokens <= most.input_tokens
