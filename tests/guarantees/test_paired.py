"""The paired test: exact, monotone, and honest about how many questions it needs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.guarantees import Paired

COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 200))


@given(COUNTS)
def test_the_p_value_is_the_tail_of_a_fair_coin(counts: tuple[int, int, int]) -> None:
    gained, lost, same = counts
    m = gained + lost
    tail = sum(math.comb(m, k) for k in range(gained, m + 1)) / 2**m
    assert Paired(m + same, gained, lost).p_value == pytest.approx(tail)


@given(COUNTS, st.floats(0.001, 0.2))
def test_the_bound_is_a_half_or_more_where_a_gain_is_shown(
    counts: tuple[int, int, int], delta: float
) -> None:
    gained, lost, same = counts
    found = Paired(gained + lost + same, gained, lost)
    if abs(found.p_value - delta) > 1e-9:
        assert found.shows_gain(delta) == (found.bound(delta) >= 0.5)


def test_five_gains_alone_are_enough_and_four_are_not() -> None:
    assert Paired(5, 5, 0).shows_gain(0.05)
    assert not Paired(100, 4, 0).shows_gain(0.05)
    assert not Paired(0, 0, 0).shows_gain(0.05)


@given(COUNTS)
def test_with_as_many_as_it_says_are_needed_it_shows(counts: tuple[int, int, int]) -> None:
    gained, lost, same = counts
    found = Paired(gained + lost + same, gained, lost)
    needed = found.needed(0.05)
    if gained <= lost:
        assert needed is None
    elif needed is not None:
        up, down = gained * needed // found.n, -(-lost * needed // found.n)
        more = Paired(needed, up, min(needed - up, down))
        assert more.shows_gain(0.05)
        assert needed > found.n or found.shows_gain(0.05)


def test_shares_that_show_nothing_however_many() -> None:
    assert Paired(10_000, 1, 0).needed(0.05) == 50_000
    assert Paired(100_000_000, 100, 99).needed(0.05) is None


@pytest.mark.parametrize(("n", "gained", "lost"), [(3, 2, 2), (3, -1, 0), (3, 0, -1), (-1, 0, 0)])
def test_counts_that_cannot_be(n: int, gained: int, lost: int) -> None:
    with pytest.raises(ValueError, match="expected gained"):
        Paired(n, gained, lost)
