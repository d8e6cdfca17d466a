"""How sure a writer is of what it writes: one number from what its decoders say of it.

Three things tell: how probable the answer is in all its wordings, how probable a unit of it is on
average, and how many decoders would have written it by themselves. One logistic curve joins them,
learned on examples that did not train, and never falling where one of the three rises.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

FEATURES = 3
_LOWEST = -12.0  # of the log-probabilities: below, all are as unlikely
_PRIOR = 0.5  # weight of the pull towards what is assumed without examples
_ASSUMED = np.array([0.5, 1.0, 1.0, 2.0])


def features(mass: float, per_unit: float, agreeing: float) -> NDArray[np.float64]:
    """(3,): log-probability of the answer, and of a unit; share of the decoders that agree."""
    return np.array([max(mass, _LOWEST), 10 * max(per_unit, _LOWEST / 10), agreeing])


class Sureness(Struct, frozen=True):
    """p(right) = 1 / (1 + exp(-(intercept + weights · features)))."""

    intercept: float = float(_ASSUMED[0])
    weights: tuple[float, ...] = tuple(_ASSUMED[1:].tolist())

    def probability(self, found: NDArray[np.float64]) -> float:
        """Of features (3,)."""
        score = self.intercept + float(np.dot(self.weights, found))
        return float(1 / (1 + np.exp(-np.clip(score, -500, 500))))

    @classmethod
    def fitted(cls, found: Sequence[NDArray[np.float64]], right: Sequence[bool]) -> "Sureness":
        """From features of n answers and whether each is right; of none, what is assumed."""
        if not found:
            return cls()
        from scipy.optimize import minimize  # 0.1 s, and only to train

        design = np.column_stack([np.ones(len(found)), np.stack(found)])
        signs = np.where(np.asarray(right), 1.0, -1.0)

        def loss(beta: NDArray[np.float64]) -> tuple[float, Any]:
            margins, apart = signs * (design @ beta), beta - _ASSUMED
            total = np.logaddexp(0, -margins).sum() + _PRIOR / 2 * apart @ apart
            slope = -signs / (1 + np.exp(np.clip(margins, -500, 500)))
            return float(total), design.T @ slope + _PRIOR * apart

        bounds = [(None, None), *[(0.0, None)] * FEATURES]
        best = minimize(loss, _ASSUMED, jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(float(best[0]), tuple(best[1:].tolist()))
