"""Exact bounds on an error rate that was counted in a sample.

If each of ``n`` examples is wrong with the same unknown probability, independently, the number of
errors is binomial and its tail is a regularised incomplete beta function:
``P(Bin(n, p) <= k) = I_{1-p}(n-k, k+1)``. Inverting that tail gives the bounds of Clopper & Pearson
(1934, "The use of confidence or fiducial limits illustrated in the case of the binomial",
Biometrika 26). They hold for every n and p; nothing here is an approximation.

>>> round(upper_bound(errors=2, n=300, delta=0.05), 4)
0.0208
>>> clean_examples_needed(alpha=0.01, delta=0.05)
299
"""

import math
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from shoal.guarantees.beta import betainc, betainccinv, betaincinv


def upper_bound(errors: int, n: int, delta: float) -> float:
    """The error rate that, with confidence ``1 - delta``, the true one does not exceed.

    It is the rate at which so few errors would have had probability ``delta``; 1.0 if ``n`` is 0.

    Raises:
        ValueError: not ``0 <= errors <= n``, or ``delta`` outside (0, 1).
    """
    _require_count(errors, n)
    require_rate("delta", delta)
    return 1.0 if errors == n else float(betainccinv(errors + 1, n - errors, delta))


def lower_bound(errors: int, n: int, delta: float) -> float:
    """The error rate that, with confidence ``1 - delta``, the true one is not below.

    It is the rate at which so many errors would have had probability ``delta``; 0.0 if ``n`` is 0.

    Raises:
        ValueError: not ``0 <= errors <= n``, or ``delta`` outside (0, 1).
    """
    _require_count(errors, n)
    require_rate("delta", delta)
    return 0.0 if errors == 0 else float(betaincinv(errors, n - errors + 1, delta))


def interval(k: int, n: int, confidence: float) -> tuple[float, float]:
    """Two-sided interval for a share of which ``k`` of ``n`` were seen; contains ``k / n``.

    Raises:
        ValueError: not ``0 <= k <= n``, or ``confidence`` outside (0, 1).
    """
    require_rate("confidence", confidence)
    tail = (1.0 - confidence) / 2.0
    return lower_bound(k, n, tail), upper_bound(k, n, tail)


def p_value(errors: int, n: int, alpha: float) -> float:
    """Exact p-value of "the error rate is above ``alpha``": ``P(Bin(n, alpha) <= errors)``.

    It is at most ``delta`` exactly when ``upper_bound(errors, n, delta) <= alpha``.

    Raises:
        ValueError: not ``0 <= errors <= n``, or ``alpha`` outside (0, 1).
    """
    _require_count(errors, n)
    require_rate("alpha", alpha)
    return 1.0 if errors == n else float(betainc(n - errors, errors + 1, 1.0 - alpha))


def p_values(
    errors: NDArray[np.float64], n: NDArray[np.float64], alpha: float
) -> NDArray[np.float64]:
    """``p_value`` for arrays that broadcast; counts may be fractional (a curve scaled up).

    The counts are not checked: ``0 <= errors <= n`` is the caller's promise.
    """
    right = n - errors
    inside = betainc(np.where(right > 0, right, 1.0), errors + 1.0, 1.0 - alpha)
    return np.where(right > 0, inside, 1.0)


def max_errors(n: int, alpha: float, delta: float) -> int:
    """The most errors in ``n`` examples whose upper bound is still ``alpha`` or less; -1 if none.

    >>> max_errors(n=299, alpha=0.01, delta=0.05), max_errors(n=298, alpha=0.01, delta=0.05)
    (0, -1)

    Raises:
        ValueError: ``n`` negative, or ``alpha`` or ``delta`` outside (0, 1).
    """
    require_rate("delta", delta)
    return bisect_right(range(n + 1), delta, key=lambda k: p_value(k, n, alpha)) - 1


def clean_examples_needed(alpha: float, delta: float) -> int:
    """The fewest examples, all of them right, that prove an error rate of at most ``alpha``.

    The smallest n with ``(1 - alpha) ** n <= delta``.

    Raises:
        ValueError: ``alpha`` or ``delta`` outside (0, 1).
    """
    require_rate("alpha", alpha)
    require_rate("delta", delta)
    n = math.ceil(math.log(delta) / math.log1p(-alpha))
    # The quotient of two rounded logarithms can land just above a whole number.
    return n - 1 if n > 1 and (1.0 - alpha) ** (n - 1) <= delta else max(n, 1)


def require_rate(name: str, value: float) -> None:
    """Refuse a rate, a confidence or an error budget outside the open interval (0, 1)."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")


def _require_count(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"expected 0 <= errors <= n, got {k} errors of {n}")
