"""Stored plans, learned and certified: which plan a goal asks for, and with which values.

The task is one of fields (``planning.plan_book``), learned and proven like any other: at most a
share α of the goals that are taken get another plan, or another value, than the reference gave.
A goal that is none of the stored plans, or whose plan could not be filled in, is declined; it
counts as an error of the specialist in the trial, so that none is ever accepted by the threshold.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import uuid_utils
from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer
from shoal.errors import LearningError
from shoal.flywheel.certification import nearest_reason
from shoal.flywheel.issuing import Grounds, issued
from shoal.flywheel.ladder import recipes_for
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import Candidate, LadderStep, Prepared, SensesOf, attempt, prepare
from shoal.guarantees import Certificate, Method, assumptions_of, delta_at
from shoal.planning.plan_book import PlanBook
from shoal.planning.recurring import PlanExample
from shoal.planning.stored_planner import NarrowedSpecialist, narrowed
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.specialists.kind import Recipe
from shoal.specialists.specialist import Specialist
from shoal.tasks import Input, Task, comparator_name

NAME = "planning"
"""The task's name, on certificates."""


class PlanTrial(Struct, frozen=True, kw_only=True):
    """How stored plans are learned. ``task`` is what cards and certificates call it, ``reference``
    names who wrote the plans of the examples: a ``model``, by its name, or "" for people;
    ``nth`` is the how manieth attempt this is, each of which spends from the error budget.
    ``held_out``: a third of the examples calibrates and does not train, which makes the bound exact
    for any number of them; else each does both, cross-fitted. ``keep`` stores the specialist's
    files and returns their digest."""

    promise: PromiseOptions = PromiseOptions(alpha=0.02)
    task: str = NAME
    reference: str = "llm"
    model: str = "llm"
    nth: int = 1
    held_out: bool = True
    fine_tune: bool = False
    lapse_days: float = 90
    keep: Callable[[Specialist], str] = lambda specialist: ""


class LearnedPlans(Struct, frozen=True):
    """What the trial came to: a specialist with card and certificate, and the ``candidate`` that
    it was; or the ``reason`` why not, in plain words. ``ladder`` are all that were tried."""

    specialist: Specialist | None = None
    card: Card | None = None
    certificate: Certificate | None = None
    reason: str = ""
    ladder: tuple[LadderStep, ...] = ()
    candidate: Candidate | None = None


def plan_task(book: PlanBook, name: str = NAME) -> Task:
    """The task of a book's plans."""
    return Task(name, name, (), book.contract)


def plan_lessons(
    book: PlanBook,
    examples: Sequence[PlanExample],
    trial: PlanTrial,
    sampled: Sequence[bool] | None = None,
) -> Lessons:
    """Examples, in the order in which they came, as lessons; of each whether it may judge, None for
    all.

    Raises:
        MalformedRequest: an example is of a plan that is not in the book.
    """
    lessons = tuple(
        Lesson(
            call_id=f"plan-{at}",
            input=Input(example.goal),
            output=book.output(example),
            llm=Answer(text=book.written(example)),
            people=None,
            sampled=sampled is None or sampled[at],
        )
        for at, example in enumerate(examples)
    )
    return Lessons(plan_task(book, trial.task), trial.model, lessons, None)


def learn_plans(
    book: PlanBook,
    examples: Sequence[PlanExample],
    senses: SensesOf,
    trial: PlanTrial | None = None,
    sampled: Sequence[bool] | None = None,
) -> LearnedPlans:
    """Train and certify; ``sampled`` as for ``plan_lessons``.

    Raises:
        MalformedRequest: an example is of a plan that is not in the book.
        ArtifactError: the encoder's weights are missing or damaged.
    """
    trial = trial or PlanTrial()
    lessons = plan_lessons(book, examples, trial, sampled)
    if not lessons.lessons:
        return LearnedPlans(reason="there are no examples of goals and their plans yet")
    delta = delta_at(trial.nth, trial.promise.delta)
    try:
        outcome = attempt(
            recipes_for(lessons.task, lessons.inputs, trial.fine_tune),
            trial.promise.alpha,
            delta,
            lambda recipe: _prepared(book, lessons, recipe, trial.held_out, senses),
        )
    except LearningError as error:
        return LearnedPlans(reason=str(error))
    if outcome.candidate is None:
        return LearnedPlans(reason=nearest_reason(outcome.refusals), ladder=outcome.ladder)
    candidate = outcome.candidate
    card = _card(lessons, candidate, trial, senses)
    itself = lessons.self_agreement() if trial.model else None
    certificate = replace(_certificate(card, candidate, trial, delta), self_agreement=itself)
    return LearnedPlans(
        candidate.specialist, card, certificate, ladder=outcome.ladder, candidate=candidate
    )


def _prepared(
    book: PlanBook, lessons: Lessons, recipe: Recipe, held_out: bool, senses: SensesOf
) -> Prepared:
    found = prepare(lessons, recipe, held_out, senses)
    unseen = tuple((one, narrowed(book, one.input, said)) for one, said in found.unseen)
    return replace(found, specialist=NarrowedSpecialist(book, found.specialist), unseen=unseen)


def _card(lessons: Lessons, candidate: Candidate, trial: PlanTrial, senses: SensesOf) -> Card:
    return Card(
        id=str(uuid_utils.uuid7()),
        task=lessons.task.id,
        kind=candidate.specialist.kind,
        recipe=candidate.recipe.name,
        contract=lessons.task.contract,
        llm=lessons.model,
        encoder=senses().digest if candidate.recipe.encoder else "",
        artifact=trial.keep(candidate.specialist),
        examples=len(lessons.lessons),
        agreement=candidate.agreement,
        data_digest=lessons.digest,
        trained_at=time.time(),
        cpu_seconds=candidate.cpu_seconds,
    )


def _certificate(card: Card, candidate: Candidate, trial: PlanTrial, delta: float) -> Certificate:
    apart = trial.held_out or candidate.recipe.held_out
    method: Method = "held-out" if apart else "cross-fitted"
    grounds = Grounds(trial.promise, trial.nth, delta, trial.reference, method, trial.lapse_days)
    return replace(
        issued(trial.task, card, candidate.selection, grounds),
        comparator=f"the same plan with {comparator_name(card.contract)}",
        assumptions=assumptions_of(method, trial.reference, not trial.model),
        by_people=not trial.model,
        unread=candidate.unread,
        slices=candidate.calibration.slices(np.array(candidate.accepted), trial.promise.delta),
    )
