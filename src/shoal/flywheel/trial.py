"""A trial: one attempt to certify one task, from lessons to a proven candidate or a refusal.

Nothing here touches the store: lessons in, outcome out.
"""

import hashlib
import time
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.chat import Answer
from shoal.flywheel.ladder import recipes_for, train
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.guarantees import PeopleCheck, Refusal, Selection, select, upper_bound
from shoal.specialists.kind import Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Specialist
from shoal.tasks import Contract, Input, Task, same, written

GOOD_COVERAGE = 0.9  # a candidate that serves as much is kept without trying a dearer one
WORTH_A_STEP = 0.02  # coverage that a dearer candidate must add
_HELD_OUT = 3  # one example in so many calibrates, with calibration "held-out"

SensesOf = Callable[[], Senses]


class Candidate(Struct, frozen=True):
    """A trained specialist and what its calibration examples said of it."""

    recipe: Recipe
    specialist: Specialist
    selection: Selection
    agreement: float
    people: PeopleCheck | None
    cpu_seconds: float


class Outcome(Struct, frozen=True):
    """``candidate`` is what may be certified; without one, ``refusals`` say why, one a recipe."""

    candidate: Candidate | None
    refusals: tuple[tuple[str, Refusal], ...]


class Prepared(Struct, frozen=True):
    """A trained candidate, and its prediction for each lesson that may judge it."""

    recipe: Recipe
    contract: Contract
    specialist: Specialist
    unseen: tuple[tuple[Lesson, Prediction], ...]
    cpu_seconds: float


def attempt(
    task: Task,
    inputs: Sequence[Input],
    alpha: float,
    delta: float,
    prepare: Callable[[Recipe], Prepared],
) -> Outcome:
    """Climb the ladder: prepare a candidate, judge it, keep the cheapest that serves well.

    ``delta`` is what this attempt may spend; each recipe spends its share of it, so that the
    promise holds whichever is kept (union bound).

    Raises:
        LearningError: the contract cannot be learned.
        ArtifactError: the encoder's weights are missing or damaged.
    """
    best: Candidate | None = None
    refusals = []
    recipes = recipes_for(task, inputs)
    total = sum(recipe.share for recipe in recipes)
    for recipe in recipes:
        found = judge(prepare(recipe), alpha, delta * recipe.share / total)
        if isinstance(found, Refusal):
            refusals.append((recipe.name, found))
        elif best is None or found.selection.coverage >= best.selection.coverage + WORTH_A_STEP:
            best = found
        if best is not None and best.selection.coverage >= GOOD_COVERAGE:
            break
    return Outcome(best, tuple(refusals))


def prepare(lessons: Lessons, recipe: Recipe, held_out: bool, senses: SensesOf) -> Prepared:
    """Train by one recipe.

    Raises: what ``attempt`` raises.
    """
    began = time.process_time()
    needed = senses() if recipe.encoder else None
    apart = held_out or recipe.held_out
    specialist, unseen = (_held_out if apart else _cross_fitted)(lessons, recipe, needed)
    spent = time.process_time() - began
    return Prepared(recipe, lessons.task.contract, specialist, tuple(unseen), spent)


def judge(prepared: Prepared, alpha: float, delta: float) -> Candidate | Refusal:
    """Test a candidate against the LLM's answers on the unbiased sample of the traffic."""
    contract = prepared.contract
    judged = [(lesson, p) for lesson, p in prepared.unseen if lesson.sampled and lesson.llm]
    signals = np.array([prediction.signal for _, prediction in judged])
    wrong = np.array([not _agrees(contract, p, lesson.llm) for lesson, p in judged], dtype=bool)
    found = select(signals, wrong, alpha, delta)
    once = _first_of_each([lesson.text for lesson, _ in judged])
    if len(once) < len(judged) and isinstance(found, Selection):
        found = _stricter(found, signals, wrong, once)
    if isinstance(found, Refusal):
        return found
    return Candidate(
        recipe=prepared.recipe,
        specialist=prepared.specialist,
        selection=found,
        agreement=float(1 - wrong.mean()),
        people=_people(contract, prepared.unseen, found.threshold, delta),
        cpu_seconds=prepared.cpu_seconds,
    )


def _first_of_each(texts: Sequence[str]) -> list[int]:
    """Row numbers: each text once."""
    return list({text: row for row, text in reversed(list(enumerate(texts)))}.values())


def _stricter(
    found: Selection, signals: NDArray[np.float64], wrong: NDArray[np.bool_], once: Sequence[int]
) -> Selection | Refusal:
    """The promise must hold over calls, and over distinct inputs as well: the same input sent
    twice, by a client that tries again, is no second piece of evidence."""
    distinct = select(signals[once], wrong[once], found.alpha, found.delta)
    passed = isinstance(distinct, Selection) and distinct.threshold < found.threshold
    return found if passed else distinct


_Unseen = Sequence[tuple[Lesson, Prediction]]


def _cross_fitted(
    lessons: Lessons, recipe: Recipe, senses: Senses | None
) -> tuple[Specialist, _Unseen]:
    specialist, left_out = train(lessons, recipe, senses)
    return specialist, list(zip(lessons.lessons, left_out, strict=True))


def _held_out(
    lessons: Lessons, recipe: Recipe, senses: Senses | None
) -> tuple[Specialist, _Unseen]:
    chosen = [_calibrates(lesson.text) for lesson in lessons.lessons]
    apart = tuple(lesson for lesson, out in zip(lessons.lessons, chosen, strict=True) if out)
    rest = tuple(lesson for lesson, out in zip(lessons.lessons, chosen, strict=True) if not out)
    part = Lessons(lessons.task, lessons.model, rest, lessons.rates)
    specialist = train(part, recipe, senses).specialist
    return specialist, [(lesson, specialist.predict(lesson.input)) for lesson in apart]


def _calibrates(text: str) -> bool:
    """Drawn by the input: equal inputs are on the same side, and on the same at every attempt."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % _HELD_OUT == 0


def _agrees(contract: Contract, prediction: Prediction, reference: Answer | None) -> bool:
    """Whether the answer that would be served is the reference's."""
    if prediction.output is None or reference is None:
        return False
    return same(contract, written(contract, prediction.output), reference)


def _people(
    contract: Contract, unseen: _Unseen, threshold: float, delta: float
) -> PeopleCheck | None:
    """What people's words say of the answers that would be served."""
    accepted = [(lesson, p) for lesson, p in unseen if p.signal >= threshold]
    wrong = [
        not _agrees(contract, prediction, lesson.people)
        for lesson, prediction in accepted
        if lesson.people is not None
    ]
    # Of an answer that a person only called wrong, this is known: giving it again is an error.
    wrong += [True for lesson, p in accepted if _agrees(contract, p, lesson.refuted)]
    if not wrong:
        return None
    return PeopleCheck(len(wrong), sum(wrong), float(upper_bound(sum(wrong), len(wrong), delta)))
