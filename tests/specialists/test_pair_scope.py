"""Pairs of another catalogue: known by records that were never seen, and by their words."""

from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from product_pairs import MATCH, Pairs, input_of, product_pairs
from shop_catalogue import catalogue, offers

from shoal.specialists.match import KIND, MatchSpecialist, restore_match, train_match
from shoal.specialists.pair_features import PairFeatures
from shoal.specialists.pair_scope import FEW, LEAST, PairScope
from shoal.specialists.pairs import Pair, find_pair
from shoal.specialists.specialist import Prediction, Trained

LIGHT = KIND.recipes[0]
OURS, THEIRS = catalogue(1), catalogue(2)
SEEN = offers(OURS, 100)
ALONE = product_pairs(300)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train_match(MATCH, SEEN.inputs, SEEN.outputs, None, LIGHT)


def said(trained: Trained, pairs: Pairs) -> list[Prediction]:
    return [trained.specialist.predict(given) for given in pairs.inputs]


def pairs_in(found: Pairs) -> list[Pair]:
    pairs = [find_pair(given, "two slots") for given in found.inputs]
    return [pair for pair in pairs if pair is not None]


def test_pairs_of_another_catalogue_are_declined(trained: Trained) -> None:
    other = offers(THEIRS, 30, seed=3)
    assert {(p.output, p.signal) for p in said(trained, other)} == {(None, 0.0)}


def test_what_it_would_have_said_can_be_asked(trained: Trained) -> None:
    assert isinstance(trained.specialist, MatchSpecialist)
    for asked in offers(THEIRS, 3, seed=3).inputs:
        assert trained.specialist.forced(asked).output in MATCH.labels
    for asked in SEEN.inputs[:5]:
        assert trained.specialist.forced(asked) == trained.specialist.predict(asked)


def test_new_offers_of_the_same_catalogue_are_answered(trained: Trained) -> None:
    new = offers(OURS, 30, seed=4)
    found = said(trained, new)
    right = [p.output == label for p, label in zip(found, new.outputs, strict=True)]
    assert np.mean([p.output is None for p in found]) < 0.05
    assert np.mean(right) > 0.9


def test_left_out_examples_are_answered_as_before(trained: Trained) -> None:
    assert all(p.output is not None for p in trained.left_out)


def test_it_declines_after_loading_too(trained: Trained) -> None:
    assert isinstance(trained.specialist, MatchSpecialist)
    model, arrays = trained.specialist.parts()
    back = restore_match(MATCH, model, arrays, None)
    for asked in (*offers(THEIRS, 2, seed=3).inputs, *SEEN.inputs[:20]):
        assert back.predict(asked) == trained.specialist.predict(asked)
        assert back.explain(asked) == trained.specialist.explain(asked)


def test_a_model_from_before_answers_as_it_did(trained: Trained) -> None:
    """It was certified with its answers to strangers."""
    assert isinstance(trained.specialist, MatchSpecialist)
    model, arrays = trained.specialist.parts()
    del model["scope"]
    old = restore_match(MATCH, model, arrays, None)
    assert all(old.predict(given).output for given in offers(THEIRS, 5, seed=3).inputs)


def test_with_one_record_known_rivals_are_looked_at(trained: Trained) -> None:
    told = [one.what for given in SEEN.inputs for one in trained.specialist.explain(given)]
    assert any("candidate" in what or "other matches" in what for what in told)


def test_where_strangers_are_usual_they_are_answered_and_unfamiliar_ones_without_rivals() -> None:
    found = train_match(MATCH, ALONE.inputs, ALONE.outputs, None, LIGHT)
    usual = said(found, product_pairs(60, seed=5))
    assert np.mean([p.output is None for p in usual]) < 0.05
    texts = "zorblat quux vimto 9913", "zorblat quux vimto 9913 florp"
    left, right = ({"name": text, "price": "9"} for text in texts)
    odd = input_of(left, right)
    assert found.specialist.predict(odd).signal < np.mean([p.signal for p in usual]) - 0.1
    told = [one.what for one in found.specialist.explain(odd)]
    assert told
    assert not any("candidate" in what or "other matches" in what for what in told)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=40), st.integers(0, 400), st.floats(0, 1))
def test_a_stranger_is_never_likelier_in_scope_than_a_known_record(
    strangers: list[float], others: int, familiarity: float
) -> None:
    scope = PairScope.fit(np.array([*strangers, *[nan] * others]))
    assert scope.judge(nan) == (1.0, True)
    found = scope.judge(familiarity).inside
    assert 0 <= found < 1
    assert found == 0 or scope.strangers > FEW


def test_few_strangers_in_training_put_all_out_of_scope() -> None:
    pairs = pairs_in(SEEN)
    features = PairFeatures.fit(pairs)
    scope = PairScope.fit(features.familiarities(pairs))
    assert scope.strangers < FEW
    assert np.isnan([features.familiarity(pair) for pair in pairs]).all()
    asked = features.familiarity(pairs_in(offers(THEIRS, 1, seed=3))[0])
    assert scope.judge(asked).inside < LEAST


def test_strangers_are_told_as_for_new_pairs() -> None:
    """A training pair whose records are in no other is one of strangers, as if it were new."""
    pairs = pairs_in(ALONE)[:30]
    twin = (pairs[0][0], pairs[1][1])
    features = PairFeatures.fit([*pairs, twin])
    known = np.isnan(features.familiarities([*pairs, twin]))
    assert known.tolist() == [True, True] + [False] * 28 + [True]
    rest = PairFeatures.fit(pairs[1:])
    assert not isnan(rest.familiarity(pairs[0]))
    assert isnan(rest.familiarity(pairs[1]))


def test_familiarity_is_that_of_a_pair_that_was_not_counted() -> None:
    pairs = pairs_in(ALONE)[:60]
    inside = PairFeatures.fit(pairs).familiarities(pairs)
    for at in (0, 11, 40):
        outside = PairFeatures.fit(pairs[:at] + pairs[at + 1 :])
        assert inside[at] == outside.familiarity(pairs[at])


def test_records_without_the_attributes_are_less_familiar() -> None:
    features = PairFeatures.fit(pairs_in(ALONE))
    (left, right), *_ = pairs_in(product_pairs(1, seed=8))
    renamed = type(right)((("name", right.value("name")), ("cost", "3")))
    assert features.familiarity((left, renamed)) < features.familiarity((left, right))
