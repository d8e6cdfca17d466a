"""What the demonstration's screen shows, read from the store and from the desk's own count."""

from collections import Counter

from msgspec import Struct

from shoal.demo.player import Tally
from shoal.demo.traffic import ASSUMED_LATENCY_MS
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.overview import Proof, TaskOverview, overview
from shoal.routing.prices import Tariff
from shoal.storage import Store


class Row(Struct, frozen=True):
    """One task: ``proof`` is its certificate in short, or why there is none."""

    kind: str
    task: str
    stage: str
    calls: int
    small: int
    disagreed: int
    proof: str


class Scene(Struct, frozen=True):
    """One moment. ``saved`` is USD at the assumed prices, what audits cost already taken off."""

    rows: tuple[Row, ...]
    calls: int
    small: int
    audits: int
    disagreements: int
    saved: float
    small_ms: float | None
    llm_ms: float = ASSUMED_LATENCY_MS


def look(store: Store, learn: LearnOptions, tally: Tally, tariff: Tariff) -> Scene:
    """The scene of now.

    Raises:
        StoreError: the store cannot be read.
    """
    found = {item.task.name: item for item in overview(store, learn)}
    audited, cost = _audits(store, [item.task.id for item in found.values()], tariff)
    volumes = [item.volume for item in found.values()]
    return Scene(
        rows=tuple(_row(kind, tally, found) for kind in tally.calls),
        calls=tally.calls.total(),
        small=tally.small.total(),
        audits=audited.total(),
        disagreements=audited[False],
        saved=sum(volume.llm_cost - volume.cost for volume in volumes) - cost,
        small_ms=tally.median_ms(),
    )


def _row(kind: str, tally: Tally, tasks: dict[str, TaskOverview]) -> Row:
    found = tasks.get(tally.task_of.get(kind, ""))
    return Row(
        kind=kind,
        task=found.task.name if found else "",
        stage=found.stage if found else "",
        calls=tally.calls[kind],
        small=tally.small[kind],
        disagreed=tally.small[kind] - tally.agreed[kind],
        proof=_in_short(found.proof) if found else "",
    )


def _in_short(proof: Proof) -> str:
    certificate = proof.certificate
    if certificate is None:
        return proof.why_not
    return (
        f"certified: at most {certificate.alpha:.0%} differ, {certificate.confidence:.0%} sure; "
        f"answers {certificate.coverage:.0%}; measured {certificate.errors} of "
        f"{certificate.accepted}"
    )


def _audits(store: Store, tasks: list[str], tariff: Tariff) -> tuple[Counter[bool], float]:
    """How many audits of served calls agreed, and what asking the LLM again cost."""
    found: Counter[bool] = Counter()
    cost = 0.0
    for task in tasks:
        for certificate in store.certificates.list(task):
            for audit in store.audits.of_certificate(certificate.id, limit=10_000):
                if audit.kind == "audit":
                    found[audit.agrees] += 1
                    cost += tariff.cost(audit.reference.usage) or 0.0
    return found, cost
