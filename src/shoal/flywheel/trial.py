"""A trial: one attempt to certify one task, from lessons to a proven candidate or a refusal.

Nothing here touches the store: lessons in, outcome out.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from shoal.chat import Answer
from shoal.flywheel.ladder import train
from shoal.flywheel.lessons import Lesson, Lessons, first_of, together_in
from shoal.guarantees import (
    Calibration,
    LabelProof,
    LabelSelection,
    PeopleCheck,
    Refusal,
    Selection,
    select,
    select_by_label,
    upper_bound,
)
from shoal.specialists.kind import Recipe
from shoal.specialists.kinds import kind_of
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Specialist
from shoal.storage import Mistake
from shoal.tasks import CallContract, Contract, Input, read, same, written
from shoal.tasks.answer_label import has_labels, label_of
from shoal.training.augmentation import Augmented

GOOD_COVERAGE = 0.9  # a candidate that serves as much is kept without trying a dearer one
WORTH_A_STEP = 0.02  # coverage that a dearer candidate must add
_TIMED = 20  # inputs by which a candidate's CPU time an answer is measured
KEPT_MISTAKES = 50
HELD_OUT = 3  # one example in so many calibrates, with calibration "held-out"

SensesOf = Callable[[], Senses]
TrainApart = Callable[[Lessons, Sequence[str]], Specialist]
"""Trains on lessons; the texts are the inputs of those that will judge, which it may not see."""


class Candidate(Struct, frozen=True):
    """A trained specialist and what its calibration examples said of it."""

    recipe: Recipe
    specialist: Specialist
    selection: Selection
    agreement: float
    people: PeopleCheck | None
    cpu_seconds: float
    calibration: Calibration
    accepted: tuple[bool, ...]  # of each calibration example, whether it would be served
    labels: tuple[LabelProof, ...] | None = None
    mistakes: tuple[Mistake, ...] = ()
    unread: int = 0  # reference answers that break the contract
    made_up: int = 0  # by an LLM, of the examples that trained
    versions: tuple[str, ...] = ()  # of the LLM, as its answers name it


class LadderStep(Struct, frozen=True):
    """One candidate of an attempt; ``answer_ms`` is its CPU time an answer, measured here.
    ``refused`` says why it may not be served, "" if it may; then ``coverage`` is what it serves.
    ``made_up`` tells what of its examples an LLM made up, "" if none was asked to."""

    kind: str
    recipe: str
    cpu_seconds: float
    answer_ms: float
    coverage: float = 0.0
    refused: str = ""
    made_up: str = ""


class Outcome(Struct, frozen=True):
    """``candidate`` is what may be certified; without one, ``refusals`` say why, one a recipe."""

    candidate: Candidate | None
    refusals: tuple[tuple[str, Refusal], ...]
    ladder: tuple[LadderStep, ...] = ()


class Prepared(Struct, frozen=True):
    """A trained candidate, and its prediction for each lesson that may judge it. ``together`` is by
    a lesson's call what it hangs together with; empty if each stands alone."""

    recipe: Recipe
    contract: Contract
    specialist: Specialist
    unseen: tuple[tuple[Lesson, Prediction], ...]
    cpu_seconds: float
    answer_ms: float = 0.0
    by_people: bool = False
    made_up: Augmented | None = None
    together: Mapping[str, str] = MappingProxyType({})


def attempt(
    recipes: Sequence[Recipe],
    alpha: float,
    delta: float,
    prepare: Callable[[Recipe], Prepared],
    per_label: bool = False,
) -> Outcome:
    """Climb the ladder of ``recipes``: prepare a candidate, judge it, keep the cheapest that serves
    well.

    ``delta`` is what this attempt may spend; each recipe spends its share of it, so that the
    promise holds whichever is kept (union bound). ``per_label`` is as for ``judge``.

    Raises:
        LearningError: the contract cannot be learned.
        ArtifactError: the encoder's weights are missing or damaged.
    """
    best: Candidate | None = None
    refusals, ladder = [], []
    total = sum(recipe.share for recipe in recipes)
    for recipe in recipes:
        ready = prepare(recipe)
        found = judge(ready, alpha, delta * recipe.share / total, per_label)
        ladder.append(_step(ready, found))
        if isinstance(found, Refusal):
            refusals.append((recipe.name, found))
        elif best is None or found.selection.coverage >= best.selection.coverage + WORTH_A_STEP:
            best = found
        if best is not None and best.selection.coverage >= GOOD_COVERAGE:
            break
    return Outcome(best, tuple(refusals), tuple(ladder))


def _step(ready: Prepared, found: Candidate | Refusal) -> LadderStep:
    refused = found.reason if isinstance(found, Refusal) else ""
    coverage = 0.0 if isinstance(found, Refusal) else found.selection.coverage
    recipe = ready.recipe
    made_up = ready.made_up.told() if ready.made_up else ""
    return LadderStep(
        recipe.kind, recipe.name, ready.cpu_seconds, ready.answer_ms, coverage, refused, made_up
    )


def prepare(
    lessons: Lessons,
    recipe: Recipe,
    held_out: bool,
    senses: SensesOf,
    train_apart: TrainApart | None = None,
) -> Prepared:
    """Train by one recipe; ``train_apart`` is how, for one that the ladder does not know.

    Raises: what ``attempt`` raises.
    """
    began = time.process_time()
    needed = senses() if recipe.encoder else None
    apart = held_out or recipe.held_out
    if train_apart is not None:
        specialist, unseen = _judged_apart(lessons, recipe, train_apart)
    else:
        specialist, unseen = (_held_out if apart else _cross_fitted)(lessons, recipe, needed)
    spent = time.process_time() - began
    ms = _answer_ms(specialist, lessons.inputs[-_TIMED:])
    return Prepared(
        recipe,
        lessons.task.contract,
        specialist,
        tuple(unseen),
        spent,
        ms,
        by_people=lessons.by_people,
        made_up=lessons.made_up,
        together=_together(lessons, recipe),
    )


def _answer_ms(specialist: Specialist, inputs: Sequence[Input]) -> float:
    """CPU time an answer in ms, that of a local model's process included."""
    began = _spent(specialist)
    for given in inputs:
        specialist.predict(given)
    return (_spent(specialist) - began) * 1e3 / max(1, len(inputs))


def _spent(specialist: Specialist) -> float:
    outside: float = getattr(specialist, "cpu_seconds", 0.0)
    return time.process_time() + outside


def judge(
    prepared: Prepared, alpha: float, delta: float, per_label: bool = False
) -> Candidate | Refusal:
    """Test a candidate against the reference's answers on the unbiased sample of the traffic.

    ``per_label``: the promise is to hold for each label by itself, where outputs have one.
    """
    judged = _Judged.of(prepared)
    together = judged.together(prepared)
    labelled = per_label and has_labels(prepared.contract)
    found = (
        select_by_label(
            judged.signals, judged.wrong, judged.names, alpha, delta, judged.first, together
        )
        if labelled
        else select(
            judged.signals,
            judged.wrong,
            alpha,
            delta,
            first=judged.first,
            together=together,
        )
    )
    if isinstance(found, Refusal):
        return found
    proofs = found.proofs if isinstance(found, LabelSelection) else None
    selection = found.selection if isinstance(found, LabelSelection) else found
    thresholds = None if proofs is None else {proof.label: proof.threshold for proof in proofs}

    def served(prediction: Prediction) -> bool:
        if thresholds is None:
            return prediction.signal >= selection.threshold
        label = label_of(prepared.contract, prediction.output) or ""
        return prediction.signal >= thresholds.get(label, np.inf)

    return Candidate(
        recipe=prepared.recipe,
        specialist=prepared.specialist,
        selection=selection,
        agreement=float(1 - judged.wrong.mean()),
        people=None if prepared.by_people else _people(prepared, served, delta),
        cpu_seconds=prepared.cpu_seconds,
        calibration=judged.calibration(),
        accepted=tuple(served(prediction) for _, prediction in judged.pairs),
        labels=proofs,
        mistakes=judged.mistakes(prepared.contract, served),
        made_up=len(prepared.made_up.inputs) if prepared.made_up else 0,
        unread=sum(read(prepared.contract, answer) is None for answer in judged.answers),
        versions=() if prepared.by_people else judged.versions,
    )


def judged_rightly(prepared: Prepared) -> list[bool]:
    """Of each lesson that may judge, whether the prediction for it is the reference's answer."""
    return [not wrong for wrong in _Judged.of(prepared).wrong.tolist()]


class _Judged(Struct, frozen=True):
    """The unseen lessons that may judge, and whether each prediction is wrong (n,)."""

    pairs: "_Unseen"
    wrong: NDArray[np.bool_]
    labels: list[str | None]
    answers: list[Answer]  # the reference's, as far as it is known
    steps: bool  # whether calls may be steps of one conversation

    @classmethod
    def of(cls, prepared: Prepared) -> "_Judged":
        contract = prepared.contract
        found = [
            (lesson, _within_limits(contract, lesson, p), said)
            for lesson, p in prepared.unseen
            if lesson.sampled
            and ((said := lesson.said(prepared.by_people)) is not None or prepared.by_people)
        ]
        wrong = [not _agrees(contract, p, said) for _, p, said in found]
        labels = [label_of(contract, p.output) for _, p, _ in found]
        pairs = [(lesson, p) for lesson, p, _ in found]
        answers = [said for *_, said in found if said is not None]
        steps = isinstance(contract, CallContract) or any(p.input.goes_on for p, _ in pairs)
        return cls(pairs, np.array(wrong, dtype=bool), labels, answers, steps)

    @property
    def signals(self) -> NDArray[np.float64]:
        return np.array([prediction.signal for _, prediction in self.pairs])

    @property
    def versions(self) -> tuple[str, ...]:
        """Of the LLM, as its answers name it."""
        return tuple(sorted({answer.model for answer in self.answers if answer.model}))

    @property
    def names(self) -> list[str]:
        """Of each its label, "" for none."""
        return [label or "" for label in self.labels]

    @property
    def first(self) -> list[bool]:
        """Of each whether it is the first with its input."""
        return first_of([lesson.text for lesson, _ in self.pairs])

    def together(self, prepared: Prepared) -> list[str] | None:
        """Of each what it hangs together with, such as the conversation that it is a step of; None
        where each stands alone."""
        if prepared.together:
            return [prepared.together[lesson.call_id] for lesson, _ in self.pairs]
        names = together_in([lesson for lesson, _ in self.pairs])
        alone = len(set(names)) == sum(self.first)
        return names if self.steps and not alone else None

    def calibration(self) -> Calibration:
        lessons = [lesson for lesson, _ in self.pairs]
        lengths = [len(lesson.text) for lesson in lessons]
        at = [lesson.at for lesson in lessons]
        return Calibration.of(self.signals, self.wrong, self.labels, lengths, at)

    def mistakes(
        self, contract: Contract, served: Callable[[Prediction], bool]
    ) -> tuple[Mistake, ...]:
        """The surest of the answers that would have been served and differ."""
        found = [
            Mistake(lesson.call_id, p.signal, written(contract, p.output))
            for (lesson, p), wrong in zip(self.pairs, self.wrong, strict=True)
            if wrong and p.output is not None and served(p)
        ]
        return tuple(sorted(found, key=lambda one: -one.signal)[:KEPT_MISTAKES])


_Unseen = Sequence[tuple[Lesson, Prediction]]


def _cross_fitted(
    lessons: Lessons, recipe: Recipe, senses: Senses | None
) -> tuple[Specialist, _Unseen]:
    specialist, left_out = train(lessons, recipe, senses)
    return specialist, list(zip(lessons.lessons, left_out, strict=True))


def _held_out(
    lessons: Lessons, recipe: Recipe, senses: Senses | None
) -> tuple[Specialist, _Unseen]:
    return _judged_apart(lessons, recipe, lambda part, _: train(part, recipe, senses).specialist)


def _judged_apart(
    lessons: Lessons, recipe: Recipe, train_apart: TrainApart
) -> tuple[Specialist, _Unseen]:
    both = zip(lessons.lessons, calibrating(lessons, recipe), strict=True)
    apart = [lesson for lesson, out in both if out]
    part, texts = training_part(lessons, recipe), [lesson.text for lesson in apart]
    specialist = train_apart(part, texts)
    return specialist, [(lesson, specialist.predict(lesson.input)) for lesson in apart]


def training_part(lessons: Lessons, recipe: Recipe) -> Lessons:
    """Those that train where others are held out to calibrate."""
    both = zip(lessons.lessons, calibrating(lessons, recipe), strict=True)
    return replace(lessons, lessons=tuple(lesson for lesson, out in both if not out))


def calibrating(lessons: Lessons, recipe: Recipe) -> list[bool]:
    """Of each whether it is held out, to calibrate.

    Drawn by the input: equal inputs are on the same side, and on the same at every attempt. Of what
    hangs together by the name of that, of steps of a conversation by how it began: one that trains
    says much of the next.
    """
    if names := _together(lessons, recipe):
        return [calibrates(names[lesson.call_id]) for lesson in lessons.lessons]
    contract = lessons.task.contract
    return [calibrates(_beginning(lesson, contract)) for lesson in lessons.lessons]


def _together(lessons: Lessons, recipe: Recipe) -> dict[str, str]:
    """By a lesson's call the name of what it hangs together with; empty if each stands alone."""
    kind = kind_of(recipe.kind)
    names = kind.together(lessons.inputs) if kind else None
    calls = [lesson.call_id for lesson in lessons.lessons]
    return {} if names is None else dict(zip(calls, names, strict=True))


def _beginning(lesson: Lesson, contract: Contract) -> str:
    text = lesson.input.beginning
    if isinstance(contract, CallContract):
        return next((m.text for m in lesson.input.messages if m.role == "user"), text)
    return text


def calibrates(text: str) -> bool:
    """Whether an example with this input is held out, to calibrate."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % HELD_OUT == 0


def _agrees(contract: Contract, prediction: Prediction, reference: Answer | None) -> bool:
    """Whether the answer that would be served is the reference's."""
    if prediction.output is None or reference is None:
        return False
    return same(contract, written(contract, prediction.output), reference)


def _within_limits(contract: Contract, lesson: Lesson, p: Prediction) -> Prediction:
    """The prediction, without an output if that would be longer than the caller allows: it would
    not be served, and counts as wrong."""
    answer = None if p.output is None else written(contract, p.output)
    return p if answer is None or not lesson.limits.cut(answer) else replace(p, output=None)


def _people(
    prepared: Prepared, served: Callable[[Prediction], bool], delta: float
) -> PeopleCheck | None:
    """What people's words say of the answers that would be served."""
    contract = prepared.contract
    accepted = [(lesson, p) for lesson, p in prepared.unseen if served(p)]
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
