"""A model of one's own for a task: tuned on its recorded calls, and certified like any specialist.

People ask for it by name: a model is tuned for minutes or hours, so the learner never does by
itself.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import LearningError
from shoal.flywheel.certification import Verdict
from shoal.flywheel.learner import Learner
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import HELD_OUT, calibrating
from shoal.guarantees import clean_examples_needed, delta_at
from shoal.specialists.kind import Recipe
from shoal.specialists.specialist import Specialist
from shoal.tasks import Task
from shoal.training.lora.chat_examples import ChatExample
from shoal.training.lora.preparation import sound
from shoal.training.lora.serving import Stage, Way, lessons_of, tuned_specialist

_RECIPE = Recipe("generated", "lora", encoder=False, cost=500, share=1.0, held_out=True)
Watch = Callable[[Any], None]
"""Told how far training has come: ``shoal.training.lora.progress.Progress``."""


class Material(Struct, frozen=True):
    """What a model would learn from: how many examples train and how many judge, and how many of
    the first are left out, by reason."""

    trains: int
    judges: int
    left_out: dict[str, int]


def material(learner: Learner, task: Task, near: float) -> Material:
    """Look at what there is, and train nothing; ``near`` is from when on an example is too like one
    that judges (``TuningOptions``).

    Raises:
        LearningError: the task has no examples, or too few for any certificate.
    """
    lessons = _lessons(learner, task)
    chosen = calibrating(lessons, _RECIPE)
    train = [one for one, out in zip(lessons.lessons, chosen, strict=True) if not out]
    texts = [one.text for one, out in zip(lessons.lessons, chosen, strict=True) if out]
    examples = _examples(task, train)
    kept, dropped = sound(examples, near, texts)
    reasons = {"its answer breaks the task's contract": len(train) - len(examples)}
    for one in dropped:
        reasons[one.why] = reasons.get(one.why, 0) + 1
    return Material(len(kept), len(texts), {why: count for why, count in reasons.items() if count})


def tune_and_certify(
    learner: Learner,
    task: Task,
    way: Way,
    watch: Watch | None = None,
    told: Stage = lambda said: None,
) -> Verdict:
    """Tune a model on a task's examples and try to certify it; spends from the error budget.
    Killed or stopped at whatever moment, the same call goes on.

    Raises:
        LearningError: there is nothing to learn from, or another tuning of the task is under way.
        ArtifactError, MissingExtra, ConfigError: what it needs is missing or does not fit.
    """

    def train_apart(part: Lessons, texts: Sequence[str]) -> Specialist:
        if part.state is None:
            raise LearningError("there is no place to keep the training in the data folder")
        examples = _examples(task, part.lessons)
        return tuned_specialist(part.task.contract, examples, way, part.state, texts, watch, told)

    recipe = replace(_RECIPE, name=way.recipe)
    with alone(learner.examiner.by_hand.folder(task.id)):
        lessons = _lessons(learner, task)
        return learner.examiner.train(lessons, learner.promise(task), recipe, train_apart)


def _lessons(learner: Learner, task: Task) -> Lessons:
    """The task's lessons, if as many judge as any certificate needs: else hours of training would
    end in a refusal."""
    promise = learner.promise(task)
    lessons = learner.examiner.lessons(task, promise, by_hand=True)
    if not lessons.lessons:
        raise LearningError(f"task {task.name} has no examples: no call of it has a reference")
    chosen = calibrating(lessons, _RECIPE)
    judge = sum(out and one.sampled for one, out in zip(lessons.lessons, chosen, strict=True))
    delta = delta_at(learner.next_attempt(task), promise.delta)
    least = clean_examples_needed(promise.alpha, delta)
    if judge < least:
        what = "reviewed calls" if lessons.by_people else "examples"
        raise LearningError(
            f"task {task.name}: need about {HELD_OUT * (least - judge):,} more {what}: one in "
            f"{HELD_OUT} judges, and a certificate needs {least:,} that do"
        )
    return lessons


def _examples(task: Task, lessons: Sequence[Lesson]) -> list[ChatExample]:
    inputs, outputs = [one.input for one in lessons], [one.output for one in lessons]
    return lessons_of(task.contract, inputs, outputs, [_rationale(one) for one in lessons])


def _rationale(lesson: Lesson) -> str:
    """How the LLM came to its answer, as far as it told."""
    told = lesson.llm.reasoning if lesson.llm else ()
    return "\n".join(part.text for part in told if part.text)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a task's tuning; the system lets go of it if the process dies."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LearningError(
                "another `shoal train` or `shoal compress` is at work on this task"
            ) from None
        yield
