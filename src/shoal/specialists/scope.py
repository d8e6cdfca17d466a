"""Is an input like those that the specialist learned from? Judged without one that is not.

Two things are looked at: how far the best score stands out over the mean of all scores, and how
near the nearest training texts are by the encoder's cosine (Sun et al. 2022, "Out-of-distribution
detection with deep nearest neighbors"). Each is measured in standard deviations of what the
training texts get when they are left out, so nothing about odd inputs needs to be known.

A training text's own left-out figures move the mean, the deviation and its own rank by a share of
about 1/n; that is all that an example has to do with its own scope.
"""

from typing import Any, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.errors import ArtifactError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

NEARNESS_WEIGHT = 0.7
"""Beside a weight of 1 for the scores. Chosen on CLINC150's validation part, where anything from .3
to 1 gives an AUROC within .001."""

ODD_SHARE = 0.01
"""The share of inputs that is expected to be out of scope, before looking at one."""

_SHAPE = 0.25  # of the density of odd inputs over ranks, shape * rank^(shape - 1)
_KEPT = 1_000  # quantiles by which a rank is found


class Scope(Struct, frozen=True):
    """What the training texts get when left out: ``centre`` and ``spread`` (2,) of the lead of the
    best score and of nearness, and ``quantiles`` (q,) of the two together, ascending."""

    centre: tuple[float, float]
    spread: tuple[float, float]
    quantiles: Doubles

    @classmethod
    def fit(cls, scores: Floats, near: Floats | None) -> Self:
        """From left-out scores (n, k) and nearness (n,), None without the encoder."""
        measured = _measured(scores, near)
        centre, spread = measured.mean(axis=0), np.maximum(measured.std(axis=0), 1e-6)
        found = ((measured - centre) / spread) @ [1.0, NEARNESS_WEIGHT]
        quantiles = quantiles_of(found)
        return cls(
            (float(centre[0]), float(centre[1])), (float(spread[0]), float(spread[1])), quantiles
        )

    def familiarity(self, scores: Floats, near: Floats | None) -> Doubles:
        """(n,) from scores (n, k) and nearness (n,): greater for what is more like the training
        texts, 0 for the usual one."""
        standard = (_measured(scores, near) - self.centre) / self.spread
        return np.asarray(standard @ [1.0, NEARNESS_WEIGHT])

    def rank(self, familiarity: Doubles) -> Doubles:
        """The share of training texts that are less familiar, kept off 0 and 1."""
        return rank_among(self.quantiles, familiarity)

    def log_probability(self, familiarity: Doubles) -> Doubles:
        """log p(in scope), by ``odds_against``."""
        return np.asarray(-np.log1p(odds_against(self.rank(familiarity))))

    def numbers(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {"centre": self.centre, "spread": self.spread, "quantiles": self.quantiles.tolist()}

    @classmethod
    def restore(cls, numbers: dict[str, Any]) -> Self:
        """The scope of ``numbers()``. Raises ArtifactError if they are not such."""
        quantiles = np.asarray(numbers["quantiles"], np.float64)
        if quantiles.ndim != 1 or not len(quantiles):
            raise ArtifactError("the specialist's scope has no quantiles: train it again")
        return cls(tuple(numbers["centre"]), tuple(numbers["spread"]), quantiles)


def quantiles_of(found: Doubles) -> Doubles:
    """(q,) what is kept of numbers (n,) to find ranks among them, ascending; q is n at most."""
    return np.quantile(found, np.linspace(0, 1, min(_KEPT, len(found)))) if len(found) else found


def rank_among(quantiles: Doubles, found: Doubles) -> Doubles:
    """The share of the numbers with these quantiles (q,) that is less, kept off 0 and 1; one half
    where q is 0."""
    known = len(quantiles)
    if not known:
        return np.full_like(found, 0.5)
    share = np.interp(found, quantiles, np.linspace(0, 1, known))
    return np.asarray((share * known + 1) / (known + 2))


def odds_against(rank: Doubles) -> Doubles:
    """Odds that an input of this rank of familiarity is out of scope.

    Ranks of inputs in scope are uniform. Those of inputs out of scope are taken to have the density
    a r^(a-1), which is large for small ranks (Sellke, Bayarri & Berger 2001 compare a p-value with
    such alternatives); by Bayes' rule with odds of ``ODD_SHARE``.
    """
    return np.asarray(ODD_SHARE / (1 - ODD_SHARE) * _SHAPE * rank ** (_SHAPE - 1))


def _measured(scores: Floats, near: Floats | None) -> Doubles:
    """(n, 2): the lead of the best score over the mean score (alone: the score), and nearness.

    Scores fall towards 0, between yes and no, far from all examples; so does their mean from -1.
    """
    lead = scores.max(axis=1) - (scores.mean(axis=1) if scores.shape[1] > 1 else 0)
    return np.stack([lead, np.zeros(len(lead)) if near is None else near], axis=1).astype(
        np.float64
    )
