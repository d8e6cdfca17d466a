"""Pieces lose nothing, and copies know where they come from."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.writing.pieces import FORMS, Source, forms, pooling, split, words


@given(st.text())
def test_the_pieces_are_the_text(text: str) -> None:
    assert "".join(split(text)) == text


@given(st.text())
def test_words_are_pieces_without_their_space(text: str) -> None:
    found = [text[start:end] for start, end in words(text)]
    assert found == [
        piece.strip(" ") for piece in split(text) if piece.strip(" \n\t\r") and piece.strip()
    ]


def test_pieces_keep_the_space_before_them() -> None:
    assert split('a = "St. Paul",\n  x_y12') == [
        *("a", " =", ' "', "St", ".", " Paul", '"', ",", "\n", " ", " x_y", "12")
    ]


@given(st.text(min_size=1, max_size=8))
def test_a_word_has_every_form(word: str) -> None:
    assert len(forms(word)) == FORMS
    assert forms(word)[0] == word


def test_copies_are_found_in_every_form() -> None:
    source = Source("3 march, March")
    assert [source.text[start:end] for start, end in source.spans] == ["3", "march", ",", "March"]
    assert source.read("03") == [0]
    assert source.read(" MARCH") == [1, 3]
    assert source.read("april") == []


def test_a_word_has_the_mean_state_of_its_tokens() -> None:
    offsets = np.array([[0, 2], [2, 4], [5, 6]], np.int32)
    assert pooling([(0, 4), (5, 6), (7, 8)], offsets).tolist() == [
        [0.5, 0.5, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]
