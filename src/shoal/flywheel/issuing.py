"""Certificates, written from what a trial found."""

import uuid_utils
from msgspec import Struct

from shoal.guarantees import Certificate, Method, Selection, assumptions_of
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.tasks import comparator_name

_DAY = 86_400.0


class Grounds(Struct, frozen=True):
    """What a certificate rests on beside its figures: the ``promise`` asked for, the how manieth
    ``attempt`` it is and the ``delta`` that this one spends, the ``reference``, by its name, and
    for how many days it may be served on."""

    promise: PromiseOptions
    attempt: int
    delta: float
    reference: str
    method: Method
    lapse_days: float


def issued(task: str, card: Card, found: Selection, grounds: Grounds) -> Certificate:
    """The certificate of a card for a task, by name; what only some rungs have is for the caller
    to add."""
    return Certificate(
        id=str(uuid_utils.uuid7()),
        task=task,
        specialist=card.id,
        alpha=grounds.promise.alpha,
        confidence=grounds.promise.confidence,
        delta_spent=grounds.delta,
        attempt=grounds.attempt,
        threshold=found.threshold,
        n=found.n,
        accepted=found.accepted,
        errors=found.errors,
        risk_bound=found.risk_bound,
        coverage=found.coverage,
        coverage_low=found.coverage_low,
        coverage_high=found.coverage_high,
        reference=grounds.reference,
        comparator=comparator_name(card.contract),
        method=grounds.method,
        data_digest=card.data_digest,
        assumptions=assumptions_of(grounds.method, grounds.reference),
        issued_at=card.trained_at,
        lapses_at=card.trained_at + grounds.lapse_days * _DAY,
    )
