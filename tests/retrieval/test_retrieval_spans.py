"""Spans: where they may begin and end, and what the shipped model makes of plain questions."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import ArtifactError
from shoal.retrieval.span_features import KINDS, asked_for, features
from shoal.retrieval.span_words import MOST_WORDS, Words, key, shares
from shoal.retrieval.spans import SpanModel, find_span

TEXT = (
    "The mill was built in 1874 by Anna Lindqvist. It burned down twice. "
    "After the second fire the owners moved to Uppsala and hired 42 workers."
)


PIECES = ["the", "of", "Rome", "1874", "mill,", "ran.", "and", "(old)", "built"]


class Shared:
    """Vectors by shared beginnings of words: enough to tell sentences apart, without a model."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.full((len(texts), 512), 1e-6, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[sum(map(ord, word[:4])) % 512] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def model() -> SpanModel:
    return SpanModel.shipped()


@pytest.mark.parametrize(
    ("question", "answer"),
    [("When was the mill built?", "1874"), ("Who built the mill?", "Anna Lindqvist")],
)
def test_plain_questions(model: SpanModel, question: str, answer: str) -> None:
    span = find_span(question, ["Nothing of that stands here.", TEXT], Shared(), model)
    assert span is not None
    assert (span.passage, TEXT[span.start : span.end]) == (1, answer)
    assert TEXT[slice(*span.sentence)].startswith("The mill was built")
    assert 0 < span.signal < 1


def test_the_score_of_a_passage_counts(model: SpanModel) -> None:
    two = [TEXT, TEXT]
    for best in (0, 1):
        span = find_span("When was it built?", two, Shared(), model, np.eye(2)[best])
        assert span is not None
        assert span.passage == best


@pytest.mark.parametrize("passages", [[], [""], ["  ", "\n"]])
def test_no_words_no_span(model: SpanModel, passages: list[str]) -> None:
    assert find_span("Who?", passages, Shared(), model) is None


def test_scores_of_other_passages(model: SpanModel) -> None:
    with pytest.raises(ValueError, match="scores: expected 1"):
        find_span("Who?", [TEXT], Shared(), model, [0.1, 0.2])


@pytest.mark.parametrize("stored", [{}, {"features": [], "passage": 1, "signal": [0]}])
def test_a_damaged_model(stored: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match=r"spans\.json"):
        SpanModel(stored)


@given(st.text(max_size=300), st.text(max_size=60))
def test_any_text_has_candidates_with_finite_features(text: str, question: str) -> None:
    words = Words(text)
    first, last = words.candidates()
    assert len(first) >= 1
    assert ((first >= 0) & (first <= last) & (last < len(words.words))).all()
    for values in features(question, words, np.zeros(len(words.spans))).values():
        assert values.shape == first.shape
        assert np.isfinite(values).all()


@given(st.lists(st.sampled_from(PIECES), min_size=9))
def test_spans_stay_in_a_sentence_and_do_not_end_in_a_stop_word(parts: list[str]) -> None:
    words = Words(" ".join(["mill", *parts]))
    first, last = words.candidates()
    assert (last - first < MOST_WORDS).all()
    assert (words.sentence[first] == words.sentence[last]).all()
    assert not words.stop[last].any()


@pytest.mark.parametrize(
    ("question", "kind"),
    [("How many ran?", 0), ("In what year?", 1), ("Who ran?", 2), ("Where?", 3), ("Why?", 4)],
)
def test_what_is_asked_for(question: str, kind: int) -> None:
    assert asked_for(question.replace("?", " ?")) == kind
    assert asked_for("Name it") == len(KINDS)


def test_keys_and_shares() -> None:
    assert key("Founded") == key("founder's") == "found"
    assert key("1,874") == "1,874"
    assert shares(["a", "a", "b"], ["b", "c"]) == 0.5
    assert shares([], ["b"]) == 0
