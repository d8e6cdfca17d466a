"""Compression of a task's specialist: variants, the front, and a certificate of their own."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from parcel_office import OPTIONS, PROMISE, TASK, fill

from shoal.encoder import Encoder
from shoal.errors import ArtifactError, LearningError
from shoal.flywheel.certification import Examiner
from shoal.flywheel.compressing import TEACHER, Compressor, teacher_card, variants_of
from shoal.flywheel.measuring import Figures, front
from shoal.specialists.card import Card
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist
from shoal.storage import Store
from shoal.tasks import Input
from shoal.training.shapes import Shape
from tiny_checkpoint import tiny_checkpoint

with_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="the extra `train` is not installed"
)


def figures(name: str, right: int, size: float, ms: float) -> Figures:
    return Figures(name, right, 100, 0.0, 1.0, size, size, ms, ms, ms, None)


def test_the_front_is_what_nothing_beats() -> None:
    rows = [
        figures("best", 95, 40.0, 4.0),
        figures("as good and smaller", 95, 20.0, 4.0),
        figures("quick", 93, 10.0, 1.0),
        figures("worse and no quicker", 92, 10.0, 1.0),
        figures("twin", 93, 10.0, 1.0),
    ]
    marked = [row.name for row in front(rows) if row.front]
    assert marked == ["as good and smaller", "quick", "twin"]


def test_variants_have_names_of_their_own() -> None:
    names = [one.name for one in variants_of([Shape(3), Shape(2, 0.5)], 4_000)]
    assert names == [
        "int8+fewer-pieces",
        "3-layers+int8",
        "3-layers+int8+fewer-pieces",
        "2-layers+0.5-heads+int8",
        "2-layers+0.5-heads+int8+fewer-pieces",
    ]
    assert [one.name for one in variants_of([Shape(3)], 0)] == ["int8", "3-layers+int8"]


def test_without_a_specialist_there_is_nothing_to_compress(store: Store) -> None:
    fill(store, range(3))
    with pytest.raises(LearningError, match="no specialist to compress: `shoal certify desk`"):
        teacher_card(store, TASK)


def test_words_alone_cannot_be_made_smaller(store: Store, senses: Senses) -> None:
    fill(store, range(200))
    examiner = Examiner(store, OPTIONS, lambda: senses)
    verdict = examiner.certify(examiner.lessons(TASK), PROMISE)
    assert verdict.certificate is not None
    attempts = len(store.attempts.list(TASK.id))
    with pytest.raises(LearningError, match="terms\\) has no encoder"):
        teacher_card(store, TASK)
    assert len(store.attempts.list(TASK.id)) == attempts


@pytest.mark.train
@with_torch
def test_a_compressed_specialist_is_certified_as_a_new_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    senses = Senses(Encoder(tiny_checkpoint(tmp_path / "weights"), tmp_path / "cache"))
    from shoal.flywheel import certification
    from shoal.training import compressing, recipes

    tuned = next(recipe for recipe in recipes.RECIPES if recipe.kind == "label")
    monkeypatch.setattr(certification, "recipes_for", lambda *_: (tuned,))
    fill(store, range(500))
    examiner = Examiner(store, OPTIONS, lambda: senses)
    first = examiner.certify(examiner.lessons(TASK), PROMISE)
    assert first.certificate is not None
    lessons = examiner.lessons(TASK, PROMISE, by_hand=True)
    compressor = Compressor(store, examiner, lambda: senses)
    variants = variants_of([Shape(1)], 10)

    shrink = compressing.shrink
    monkeypatch.setattr(compressing, "shrink", _full_disk)
    with pytest.raises(ArtifactError, match=r"No space left.*nothing was certified"):
        compressor.compress(lessons, PROMISE, variants)
    assert len(store.attempts.list(TASK.id)) == 1
    assert not (store.options.path / "compressed" / TASK.id).exists()

    monkeypatch.setattr(compressing, "shrink", _killed)
    with pytest.raises(KeyboardInterrupt):
        compressor.compress(lessons, PROMISE, variants)
    packed = store.options.path / "tuning" / TASK.id / variants[0].name / "model.safetensors"
    made_at = packed.stat().st_mtime_ns  # what was finished is not made again
    monkeypatch.setattr(compressing, "shrink", _looked_at(packed, made_at, shrink))
    lessons = examiner.lessons(TASK, PROMISE, by_hand=True)
    found = compressor.compress(lessons, PROMISE, variants)
    assert [row.name for row in found.rows] == [TEACHER, *(one.name for one in variants)]
    assert len(store.attempts.list(TASK.id)) == 2
    assert len(found.verdict.ladder) >= 1
    kept = {path.name for path in Path(found.kept).iterdir()}
    assert kept == {row.name for row in found.rows if row.front} - {TEACHER}
    certificate = found.verdict.certificate
    assert certificate is not None, found.verdict.reason
    assert certificate.id != first.certificate.id
    newest = store.certificates.list(TASK.id)[0]
    card = msgspec.json.decode(store.cards.get(newest.card).spec, type=Card)
    assert card.recipe.startswith("tuned/")
    loaded = load_specialist(card, store.artifacts.open(card.artifact), senses)
    assert loaded.predict(Input("Ada sent a violin and it leaks, no. 2")).output == "music"
    assert teacher_card(store, TASK).recipe == "tuned"


def _full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def _looked_at(path: Path, made_at: int, then: Callable[..., Specialist]) -> Any:
    def look(*given: object) -> Specialist:
        assert path.stat().st_mtime_ns == made_at
        return then(*given)

    return look
