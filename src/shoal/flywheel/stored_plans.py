"""The stored plans of an agent, learned, certified and written back."""

import logging
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from shoal.errors import ArtifactError, LearningError
from shoal.flywheel.certification import Verdict, file_verdict
from shoal.flywheel.planned_runs import Known
from shoal.flywheel.plans import PlanTrial, learn_plans
from shoal.flywheel.promotion import demote
from shoal.flywheel.trial import SensesOf
from shoal.planning.options import plans_id
from shoal.planning.plan import Plan
from shoal.planning.plan_book import Kept, PlanBook, load_plans, save_plans
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.specialists.specialist import Specialist
from shoal.storage import Store

log = logging.getLogger(__name__)

LEAST = 20
"""Goals that must have needed a plan to make it a stored one."""


class Terms(Struct, frozen=True, kw_only=True):
    """What is to be promised, and against whom: ``model`` is the agent's planner, "" for people;
    ``reference`` is what certificates call it. ``files`` are plans that people wrote, by name."""

    promise: PromiseOptions = PromiseOptions(alpha=0.02)
    model: str = ""
    reference: str = "people"
    lapse_days: float = 90
    files: tuple[str, ...] = ()


def plans_before(store: Store, agent: str, stored: Sequence[Plan]) -> list[Plan]:
    """The plans that an agent's book begins with: those that people ``stored``, and those that the
    newest certificate's was made of without people, unless audits broke that or its files are
    damaged.
    """
    task = plans_id(agent)
    names, rows = {plan.name for plan in stored}, store.certificates.list(task)
    if not rows or rows[0].issued_at <= store.events.broken_at(task):
        return [*stored]
    card = msgspec.json.decode(store.cards.get(rows[0].card).spec, type=Card)
    try:
        before = load_plans(store.artifacts.open(card.artifact))
    except ArtifactError as error:
        log.warning("%s: its plans are found anew, for those it had are lost: %s", task, error)
        return [*stored]
    theirs = names.union(before.files)
    return [*stored, *(plan for plan in before.plans if plan.name not in theirs)]


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
    task, promise = plans_id(agent), terms.promise
    nth = len(store.attempts.list(task)) + 1
    trial = PlanTrial(
        task=task,
        promise=promise,
        reference=terms.reference,
        model=terms.model,
        nth=nth,
        lapse_days=terms.lapse_days,
        keep=partial(_kept, store, Kept(known.plans, terms.files)),
    )
    learned = learn_plans(PlanBook(known.plans), known.examples, senses, trial, known.sampled)
    certificate, candidate = learned.certificate, learned.candidate
    verdict = Verdict(
        task,
        len(known.examples),
        learned.reason,
        certificate,
        alpha=promise.alpha,
        confidence=promise.confidence,
        ladder=learned.ladder,
        by_people=not terms.model,
        comparator=certificate.comparator if certificate else "",
    )

    def check(conn: Connection) -> None:
        if store.events.broken_at(task) > began:
            raise LearningError(
                f"{task}: audits broke the promise while it was being certified: it is tried "
                "again on what comes after that"
            )
        if certificate is not None and candidate is not None:
            store.evidence.insert(conn, certificate.id, candidate.calibration)

    file_verdict(store, verdict, nth, learned.card, check)
    return verdict


def drop_plans(store: Store, agent: str) -> None:
    """Serve no stored plan of an agent any more, until a person has it served again."""
    demote(store, plans_id(agent), "person", "dropped")


def _kept(store: Store, plans: Kept, specialist: Specialist) -> str:
    with tempfile.TemporaryDirectory() as folder:
        specialist.save(Path(folder))
        save_plans(plans, Path(folder))
        return store.artifacts.put(Path(folder))
