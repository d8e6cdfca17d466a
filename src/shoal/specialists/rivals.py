"""How similar the best other candidates of a record are, among the records seen in training.

A pair whose left record has a much more similar right record elsewhere seldom matches. An inverted
index: cosines to all its records take time in the number of shared grams only.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.specialists.profile import Rarity

MOST_RECORDS = 5_000
"""A side; the newest are kept."""


class Rivals:
    """The records of one side, by the grams that stand in them.

    ``keys`` (n,) tell the records; ``norms`` (n,) are the lengths of their vectors; the records in
    which gram i of ``grams`` stands are ``places[starts[i]:starts[i + 1]]``.
    """

    def __init__(
        self,
        keys: Sequence[str],
        norms: NDArray[np.float64],
        grams: Sequence[str],
        starts: NDArray[np.int64],
        places: NDArray[np.int32],
    ) -> None:
        self.keys, self.norms, self.grams = list(keys), norms, list(grams)
        self.starts, self.places = starts, places
        self._row = {key: row for row, key in enumerate(self.keys)}
        self._column = {gram: column for column, gram in enumerate(self.grams)}

    @classmethod
    def fit(cls, records: Mapping[str, frozenset[str]], rarity: Rarity) -> "Rivals":
        """Index the grams of records, by their keys."""
        kept = list(records.items())[-MOST_RECORDS:]
        found: dict[str, list[int]] = defaultdict(list)
        norms = np.zeros(len(kept))
        for row, (_, grams) in enumerate(kept):
            norms[row] = length(rarity.weights(grams).values())
            for gram in grams:
                found[gram].append(row)
        grams_in_order = sorted(found)
        lengths = [len(found[gram]) for gram in grams_in_order]
        places = [row for gram in grams_in_order for row in found[gram]]
        return cls(
            [key for key, _ in kept],
            norms,
            grams_in_order,
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            np.array(places, dtype=np.int32),
        )

    def beside(
        self, weights: Mapping[str, float], cosine: float, keys: Sequence[str]
    ) -> tuple[float, float]:
        """For a record with these ``weights`` of grams, and its ``cosine`` with the other record of
        its pair: how much that is over the best other candidate's, and how many are more similar.
        ``keys`` are the pair's own records, which are no rivals."""
        cosines = self._cosines(weights)
        for key in keys:
            if key in self._row:
                cosines[self._row[key]] = 0.0
        best = float(cosines.max(initial=0.0))
        return cosine - best, float(np.count_nonzero(cosines > cosine + 1e-9))

    def _cosines(self, weights: Mapping[str, float]) -> NDArray[np.float64]:
        known = sorted((self._column[g], w) for g, w in weights.items() if g in self._column)
        own = length(weights.values())
        if not known or not own:
            return np.zeros(len(self.keys))
        spans = [self.places[self.starts[column] : self.starts[column + 1]] for column, _ in known]
        parts = np.repeat([weight * weight for _, weight in known], [len(span) for span in spans])
        total = np.bincount(np.concatenate(spans), parts, minlength=len(self.keys))
        return np.asarray(total / np.maximum(self.norms * own, 1e-12))


def length(weights: Iterable[float]) -> float:
    """The length of a vector, the same in whatever order its numbers come."""
    return math.sqrt(math.fsum(weight * weight for weight in weights))
