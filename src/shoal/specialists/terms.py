"""Text -> sparse TF-IDF rows over words (1-2-grams) and characters (2-5-grams within a word).

The same code builds the rows for training and for serving, so the two cannot drift apart. It does
not know labels: only document frequencies are learned.

A text's length counts the terms that no other text has. In training those are in the vocabulary, in
a new text they are not; left out of its length, they would make a new text look more like the
training texts than these look like each other, and its signal greater than calibration saw it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]")
_CHARS = range(2, 6)
_MAX_WORDS = 400  # of one text: a bound on the time an adversarially long input can take

Row = tuple[NDArray[np.int64], NDArray[np.float32]]  # columns (k,), values (k,)


def _words(text: str) -> list[str]:
    return [found.group() for found in islice(_WORD.finditer(text.lower()), _MAX_WORDS)]


def _word_grams(words: Sequence[str]) -> Counter[str]:
    grams = Counter(words)
    grams.update(f"{a} {b}" for a, b in pairwise(words))
    return grams


def _char_grams(words: Iterable[str]) -> Counter[str]:
    grams: Counter[str] = Counter()
    for word, count in Counter(words).items():
        padded = f" {word[:40]} "
        for size in _CHARS:
            for start in range(len(padded) - size + 1):
                grams[padded[start : start + size]] += count
    return grams


class Terms:
    """A vocabulary with inverse document frequencies.

    Words and characters are two blocks, each a unit vector of sublinear TF-IDF weights
    (Manning, Raghavan & Schütze 2008, ch. 6), scaled by 1/sqrt(2) so that a row is a unit vector,
    or shorter by the terms that are not in the vocabulary.
    """

    def __init__(
        self, words: Sequence[str], chars: Sequence[str], idf: NDArray[np.float32]
    ) -> None:
        """``idf`` is (len(words) + len(chars) + 1,): of the words, of the characters, of a term in
        neither."""
        self.words, self.chars, self.idf = list(words), list(chars), idf
        self._word_column = {term: i for i, term in enumerate(self.words)}
        self._char_column = {term: i + len(self.words) for i, term in enumerate(self.chars)}

    @property
    def size(self) -> int:
        """Number of columns."""
        return len(self.words) + len(self.chars)

    @classmethod
    def fit(cls, texts: Sequence[str], most: int = 120_000) -> "Terms":
        """Learn the vocabulary of ``texts``; of each block the ``most`` widespread terms stay."""
        word_df: Counter[str] = Counter()
        char_df: Counter[str] = Counter()
        for text in texts:
            words = _words(text)
            word_df.update(_word_grams(words).keys())
            char_df.update(_char_grams(words).keys())
        kept_words = _most_widespread(word_df, most)
        kept_chars = _most_widespread(char_df, most)
        new = [1]  # a term of no training text is, with the text it comes in, one text's
        df = np.array(
            [word_df[t] for t in kept_words] + [char_df[t] for t in kept_chars] + new,
            dtype=np.float64,
        )
        idf = np.log((1 + len(texts)) / (1 + df)) + 1
        return cls(kept_words, kept_chars, idf.astype(np.float32))

    def row(self, text: str) -> Row:
        """Columns and values of one text; both empty if no term is known."""
        words = _words(text)
        blocks = (
            self._block(_word_grams(words), self._word_column),
            self._block(_char_grams(words), self._char_column),
        )
        return (
            np.concatenate([columns for columns, _ in blocks]),
            np.concatenate([values for _, values in blocks]),
        )

    def rows(self, texts: Sequence[str]) -> Any:
        """CSR matrix (n, size), float32."""
        rows = [self.row(text) for text in texts]
        pointer = np.concatenate([[0], np.cumsum([len(columns) for columns, _ in rows])])
        columns = np.concatenate([c for c, _ in rows]) if rows else np.empty(0, np.int64)
        values = np.concatenate([v for _, v in rows]) if rows else np.empty(0, np.float32)
        return sp.csr_matrix((values, columns, pointer), shape=(len(texts), self.size))

    def places(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Column, start and end of each known term wherever it occurs; those of a term of
        characters are its word's. Offsets are into ``text.lower()``."""
        found = list(islice(_WORD.finditer(text.lower()), _MAX_WORDS))
        for match in found:
            grams = [(self._word_column, match.group())]
            grams += [(self._char_column, gram) for gram in _char_grams([match.group()])]
            for columns, gram in grams:
                if gram in columns:
                    yield columns[gram], match.start(), match.end()
        for a, b in pairwise(found):
            pair = f"{a.group()} {b.group()}"
            if pair in self._word_column:
                yield self._word_column[pair], a.start(), b.end()

    def _block(self, grams: Counter[str], column_of: dict[str, int]) -> Row:
        if not grams:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        unknown = self.size  # the column after the last: its idf is there, its value is not
        columns = np.array([column_of.get(term, unknown) for term in grams], dtype=np.int64)
        counts = np.array(list(grams.values()), dtype=np.float32)
        values = (1 + np.log(counts)) * self.idf[columns]
        values /= np.linalg.norm(values) * np.float32(np.sqrt(2))
        known = columns < unknown
        return columns[known], values[known]


def _most_widespread(df: Counter[str], most: int) -> list[str]:
    return sorted(sorted(df, key=lambda term: (-df[term], term))[:most])
