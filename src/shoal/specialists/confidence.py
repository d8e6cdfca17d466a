"""Margins -> the estimated probability of being right: one logistic curve a head.

Used to put the margins of several heads on one scale, so that a JSON answer can be as sure as all
of its fields together. It estimates; what is promised is for the certificate to say.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_LEAST_SLOPE = 0.5  # keeps a greater margin a greater signal, whatever few examples suggest
_PRIOR = 1e-2  # weight of the pull towards (0, 2): enough to keep separable data finite


class Curve(Struct, frozen=True):
    """p(right | margin) = 1 / (1 + exp(-(intercept + slope * margin)))."""

    intercept: float = 0.0
    slope: float = 2.0

    def log_probability(self, margins: NDArray[np.float32] | float) -> NDArray[np.float64]:
        """log p(right) for margins of any shape."""
        return np.asarray(
            -np.logaddexp(0.0, -(self.intercept + self.slope * np.asarray(margins, np.float64)))
        )


def fit_curve(margins: NDArray[np.float32], right: NDArray[np.bool_]) -> Curve:
    """Logistic regression of ``right`` (n,) on ``margins`` (n,) by Newton's method, with steps
    halved until they help."""
    design = np.stack([np.ones(len(margins)), margins.astype(np.float64)], axis=1)
    prior = np.array([0.0, 2.0])
    signs = np.where(right, 1.0, -1.0)

    def loss(beta: NDArray[np.float64]) -> float:
        apart = beta - prior
        return float(np.logaddexp(0, -signs * (design @ beta)).sum() + _PRIOR / 2 * apart @ apart)

    beta = prior.copy()
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -500, 500)))
        gradient = design.T @ (right - p) - _PRIOR * (beta - prior)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + _PRIOR * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        now = loss(beta)
        while loss(beta + step) > now and np.abs(step).max() >= 1e-8:
            step /= 2
        if np.abs(step).max() < 1e-8:
            break
        beta += step
    if beta[1] >= _LEAST_SLOPE:
        return Curve(float(beta[0]), float(beta[1]))
    return Curve(_intercept(margins.astype(np.float64), right), _LEAST_SLOPE)


def _intercept(margins: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The intercept that fits best with the least slope."""
    found = 0.0
    for _ in range(30):
        p = 1 / (1 + np.exp(-(found + _LEAST_SLOPE * margins)))
        gradient = float((right - p).sum() - _PRIOR * found)
        found += float(np.clip(gradient / ((p * (1 - p)).sum() + _PRIOR), -5, 5))
    return found


def cross_fitted(
    margins: NDArray[np.float32], right: NDArray[np.bool_], folds: int = 5
) -> NDArray[np.float64]:
    """log p(right) of each example by a curve that was fitted without its fold; (n,)."""
    fold = np.arange(len(margins)) % folds
    logs = np.empty(len(margins))
    for k in range(folds):
        inside = fold == k
        logs[inside] = fit_curve(margins[~inside], right[~inside]).log_probability(margins[inside])
    return logs
