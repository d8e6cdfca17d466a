"""Fine-tuning from recorded calls: what the LLM told helps, and no epoch is trained twice."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from parcel_office import OPTIONS, PROMISE, TASK, fill, make_lessons

from shoal.chat import Alternatives, Answer
from shoal.encoder import Encoder
from shoal.flywheel import certification
from shoal.flywheel.certification import Examiner
from shoal.flywheel.ladder import train
from shoal.flywheel.lessons import Lessons
from shoal.specialists.senses import Senses
from shoal.storage import Store
from shoal.training import recipes
from shoal.training.hints import Aids, Hint
from tiny_checkpoint import tiny_checkpoint

TUNED = recipes.RECIPES[0]
TUNING = OPTIONS.model_copy(update={"fine_tune": True})
with_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="the extra `train` is not installed"
)


@pytest.fixture
def tuned_from(tmp_path: Path) -> Senses:
    return Senses(Encoder(tiny_checkpoint(tmp_path / "weights"), tmp_path / "cache"))


def aids_of(lessons: Lessons, senses: Senses, monkeypatch: pytest.MonkeyPatch) -> Aids:
    """What the recipe is given besides examples."""
    given: list[Any] = []
    monkeypatch.setattr(recipes, "train", lambda *asked: given.append(asked[-1]))
    train(lessons, TUNED, senses)
    assert isinstance(given[0], Aids)
    return given[0]


def test_what_the_llm_told_goes_to_the_recipe(
    senses: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons = make_lessons(range(3))
    assert aids_of(lessons, senses, monkeypatch) == Aids()
    said = lessons.lessons[0].output
    assert said == "garden"
    place = Alternatives(0, "garden", (("garden", 0.0), ("music", 0.0)))
    told = replace(lessons.lessons[0], llm=Answer("garden", alternatives=(place,)))
    with_hints = replace(lessons, lessons=(told, *lessons.lessons[1:]))
    expected = Hint(soft={"garden": 0.5, "music": 0.5})
    assert aids_of(with_hints, senses, monkeypatch).hints == (expected, Hint(), Hint())


def test_states_of_other_encoders_and_recipes_lie_elsewhere(
    senses: Senses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aids = aids_of(replace(make_lessons(range(3)), state=tmp_path), senses, monkeypatch)
    assert aids.folder == tmp_path / f"label-tuned-{senses.digest[:16]}"


@pytest.mark.train
@with_torch
def test_a_training_that_was_broken_off_goes_on_at_the_next_turn(
    store: Store, tuned_from: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoal.training import loop

    epochs, keep, one_epoch = list[int](), loop._Run.keep, loop._Run.one_epoch

    def counted(run: loop._Run) -> Any:
        epochs.append(run.epoch)
        return one_epoch(run)

    def ended_after_three(run: loop._Run, folder: Path) -> None:
        keep(run, folder)
        if run.epoch == 3:
            raise SystemExit

    monkeypatch.setattr(certification, "recipes_for", lambda *_: (TUNED,))
    monkeypatch.setattr(loop._Run, "one_epoch", counted)
    monkeypatch.setattr(loop._Run, "keep", ended_after_three)
    fill(store, range(120))
    examiner = Examiner(store, TUNING, lambda: tuned_from)
    lessons = examiner.lessons(TASK)
    with pytest.raises(SystemExit):
        examiner.certify(lessons, PROMISE)
    assert epochs == [0, 1, 2]
    fill(store, range(120, 150))  # traffic goes on
    monkeypatch.setattr(loop._Run, "keep", keep)
    again = Examiner(store, TUNING, lambda: tuned_from)
    verdict = again.certify(again.lessons(TASK), PROMISE)
    assert epochs == [0, 1, 2, *range(3, 15)]
    assert verdict.examples == 120
    assert not any((store.options.path / "training").iterdir())
    assert len(again.lessons(TASK).lessons) == 150
