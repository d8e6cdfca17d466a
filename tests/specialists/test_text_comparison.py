"""Features of two texts: what they say of texts that are alike, and that order does not matter."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.profile import Rarity, profile_of
from shoal.specialists.text_comparison import Rarities, Sides, Weights, compare, weigh

TEXTS = (
    "sony cyber-shot dsc-w120 digital camera pink",
    "sony dscw120p cyber shot camera",
    "adobe after effects 7.0 upgrade",
    "adobe aftereffects v7 professional",
    "microsoft office 2007",
    "microsoft office 2003",
    "quickbooks premier 2005",
    "qckbks prem ed 2005",
)
PROFILES = [profile_of(text) for text in TEXTS]
RARITIES = Rarities(
    Rarity.fit(p.distinct for p in PROFILES),
    Rarity.fit(p.grams for p in PROFILES),
    Rarity.fit(p.joined for p in PROFILES),
)


def features(left: str, right: str) -> dict[str, float]:
    sides = Sides(profile_of(left), profile_of(right))
    return compare(sides.left, sides.right, weigh(sides, RARITIES))


@pytest.mark.parametrize("text", TEXTS)
def test_equal_texts_are_as_alike_as_can_be(text: str) -> None:
    found = features(text, text)
    for name in found:
        if name.startswith(("cosine", "share", "alike", "one inside", "first")):
            assert found[name] == pytest.approx(1), name
    assert found["words in left only"] == found["rarest of left without a like"] == 0


def test_texts_without_anything_in_common() -> None:
    found = features("red lamp", "17 chairs of oak")
    assert found["cosine of words"] == found["words in both"] == 0
    assert math.isnan(found["no number in both"])
    assert math.isnan(found["most alike codes"])


def test_model_numbers_are_found_whatever_their_punctuation() -> None:
    found = features(TEXTS[0], TEXTS[1])
    assert found["longest code of left in right"] == len("dscw120")
    assert found["most alike codes"] > 0.9
    assert features("kx-tg1032s", "kxtg1032s")["a code in both"] == 1


def test_versions_that_differ_are_seen() -> None:
    other, same = features(TEXTS[4], TEXTS[5]), features(TEXTS[2], TEXTS[3])
    assert other["no number in both"] == 1
    assert same["no number in both"] == 0, "7.0 is 7"
    assert other["rarest number in left only"] > 0


def test_abbreviations_and_joined_words_are_alike() -> None:
    short = features(TEXTS[6], TEXTS[7])
    assert short["share of left with a like"] > short["share of left's words in right"] + 0.2
    joined = features(TEXTS[2], TEXTS[3])
    assert joined["share of left with a like"] > joined["share of left's words in right"] + 0.2


def test_sides_are_mirrored() -> None:
    one, other = features(TEXTS[0], TEXTS[1]), features(TEXTS[1], TEXTS[0])
    for name, value in one.items():
        swapped = name.replace("left", "\0").replace("right", "left").replace("\0", "right")
        if "edits" not in name and "alike codes" not in name:  # matching blocks know an order
            assert other[swapped] == pytest.approx(value, nan_ok=True), name


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_texts_have_the_same_features(left: str, right: str) -> None:
    found = features(left, right)
    assert list(found) == list(features("", ""))
    assert not any(math.isinf(value) for value in found.values())
    assert not any(value > 1 + 1e-9 for name, value in found.items() if name[:6] == "cosine")


def test_a_pair_that_was_counted_weighs_as_one_that_was_not() -> None:
    """Taken out of the counts, two training texts are like new ones to the other six."""
    without = Rarities(
        *(
            Rarity.fit(getattr(p, kind) for p in PROFILES[2:])
            for kind in ("distinct", "grams", "joined")
        )
    )
    left, right = PROFILES[:2]
    inside, outside = (
        weigh(Sides(left, right, (left, right)), RARITIES),
        weigh(Sides(left, right), without),
    )
    counted = weigh(Sides(left, right), RARITIES)
    rare = math.log(9) - math.log(7)  # the number of texts moves all weights alike
    for term, weight in inside.words.items():
        assert weight - outside.words[term] == pytest.approx(rare)
    assert counted.words["sony"] < inside.words["sony"]
    assert isinstance(counted, Weights)


def test_a_term_of_one_text_is_as_rare_as_a_new_one() -> None:
    rarity = Rarity.fit([{"a", "b"}, {"a"}, {"a", "c"}])
    weights = rarity.weights(["a", "b", "new"])
    assert weights["b"] == weights["new"] > weights["a"]


def test_very_long_texts_are_cut() -> None:
    profile = profile_of("ab1234 " * 100_000)
    assert len(profile.words) <= 500
    assert len(profile.codes) == 1
