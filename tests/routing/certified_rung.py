"""A rung with a certificate, for whatever specialist."""

from shoal.guarantees import Certificate, assumptions_of
from shoal.routing.rung import Rung
from shoal.specialists.card import Card
from shoal.specialists.specialist import Specialist
from shoal.tasks import Contract


def make_rung(specialist: Specialist, contract: Contract) -> Rung:
    """A rung for task t1, certified at a threshold of .8 against "gpt", valid until 2,000."""
    card = Card(
        id="card-1",
        task="t1",
        kind=specialist.kind,
        recipe="terms",
        contract=contract,
        llm="gpt",
        encoder="",
        artifact="",
        examples=500,
        agreement=0.95,
        data_digest="",
        trained_at=1_000.0,
        cpu_seconds=1.0,
    )
    certificate = Certificate(
        id="certificate-1",
        task="department",
        specialist="card-1",
        alpha=0.05,
        confidence=0.95,
        delta_spent=0.03,
        attempt=1,
        threshold=0.8,
        n=500,
        accepted=400,
        errors=8,
        risk_bound=0.04,
        coverage=0.8,
        coverage_low=0.76,
        coverage_high=0.84,
        reference="gpt",
        comparator="equal label",
        method="held-out",
        data_digest="",
        assumptions=assumptions_of("held-out", "gpt"),
        issued_at=1_000.0,
        lapses_at=2_000.0,
    )
    return Rung("specialist/department", card, certificate, specialist)
