"""The stored plans of an agent, learned from its runs, certified, and put to use.

A goal and the plan that an LLM wrote for it, in a run that came to its end, are an example; so is
what people say in a file. Runs that a stored plan itself answered are none: they would agree with
themselves.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from shoal.errors import LearningError
from shoal.flywheel.plans import LearnedPlans, PlanTrial, learn_plans
from shoal.flywheel.trial import SensesOf
from shoal.planning.plan import Plan
from shoal.planning.plan_book import PlanBook, save_plans
from shoal.planning.recurring import PlanExample, Recurring
from shoal.planning.stored_planner import STORED, plans_id
from shoal.routing.promise import PromiseOptions
from shoal.specialists.specialist import Specialist
from shoal.storage import CardRow, CertificateRow, Event, Standing, Store
from shoal.storage.standings import set_standing

_PAGE = 200


class Verdict(Struct, frozen=True):
    """How an attempt ended: plans, examples, a certificate's id or why there is none."""

    plans: tuple[str, ...]
    examples: int
    certificate: str = ""
    reason: str = ""


def planned_runs(store: Store, agent: str) -> Iterator[tuple[str, Plan]]:
    """The goals of an agent's runs that came to their end, newest first, with the last plan that
    was written for each."""
    before: str | None = None
    while runs := store.runs.list("done", agent=agent, before=before, limit=_PAGE):
        for run in runs:
            body = _last_planned(store, run.id)
            # A plan that goes on from the results of another is none to keep.
            if run.goal and body and body.get("by") != STORED and not body["course"].get("done"):
                yield run.goal, msgspec.convert(body["course"]["plan"], Plan)
        before = runs[-1].id


def _last_planned(store: Store, run_id: str) -> dict[str, Any]:
    """What was written down of the last plan; nothing if none was."""
    body, after = dict[str, Any](), -1
    while page := store.runs.records(run_id, after):
        for one in page:
            if one.kind == "planned":
                body = msgspec.json.decode(one.body)
        after = page[-1].seq
    return body


def gathered(
    store: Store, agent: str, plans: Sequence[Plan], said: Sequence[PlanExample], least: int
) -> tuple[list[Plan], list[PlanExample]]:
    """The stored plans of an agent and those that at least so many of its runs needed, with all
    examples, what people ``said`` among them."""
    recurring = Recurring(plans)
    for goal, plan in reversed(list(planned_runs(store, agent))):
        recurring.add(goal, plan)
    found, examples = recurring.found(least)
    names = {plan.name for plan in found}
    found += [plan for plan in plans if plan.name not in names]
    return found, [*examples, *said]


def certify_plans(
    store: Store,
    agent: str,
    plans: Sequence[Plan],
    examples: Sequence[PlanExample],
    senses: SensesOf,
    promise: PromiseOptions,
    by: str,
) -> Verdict:
    """Learn which plan a goal asks for, and serve that if it is proven.

    Raises:
        LearningError: another attempt ended meanwhile.
        MalformedRequest: two plans of a name, or an example of a plan that is none of them.
        ArtifactError: the encoder's weights are missing, or the files cannot be written.
    """
    task, book = plans_id(agent), PlanBook(plans)
    nth = len(store.attempts.list(task)) + 1
    trial = PlanTrial(promise=promise, nth=nth, keep=partial(_kept, store, plans))
    learned = learn_plans(book, examples, senses, trial)
    names = tuple(book.plans)
    certificate = learned.certificate.id if learned.certificate else ""
    verdict = Verdict(names, len(examples), certificate, learned.reason)
    _filed(store, task, nth, learned, verdict, by)
    return verdict


def drop_plans(store: Store, agent: str, by: str) -> None:
    """Serve no stored plan of an agent any more."""
    task, now = plans_id(agent), time.time()
    with store.database.transaction() as conn:
        event = Event(at=now, task=task, kind="demoted", by=by, reason="dropped")
        set_standing(conn, Standing(task=task, stage="observe", since=now), event)


def _kept(store: Store, plans: Sequence[Plan], specialist: Specialist) -> str:
    with tempfile.TemporaryDirectory() as folder:
        specialist.save(Path(folder))
        save_plans(plans, Path(folder))
        return store.artifacts.put(Path(folder))


def _filed(
    store: Store, task: str, nth: int, learned: LearnedPlans, verdict: Verdict, by: str
) -> None:
    """The attempt with what it came to, all or nothing."""
    now = time.time()
    with store.database.transaction() as conn:
        if store.attempts.insert(conn, task, now, msgspec.json.encode(verdict)) != nth:
            raise LearningError("another attempt for this agent ended meanwhile; try again")
        card, certificate = learned.card, learned.certificate
        if card is None or certificate is None:
            event = Event(at=now, task=task, kind="refused", by=by, reason=learned.reason)
            return store.events.insert(conn, event)
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
        standing = Standing(
            task=task, stage="serve", card=card.id, certificate=certificate.id, since=now
        )
        event = Event(at=now, task=task, kind="promoted", by=by, reason="certified")
        set_standing(conn, standing, event)
