"""Is the promise still kept? Tests on a stream of audits that may be looked at after every one.

An e-process is the wealth of a gambler who bets against "the risk is at most alpha" and who cannot
expect to gain while that is true. Ville (1939): the chance that such wealth *ever* reaches
``1 / delta`` is at most ``delta``. So a certificate is taken back at the first crossing, with no
price for looking at every audit (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random
variables by betting"; Ramdas, Grünwald, Vovk & Shafer 2023).

The gambler holds ``_ODDS.size`` bets, each a likelihood ratio for a risk above alpha, and cash. A
promise is usually broken after a long good spell, by when bets made at the start have lost
everything. So half of the wealth is kept in cash and paid out to the bets bit by bit: after ``t``
audits ``0.5 * _PATIENCE / (_PATIENCE + t)`` is left. Paying out on a schedule is predictable, hence
the sum stays a supermartingale; it costs a factor of 2 at the start, and at any later time about
what a restart just then would (a mixture over change points, as in Shin, Ramdas & Rinaldo 2024, but
with a bound for all time instead of an average run length).

What this module does not know: why an answer was audited. Audits must be drawn independently of the
answer (``audit.draw``).
"""

import math
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from shoal.guarantees.beta import betainc, betaln
from shoal.guarantees.bounds import require_rate

_ODDS = np.array([1.5, 2.0, 3.0, 6.0, 12.0, 24.0])  # bet i: the odds of an error grew this much
_RESERVE = 0.5
_PATIENCE = 1000.0  # audits after which half of the reserve has been paid out


class EProcess(Struct, frozen=True):
    """The evidence against "risk <= alpha" after ``n`` audits, of which ``errors`` were wrong.

    ``log_wealth`` holds the logarithm of each bet's wealth and ``log_peak`` that of the highest
    total so far. Begin with ``EProcess.start``; the struct is JSON through and through.
    """

    alpha: float
    n: int
    errors: int
    log_wealth: tuple[float, ...]
    log_e: float
    log_peak: float

    def __post_init__(self) -> None:
        require_rate("alpha", self.alpha)
        if len(self.log_wealth) != _ODDS.size:
            raise ValueError(
                f"expected {_ODDS.size} bets in log_wealth, got {len(self.log_wealth)}"
            )

    @classmethod
    def start(cls, alpha: float) -> Self:
        """No audit yet: an e-value of 1.

        Raises:
            ValueError: ``alpha`` outside (0, 1).
        """
        return cls(alpha, 0, 0, tuple(_opening().tolist()), 0.0, 0.0)

    def update(self, wrong: bool) -> Self:
        """The evidence after one more audit; this one is left as it is.

        >>> evidence = EProcess.start(alpha=0.05)
        >>> for wrong in (True, False, True, True):
        ...     evidence = evidence.update(wrong)
        >>> evidence.n, evidence.errors, evidence.crossed(delta=0.05)
        (4, 3, True)
        """
        wealth = _bet(np.array(self.log_wealth), np.bool_(wrong), self.alpha, self.n)
        log_e = float(_total(wealth, self.n + 1))
        return type(self)(
            self.alpha,
            self.n + 1,
            self.errors + bool(wrong),
            tuple(wealth.tolist()),
            log_e,
            max(self.log_peak, log_e),
        )

    @property
    def e_value(self) -> float:
        """The wealth now; infinity where it exceeds the range of a float."""
        return math.exp(self.log_e) if self.log_e < 709.0 else math.inf

    def crossed(self, delta: float) -> bool:
        """Whether the wealth has reached ``1 / delta`` at any time: the promise is broken.

        Raises:
            ValueError: ``delta`` outside (0, 1).
        """
        require_rate("delta", delta)
        return self.log_peak >= -math.log(delta)


def log_e_path(wrong: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """``log_e`` after each audit of a recorded stream, or of many at once.

    Args:
        wrong: (..., t) booleans, audits in order along the last axis.
        alpha: the risk that was promised.

    Returns:
        (..., t), the values that ``EProcess.update`` gives one by one.

    Raises:
        ValueError: ``alpha`` outside (0, 1).
    """
    require_rate("alpha", alpha)
    outcomes = np.asarray(wrong, dtype=bool)
    wealth = np.broadcast_to(_opening(), (*outcomes.shape[:-1], _ODDS.size))
    path = np.empty(outcomes.shape)
    for t in range(outcomes.shape[-1]):
        wealth = _bet(wealth, outcomes[..., t], alpha, t)
        path[..., t] = _total(wealth, t + 1)
    return path


def anytime_upper_bound(errors: int, n: int, delta: float) -> float:
    """Upper end of a one-sided confidence sequence for the risk: valid at all n at once.

    Contains every risk ``p`` against which a mixture of bets on lower risks, with the Jeffreys
    prior cut off at ``p``, has not yet made ``1 / delta`` (Robbins 1970; Howard, Ramdas, McAuliffe
    & Sekhon 2021; Ville 1939). If the risk varies, the bound is on its lowest value so far.

    Raises:
        ValueError: not ``0 <= errors <= n``, or ``delta`` outside (0, 1).
    """
    require_rate("delta", delta)
    if not 0 <= errors <= n:
        raise ValueError(f"expected 0 <= errors <= n, got {errors} errors of {n}")
    if errors == n:
        return 1.0
    limit, floor, ceiling = -math.log(delta), max(errors / n, 1e-12), 1.0 - 1e-15
    if _log_mixture(errors, n, ceiling) <= limit:
        return 1.0
    from scipy.optimize import brentq  # 0.2 s to load, and only confidence sequences need it

    return float(brentq(lambda p: _log_mixture(errors, n, p) - limit, floor, ceiling))


def anytime_lower_bound(errors: int, n: int, delta: float) -> float:
    """Lower end of a one-sided confidence sequence for the risk; the mirror of the upper one.

    If the risk varies, the bound is on its highest value so far.

    Raises:
        ValueError: not ``0 <= errors <= n``, or ``delta`` outside (0, 1).
    """
    return 1.0 - anytime_upper_bound(n - errors, n, delta)


def confidence_sequence(errors: int, n: int, delta: float) -> tuple[float, float]:
    """Both ends, each at ``delta / 2``: the risk is between them at all n, but for ``delta``.

    Raises:
        ValueError: not ``0 <= errors <= n``, or ``delta`` outside (0, 1).
    """
    half = delta / 2.0
    return anytime_lower_bound(errors, n, half), anytime_upper_bound(errors, n, half)


def _opening() -> NDArray[np.float64]:
    return np.full(_ODDS.size, math.log((1.0 - _RESERVE) / _ODDS.size))


def _cash(t: int) -> float:
    return _RESERVE * _PATIENCE / (_PATIENCE + t)


def _bet(
    log_wealth: NDArray[np.float64], wrong: NDArray[np.bool_] | np.bool_, alpha: float, t: int
) -> NDArray[np.float64]:
    """Wealth (..., bets) after audit ``t`` (from 0) came out ``wrong`` (...), then the pay-out.

    A bet on risk q multiplies its wealth by q / alpha if the answer was wrong and by
    (1 - q) / (1 - alpha) if not: no gain on average at risk alpha, a loss below it.
    """
    grown = 1.0 - alpha + alpha * _ODDS  # odds(q) = _ODDS * odds(alpha), solved for both factors
    gain = np.where(np.asarray(wrong)[..., None], np.log(_ODDS / grown), -np.log(grown))
    paid_out = (_cash(t) - _cash(t + 1)) / _ODDS.size
    return np.logaddexp(log_wealth + gain, math.log(paid_out))


def _total(log_wealth: NDArray[np.float64], t: int) -> NDArray[np.float64]:
    bets: NDArray[np.float64] = np.logaddexp.reduce(log_wealth, axis=-1)
    return np.logaddexp(bets, math.log(_cash(t)))


def _log_mixture(errors: int, n: int, p: float) -> float:
    """Log wealth of the bets on all risks below ``p``, by Beta(1/2, 1/2) cut off at ``p``."""
    right = n - errors
    gained = math.log(betainc(errors + 0.5, right + 0.5, p)) + betaln(errors + 0.5, right + 0.5)
    staked = math.log(betainc(0.5, 0.5, p)) + betaln(0.5, 0.5)
    likelihood = (errors * math.log(p) if errors else 0.0) + right * math.log1p(-p)
    return float(gained - staked - likelihood)
