from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import RateLimited
from shoal.routing.caller import Caller, KeySpec
from shoal.routing.rate_limits import RateLimits


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def caller(key: str = "k", **limits: Any) -> Caller:
    return Caller(key=key, name="team", spec=KeySpec(**limits))


def test_requests_a_minute() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    for _ in range(2):
        limits.take(caller(rpm=2), 1)
        clock.now += 10
    with pytest.raises(
        RateLimited, match=r"'team' may have 2 requests a minute.*in 40 s"
    ) as caught:
        limits.take(caller(rpm=2), 1)
    assert caught.value.status == 429
    assert dict(caught.value.headers) == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "50s",
        "retry-after": "40",
    }
    limits.take(caller("other", rpm=2), 1)
    clock.now += 40
    limits.take(caller(rpm=2), 1)


def test_tokens_a_minute_and_their_headers() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    allowance = limits.take(caller(rpm=9, tpm=1000), 600)
    assert dict(allowance.headers) == {
        "x-ratelimit-limit-requests": "9",
        "x-ratelimit-remaining-requests": "8",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "400",
        "x-ratelimit-reset-tokens": "1m0s",
    }
    with pytest.raises(RateLimited, match="1,000 tokens a minute"):
        limits.take(caller(rpm=9, tpm=1000), 401)
    again = limits.take(caller(rpm=9, tpm=1000), 400)
    again.correct(500)
    free = limits.take(caller(rpm=9, tpm=1000), 0)  # what takes no tokens waits for none
    assert free.headers["x-ratelimit-remaining-tokens"] == "0"
    assert again.headers["x-ratelimit-remaining-requests"] == "7"  # the refused one took nothing


def test_the_true_count_takes_the_place_of_the_expected_one() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    allowance = limits.take(caller(tpm=1000), 900)
    allowance.correct(100)
    limits.take(caller(tpm=1000), 900)
    allowance.correct(300)
    clock.now += 61
    limits.take(caller(tpm=1000), 1000)
    allowance.correct(0)  # long out of the window
    with pytest.raises(RateLimited):
        limits.take(caller(tpm=1000), 1)


def test_a_call_that_never_fits_is_not_to_be_tried_again() -> None:
    with pytest.raises(RateLimited, match="this call alone could take 1,001") as caught:
        RateLimits(Clock()).take(caller(tpm=1000), 1001)
    assert caught.value.headers["x-should-retry"] == "false"
    assert "retry-after" not in caught.value.headers


def test_a_key_without_limits_has_no_headers() -> None:
    limits = RateLimits(Clock())
    for _ in range(1000):
        assert limits.take(caller(), 10**9).headers == {}
    assert not limits._windows


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 60), st.integers(0, 60)), max_size=60))
def test_no_minute_has_more_than_its_limit(steps: list[tuple[float, int, int]]) -> None:
    """Whatever comes when, each span of 60 s has at most the limit, but for what calls took over
    what was expected of them (at least one); and who waits as long as told gets in."""
    clock, had = Clock(), list[tuple[float, int]]()
    limits, who = RateLimits(clock), caller(rpm=10, tpm=100)
    for pause, expected, actual in steps:
        clock.now += pause
        try:
            allowance = limits.take(who, expected)
        except RateLimited as error:
            clock.now += float(error.headers["retry-after"])
            allowance = limits.take(who, expected)
        allowance.correct(actual)
        had.append((clock.now, actual))
        window = [tokens for at, tokens in had if at + 60 > clock.now]
        assert len(window) <= 10
        assert sum(window) <= 100 + max(0, actual - expected)
