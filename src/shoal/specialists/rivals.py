"""How similar the best other candidates of a record are, among the records seen in training.

A pair whose left record has a much more similar right record elsewhere seldom matches. An inverted
index: cosines to all its records take time in the number of shared grams only.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.specialists.profile import Rarity

Floats = NDArray[np.float64]

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
        norms: Floats,
        grams: Sequence[str],
        starts: NDArray[np.int64],
        places: NDArray[np.int32],
    ) -> None:
        self.keys, self.norms, self.grams = list(keys), norms, list(grams)
        self.starts, self.places = starts, places
        self._row = {key: row for row, key in enumerate(self.keys)}
        self._column = {gram: column for column, gram in enumerate(self.grams)}

    def __contains__(self, key: str) -> bool:
        """Whether it is the key of one of the records."""
        return key in self._row

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
        self,
        own: Collection[str],
        cosine: float,
        keys: Collection[str],
        weights: Mapping[str, float],
        counted: Mapping[str, float],
    ) -> tuple[float, float]:
        """For a record with the grams ``own``, and its ``cosine`` with the other record of its
        pair: how much that is over the best other candidate's, and how many are more similar.

        ``keys`` are those of records that are no rivals, as the pair's own. ``weights`` are those
        of both records' grams, ``counted`` those by which the norms were made: others where the
        pair's records are taken out of the counts.
        """
        cosines = self._products(own, weights) / np.maximum(
            self._norms(weights, counted) * length([weights[gram] for gram in own]), 1e-12
        )
        for key in keys:
            if key in self._row:
                cosines[self._row[key]] = 0.0
        best = float(cosines.max(initial=0.0))
        return cosine - best, float(np.count_nonzero(cosines > cosine + 1e-9))

    def _products(self, grams: Collection[str], weights: Mapping[str, float]) -> Floats:
        """(n,) inner products with a record of these grams."""
        return self._sums({gram: weights[gram] ** 2 for gram in grams})

    def _norms(self, weights: Mapping[str, float], counted: Mapping[str, float]) -> Floats:
        """(n,) lengths by ``weights``."""
        if weights is counted:
            return self.norms
        change = {gram: weight**2 - counted[gram] ** 2 for gram, weight in weights.items()}
        return np.sqrt(self.norms**2 + self._sums({g: c for g, c in change.items() if c}))

    def _sums(self, numbers: Mapping[str, float]) -> Floats:
        """(n,) the sum of the numbers of those grams that stand in each record."""
        known = sorted((self._column[g], x) for g, x in numbers.items() if g in self._column)
        if not known:
            return np.zeros(len(self.keys))
        spans = [self.places[self.starts[column] : self.starts[column + 1]] for column, _ in known]
        parts = np.repeat([number for _, number in known], [len(span) for span in spans])
        sums = np.bincount(np.concatenate(spans), parts, minlength=len(self.keys))
        return np.asarray(sums, dtype=np.float64)


def length(weights: Iterable[float]) -> float:
    """The length of a vector, the same in whatever order its numbers come."""
    return math.sqrt(math.fsum(weight * weight for weight in weights))
