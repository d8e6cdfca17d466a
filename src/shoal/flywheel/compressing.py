"""Compression of a task's specialist: variants made, measured side by side, the best certified.

Variants are cut, healed and packed on the training part alone, never on what calibrates. All of
them are then judged on the calibration examples as any new candidates: each spends its share of the
attempt's error budget, so the promise holds whichever is kept (union bound), and the table may be
read from the same examples. What stood before goes on under its own certificate.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from safetensors import SafetensorError

from shoal.encoder import Encoder
from shoal.errors import ArtifactError, LearningError
from shoal.flywheel.certification import Examiner, Verdict
from shoal.flywheel.ladder import train
from shoal.flywheel.lessons import Lessons
from shoal.flywheel.measuring import Figures, front, measured
from shoal.flywheel.model_tuning import alone
from shoal.flywheel.trial import HELD_OUT, Prepared, calibrating, prepare, training_part
from shoal.guarantees import clean_examples_needed, delta_at
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.specialists.files import read_model, write_model
from shoal.specialists.kind import Recipe
from shoal.specialists.packing import Packing, packed
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist
from shoal.specialists.tuned_encoder import TUNED
from shoal.specialists.tuned_kinds import restore_tuned
from shoal.storage import Store
from shoal.tasks import Task
from shoal.training import recipes
from shoal.training.shapes import Shape

TEACHER = "teacher"
_MODEL = "model.safetensors"


class Compressed(Struct, frozen=True):
    """The table, and the ``verdict`` on the variants; ``kept`` is the folder with the files of
    those on the front."""

    rows: list[Figures]
    verdict: Verdict
    kept: str = ""


class Variant(Struct, frozen=True):
    """A shape, and how its files are packed."""

    shape: Shape
    packing: Packing

    @property
    def name(self) -> str:
        """As cards have it behind the recipe's."""
        return "+".join(part for part in (self.shape.name, self.packing.name) if part)


def variants_of(shapes: Sequence[Shape], common: int) -> list[Variant]:
    """What is tried: the whole, packed; each shape in int8, with all word pieces and with fewer."""
    tight = Packing(common=common)
    found = [Variant(Shape(), tight)]
    for shape in shapes:
        found += [Variant(shape, packing) for packing in dict.fromkeys((Packing(), tight))]
    return found


def teacher_card(store: Store, task: Task) -> Card:
    """The card of the task's newest specialist that was not compressed itself.

    Raises:
        LearningError: there is none, or it has no encoder that could be made smaller.
    """
    cards = [
        msgspec.json.decode(store.cards.get(row.card).spec, type=Card)
        for row in store.certificates.list(task.id)
    ]
    if not cards:
        raise LearningError(
            f"task {task.name} has no specialist to compress: `shoal certify {task.name}` first"
        )
    found = next((card for card in cards if "/" not in card.recipe), cards[0])
    tunable = any(recipe.kind == found.kind for recipe in recipes.RECIPES)
    if not found.encoder or not tunable:
        raise LearningError(
            f"task {task.name}: its specialist ({found.kind}, {found.recipe}) has no encoder that "
            "could be made smaller: there is nothing to compress"
        )
    return found


class Compressor:
    """Compresses specialists of one store; ``told`` hears what is done next."""

    def __init__(
        self,
        store: Store,
        examiner: Examiner,
        senses: Callable[[], Senses],
        told: Callable[[str], None] = lambda said: None,
    ) -> None:
        self._store, self._examiner, self._senses, self._told = store, examiner, senses, told

    def compress(
        self,
        lessons: Lessons,
        promise: PromiseOptions,
        variants: Sequence[Variant],
    ) -> Compressed:
        """Make, measure and judge the variants; one attempt of the task's error budget is spent.

        Raises:
            LearningError: there is nothing to compress, or nothing can be learned (then nothing is
                spent), or another process certified the task meanwhile.
            ArtifactError: files are damaged, or cannot be written (a full disk).
        """
        card = teacher_card(self._store, lessons.task)
        if why := recipes.missing():
            raise LearningError(why)
        self._check_enough(lessons, promise, len(variants), _recipe(card))
        if card.recipe == TUNED and card.encoder != self._senses().digest:
            raise ArtifactError(
                f"specialist {card.id} was trained with another encoder: train the task again"
            )
        rows = list[Figures]()

        def made(kept: Lessons) -> list[Prepared]:
            with TemporaryDirectory() as scratch:
                work = _Work(self, kept, card, kept.state or Path(scratch), Path(scratch))
                ready = [work.prepared(variant) for variant in variants]
                rows.extend(front(work.figures))
                self._keep(lessons.task, work.home, rows)
                return ready

        with alone(self._examiner.by_hand.folder(lessons.task.id)):
            verdict = self._examiner.choose(lessons, promise, made)
        folder = self._folder(lessons.task)
        return Compressed(rows, verdict, str(folder) if folder.is_dir() else "")

    def _check_enough(
        self, lessons: Lessons, promise: PromiseOptions, variants: int, recipe: Recipe
    ) -> None:
        """Minutes of training would else end in a refusal."""
        task, chosen = lessons.task, calibrating(lessons, recipe)
        judge = sum(out and one.sampled for one, out in zip(lessons.lessons, chosen, strict=True))
        delta = delta_at(len(self._store.attempts.list(task.id)) + 1, promise.delta) / variants
        least = clean_examples_needed(promise.alpha, delta)
        if judge < least:
            what = "reviewed calls" if lessons.by_people else "examples"
            raise LearningError(
                f"task {task.name}: need about {HELD_OUT * (least - judge):,} more {what}: one in "
                f"{HELD_OUT} judges, and a certificate needs {least:,} that do"
            )

    def _folder(self, task: Task) -> Path:
        return self._store.options.path / "compressed" / task.id

    def _keep(self, task: Task, home: Path, rows: Sequence[Figures]) -> None:
        """The front's files, in place of an earlier front's; all or none."""
        folder = self._folder(task)
        fresh = folder.with_name(f".{task.id}.fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            for row in rows:
                if row.front and row.name != TEACHER:
                    shutil.copytree(home / row.name, fresh / row.name)
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
        except OSError as error:
            raise ArtifactError(f"{folder}: cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


class _Work:
    """One compression: what was made so far lies in ``home``, a folder a variant, whole or not
    there, and is not made again by the same command after a kill."""

    def __init__(
        self, owner: Compressor, lessons: Lessons, card: Card, home: Path, scratch: Path
    ) -> None:
        self._owner, self._lessons, self._card = owner, lessons, card
        self.home, self._part = home, training_part(lessons, _recipe(card))
        # What is only tried leaves no converted encoder in the user's cache.
        senses = owner._senses()
        self._senses = Senses(Encoder(senses.encoder.weights, scratch / "encoders"))
        self._contract = lessons.task.contract
        self.figures: list[Figures] = []
        self._measure(TEACHER, self._teacher())

    def prepared(self, variant: Variant) -> Prepared:
        """The variant, with its predictions for those that judge; measured."""
        began = time.process_time()
        folder = self._variant(variant)
        spent = time.process_time() - began
        ready = self._measure(variant.name, folder)
        name = f"{TUNED}/{variant.name}"
        recipe = replace(ready.recipe, name=name)
        return replace(ready, recipe=recipe, cpu_seconds=spent)

    def _teacher(self) -> Path:
        """The tuned specialist's files; where the task's is a lighter one, one tuned for this, and
        so where records of pairs may have trained it that hang together with others by now, which
        judge."""
        card = self._card
        same = card.kind != "match" or card.data_digest == self._lessons.digest
        if card.recipe == TUNED and card.contract == self._contract and same:
            return self._owner._store.artifacts.open(card.artifact)
        recipe = next(recipe for recipe in recipes.RECIPES if recipe.kind == card.kind)
        part = replace(self._part, state=self.home)

        def tune(folder: Path) -> None:
            self._owner._told("tuning the teacher")
            train(part, recipe, self._owner._senses()).specialist.save(folder)

        return self._stage(TEACHER, tune)

    def _variant(self, variant: Variant) -> Path:
        whole = self._teacher() if variant.shape == Shape() else self._student(variant.shape)
        texts = [given.text for given in self._part.inputs]

        def pack(folder: Path) -> None:
            model, arrays = read_model(whole)
            write_model(folder, model, packed(arrays, variant.packing, self._senses, texts))

        return self._stage(variant.name, pack)

    def _student(self, shape: Shape) -> Path:
        def heal(folder: Path) -> None:
            from shoal.training.compressing import Teacher, shrink

            self._owner._told(f"healing {shape.name}")
            teacher = Teacher(*read_model(self._teacher()))
            state = self.home / f"{shape.name}.state"
            part = self._part
            student = shrink(
                self._contract, part.inputs, part.outputs, teacher, shape, self._senses, state
            )
            student.save(folder)

        return self._stage(shape.name, heal)

    def _stage(self, name: str, make: Callable[[Path], None]) -> Path:
        done, fresh = self.home / name, self.home / f".{name}.fresh"
        if (done / _MODEL).is_file():
            return done
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            make(fresh)
            fresh.rename(done)
        except (OSError, SafetensorError) as error:
            raise ArtifactError(
                f"{done}: cannot be written: {error}; nothing was certified; once there is room, "
                "the same command goes on from here"
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return done

    def _measure(self, name: str, folder: Path) -> Prepared:
        self._owner._told(f"measuring {name}")
        specialist = self._restored(folder)
        recipe = _recipe(self._card)
        ready = prepare(self._lessons, recipe, True, lambda: self._senses, lambda *_: specialist)
        self.figures.append(measured(name, ready, folder, self._senses))
        return replace(ready, answer_ms=self.figures[-1].answer_ms)

    def _restored(self, folder: Path) -> Specialist:
        return restore_tuned(self._contract, *read_model(folder), self._senses)


def _recipe(card: Card) -> Recipe:
    return Recipe(card.kind, TUNED, encoder=True, cost=1.0, share=1.0, held_out=True)
