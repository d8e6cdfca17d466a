"""One order of two: what keyword search and vectors each say of the same passages.

    score = WORDS * words / max(words) + (1 - WORDS) * meaning

*words* is BM25 of headings and text (English stems), *meaning* the cosine of the question and the
passage's best part (``parts``). BM25 has no upper bound and differs from question to question, so
it is divided by its greatest; a cosine is comparable as it is, and stretching it over 0 to 1
(min-max) or to equal spread (z-score) ranks no better. A sum of scores keeps how far the best is
ahead, which reciprocal ranks (Cormack et al. 2009) throw away; where one of the two is the poorer,
that costs more than it brings.

How ``WORDS`` was fixed: the mean nDCG@10 over four sets on half of their questions, one weight for
all, from a grid in steps of .05; .25 to .35 differ by less than .003. The other half reports
(``benchmarks/retrieval.py``).

What it does not know: which of two passages *answers*; that is asked of a reranker, where
``is_close`` says that it may pay.
"""

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

WORDS = 0.3
CLOSE = 0.06

Array = NDArray[np.float64]


class Fusion(Struct, frozen=True, kw_only=True):
    """The weight of ``words``, 0 to 1 (that of meaning is the rest), and how far the best may be
    ahead of the second for the two to be ``close``."""

    words: float = WORDS
    close: float = CLOSE

    def __post_init__(self) -> None:
        if not 0 <= self.words <= 1:
            raise ValueError(f"words: expected 0 to 1, found {self.words}")
        if not self.close >= 0:
            raise ValueError(f"close: expected 0 or more, found {self.close}")


DEFAULT = Fusion()


def fuse(words: ArrayLike, meaning: ArrayLike, fusion: Fusion = DEFAULT) -> Array:
    """Scores (n,) of n candidates, higher is better, at most 1.

    ``words`` (n,) is BM25, 0 or NaN where keyword search did not find the passage; ``meaning`` (n,)
    is the cosine of every candidate (``best_parts``), those that only words found too. Raises
    ``ValueError`` if the two are not of one length, BM25 is negative or infinite, or a cosine is
    not a number.
    """
    found = np.nan_to_num(np.asarray(words, np.float64), nan=0.0, posinf=np.inf)
    cosines = np.asarray(meaning, np.float64)
    if found.ndim != 1 or found.shape != cosines.shape:
        raise ValueError(f"words {found.shape} and meaning {cosines.shape}: expected (n,) both")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError("words: expected BM25, which is finite and not negative")
    if not np.isfinite(cosines).all():
        raise ValueError("meaning: expected the cosine of every candidate, found one that is none")
    greatest = found.max(initial=0.0)
    if greatest > 0:
        found = found / greatest
    return fusion.words * found + (1 - fusion.words) * cosines


def best_parts(question: NDArray[Any], parts: NDArray[Any], starts: ArrayLike) -> Array:
    """The greatest cosine (n,) of any part of n passages.

    ``question`` (d,) is a unit vector, ``parts`` (p, d) unit vectors of the first passage's parts,
    then the second's …; ``starts`` (n,) is where each passage's begin, from 0, strictly rising (no
    passage is without parts). Raises ``ValueError`` if it is not.
    """
    begins = np.asarray(starts, np.int64)
    if not len(begins):
        return np.zeros(0)
    if begins[0] != 0 or (np.diff(begins) <= 0).any() or begins[-1] >= len(parts):
        raise ValueError(f"starts: expected to rise from 0 to below {len(parts)}, found {begins}")
    cosines = (parts @ question).astype(np.float64)
    return np.asarray(np.maximum.reduceat(cosines, begins), np.float64)


def order(scores: ArrayLike, most: int | None = None) -> NDArray[np.intp]:
    """Numbers of the ``most`` best candidates, the best first; of equals the earlier first."""
    return np.argsort(-np.asarray(scores, np.float64), kind="stable")[:most]


def margin(scores: ArrayLike) -> float:
    """How far the best is ahead of the second; infinite if there is none. In any order."""
    values = np.asarray(scores, np.float64)
    if len(values) < 2:
        return float("inf")
    second, first = np.partition(values, -2)[-2:]
    return float(first - second)


def is_close(scores: ArrayLike, fusion: Fusion = DEFAULT) -> bool:
    """Whether a costlier reranker may pay: the best is less than ``fusion.close`` ahead."""
    return margin(scores) < fusion.close
