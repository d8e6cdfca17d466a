import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.calls.rates import Constants, Rates

seen = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.booleans()), max_size=40)


@given(seen, st.integers(0, 3))
def test_a_fold_has_no_say_in_rates_without_it(
    observed: list[tuple[int, str, bool]], fold: int
) -> None:
    every, others = Rates(), Rates()
    for own, key, hit in observed:
        every.add(own, [key], hit)
        if own != fold:
            others.add(own, [key], hit)
    for key in "abc":
        assert every.rate(key, 0.5, 2, fold) == others.rate(key, 0.5, 2)
        assert every.seen(key, fold) == others.seen(key)
        assert every.hits(key, fold) == others.hits(key)


def test_rates_are_drawn_towards_the_prior() -> None:
    rates = Rates()
    rates.add(None, ["x"], True)
    assert rates.rate("x", 0.2, 3) == pytest.approx((1 + 0.6) / 4)
    assert rates.rate("never", 0.2, 3) == pytest.approx(0.2)


@given(seen)
def test_settled_rates_come_back_from_their_counts(observed: list[tuple[int, str, bool]]) -> None:
    rates = Rates()
    for fold, key, hit in observed:
        rates.add(fold, [key], hit)
    rates.settle(least=2)
    again = Rates(rates.counts())
    assert again.counts() == rates.counts()
    assert all(n >= 2 for _, n in rates.counts().values())
    for key in "abc":
        assert again.rate(key, 0.5, 2) == rates.rate(key, 0.5, 2)


def test_a_value_of_one_conversation_is_no_constant_and_is_not_kept() -> None:
    constants = Constants()
    for group in range(3):
        constants.add("f.way", '"card"', group, group)
    constants.add("f.way", '"secret"', 3, 3)
    constants.add("f.way", '"secret"', 3, 3)
    assert constants.often("f.way") == ['"card"']
    assert constants.often("f.way", 0) == ['"card"']
    constants.settle()
    assert constants.counts() == {"f.way": {'"card"': 3}}
    assert Constants(constants.counts()).share("f.way", '"card"') == 1.0


def test_constants_do_not_count_the_fold_that_is_left_out() -> None:
    constants = Constants()
    for group in range(2):
        constants.add("f.way", '"card"', group, group)
    assert constants.often("f.way", 1) == []
    assert constants.often("f.way", 2) == ['"card"']
