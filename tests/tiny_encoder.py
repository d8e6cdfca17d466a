"""An encoder without weights: words are hashed to vectors, a text is the mean of its words."""

import re
import zlib
from collections.abc import Sequence
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from shoal.encoder import Encoder
from shoal.specialists.senses import Senses

_WORD = re.compile(r"\w+|[^\w\s]")
Floats = NDArray[np.float32]


class TinyEncoder:
    """Like ``Encoder``, with vectors that say which words there are, not what they mean."""

    def __init__(self, dim: int = 24, digest: str = "0" * 64) -> None:
        self.dim, self.digest = dim, digest
        self.encoded: list[str] = []  # every text that was encoded, in order

    def encode(self, texts: Sequence[str]) -> Floats:
        """Unit rows (n, dim); the same for a text alone and in a batch."""
        self.encoded += texts
        rows = np.stack([self._mean(text) for text in texts]) if texts else np.empty((0, self.dim))
        return rows.astype(np.float32)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Words and signs, with a beginning and an end."""
        return [len(_WORD.findall(text)) + 2 for text in texts]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As ``lengths``: neither has a limit here."""
        return self.lengths(texts)

    def tokens(self, texts: Sequence[str]) -> list[tuple[NDArray[np.int32], Floats]]:
        """Offsets and states of the first 254 words and signs of each text."""
        return [self._tokens(text) for text in texts]

    def _tokens(self, text: str) -> tuple[NDArray[np.int32], Floats]:
        found = [match.span() for match in _WORD.finditer(text)][:254]
        states = [_vector(text[start:end].lower(), self.dim) for start, end in found]
        offsets = np.array(found, np.int32).reshape(-1, 2)
        return offsets, np.array(states, np.float32).reshape(-1, self.dim)

    def _mean(self, text: str) -> NDArray[np.float64]:
        words = ["", *_WORD.findall(text.lower())]
        total = np.sum([_vector(word, self.dim) for word in words], axis=0)
        return np.asarray(total / np.linalg.norm(total))


@cache
def _vector(word: str, dim: int) -> NDArray[np.float64]:
    seed = zlib.crc32(word.encode("utf-8", "surrogatepass"))
    return np.random.default_rng(seed).normal(size=dim)


def tiny_senses(encoder: TinyEncoder) -> Senses:
    """Its senses, as specialists take them."""
    return Senses(cast(Encoder, encoder))
