"""What is a tool loop, and when to leave its model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.chat import Message, ToolCall, Usage
from shoal.routing.prices import Tariff
from shoal.routing.tool_loops import in_tool_loop, worth_a_switch, worth_asking

ASKED = Message("user", "Cancel it.")
CALLED = Message("assistant", tool_calls=(ToolCall("c", "cancel", "{}"),))
RESULT = Message("tool", "done", tool_call_id="c")
TALKED = Message("assistant", "Done.")

DEAR = Tariff(input=2.5, cached=1.25, output=10.0)
CHEAP = Tariff(input=0.15, cached=0.075, output=0.6)
UNKNOWN = Tariff(model="nobody-knows-it", provider="nobody")
BEFORE = Usage(4_000, 50)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((), False),
        ((ASKED,), False),
        ((ASKED, CALLED), False),
        ((ASKED, CALLED, RESULT), True),
        ((ASKED, CALLED, RESULT, Message("user", "(hurry)")), True),
        ((ASKED, CALLED, RESULT, TALKED), False),
        ((ASKED, CALLED, RESULT, TALKED, ASKED), False),
        ((ASKED, TALKED, RESULT), False),
    ],
)
def test_in_a_loop(messages: tuple[Message, ...], expected: bool) -> None:
    assert in_tool_loop(messages) == expected


def test_a_model_that_costs_as_much_is_not_worth_the_lost_cache() -> None:
    assert not worth_a_switch(DEAR, DEAR, BEFORE, 1)
    assert not worth_a_switch(CHEAP, DEAR, BEFORE, 5)


def test_one_that_is_cheaper_even_without_a_cache_is() -> None:
    assert worth_a_switch(DEAR, CHEAP, BEFORE, 1)


def test_the_longer_the_loop_the_sooner_a_switch_pays() -> None:
    slightly = Tariff(input=2.0, cached=1.0, output=10.0)
    assert not worth_a_switch(DEAR, slightly, BEFORE, 1)
    assert worth_a_switch(DEAR, slightly, BEFORE, 10)


@pytest.mark.parametrize("pair", [(DEAR, UNKNOWN), (UNKNOWN, CHEAP)])
def test_what_nobody_knows_the_price_of_is_held(pair: tuple[Tariff, Tariff]) -> None:
    assert not worth_a_switch(*pair, BEFORE, 1)
    assert not worth_a_switch(DEAR, CHEAP, None, 1)
    assert not worth_a_switch(DEAR, CHEAP, BEFORE, 0)


@given(
    st.tuples(*[st.floats(0, 100)] * 2),
    st.floats(0, 1),
    st.integers(0, 10**6),
    st.integers(0, 10**4),
    st.integers(1, 50),
)
def test_nobody_leaves_a_model_for_its_like(
    prices: tuple[float, float], discount: float, read: int, said: int, steps: int
) -> None:
    tariff = Tariff(input=prices[0], cached=prices[0] * discount, output=prices[1])
    assert not worth_a_switch(tariff, tariff, Usage(read, said), steps)


def test_models_are_asked_in_a_loop_if_they_save_more_than_they_take() -> None:
    assert worth_asking([CHEAP, CHEAP], 0.5, DEAR, BEFORE)
    assert not worth_asking([CHEAP, CHEAP], 0.1, DEAR, BEFORE)
    assert not worth_asking([DEAR], 0.9, DEAR, BEFORE)
    assert worth_asking([DEAR], 0.9, DEAR, None)
    assert worth_asking([UNKNOWN], 0.9, DEAR, BEFORE)
