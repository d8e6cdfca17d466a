"""What looking again costs: the error budget of a task, spread over its certifications.

Testing again on more data gives a bad specialist another chance to slip through, so the chances
must add up to the ``delta`` that was promised, however often a task is certified. Attempt ``k``
gets ``delta * 6 / (pi**2 * k**2)``, and as the sum of ``1 / k**2`` is ``pi**2 / 6`` (Euler, 1735)
they sum to ``delta`` over infinitely many attempts (a union bound, so the attempts may share
data). The first gets 61 %, the second 15 %, the third 7 %. The series falls fast because the first
attempts matter most, and yet slowly enough for later ones: the examples that a certificate needs
grow with ``log(1 / delta)`` alone, so attempt 10 of a delta of 5 % asks for 2.3 times the clean
examples of attempt 1, when far more have usually been collected.
"""

import math

from shoal.guarantees.bounds import require_rate

_BASEL = 6.0 / math.pi**2


def delta_at(attempt: int, delta: float) -> float:
    """The error budget of the ``attempt``-th certification of a task (the first is 1).

    >>> [round(delta_at(k, 0.05), 4) for k in (1, 2, 3)]
    [0.0304, 0.0076, 0.0034]

    Raises:
        ValueError: ``attempt`` below 1, or ``delta`` outside (0, 1).
    """
    require_rate("delta", delta)
    if attempt < 1:
        raise ValueError(f"attempts are counted from 1, got {attempt}")
    return delta * _BASEL / attempt**2


def delta_left(attempts: int, delta: float) -> float:
    """What remains of ``delta`` after that many certifications; never 0.

    Raises:
        ValueError: ``attempts`` negative, or ``delta`` outside (0, 1).
    """
    require_rate("delta", delta)
    if attempts < 0:
        raise ValueError(f"attempts cannot be negative, got {attempts}")
    return delta - math.fsum(delta_at(k, delta) for k in range(1, attempts + 1))
