"""The stored plans of an agent, learned, certified and written back."""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.errors import LearningError
from shoal.flywheel.planned_runs import Known
from shoal.flywheel.plans import LearnedPlans, PlanTrial, learn_plans
from shoal.flywheel.promotion import demote
from shoal.flywheel.trial import SensesOf
from shoal.planning.options import plans_id
from shoal.planning.plan import Plan
from shoal.planning.plan_book import PlanBook, load_plans, save_plans
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.specialists.specialist import Specialist
from shoal.storage import CardRow, CertificateRow, Event, Store

LEAST = 20
"""Goals that must have needed a plan to make it a stored one."""


class Terms(Struct, frozen=True, kw_only=True):
    """What is to be promised, and against whom: ``model`` is the agent's planner, "" for people;
    ``reference`` is what certificates call it. ``by`` is who has it learned."""

    promise: PromiseOptions = PromiseOptions(alpha=0.02)
    model: str = ""
    reference: str = "people"
    by: str = "person"
    lapse_days: float = 90


class Verdict(Struct, frozen=True):
    """How an attempt ended: plans, examples, a certificate's id or why there is none; ``alpha`` and
    ``confidence`` are what was to be promised."""

    plans: tuple[str, ...]
    examples: int
    certificate: str = ""
    reason: str = ""
    alpha: float = 0.0
    confidence: float = 0.0


def plans_before(store: Store, agent: str, stored: Sequence[Plan]) -> list[Plan]:
    """The plans that an agent's book begins with: those that people ``stored``, and those of the
    newest certificate, unless audits broke that.

    Raises:
        ArtifactError: its files are damaged.
    """
    task = plans_id(agent)
    names, rows = {plan.name for plan in stored}, store.certificates.list(task)
    if not rows or rows[0].issued_at <= store.events.broken_at(task):
        return [*stored]
    card = msgspec.json.decode(store.cards.get(rows[0].card).spec, type=Card)
    before = load_plans(store.artifacts.open(card.artifact))
    return [*stored, *(plan for plan in before if plan.name not in names)]


def certify_plans(
    store: Store, agent: str, known: Known, senses: SensesOf, terms: Terms | None = None
) -> Verdict:
    """Learn which plan a goal asks for, and prove it; spends from the error budget, whatever comes
    of it. What is proven is not served by that.

    Raises:
        LearningError: another attempt ended meanwhile, or audits broke the promise.
        MalformedRequest: two plans of a name, or an example of a plan that is none of them.
        ArtifactError: the encoder's weights are missing, or the files cannot be written.
    """
    terms, began = terms or Terms(), time.time()
    task, book = plans_id(agent), PlanBook(known.plans)
    nth = len(store.attempts.list(task)) + 1
    trial = PlanTrial(
        task=task,
        promise=terms.promise,
        reference=terms.reference,
        model=terms.model,
        nth=nth,
        lapse_days=terms.lapse_days,
        keep=partial(_kept, store, known.plans),
    )
    learned = learn_plans(book, known.examples, senses, trial, known.sampled)
    verdict = Verdict(
        tuple(book.plans),
        len(known.examples),
        learned.certificate.id if learned.certificate else "",
        learned.reason,
        terms.promise.alpha,
        terms.promise.confidence,
    )
    _filed(store, task, nth, learned, verdict, terms.by, began)
    return verdict


def drop_plans(store: Store, agent: str) -> None:
    """Serve no stored plan of an agent any more, until a person has it served again."""
    demote(store, plans_id(agent), "person", "dropped")


def _kept(store: Store, plans: Sequence[Plan], specialist: Specialist) -> str:
    with tempfile.TemporaryDirectory() as folder:
        specialist.save(Path(folder))
        save_plans(plans, Path(folder))
        return store.artifacts.put(Path(folder))


def _filed(
    store: Store,
    task: str,
    nth: int,
    learned: LearnedPlans,
    verdict: Verdict,
    by: str,
    began: float,
) -> None:
    """The attempt with what it came to, all or nothing."""
    now = time.time()
    with store.database.transaction() as conn:
        if store.events.broken_at(task) > began:
            raise LearningError(
                f"{task}: audits broke the promise while it was being certified: it is tried "
                "again on what comes after that"
            )
        if store.attempts.insert(conn, task, now, msgspec.json.encode(verdict)) != nth:
            raise LearningError("another attempt for this agent ended meanwhile; try again")
        card, certificate = learned.card, learned.certificate
        detail = msgspec.json.encode({"certificate": verdict.certificate})
        event = Event(
            at=now,
            task=task,
            kind="certified" if certificate else "refused",
            by=by,
            reason=learned.reason,
            detail=detail,
        )
        store.events.insert(conn, event)
        if card is None or certificate is None:
            return
        row = CardRow(id=card.id, task=task, spec=msgspec.json.encode(card), created_at=now)
        store.cards.insert(conn, row)
        proof = CertificateRow(
            id=certificate.id,
            task=task,
            card=card.id,
            alpha=certificate.alpha,
            spec=certificate.to_json(),
            issued_at=certificate.issued_at,
        )
        store.certificates.insert(conn, proof)
