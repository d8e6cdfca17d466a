"""Is a pair of records of the catalogue that the specialist learned from?

A pair is of it if either record was in another training pair. Of two strangers it is not known.
Where such pairs were usual in training a new one is no surprise, unless its words are new as well;
where hardly one was, as of a catalogue whose records come again and again, another catalogue is the
likelier reason, and nothing in training or calibration tells how good an answer there would be.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.specialists.pair_features import PairFeatures
from shoal.specialists.pairs import Pair
from shoal.specialists.scope import odds_against, quantiles_of, rank_among

Doubles = NDArray[np.float64]

LEAST = 0.5
"""Probability of being in scope below which a pair is declined: rather out than in."""


class PairScope(Struct, frozen=True):
    """``strangers`` is the share of training pairs of which neither record was in another pair, by
    Laplace's rule, and ``quantiles`` (q,) are those of the share of their words that is known."""

    strangers: float
    quantiles: Doubles

    @classmethod
    def fit(cls, features: PairFeatures, pairs: Sequence[Pair], strange: NDArray[np.bool_]) -> Self:
        """From pairs (n,) and which of them are of strangers (n,)."""
        known = [features.known_words(pairs[at]) for at in np.flatnonzero(strange).tolist()]
        share = (len(known) + 1) / (len(pairs) + 2)
        return cls(share, quantiles_of(np.asarray(known, np.float64)))

    def probability(self, features: PairFeatures, pair: Pair, strange: bool) -> float:
        """That a pair is in scope: 1 if it is not of strangers, else by Bayes' rule. Pairs of
        another catalogue are all of strangers, those of this one are so with ``strangers``."""
        if not strange:
            return 1.0
        rank = rank_among(self.quantiles, np.asarray([features.known_words(pair)]))
        return float(1 / (1 + odds_against(rank)[0] / self.strangers))

    def numbers(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {"strangers": self.strangers, "quantiles": self.quantiles.tolist()}

    @classmethod
    def restore(cls, numbers: dict[str, Any]) -> Self:
        """The scope of ``numbers()``."""
        return cls(float(numbers["strangers"]), np.asarray(numbers["quantiles"], np.float64))
