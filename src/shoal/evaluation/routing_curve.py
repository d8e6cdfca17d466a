"""How good a router between a weak and a strong model is, over all shares it may send to either.

The performance gap recovered (PGR) at a share c of calls to the strong model is
(accuracy(c) - weak) / (strong - weak); APGR is its mean over c in [0, 1]; CPT(x) is the least c at
which it reaches x (Ong et al. 2024, "RouteLLM"). They average over ten shares; we integrate the
exact curve, one step a prompt.
"""

from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from shoal.errors import LearningError

Floats = NDArray[np.float64]


class RoutingCurve(Struct, frozen=True):
    """``share`` (k,) of calls sent to the strong model, from 0 to 1, and ``accuracy`` (k,) then."""

    share: tuple[float, ...]
    accuracy: tuple[float, ...]

    @classmethod
    def of(cls, scores: ArrayLike, weak: ArrayLike, strong: ArrayLike) -> Self:
        """From (n,) scores, the higher the sooner sent to the strong model, and (n,) outcomes
        (right or wrong, or grades) of both. Equal scores are sent in random order: their stretch
        is straight.

        Raises:
            LearningError: different lengths, nothing at all, or a score that is not a number.
        """
        s, w, g = (np.asarray(x, dtype=np.float64) for x in (scores, weak, strong))
        if s.ndim != 1 or s.size == 0 or not s.shape == w.shape == g.shape or np.isnan(s).any():
            raise LearningError(f"scores {s.shape}, weak {w.shape}, strong {g.shape} must be (n,)")
        order = np.argsort(-s, kind="stable")
        gained = w.sum() + np.append(0.0, np.cumsum((g - w)[order]))
        ends = np.append(np.flatnonzero(np.diff(s[order])), s.size - 1) + 1  # where ties end
        at = np.append(0, ends)
        return cls(tuple((at / s.size).tolist()), tuple((gained[at] / s.size).tolist()))

    @property
    def apgr(self) -> float:
        """The average performance gap recovered: 0.5 at random, more than that for a good router.

        Raises:
            LearningError: both models are right equally often.
        """
        return float(np.trapezoid(self._recovered(), self.share))

    def apgr_of_shares(self, count: int = 10) -> float:
        """The same by the trapezoidal rule over so many equal steps, as RouteLLM computes it.

        Raises:
            LearningError: both models are right equally often.
        """
        steps = np.linspace(0.0, 1.0, count + 1)
        return float(np.trapezoid(np.interp(steps, self.share, self._recovered()), steps))

    def call_share(self, recovered: float) -> float:
        """CPT: the least share of strong calls at which so much of the gap is recovered, 1.0 if it
        never is.

        Raises:
            LearningError: both models are right equally often.
        """
        pgr, share = self._recovered(), np.array(self.share)
        reached = np.flatnonzero(pgr >= recovered - 1e-12)
        if not reached.size:
            return 1.0
        k = int(reached[0])
        if k == 0:
            return 0.0
        part = (recovered - pgr[k - 1]) / (pgr[k] - pgr[k - 1])
        return float(share[k - 1] + part * (share[k] - share[k - 1]))

    def _recovered(self) -> Floats:
        accuracy = np.array(self.accuracy)
        gap = accuracy[-1] - accuracy[0]
        if gap == 0.0:
            raise LearningError("both models are right equally often: there is no gap to recover")
        return np.asarray((accuracy - accuracy[0]) / gap)
