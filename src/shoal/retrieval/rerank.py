"""Reranking: a costlier look at the best few passages, where cheap scores hardly differ.

    score' = score + weight * p(the passage answers)

for the first ``most`` hits, and only if the best of them is less than ``close`` ahead of the second
(``fusion.is_close``): elsewhere the first is right nearly always, and looking costs without
bringing. As nothing is taken away, none of them falls below what was not looked at.

What it does not know: whether that pays. A reranker is put to use with a certificate (``gain``).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from shoal.retrieval.documents import Hit, Passage
from shoal.retrieval.fusion import CLOSE, Fusion, is_close, order

WEIGHT = 0.1
MOST = 10


class Reranker(Protocol):
    """What judges passages one by one. Threads may share it."""

    def scores(self, query: str, passages: Sequence[Passage]) -> NDArray[np.float64]:
        """How likely each of n passages answers the query (n,), 0 to 1."""


class Reranking(Struct, frozen=True):
    """How a ``reranker`` is asked: on the first ``most`` hits, if the best is less than ``close``
    ahead of the second, and what its word weighs.

    Raises:
        ValueError: a weight or closeness that is negative, or fewer than two hits.
    """

    reranker: Reranker
    weight: float = WEIGHT
    most: int = MOST
    close: float = CLOSE

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and self.close >= 0 and self.most >= 2):
            raise ValueError(
                "expected a weight and a closeness of 0 or more and at least 2 hits, got "
                f"{self.weight}, {self.close} and {self.most}"
            )


class Rerankers(Protocol):
    """Where a collection finds its reranker. Threads may share it."""

    def in_force(self, adapter: str) -> Reranking | None:
        """The one that is certified over the adapter of this digest, "" over none; None if none
        is."""


def reranked(query: str, hits: Sequence[Hit], by: Reranking) -> list[Hit]:
    """The hits in their new order, with their new scores; as they were if the best is well ahead.

    Raises:
        ValueError: the reranker did not give a number from 0 to 1 for each passage.
    """
    first, rest = list(hits[: by.most]), list(hits[by.most :])
    scores = np.array([hit.score for hit in first])
    if not is_close(scores, Fusion(close=by.close)):
        return [*first, *rest]
    said = np.asarray(by.reranker.scores(query, [hit.passage for hit in first]), np.float64)
    if said.shape != scores.shape or not ((said >= 0) & (said <= 1)).all():
        raise ValueError(f"expected {len(first)} scores from 0 to 1, the reranker gave {said}")
    found = scores + by.weight * said
    best = [
        replace(first[at], score=float(found[at]), chance=float(said[at])) for at in order(found)
    ]
    return [*best, *rest]
