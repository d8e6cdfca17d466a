"""Texts as pieces, without loss, and the forms in which a word of the input may be copied.

A piece is a run of digits, a run of letters, or one other sign, each with the space before it if
there is one; any other whitespace is a piece of its own. ``"".join(split(text)) == text``.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_PIECE = re.compile(r" ?(?:\d+|[^\W\d]+|[^\w\s])|\s")
_WORD = re.compile(r"\d+|[^\W\d]+|[^\w\s]")

_SHAPES: tuple[Callable[[str], str], ...] = (
    str,
    str.lower,
    str.upper,
    str.capitalize,
    lambda word: word.zfill(2) if word.isdecimal() else word,  # 3 -> 03
    lambda word: (word.lstrip("0") or "0") if word.isdecimal() else word,  # 03 -> 3
)
FORMS = 2 * len(_SHAPES)
"""Each shape without a space before it, then each with one."""


def split(text: str) -> list[str]:
    """The pieces of a text, in order."""
    return _PIECE.findall(text)


def words(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are: its pieces without spaces."""
    return [match.span() for match in _WORD.finditer(text)]


def forms(word: str) -> tuple[str, ...]:
    """The ``FORMS`` pieces that copying the word may write; equal ones are repeated.

    >>> forms("3")[4], forms("march")[9]
    ('03', ' March')
    """
    shapes = [shape(word) for shape in _SHAPES]
    return (*shapes, *(f" {shape}" for shape in shapes))


class Source:
    """The words of one input, and every piece that copying one of them may write."""

    def __init__(self, text: str, most: int | None = None) -> None:
        self.text, self.spans = text, words(text)[:most]
        self.places: dict[str, list[tuple[int, int]]] = {}  # piece -> (word, form)
        for at, (start, end) in enumerate(self.spans):
            for form, piece in enumerate(forms(text[start:end])):
                self.places.setdefault(piece, []).append((at, form))

    def __len__(self) -> int:
        return len(self.spans)

    def read(self, piece: str) -> list[int]:
        """The words that copying may have written the piece from."""
        return sorted({at for at, _ in self.places.get(piece, ())})


def pooling(spans: Sequence[tuple[int, int]], offsets: NDArray[np.int32]) -> NDArray[np.float32]:
    """(s, t): the share of each of t tokens, at offsets (t, 2), in the state of each of s words:
    the mean over those that the word overlaps. Of a word that no token overlaps, 0."""
    places = np.array(spans, np.int32).reshape(-1, 2)
    over = (offsets[None, :, 0] < places[:, None, 1]) & (offsets[None, :, 1] > places[:, None, 0])
    found = over.astype(np.float32)
    return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1), np.float32)
