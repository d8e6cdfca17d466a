"""What the exact cache takes for the same request, and for how long."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.chat import Answer, Message, Request
from shoal.formats import FORMATS
from shoal.routing.answer_cache import AnswerCache, digest, is_repeatable

NO_MATTER = {"stream", "user", "metadata", "stream_options"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(text: str = "hi", params: str = '{"temperature":0}') -> Request:
    return Request("gpt", (Message("user", text),), params=params)


def decoded(body: dict[str, Any]) -> Request:
    return FORMATS["chat"].decode_request(json.dumps(body).encode(), None)


messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(("user", "assistant")), "content": st.sampled_from(("a", "b"))},
        optional={"name": st.just("n"), "odd": st.integers(0, 1)},
    ),
    min_size=1,
    max_size=2,
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from(("gpt", "other")), "messages": messages},
    optional={
        "temperature": st.sampled_from((0, 1)),
        "seed": st.integers(0, 1),
        "max_tokens": st.integers(1, 2),
        "stop": st.sampled_from(("a", "b")),
        "unknown_field": st.integers(0, 1),
        "tools": st.sampled_from(([], [{"type": "function", "function": {"name": "f"}}])),
        "response_format": st.sampled_from(({"type": "text"}, {"type": "json_object"})),
        "stream": st.booleans(),
        "stream_options": st.just({"include_usage": True}),
        "user": st.sampled_from(("u", "v")),
        "metadata": st.just({"a": "b"}),
    },
)


def what_matters(body: dict[str, Any]) -> dict[str, str]:
    """Values as they are spelt: only the order of the outermost members is free."""
    return {name: json.dumps(value) for name, value in body.items() if name not in NO_MATTER}


def same_or_near(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    one = draw(bodies)
    other = draw(bodies)
    mixed = {name: draw(st.sampled_from((one, other))).get(name) for name in one | other}
    second = {name: value for name, value in mixed.items() if value is not None}
    return one, dict(draw(st.permutations(list(second.items()))))


@given(st.composite(same_or_near)(), st.sampled_from(("", "k1")), st.sampled_from(("", "k1")))
def test_two_requests_share_an_entry_only_if_all_that_matters_is_equal(
    pair: tuple[dict[str, Any], dict[str, Any]], caller: str, other: str
) -> None:
    one, two = pair
    equal = caller == other and what_matters(one) == what_matters(two)
    assert (digest(caller, decoded(one)) == digest(other, decoded(two))) is equal


@given(bodies)
def test_only_a_temperature_of_0_that_is_stated_is_cached(body: dict[str, Any]) -> None:
    assert is_repeatable(decoded(body)) is (body.get("temperature") == 0)


@pytest.mark.parametrize(
    "params",
    [
        "{}",
        '{"temperature":null}',
        '{"temperature":1e-9}',
        '{"temperature":"0"}',
        '{"temperature":0,"n":2}',
        '{"temperature":0,"logprobs":true}',
        '{"temperature":0,"shoal:untranslatable":["x"]}',
    ],
)
def test_what_is_not_cached(params: str) -> None:
    assert not is_repeatable(asked(params=params))
    assert AnswerCache({"t": 1.0}, 10_000).key("t", "", asked(params=params)) == b""


def test_requests_without_a_body_differ_by_every_field() -> None:
    base = asked()
    others = [
        asked("ho"),
        asked(params='{"temperature":0,"seed":1}'),
        Request("other", base.messages, params=base.params),
        Request("gpt", base.messages, params=base.params, tools="[]"),
        Request("gpt", base.messages, params=base.params, response_format="{}"),
        Request("gpt", base.messages, params=base.params, headers=(("openai-beta", "a"),)),
        Request("gpt", base.messages, params=base.params, headers=(("openai-beta", "b"),)),
    ]
    digests = {digest("", each) for each in (base, *others)}
    assert len(digests) == 1 + len(others)
    streamed = Request("gpt", base.messages, params=base.params, stream=True)
    assert digest("", streamed) == digest("", base)


def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    clock = Clock()
    cache = AnswerCache({"t": 10.0}, 100_000, clock)
    assert cache.key("other", "", asked()) == b""
    key = cache.key("t", "k", asked())
    assert cache.get(key, "t") is None
    cache.put(key, Answer("yes", body=b"x" * 50, request_id="req_1", id="resp_1"), "gpt")
    clock.now = 9.9
    found = cache.get(key, "t")
    assert found is not None
    assert (found.answer, found.model, found.age_s) == (Answer("yes"), "gpt", 9.9)
    clock.now = 10.0
    assert cache.get(key, "t") is None
    assert (len(cache), cache.bytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3_000)), max_size=40))
def test_its_bytes_are_bounded_and_what_was_not_asked_for_longest_goes(
    puts: list[tuple[int, int]],
) -> None:
    cache = AnswerCache({"t": 10.0}, 9_000, Clock())
    for number, size in puts:
        cache.put(b"%d" % number, Answer("a" * size), "gpt")
        assert cache.get(b"%d" % number, "t") is not None
        assert cache.bytes <= 9_000
    for number in range(10):
        cache.put(b"%d" % number, Answer(), "gpt")
    assert cache.bytes <= 9_000
    held = [number for number in range(10) if cache.get(b"%d" % number, "t")]
    assert held == list(range(10 - len(held), 10))
    cache.put(b"huge", Answer("a" * 9_000), "gpt")
    assert cache.get(b"huge", "t") is None
    assert held
