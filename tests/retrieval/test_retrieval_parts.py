"""Parts of passages: nothing is lost, none is too long, and each stands under its headings."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.retrieval.documents import Piece
from shoal.retrieval.parts import cut, parts_of, sentences


class Words:
    """Counts words, and two marks, as an encoder does."""

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]


WORD = st.text("abé9", min_size=1, max_size=12)
TEXTS = st.lists(st.tuples(WORD, st.sampled_from([" ", ". ", "! ", "\n", "\n\n", ".” "]))).map(
    lambda words: "".join(word + after for word, after in words)
)


@given(TEXTS, st.integers(2, 12))
def test_outside_the_spans_is_white_space_only(text: str, most: int) -> None:
    spans = cut(text, Words(), most)
    end = 0
    for start, stop in spans:
        assert end <= start < stop <= len(text)
        assert not text[end:start].strip()
        end = stop
    assert not text[end:].strip()


@given(TEXTS, st.integers(2, 12))
def test_none_is_too_long(text: str, most: int) -> None:
    for start, end in cut(text, Words(), most):
        words = len(text[start:end].split())
        assert words <= most or len(text[start:end]) <= 51  # too short a sentence to be halved


def test_sentences_stay_whole_and_lines_where_they_can() -> None:
    text = "One two three. Four five.\nSix seven eight nine. Ten."
    assert [text[a:b].strip() for a, b in cut(text, Words(), 6)] == [
        "One two three. Four five.",
        "Six seven eight nine. Ten.",
    ]
    assert [text[a:b].strip() for a, b in cut(text, Words(), 4)] == [
        "One two three.",
        "Four five.",
        "Six seven eight nine.",
        "Ten.",
    ]


def test_a_long_sentence_is_halved_between_words() -> None:
    text = "word " * 100
    spans = cut(text, Words(), 16)
    assert len(spans) > 6
    assert " ".join(text[a:b].strip() for a, b in spans) == text.strip()


def test_a_text_without_spaces_is_halved_all_the_same() -> None:
    class Characters:
        def lengths(self, texts: Sequence[str]) -> list[int]:
            return [len(text) + 2 for text in texts]

    text = "x" * 1000
    spans = cut(text, Characters(), 100)
    assert max(end - start for start, end in spans) <= 100
    assert "".join(text[a:b] for a, b in spans) == text


def test_headings_stand_above_every_part() -> None:
    piece = Piece("One two three. Four five six.", ("Report", "Sums"))
    assert parts_of(piece, Words(), 4) == [
        "Report\nSums\nOne two three.",
        "Report\nSums\nFour five six.",
    ]


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_empty_passage_has_one_part(text: str) -> None:
    assert parts_of(Piece(text, ("Report",)), Words()) == ["Report\n"]
    assert cut(text, Words(), 10) == []


def test_a_limit_that_is_none() -> None:
    with pytest.raises(ValueError, match="most: expected 2 or more, found 1"):
        cut("a", Words(), 1)


def test_sentences_end_at_marks_and_lines() -> None:
    text = "It cost $3.50 then. “Why?” she said.\nNo end"
    assert [text[a:b].strip() for a, b in sentences(text)] == [
        "It cost $3.50 then.",
        "“Why?”",
        "she said.",
        "No end",
    ]
