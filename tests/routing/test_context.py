"""What surely does not fit into a context."""

import json

import pytest

from shoal.chat import Message, Request
from shoal.errors import ContextLengthExceeded
from shoal.routing.context import check_context, listed_window

PROSE = "The quick brown fox jumps over the lazy dog, and then it sleeps. "  # 15 tokens


def request_of(text: str, **params: object) -> Request:
    return Request("m", (Message("user", text),), params=json.dumps(params))


def test_windows_are_looked_up() -> None:
    assert listed_window("gpt-4o-mini", "openai") == 128_000
    assert listed_window("mine", None) is None


def test_what_fits_passes() -> None:
    check_context(request_of(PROSE * 100), "m", 1_600)
    check_context(request_of(PROSE * 100, max_tokens=100), "m", 1_600)
    check_context(request_of("x" * 10_000_000), "m", None)
    check_context(request_of(" " * 80_000), "m", 1_600)  # a token may hold 80 of them


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (PROSE * 200, {}),
        ("hello", {"max_tokens": 1_601}),
        ("hello", {"max_completion_tokens": 1_601}),
        ("hello", {"max_output_tokens": 1_601}),
        (PROSE * 100, {"max_tokens": 1_000}),
    ],
)
def test_what_does_not_fit_is_refused(text: str, params: dict[str, object]) -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        check_context(request_of(text, **params), "m", 1_600)
    assert "1,600" in str(caught.value)
    assert f"{next(iter(params.values()), 0):,} are asked" in str(caught.value)


def test_tools_and_arguments_count() -> None:
    asked = Request("m", (Message("user", "hello"),), tools=f'["{PROSE * 200}"]')
    with pytest.raises(ContextLengthExceeded):
        check_context(asked, "m", 1_600)
