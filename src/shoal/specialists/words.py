"""Words as a tagger reads them: where they are, their states, and hashed names of their spelling.

A word's state is the mean of its pieces' states as unit vectors. Letters, digits and signs are
words of their own ("AB-12" is three), and so is every sign of Chinese, Japanese and Korean.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.specialists.senses import Floats, Tokens

_WORD = re.compile(r"\d+|[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff]|[^\W\d_]+|[^\w\s]|_")
_MOST_WORDS = 512  # of one text, and the characters of a word that count: a bound on the time
_LONGEST = 40
_SHAPES = ((re.compile("[A-Z]+"), "X"), (re.compile("[a-z]+"), "x"), (re.compile("[0-9]+"), "9"))


class Words(NamedTuple):
    """The w words of a text.

    ``offsets`` (w, 2) characters, ``states`` (w, d), ``mean`` (d,) of the states of all pieces.
    ``codes`` of word i are ``codes[pointers[i] : pointers[i + 1]]``: hashes of names of features.
    """

    offsets: NDArray[np.int32]
    states: Floats
    mean: Floats
    codes: NDArray[np.int64]
    pointers: NDArray[np.intp]


def words_of(text: str, tokens: Tokens) -> Words:
    """The words of a text, as far as it was tokenised, and no more than 512."""
    offsets, states = tokens
    end = int(offsets[-1, 1]) if len(offsets) else 0
    places = [match.span() for match in islice(_WORD.finditer(text, 0, end), _MOST_WORDS)]
    words = [text[start : min(stop, start + _LONGEST)] for start, stop in places]
    unit = states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-6)
    spans = np.array(places, np.int32).reshape(-1, 2)
    codes = [_codes(names) for names in _names(words)]
    return Words(
        spans,
        _pooled(unit, offsets, spans),
        unit.mean(axis=0) if len(unit) else np.zeros(states.shape[1], np.float32),
        np.array([code for each in codes for code in each], np.int64),
        np.cumsum([0, *map(len, codes)]),
    )


def _pooled(unit: Floats, offsets: NDArray[np.int32], spans: NDArray[np.int32]) -> Floats:
    """Means over the pieces that overlap each word; 0 for a word without one."""
    pooled = np.zeros((len(spans), unit.shape[1]), np.float32)
    first = np.searchsorted(offsets[:, 1], spans[:, 0], side="right")
    after = np.searchsorted(offsets[:, 0], spans[:, 1], side="left")
    for row, (start, stop) in enumerate(zip(first, after, strict=True)):
        if stop > start:
            pooled[row] = unit[start:stop].mean(axis=0)
    return pooled


def _codes(names: Sequence[str]) -> list[int]:
    return sorted({zlib.crc32(name.encode("utf-8", "surrogatepass")) for name in names})


def _names(words: Sequence[str]) -> Iterator[list[str]]:
    """Names of the features of each word: itself, its ends and shape, two words either side."""
    lower = ["^", "^", *(word.lower() for word in words), "$", "$"]
    shape = ["^", "^", *map(_shape, words), "$", "$"]
    pairs = [f"{a} {b}" for a, b in pairwise(lower)]
    for i in range(2, len(words) + 2):
        word = lower[i]
        yield [
            f"is {word}",
            f"starts {word[:3]}",
            f"ends {word[-3:]}",
            f"ends in {word[-2:]}",
            f"shape {shape[i]}",
            f"before {lower[i - 1]}",
            f"after {lower[i + 1]}",
            f"two before {lower[i - 2]}",
            f"two after {lower[i + 2]}",
            f"shape before {shape[i - 1]}",
            f"shape after {shape[i + 1]}",
            f"with before {pairs[i - 1]}",
            f"with after {pairs[i]}",
            f"shapes {shape[i - 1]} {shape[i]} {shape[i + 1]}",
        ]


def _shape(word: str) -> str:
    shape = word
    for pattern, sign in _SHAPES:
        shape = pattern.sub(sign, shape)
    return shape[:6]
