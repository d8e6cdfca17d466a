import pytest

from shoal.chat import Message, Request, ToolCall
from shoal.routing.estimate import expected_usage, tokens_at_most, upper_cost
from shoal.routing.prices import Tariff
from shoal.specialists.card import TokenRates


def request(text: str = "", params: str = "{}", **fields: str) -> Request:
    return Request("gpt", (Message("user", text),), params=params, **fields)


@pytest.mark.parametrize(
    ("params", "output"),
    [
        ("{}", 4096),
        ('{"max_tokens":7}', 7),
        ('{"max_completion_tokens":8,"max_tokens":7}', 8),
        ('{"max_output_tokens":9}', 9),
        ('{"max_tokens":7,"n":3}', 21),
        ('{"max_tokens":7,"n":null}', 7),
        ('{"max_tokens":"7"}', 4096),
        ('{"max_tokens":-7}', 4096),
        ('{"max_tokens":0}', 0),
        ('{"n":1000000000}', 4096 * 128),
    ],
)
def test_output_is_what_the_request_allows(params: str, output: int) -> None:
    usage = expected_usage(request(params=params), 4096)
    assert usage.output_tokens == output
    assert usage.estimated


def test_input_is_estimated_from_bytes() -> None:
    assert expected_usage(request("x" * 300), 1).input_tokens == 104
    assert expected_usage(request("ü" * 300), 1).input_tokens == 204
    assert expected_usage(request("x" * 300, tools="t" * 30), 1).input_tokens == 114
    said = Message("assistant", tool_calls=(ToolCall("1", "look", "y" * 296),))
    assert expected_usage(Request("gpt", (said,)), 1).input_tokens == 104


def test_an_image_is_not_measured_by_its_bytes() -> None:
    parts = '[{"type":"text","text":"x"},{"type": "image_url","image_url":{"url":"data:%s"}}]'
    said = Message("user", "x", parts=parts % ("A" * 100_000))
    assert expected_usage(Request("gpt", (said,)), 1).input_tokens == 1 + 4 + 1600


def test_the_rates_of_a_task_are_better_than_bytes() -> None:
    rates = TokenRates(per_character=0.25, output=3)
    assert expected_usage(request("x" * 400), 10, rates).input_tokens == 100
    assert expected_usage(request("x" * 400), 10, rates).output_tokens == 10


def test_upper_cost() -> None:
    tariff = Tariff("gpt", input=1.0, output=10.0)
    cost = upper_cost(request("x" * 288, '{"max_tokens":10}'), tariff, 4096)
    assert cost == pytest.approx((100 * 1 + 10 * 10) / 1e6)
    assert upper_cost(request("x"), Tariff("nobody-knows-this"), 4096) is None


def test_a_request_takes_at_most_a_token_a_byte_and_what_it_lets_the_answer_have() -> None:
    asked = request("漢" * 100 + "\ud800", '{"max_tokens":50,"n":2}', tools="t" * 30)
    assert tokens_at_most(asked) == 303 + 30 + 104 + 2 * 50
    assert tokens_at_most(request("x")) == 1 + 104 + 16_384  # it lets it have any length
