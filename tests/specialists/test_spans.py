import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from desk_messages import desk_messages

from shoal.specialists import spans
from shoal.specialists.places import locate
from shoal.specialists.senses import Senses
from shoal.specialists.spans import RIDGE, SpanTagger, tags_of, token_features
from shoal.specialists.tagger import Places, Tagger
from shoal.tasks.contract import Field

KEYS = ("order", "amount")
FIELDS = (Field("order", "span"), Field("amount", "number"))


def examples(n: int, seed: int = 0) -> tuple[list[str], list[Places]]:
    desk = desk_messages(n, seed)
    places = [locate(text, FIELDS, row) for text, row in zip(desk.texts, desk.rows, strict=True)]
    return desk.texts, places


def weights_by_hand(texts: Any, places: Any, senses: Senses) -> Any:
    """Regularised least squares, straight from its definition."""
    square: Any = 0.0
    cross: Any = 0.0
    for text, copies in Counter(texts).items():
        tokens = senses.tokenise([text])[0]
        rows = token_features(text, tokens).astype(np.float64)
        square = square + copies * rows.T @ rows
        theirs = [place for other, place in zip(texts, places, strict=True) if other == text]
        cross = cross + rows.T @ np.sum([tags_of(KEYS, tokens[0], p) for p in theirs], axis=0)
    return np.linalg.solve(square + RIDGE * np.eye(len(square)), cross)


def test_weights_are_those_of_least_squares(
    senses: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_BATCH", 7)  # so that there are several, the last not full
    texts, places = examples(30)
    found = SpanTagger.train(KEYS, texts, places, senses).tagger.arrays()["tags"]
    np.testing.assert_allclose(found, weights_by_hand(texts, places, senses), atol=1e-4)


def test_left_out_spans_are_those_of_retrained_taggers(senses: Senses) -> None:
    """Each message is left out with all of its tokens, and with its copies, however many."""
    texts, places = examples(12)
    texts, places = (
        [*texts, *texts[:2], *[texts[5]] * 2_000],
        [*places, {}, {}, *[places[5]] * 2_000],
    )
    left_out = SpanTagger.train(KEYS, texts, places, senses).left_out
    assert len(left_out) == len(texts)
    for i in (0, 2, 5, 13):
        text = texts[i]
        others = [j for j, other in enumerate(texts) if other != text]
        weights = weights_by_hand([texts[j] for j in others], [places[j] for j in others], senses)
        tagger = SpanTagger(KEYS, weights.astype(np.float32))
        expected = tagger.find(text, senses.tokenise([text])[0])
        for key in KEYS:
            assert left_out[i][key].value == expected[key].value
            assert left_out[i][key].margin == pytest.approx(expected[key].margin, abs=2e-3)


def test_it_finds_what_new_messages_state(senses: Senses) -> None:
    tagger = SpanTagger.train(KEYS, *examples(200), senses).tagger
    text = "hi there, the courier never came, my order is AB-77777, it was 45 euros"
    found = tagger.find(text, senses.tokenise([text])[0])
    assert {key: span.value for key, span in found.items()} == {"order": "AB-77777", "amount": "45"}
    nothing = tagger.find("good morning", senses.tokenise(["good morning"])[0])
    assert [span.value for span in nothing.values()] == [None, None]


def test_two_values_for_one_key_are_unsure(senses: Senses) -> None:
    tagger = SpanTagger.train(KEYS, *examples(200), senses).tagger
    one, two = "hello, my order is AB-77777", "hello, my order is AB-77777, my order is AB-88888"
    margins = [tagger.find(t, senses.tokenise([t])[0])["order"].margin for t in (one, two)]
    assert margins[1] < margins[0] / 2


def test_a_text_without_tokens_states_nothing(senses: Senses) -> None:
    tagger = SpanTagger.train(KEYS, [*examples(20)[0], ""], [*examples(20)[1], {}], senses).tagger
    found = tagger.find("", senses.tokenise([""])[0])
    assert [span.value for span in found.values()] == [None, None]


@pytest.mark.parametrize("text", ["x" * 1_000_000, "x," * 500_000, "x " * 500_000])
def test_a_megabyte_takes_little_time(senses: Senses, text: str) -> None:
    tokens = senses.tokenise([text])[0]
    began = time.process_time()
    token_features(text, tokens)
    assert time.process_time() - began < 0.2


def test_a_key_may_have_several_values(senses: Senses) -> None:
    text = "hello, my order is AB-77777, my order is AB-88888, it was 45 euros"
    trained = (
        SpanTagger.train(KEYS, *examples(200), senses, several).tagger
        for several in (frozenset[str](), frozenset({"order"}))
    )
    one, all_of_them = (tagger.find(text, senses.tokenise([text])[0]) for tagger in trained)
    assert all_of_them["order"].values == ("AB-77777", "AB-88888")
    assert len(one["order"].values) == 1
    assert one["amount"] == all_of_them["amount"]


def test_runs_and_evidence_are_of_the_same_words(senses: Senses) -> None:
    tagger: Tagger = SpanTagger.train(KEYS, *examples(200), senses).tagger
    text = "hello, my order is AB-77777, it was 45 euros"
    tokens = senses.tokenise([text])[0]
    runs = [(key, text[start:end]) for key, start, end in tagger.runs(text, tokens)]
    assert runs == [("order", "AB-77777"), ("amount", "45")]
    evidence = tagger.evidence(text, tokens)
    words = [(each.key, each.word) for each in evidence]
    assert words == [("order", "AB"), ("order", "-"), ("order", "77777"), ("amount", "45")]
    assert all(each.weight > 0 for each in evidence)


def test_tags_mark_begin_and_inside_of_each_place() -> None:
    offsets = np.array([[0, 2], [3, 5], [5, 6], [7, 9]], np.int32)
    tags = tags_of(KEYS, offsets, {"order": ((3, 6),), "amount": ((8, 9),)})
    np.testing.assert_array_equal(tags.argmax(axis=1), [0, 1, 2, 3])
    np.testing.assert_array_equal(tags.sum(axis=1), 1)
