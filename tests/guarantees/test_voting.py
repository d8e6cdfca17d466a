"""When a vote may stop."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.guarantees.voting import fewest, log_wealth, standing


def whole(votes: list[int | None]) -> int | None:
    """The leader of all votes, the first to appear among equals: the plain definition."""
    best: int | None = None
    for vote in votes:
        if vote is not None and (best is None or votes.count(vote) > votes.count(best)):
            best = vote
    return best


def adaptive(votes: list[int | None], n: int, risk: float) -> tuple[int | None, int]:
    """The leader where the vote stops, and after how many samples."""
    for taken in range(len(votes) + 1):
        found = standing(votes[:taken], n, risk)
        if found.settled:
            return found.leader, taken
    raise AssertionError("a whole vote is settled")


@given(st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=12))
def test_without_risk_it_is_the_whole_vote(votes: list[int | None]) -> None:
    leader, taken = adaptive(votes, len(votes), 0.0)
    assert leader == whole(votes)
    assert taken <= len(votes)


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 1, 2]), min_size=2, max_size=6),
    st.sampled_from([0.05, 0.1, 0.2, 0.4]),
)
def test_over_all_orders_it_differs_from_the_whole_vote_no_more_than_stated(
    votes: list[int | None], risk: float
) -> None:
    """Exactly, and not only on the average over samples: the orders of one set of votes are equally
    likely, and all of them are gone through. Where two answers are equally common, either may be
    called the vote's."""
    orders = list(set(itertools.permutations(votes)))
    most = max(votes.count(vote) for vote in votes)
    common = {vote for vote in votes if votes.count(vote) == most}
    differ = sum(adaptive(list(order), len(votes), risk)[0] not in common for order in orders)
    assert differ <= risk * len(orders)


@given(st.integers(1, 60), st.sampled_from([0.0, 0.01, 0.05]))
def test_fewest_is_how_many_it_takes_where_all_agree(n: int, risk: float) -> None:
    least = fewest([], n, risk)
    assert standing([0] * least, n, risk).settled
    assert not standing([0] * (least - 1), n, risk).settled
    assert least <= math.ceil(n / 2)


def test_risk_buys_samples() -> None:
    assert [fewest([], n, 0.0) for n in (5, 10, 40, 100)] == [3, 5, 20, 50]
    assert [fewest([], n, 0.05) for n in (5, 10, 40, 100)] == [3, 5, 7, 8]


def test_a_draw_goes_to_the_first() -> None:
    assert standing([1, 0], 2, 0.0).leader == 1
    assert standing([1, 1, 0], 4, 0.0).certain
    assert not standing([0, 1, 1], 4, 0.0).certain  # the first may still draw, and win


def test_what_says_nothing_is_no_vote() -> None:
    assert standing([None, None], 2, 0.05).leader is None
    assert standing([None, None], 2, 0.05).settled
    assert not standing([None, None], 3, 0.05).settled
    assert standing([None, 0], 3, 0.0).certain


def test_a_leader_that_falls_behind_loses_what_was_bet_on_it() -> None:
    ahead = [log_wealth([0, 0, 0, 0, *later], 40, 0, 1) for later in ([0], [1])]
    assert ahead[0] > ahead[1] == log_wealth([0, 0, 0, 0], 40, 0, 1)
    assert log_wealth([1, 1, 0], 40, 0, 1) == 0.0  # nothing is bet on who is behind


@pytest.mark.parametrize(("votes", "n", "risk"), [([0, 0], 1, 0.0), ([0], 2, 1.0), ([0], 2, -0.1)])
def test_what_cannot_be_is_refused(votes: list[int | None], n: int, risk: float) -> None:
    with pytest.raises(ValueError, match=r"expected|risk"):
        standing(votes, n, risk)
