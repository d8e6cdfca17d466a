"""A learned signal: a logistic regression over other signals and what the request looks like.

It estimates the probability that the answer is right. Learn it on a training split; its
threshold is certified on other examples: a poor model costs coverage, never the promise.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from shoal.chat import Request
from shoal.errors import LearningError
from shoal.routing.signals.signal import Evidence, Signal

Floats = NDArray[np.float64]
Features = Callable[[Request], Sequence[float]]
"""What a request looks like, as numbers; always as many."""

RIDGES = (0.1, 1.0, 10.0, 100.0)
_FOLDS = 5
_DECLINED = -4.0  # what an infinite score counts as, in standard deviations
_STEPS = 50
_TINY = 1e-8
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class Logistic(Struct, frozen=True):
    """P(right) = 1 / (1 + exp(-(bias + weights · (x - mean) / scale))), all of f features."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    ridge: float

    def logits(self, features: ArrayLike) -> Floats:
        """(n,) log-odds of (n, f) features."""
        x = _standard(features, self.mean, self.scale)
        return np.asarray(x @ np.array(self.weights) + self.bias)


class Learned:
    """The log-odds that an answer is right: of a ``model`` over the scores of ``parts``, in order,
    and then ``features`` of the request."""

    name = "learned"

    def __init__(self, parts: Sequence[Signal], features: Features, model: Logistic) -> None:
        self._parts, self._features, self._model = tuple(parts), features, model

    def score(self, evidence: Evidence) -> float:
        """-inf where a part says that the answer must not be accepted."""
        scores = [part.score(evidence) for part in self._parts]
        if float("-inf") in scores:
            return float("-inf")
        row = [*scores, *self._features(evidence.request)]
        return float(self._model.logits([row])[0])


def look_of(request: Request) -> tuple[float, ...]:
    """Features that cost nothing: logarithms of how long the last message, the conversation and the
    tools are, how many messages, numbers and lines there are."""
    last = request.messages[-1].text if request.messages else ""
    whole = sum(len(message.text) for message in request.messages)
    counts = (len(last), whole, len(request.tools), len(request.messages))
    inside = (len(_NUMBER.findall(last)), last.count("\n"))
    return tuple(np.log1p([*counts, *inside]).tolist())


def fit_logistic(features: ArrayLike, right: ArrayLike, seed: int = 0) -> Logistic:
    """Fit to (n, f) features and (n,) outcomes; the ridge is chosen by cross-validated likelihood.

    Raises:
        LearningError: shapes that do not fit, or all outcomes alike.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise LearningError(f"features {x.shape} and outcomes {y.shape} must be (n, f) and (n,)")
    if not 0 < y.sum() < len(y):
        raise LearningError("all outcomes are alike: there is nothing to learn a signal from")
    folds = np.random.default_rng(seed).permutation(len(y)) % _FOLDS
    losses = [sum(_held_out(x, y, folds == fold, r) for fold in range(_FOLDS)) for r in RIDGES]
    return _fit(x, y, RIDGES[int(np.argmin(losses))])


def _held_out(x: Floats, y: Floats, out: NDArray[np.bool_], ridge: float) -> float:
    model = _fit(x[~out], y[~out], ridge)
    return float(np.logaddexp(0.0, (1.0 - 2.0 * y[out]) * model.logits(x[out])).sum())


def _fit(x: Floats, y: Floats, ridge: float) -> Logistic:
    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, x, 0.0).sum(axis=0) / count
    scale = np.sqrt((np.where(known, x - mean, 0.0) ** 2).sum(axis=0) / count)
    scale[scale < 1e-12] = 1.0
    z = np.column_stack([_standard(x, mean, scale), np.ones(len(x))])
    pull = np.append(np.full(x.shape[1], ridge), 0.0)
    found = _newton(z, 2.0 * y - 1.0, pull)
    return Logistic(
        tuple(mean.tolist()),
        tuple(scale.tolist()),
        tuple(found[:-1].tolist()),
        float(found[-1]),
        ridge,
    )


def _newton(z: Floats, signs: Floats, pull: Floats) -> Floats:
    """The weights (f,) with the least logistic loss of (n, f) rows and ridges (f,), by Newton's
    method with steps halved until they help: the loss is convex."""

    from scipy.special import expit  # .2 s to load, and only training needs it

    def loss(w: Floats) -> float:
        return float(np.logaddexp(0.0, -signs * (z @ w)).sum() + 0.5 * (pull * w) @ w)

    w = np.zeros(z.shape[1])
    for _ in range(_STEPS):
        wrong = expit(-signs * (z @ w))  # the chance of the other outcome
        slope = pull * w - z.T @ (signs * wrong)
        curve = (z * (wrong * (1.0 - wrong))[:, None]).T @ z + np.diag(pull + _TINY)
        step = np.linalg.solve(curve, slope)
        now = loss(w)
        while loss(w - step) > now and np.abs(step).max() >= _TINY:
            step = step / 2.0
        w = w - step
        if np.abs(step).max() < _TINY:
            break
    return w


def _standard(features: ArrayLike, mean: ArrayLike, scale: ArrayLike) -> Floats:
    x = (np.asarray(features, dtype=np.float64) - np.asarray(mean)) / np.asarray(scale)
    return np.asarray(np.where(np.isfinite(x), x, _DECLINED))
