"""The beta function and its kin, as SciPy has them: loaded at the first call, for it takes .2 s of
CPU, and what only reads certificates needs no bound."""

from typing import Any


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularised incomplete beta function; arrays that broadcast."""
    from scipy.special import betainc as found

    return found(a, b, x)


def betaincinv(a: float, b: float, y: float) -> float:
    """The x at which ``betainc(a, b, x)`` is y."""
    from scipy.special import betaincinv as found

    return float(found(a, b, y))


def betainccinv(a: float, b: float, y: float) -> float:
    """The x at which ``1 - betainc(a, b, x)`` is y."""
    from scipy.special import betainccinv as found

    return float(found(a, b, y))


def betaln(a: float, b: float) -> float:
    """The logarithm of the beta function."""
    from scipy.special import betaln as found

    return float(found(a, b))
