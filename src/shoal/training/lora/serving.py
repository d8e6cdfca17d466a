"""From a task's lessons to a specialist that serves: tune, write as GGUF, learn how sure to be.

Each stage leaves its files in one folder, and is passed over where they are there: killed at
whatever moment, the same call goes on.
"""

import fcntl
import gc
import glob
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.chat import Answer, Message
from shoal.errors import LearningError
from shoal.specialists.generated import (
    ADAPTER,
    MODEL,
    BaseFile,
    Files,
    GeneratedSpecialist,
    spelled,
    understood,
)
from shoal.specialists.writing.sureness import Sureness
from shoal.tasks import Contract, Input, Output, same, written
from shoal.training.checkpoints import checkpoint_form
from shoal.training.generative import adapter_to_gguf, check_extras, fine_tune, merge, to_gguf
from shoal.training.lora.chat_examples import ChatExample
from shoal.training.lora.options import TuningOptions
from shoal.training.lora.preparation import is_held_out, sound

if TYPE_CHECKING:
    from shoal.training.gguf.tensors import Precision
    from shoal.training.lora.outcome import Tuned

_CHARACTERS_A_TOKEN = 2.0  # at least, of what is written; SQL and JSON have about three
_SPARE_TOKENS = 32
_THINKING_TOKENS = 512
_MOST_JUDGED = 300

Stage = Callable[[str], None]
"""Told what is done next."""


class Way(Struct, frozen=True):
    """How a task's model is made: the checkpoint ``base`` (and ``teacher``), where GGUF files of
    bases are kept, whether the adapter is merged into a model of its own, and how weights are
    written."""

    base: Path
    bases: Path
    options: TuningOptions = TuningOptions()
    teacher: Path | None = None
    merged: bool = False
    precision: "Precision" = "q8_0"

    @property
    def recipe(self) -> str:
        """Its name on cards: "lora", or how else it was taught."""
        return "lora" if self.options.recipe == "supervised" else self.options.recipe


def lessons_of(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    rationales: Sequence[str] = (),
) -> list[ChatExample]:
    """What the model learns of inputs (n,) and outputs (n,): the input's text alone is asked, the
    output's text answered. Those without an output (None) are left out. ``rationales`` (n,) say how
    the reference came to its answers, "" where nobody knows."""
    return [
        ChatExample(
            (Message("user", given.text),),
            Answer(text=spelled(contract, output)),
            rationales[at] if rationales else "",
            key=str(at),
        )
        for at, (given, output) in enumerate(zip(inputs, outputs, strict=True))
        if output is not None
    ]


def tuned_specialist(
    contract: Contract,
    lessons: Sequence[ChatExample],
    way: Way,
    folder: Path,
    calibration: Sequence[str] = (),
    watch: Callable[..., None] | None = None,
    told: Stage = lambda said: None,
) -> GeneratedSpecialist:
    """Tune ``way.base`` on the lessons and make a specialist of it, all in ``folder``.

    Raises:
        MissingExtra: an extra is not installed.
        ArtifactError: the base is missing or damaged.
        LearningError: nothing can be learned.
        ConfigError: what came of it is too large for this machine.
    """
    check_extras()
    if not lessons:
        raise LearningError("no lesson has an answer that keeps the task's contract")
    tuned = fine_tune(
        way.base, lessons, folder / "tuning", way.options,
        calibration=calibration, teacher=way.teacher, watch=watch,
    )  # fmt: skip
    gc.collect()  # the trainer is a circle; what it holds of the memory is needed to serve
    made = folder / f"made-{_form_of(way, tuned.report.identity)}"
    if not made.is_dir():
        told("writing it as GGUF")
        _write_whole(way, tuned, made)
    base = None if (made / MODEL).exists() else _base_file(way, told)
    longest = _longest(lessons, way.options)

    def specialist(sureness: Sureness) -> GeneratedSpecialist:
        return GeneratedSpecialist(contract, Files(made, base), way.recipe, longest, sureness)

    told("learning how sure it may be")
    unsure = specialist(Sureness())
    try:
        unsure.begin()  # one that cannot be loaded is no bad model: nothing is spent on it
        learnable, _ = sound(lessons, way.options.near, calibration)
        sureness = _sureness(contract, unsure, learnable, way.options)
        return specialist(sureness)
    finally:
        unsure.close()


def _form_of(way: Way, tuned: str) -> str:
    """What tells the files of one way to write a tuned model from those of another."""
    return hashlib.sha256(repr((tuned, way.merged, way.precision)).encode()).hexdigest()[:16]


def _write_whole(way: Way, tuned: "Tuned", made: Path) -> None:
    """The folder with all its files, or none; those of other ways are removed."""
    for old in made.parent.glob("made-*"):
        shutil.rmtree(old, ignore_errors=True)
    fresh = made.with_name("being-made")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    _write(way, tuned.adapter, tuned.report.method, fresh, made.parent)
    fresh.rename(made)


def _write(way: Way, adapter: Path, method: str, made: Path, folder: Path) -> None:
    """The adapter, or where asked for (or no adapter can hold it) the whole model, as GGUF."""
    if method == "full":
        to_gguf(adapter, made / MODEL, way.precision)
    elif way.merged or method == "dora":
        merge(way.base, adapter, folder / "merged")
        to_gguf(folder / "merged", made / MODEL, way.precision)
        shutil.rmtree(folder / "merged")
    else:
        adapter_to_gguf(adapter, way.base, made / ADAPTER)


def _base_file(way: Way, told: Stage) -> BaseFile:
    """The base as GGUF, written once for all adapters on it."""
    name = checkpoint_form(way.base)[:16]
    path = way.bases / f"{way.base.name}-{name}-{way.precision}.gguf"
    way.bases.mkdir(parents=True, exist_ok=True)
    with (way.bases / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another tuning may be writing the same one
        for left in way.bases.glob(f".{glob.escape(path.name)}.*"):  # by one that was killed
            left.unlink(missing_ok=True)
        if not path.exists():
            told("writing its base as GGUF")
            to_gguf(way.base, path, way.precision)
    with path.open("rb") as file:
        return BaseFile(str(path.absolute()), hashlib.file_digest(file, "sha256").hexdigest())


def _longest(lessons: Sequence[ChatExample], options: TuningOptions) -> int:
    """Tokens that the longest answer may take."""
    most = max(len(lesson.answer.text) for lesson in lessons)
    thinks = _THINKING_TOKENS if options.recipe == "reasoning" else 0
    return int(most / _CHARACTERS_A_TOKEN) + _SPARE_TOKENS + thinks


def _sureness(
    contract: Contract,
    specialist: GeneratedSpecialist,
    lessons: Sequence[ChatExample],
    options: TuningOptions,
) -> Sureness:
    """From the lessons that did not train; of none, what is assumed."""
    apart = [one for one in lessons if is_held_out(one, options.held_out, options.seed)]
    found, right = list[NDArray[np.float64]](), list[bool]()
    for lesson in apart[:_MOST_JUDGED]:
        said = specialist.said(lesson.messages[0].text)
        if said is None:
            continue
        output, told = said
        found.append(told)
        right.append(_is_same(contract, output, lesson.answer))
    return Sureness.fitted(found, right)


def _is_same(contract: Contract, output: Output, answer: Answer) -> bool:
    """The lesson's answer is text; what it says is an output again."""
    meant = understood(contract, answer.text)
    return meant is not None and same(contract, written(contract, output), written(contract, meant))
