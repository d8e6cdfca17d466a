"""Trainings that were broken off: what is kept of them, and for how long."""

import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from parcel_office import OPTIONS, PROMISE, TASK, fill, make_lessons

from shoal.flywheel import certification
from shoal.flywheel.certification import Examiner
from shoal.flywheel.learner import Learner
from shoal.flywheel.lessons import Lessons
from shoal.flywheel.unfinished import MADE_UP, Unfinished
from shoal.specialists.senses import Senses
from shoal.storage import Feedback, Store

TUNING = OPTIONS.model_copy(update={"fine_tune": True})


def break_off(unfinished: Unfinished, lessons: Lessons) -> Path:
    """Begin a training that is ended by the end of the process; returns its folder."""
    folders = list[Path]()

    def train() -> None:
        with unfinished.training(lessons) as kept:
            assert kept.state is not None
            folders.append(kept.state)
            (kept.state / "epoch").touch()
            raise SystemExit

    with pytest.raises(SystemExit):
        train()
    return folders[0]


def test_what_the_end_of_the_process_broke_off_is_taken_up(tmp_path: Path) -> None:
    lessons = make_lessons(range(30))
    folder = break_off(Unfinished(tmp_path), lessons)
    again = Unfinished(tmp_path)
    begun = again.begun(TASK.id)
    assert begun is not None
    assert begun.is_on(lessons)
    assert begun.calls == [lesson.call_id for lesson in lessons.lessons]
    with again.training(lessons) as kept:
        assert kept == replace(lessons, state=folder)
        assert (folder / "epoch").exists()
    assert [*tmp_path.iterdir()] == []


def test_of_what_failed_only_what_was_paid_for_stays(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path)

    def train() -> None:
        with unfinished.training(make_lessons(range(30))) as lessons:
            assert lessons.state is not None
            assert [path.name for path in lessons.state.iterdir()] in (
                ["begun.json"],
                ["begun.json", MADE_UP],
                [MADE_UP, "begun.json"],
            )
            (lessons.state / "epoch-3.safetensors").write_bytes(b"x")
            (lessons.state / "recipe").mkdir()
            (lessons.state / MADE_UP).write_bytes(b"{}")
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            train()
    assert (tmp_path / TASK.id / MADE_UP).exists()


def test_what_is_too_old_is_removed_though_nobody_tends_its_task(tmp_path: Path) -> None:
    unfinished = Unfinished(tmp_path)
    with pytest.raises(KeyboardInterrupt), unfinished.training(make_lessons(range(30))):
        raise KeyboardInterrupt
    unfinished.keep_only([TASK.id])
    begun = tmp_path / TASK.id / "begun.json"
    assert begun.exists()
    age(begun.parent)
    unfinished.keep_only([TASK.id])
    assert not begun.parent.exists()


def test_the_state_of_a_training_on_other_lessons_is_removed(tmp_path: Path) -> None:
    unfinished, lessons = Unfinished(tmp_path), make_lessons(range(30))
    folder = break_off(unfinished, lessons)
    other = replace(lessons.lessons[0], sampled=False)  # the same texts, but it may not judge
    changed = replace(lessons, lessons=(other, *lessons.lessons[1:]))
    begun = unfinished.begun(TASK.id)
    assert begun is not None
    assert not begun.is_on(changed)
    with unfinished.training(changed) as kept:
        assert kept.state == folder
        assert not (folder / "epoch").exists()


def test_a_state_grows_old(tmp_path: Path) -> None:
    folder = break_off(Unfinished(tmp_path), make_lessons(range(30)))
    age(folder)
    (folder / "epoch").touch()
    assert Unfinished(tmp_path).begun(TASK.id) is not None, "it has gone on for days"
    age(folder)
    assert Unfinished(tmp_path).begun(TASK.id) is None
    assert folder.exists(), "who asks takes nothing away"
    with Unfinished(tmp_path).training(make_lessons(range(30))):
        assert not (folder / "epoch").exists()


def age(folder: Path) -> None:
    """Have it be as if nothing had been written for two days and more."""
    long_ago = time.time() - 200_000
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (long_ago, long_ago))


def test_who_looks_takes_nothing_from_a_tuning_that_is_under_way(store: Store) -> None:
    fill(store, range(60))
    examiner = Examiner(store, OPTIONS, lambda: pytest.fail("no encoder is needed"))
    folder = break_off(examiner.by_hand, examiner.lessons(TASK, by_hand=True))
    begun_with = examiner.by_hand.begun(TASK.id)
    feedback_on(store, begun_with.calls[0] if begun_with else "")
    assert len(examiner.lessons(TASK, by_hand=True).lessons) == 60
    assert (folder / "epoch").exists()


def test_what_cannot_be_read_or_written_is_passed_over(tmp_path: Path) -> None:
    folder = break_off(Unfinished(tmp_path), make_lessons(range(30)))
    (folder / "begun.json").write_bytes(b'{"dig')
    assert Unfinished(tmp_path).begun(TASK.id) is None
    (tmp_path / "file").touch()
    with Unfinished(tmp_path / "file").training(make_lessons(range(30))) as kept:
        assert kept.state is None


def test_lessons_are_those_of_the_training_that_was_broken_off(
    store: Store, senses: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(60))
    first = Examiner(store, TUNING, lambda: senses)
    began_with = first.lessons(TASK)

    def ended(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(certification, "attempt", ended)
    with pytest.raises(SystemExit):
        first.certify(began_with, PROMISE)
    assert store.attempts.list(TASK.id) == []  # nothing was spent
    fill(store, range(60, 90))
    found = Examiner(store, TUNING, lambda: senses).lessons(TASK)
    assert found.lessons == began_with.lessons
    assert len(Examiner(store, OPTIONS, lambda: senses).lessons(TASK).lessons) == 90
    feedback_on(store, found.lessons[0].call_id)
    assert len(Examiner(store, TUNING, lambda: senses).lessons(TASK).lessons) == 90


def feedback_on(store: Store, call_id: str) -> None:
    word = Feedback(call_id=call_id, at=time.time(), verdict="answer", answer="music")
    with store.database.transaction() as conn:
        store.feedback.insert(conn, word, None)


def test_the_learner_keeps_none_of_tasks_that_are_gone(store: Store) -> None:
    fill(store, range(30))
    learner = Learner(store, TUNING, {}, PROMISE)
    kept = break_off(learner.examiner.unfinished, make_lessons(range(30)))
    gone = make_lessons(range(30), replace(TASK, id="t-gone"))
    other = break_off(learner.examiner.unfinished, gone)
    learner.turn()
    assert kept.exists()
    assert not other.exists()
    Learner(store, OPTIONS, {}, PROMISE).turn()  # nothing is tuned any more
    assert not kept.exists()
