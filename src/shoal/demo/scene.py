"""What the demonstration's screen shows, read from the store and from the desk's own count."""

from collections import Counter

import msgspec
from msgspec import Struct

from shoal.demo.player import Tally
from shoal.demo.traffic import ASSUMED_LATENCY_MS
from shoal.flywheel.certification import Verdict
from shoal.flywheel.finding import known_tasks
from shoal.flywheel.ladder import why_not
from shoal.guarantees import Certificate
from shoal.routing.prices import Tariff
from shoal.storage import Store
from shoal.storage.volume import Volume, volumes
from shoal.tasks import Task


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


def look(store: Store, tally: Tally, tariff: Tariff) -> Scene:
    """The scene of now.

    Raises:
        StoreError: the store cannot be read.
    """
    standings = {standing.task: standing.stage for standing in store.standings.list()}
    found = {task.name: task for task in known_tasks(store)}
    with store.database.read() as conn:
        volume = volumes(conn)
    rows = []
    for kind in tally.calls:
        name = tally.task_of.get(kind, "")
        task = found[name].id if name in found else ""
        rows.append(
            Row(
                kind=kind,
                task=name,
                stage=standings.get(task, "observe") if task else "",
                calls=tally.calls[kind],
                small=tally.small[kind],
                disagreed=tally.small[kind] - tally.agreed[kind],
                proof=_proof(store, found[name]) if name in found else "",
            )
        )
    audited, cost = _audits(store, [task.id for task in found.values()], tariff)
    return Scene(
        rows=tuple(rows),
        calls=tally.calls.total(),
        small=tally.small.total(),
        audits=audited.total(),
        disagreements=audited[False],
        saved=sum(_saved(v) for v in volume.values()) - cost,
        small_ms=tally.median_ms(),
    )


def _saved(volume: Volume) -> float:
    return volume.llm_cost - volume.cost


def _proof(store: Store, task: Task) -> str:
    attempts = store.attempts.list(task.id)
    if not attempts:
        return why_not(task)
    verdict = msgspec.json.decode(attempts[-1].outcome, type=Verdict)
    certificate = verdict.certificate
    return _short(certificate) if certificate else f"refused: {verdict.reason}"


def _short(certificate: Certificate) -> str:
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
