"""Is a pair of records of the catalogue that the specialist learned from?

A pair is of it if either record was in a training pair of another group (``pair_groups``). Of two
strangers it is not known. Where hardly a pair was of strangers, as of a catalogue whose records
come again and again, another catalogue is the likelier reason; and no certificate speaks of answers
there, since all of so few could be wrong and the promise kept. Where such pairs were usual a new
one is no surprise, and it is judged by how familiar its words and attributes are.
"""

from math import isnan
from typing import Any, NamedTuple, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.specialists.scope import odds_against, quantiles_of, rank_among

Doubles = NDArray[np.float64]

LEAST = 0.5
"""Probability of being in scope below which a pair is declined: rather out than in."""

FEW = 0.05
"""Share of pairs of strangers in training up to which they are all taken to be out of scope: a
promise may be broken as often without being broken on the whole."""

UNFAMILIAR = 0.02
"""Rank of familiarity up to which nothing is known of the rivals of strangers."""


class Judgement(NamedTuple):
    """``inside``: the probability that a pair is in scope. ``rivals``: whether the records that
    were seen can tell of rivals."""

    inside: float
    rivals: bool


KNOWN = Judgement(1.0, True)


class PairScope(Struct, frozen=True):
    """``strangers`` is the share of training pairs of which neither record was in another pair, by
    Laplace's rule, and ``quantiles`` (q,) are those of their familiarity."""

    strangers: float
    quantiles: Doubles

    @classmethod
    def fit(cls, familiarities: Doubles) -> Self:
        """From those of pairs (n,), NaN where a record is known."""
        found = familiarities[~np.isnan(familiarities)]
        share = (len(found) + 1) / (len(familiarities) + 2)
        return cls(share, quantiles_of(np.asarray(found, np.float64)))

    @property
    def takes_strangers(self) -> bool:
        """Whether any pair of strangers can be in scope."""
        return self.strangers > FEW

    def judge(self, familiarity: float) -> Judgement:
        """A pair of a known record, of which that is NaN, is in scope. One of strangers is not if
        those are ``FEW``, else that is by Bayes' rule: pairs of another catalogue are all of
        strangers, those of this one are so with probability ``strangers``."""
        if isnan(familiarity):
            return KNOWN
        if not self.takes_strangers:
            return Judgement(0.0, True)
        rank = rank_among(self.quantiles, np.asarray([familiarity]))
        inside = float(1 / (1 + odds_against(rank)[0] / self.strangers))
        return Judgement(inside, float(rank[0]) > UNFAMILIAR)

    def numbers(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {"strangers": self.strangers, "quantiles": self.quantiles.tolist()}

    @classmethod
    def restore(cls, numbers: dict[str, Any]) -> Self:
        """The scope of ``numbers()``."""
        return cls(float(numbers["strangers"]), np.asarray(numbers["quantiles"], np.float64))
