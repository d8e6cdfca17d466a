"""Rows for pairs: which attributes are compared, and that training rows are like new ones."""

import numpy as np
import pytest
from product_pairs import product_pairs

from shoal.specialists.pair_features import PairFeatures, Schema
from shoal.specialists.pairs import Pair, Record, find_pair

NAMED = [find_pair(given, "two slots") for given in product_pairs(60).inputs]
PAIRS: list[Pair] = [pair for pair in NAMED if pair is not None]


def record(**fields: str) -> Record:
    return Record(tuple(fields.items()))


def test_texts_and_numbers_are_told_apart() -> None:
    pairs = [(record(t="a lamp", by="x", p="$1,200"), record(t="lamp", by="", p="9.5 usd"))] * 4
    assert Schema.of(pairs) == Schema(("t", "by"), ("p",))


def test_an_attribute_of_one_side_is_not_compared_alone() -> None:
    pairs = [(record(title="lamp", p="1"), record(name="lamp", p="2"))]
    schema = Schema.of(pairs)
    assert schema.texts == ()
    assert schema.text(pairs[0][0], "record") == "lamp"


def test_plain_text_has_one_view() -> None:
    assert Schema.of([(Record((("", "a 1"),)), Record((("", "b 2"),)))]).views == ("record",)


def test_training_rows_are_what_they_would_be_for_new_pairs() -> None:
    """Each record is in one pair only, so a pair's row must not know that it was counted."""
    inside = PairFeatures.fit(PAIRS).rows(PAIRS)
    for at in (0, 7, 31):
        rest = PAIRS[:at] + PAIRS[at + 1 :]
        outside = PairFeatures.fit(rest).row(PAIRS[at])
        # what remains is the number of records in the logarithm, and in the rivals' lengths
        assert inside[at] == pytest.approx(outside, rel=0.02, abs=0.02, nan_ok=True)


def test_a_training_row_without_that_correction_differs() -> None:
    features = PairFeatures.fit(PAIRS)
    at = features.names.index("record: rarest word in both")
    corrected, plain = features.rows(PAIRS)[:, at], [features.row(pair)[at] for pair in PAIRS]
    assert np.mean(corrected - plain) > 0.1


def test_a_record_of_several_pairs_stays_counted() -> None:
    left, right = PAIRS[0]
    pairs = [*PAIRS, (left, PAIRS[1][1]), (PAIRS[2][0], right)]
    features = PairFeatures.fit(pairs)
    assert features.rows(pairs)[0] == pytest.approx(features.row(pairs[0]), nan_ok=True)


def test_a_better_candidate_elsewhere_is_seen() -> None:
    twin = record(name="sony dsc100 camera", price="9")
    other = record(name="sony dsc200 camera case", price="9")
    pairs = [*PAIRS, (record(name="lg tv"), record(name="sony dsc-100 camera"))]
    features = PairFeatures.fit(pairs)
    names = [f"record: {what}" for what in ("lead over left's best other candidate",)]
    at = [features.names.index(name) for name in names]
    assert features.row((twin, other))[at][0] < -0.2
    assert features.row((twin, record(name="sony dsc-100 camera")))[at][0] > 0.2


def test_missing_values_are_told_as_such() -> None:
    features = PairFeatures.fit(PAIRS)
    row = features.row((record(name="sony tv", price=""), record(name="sony tv", price="x")))
    assert np.isnan(row[features.names.index("price: how many times apart")])
    assert features.row((record(), record())).shape == (len(features.names),)


def test_numbers_are_compared_as_numbers() -> None:
    features = PairFeatures.fit(PAIRS)
    names = [f"price: {what}" for what in ("how many times greater", "equal")]
    at = [features.names.index(name) for name in names]
    row = features.row((record(name="a", price="$2,000"), record(name="a", price="1000 eur")))
    assert row[at] == pytest.approx([np.log(2), 0], abs=1e-4)


def test_they_come_back_from_their_model() -> None:
    features = PairFeatures.fit(PAIRS)
    again = PairFeatures.restore(features.model(), features.arrays())
    assert again.names == features.names
    for pair in PAIRS[:10]:
        assert again.row(pair) == pytest.approx(features.row(pair), nan_ok=True, abs=0)
