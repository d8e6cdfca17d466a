"""Newcomers: what ends a certificate before its time, and what does not."""

import time

import pytest
from parcel_office import OPTIONS, PROMISE, TASK, add_calls, fill, kinds, make_call

from shoal.chat import Answer
from shoal.errors import LearningError
from shoal.flywheel.certification import Examiner
from shoal.flywheel.newcomers import Newcomers
from shoal.flywheel.promotion import promote, usable_certificate
from shoal.guarantees import Certificate
from shoal.specialists.senses import Senses
from shoal.storage import Standing, Store


@pytest.fixture
def certificate(store: Store, senses: Senses) -> Certificate:
    """One that serves."""
    fill(store, range(250))
    examiner = Examiner(store, OPTIONS, lambda: senses)
    found = examiner.certify(examiner.lessons(TASK), PROMISE).certificate
    assert found is not None
    promote(store, TASK.id, "serve", "person", "")
    return found


def answered(store: Store, first: int, count: int, text: str = "", model: str = "gpt-2026") -> None:
    """Calls since, that the LLM answered; ``text`` "" for the right answer."""
    calls = []
    for number in range(first, first + count):
        usual = make_call(number).answer
        assert usual is not None
        answer = Answer(text or usual.text, model=model)
        calls.append(make_call(number, task=TASK.id, at=time.time(), answer=answer))
    add_calls(store, calls)


def look(store: Store, certificate: Certificate) -> bool:
    standing = store.standings.get(TASK.id)
    assert standing is not None
    return Newcomers(store, settled_s=-1.0).look(standing, certificate)


def test_what_was_there_before_is_no_newcomer(store: Store, certificate: Certificate) -> None:
    assert certificate.versions == ("gpt-2026",)
    answered(store, 1_000, 200)
    assert not look(store, certificate)
    assert not look(store, certificate)
    assert kinds(store)[-1] == "promoted"


def test_a_new_label_ends_it_with_a_reason(store: Store, certificate: Certificate) -> None:
    answered(store, 1_000, 60)
    assert not look(store, certificate)
    answered(store, 2_000, 30, text="cellar")
    assert look(store, certificate)
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert standing.stage == "observe"
    event = store.events.list(TASK.id)[0]
    assert (event.kind, event.by) == ("lapsed", "learner")
    assert "does not know, such as 'cellar'" in event.reason
    assert "30 of 90 calls since" in event.reason
    with pytest.raises(LearningError, match="does not know, such as 'cellar'"):
        usable_certificate(store, TASK.id)


def test_another_version_of_the_llm_ends_it(store: Store, certificate: Certificate) -> None:
    answered(store, 1_000, 12, model="gpt-2027")
    assert look(store, certificate)
    assert "another version now, 'gpt-2027'" in store.events.list(TASK.id)[0].reason


def test_a_few_odd_answers_do_not(store: Store, certificate: Certificate) -> None:
    answered(store, 1_000, 150)
    answered(store, 2_000, 2, text="cellar")
    answered(store, 3_000, 1, model="gpt-2027")
    assert not look(store, certificate)


def test_only_the_unbiased_sample_counts(store: Store, certificate: Certificate) -> None:
    answer = Answer("cellar", model="gpt-2026")
    fields = {"task": TASK.id, "at": time.time(), "answer": answer, "sampled": False}
    add_calls(store, (make_call(number, **fields) for number in range(1_000, 1_100)))
    assert not look(store, certificate)


def test_after_it_only_calls_since_the_change_judge(
    store: Store, certificate: Certificate, senses: Senses
) -> None:
    answered(store, 1_000, 30, text="cellar")
    assert look(store, certificate)
    since = store.events.changed_at(TASK.id)
    assert since > certificate.issued_at
    time.sleep(0.01)
    answered(store, 2_000, 40)
    lessons = Examiner(store, OPTIONS, lambda: senses).lessons(TASK)
    judging = [lesson for lesson in lessons.lessons if lesson.sampled]
    assert len(lessons.lessons) == 320
    assert {lesson.at > since for lesson in judging} == {True}
    assert len(judging) >= 40


def test_a_standing_that_changed_meanwhile_is_left_alone(
    store: Store, certificate: Certificate
) -> None:
    answered(store, 1_000, 30, text="cellar")
    standing = store.standings.get(TASK.id)
    assert standing is not None
    past = Standing(
        task=TASK.id,
        stage="shadow",
        card=standing.card,
        certificate=standing.certificate,
        since=1.0,
    )
    with pytest.raises(LearningError, match="changed meanwhile"):
        Newcomers(store, settled_s=-1.0).look(past, certificate)
    assert store.standings.get(TASK.id) == standing
