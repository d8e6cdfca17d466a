"""Which pairs are left out together: read off whether records come again in the order of time."""

from collections import Counter
from collections.abc import Hashable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from product_pairs import Pairs
from shop_catalogue import catalogue, offers

from shoal.specialists.pair_features import PairFeatures
from shoal.specialists.pair_groups import by_left, come_again, groups_of
from shoal.specialists.pairs import Pair, find_pair

Keys = list[tuple[str, str]]
RANDOM = np.random.default_rng(0)


def bursts(n: int = 100, size: int = 4) -> Keys:
    """Each left record in four pairs in a row; the right ones are of a catalogue of 60."""
    return [
        (f"l{at}", f"r{right}")
        for at in range(n)
        for right in RANDOM.choice(60, size, replace=False)
    ]


def turned(keys: Keys) -> Keys:
    return [(right, left) for left, right in keys]


def shuffled(keys: Keys) -> Keys:
    return [keys[at] for at in RANDOM.permutation(len(keys))]


def pairs_of(found: Pairs) -> list[Pair]:
    pairs = [find_pair(asked, "two slots") for asked in found.inputs]
    return [pair for pair in pairs if pair is not None]


def test_pairs_of_records_that_come_again_are_left_out_one_by_one() -> None:
    keys = shuffled(bursts())
    assert groups_of(keys) == keys


def test_where_each_left_record_is_new_its_pairs_are_left_out_together() -> None:
    keys = bursts()
    assert groups_of(keys) == [left for left, _ in keys] == by_left(keys)


def test_right_records_may_be_the_new_ones() -> None:
    keys = turned(bursts())
    assert groups_of(keys) == [right for _, right in keys]


def test_records_of_one_pair_each_are_no_shift() -> None:
    keys = [(f"l{at}", f"r{at}") for at in range(90)]
    assert groups_of(keys) == keys


def test_batches_of_new_records_are_left_out_whole() -> None:
    keys = [
        (f"l{batch}-{left}", f"r{batch}-{right}")
        for batch in range(30)
        for left in range(4)
        for right in range(4)
    ]
    found = Counter(groups_of(keys))
    assert sorted(found.values()) == [16] * 30
    assert groups_of([*keys, keys[0]])[-1] == groups_of(keys)[0]


def test_one_group_of_nearly_all_is_none() -> None:
    """Records of either side are new ones, and each hangs together with the next."""
    keys = [(f"l{at}", f"r{at + step}") for at in range(150) for step in range(3)]
    assert groups_of(keys) == by_left(keys)


def test_repeated_pairs_do_not_hide_that_records_are_new() -> None:
    keys = bursts()
    assert groups_of([*keys, *keys[-8:], *keys[:200]]) == by_left([*keys, *keys[-8:], *keys[:200]])


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_some_new_records_are_enough(share: float) -> None:
    known = shuffled([(f"l{at}", f"r{RANDOM.integers(60)}") for at in range(60)] * 8)
    keys: Keys = []
    for new, old in zip(bursts(100), known, strict=False):
        keys.append(new if RANDOM.random() < share else old)
    assert groups_of(keys) == by_left(keys)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), max_size=60))
def test_equal_pairs_are_in_one_group(keys: Keys) -> None:
    found = groups_of(keys)
    assert len(found) == len(keys)
    of: dict[tuple[str, str], Hashable] = {}
    for pair, group in zip(keys, found, strict=True):
        assert of.setdefault(pair, group) == group


def test_a_random_order_seldom_looks_like_new_records() -> None:
    keys = [str(at) for at in range(150) for _ in range(4)]
    drawn = [[keys[at] for at in np.random.default_rng(s).permutation(600)] for s in range(100)]
    assert sum(not come_again(one) for one in drawn) <= 8


def test_rows_know_nothing_of_their_group() -> None:
    """A row is what it would be had no pair of its left record been there."""
    pairs = pairs_of(offers(catalogue(1), 40))
    groups = [left.key for left, _ in pairs]
    inside = PairFeatures.fit(pairs).rows(pairs, 0, groups)
    for at in (0, 9, 77):
        rest = [pair for pair in pairs if pair[0] != pairs[at][0]]
        outside = PairFeatures.fit(rest).row(pairs[at])
        # what remains is the number of records in the logarithm, and in the rivals' lengths
        assert inside[at] == pytest.approx(outside, rel=0.06, abs=0.06, nan_ok=True)


def test_familiarity_knows_nothing_of_the_group() -> None:
    """Right records that are seen beside one left record alone are strangers, too."""
    pairs = pairs_of(offers(catalogue(1, size=200), 30))
    groups = [left.key for left, _ in pairs]
    inside = PairFeatures.fit(pairs).familiarities(pairs, 0, groups)
    assert 0 < np.isnan(inside).mean() < 1
    for at in np.flatnonzero(~np.isnan(inside))[:5]:
        rest = PairFeatures.fit([pair for pair in pairs if pair[0] != pairs[at][0]])
        assert inside[at] == rest.familiarity(pairs[at])
