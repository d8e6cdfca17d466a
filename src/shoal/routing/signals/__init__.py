"""Signals: numbers that say how far an answer may be trusted.

A signal is computed from a request, the answer and what witnesses said; it asks nobody itself, so
that the cascade, which asks, knows what everything cost.
"""

from shoal.routing.signals.agreement import Agreement
from shoal.routing.signals.learned import Learned, Logistic, fit_logistic
from shoal.routing.signals.signal import Evidence, Signal
from shoal.routing.signals.validators import (
    CallsFitTools,
    CitesRequest,
    KeepsContract,
    KeepsSchema,
    Valid,
    Validator,
)

__all__ = [
    "Agreement",
    "CallsFitTools",
    "CitesRequest",
    "Evidence",
    "KeepsContract",
    "KeepsSchema",
    "Learned",
    "Logistic",
    "Signal",
    "Valid",
    "Validator",
    "fit_logistic",
]
