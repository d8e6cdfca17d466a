"""Promotion: only a certificate in force lets a specialist shadow or serve."""

import time

import msgspec
import pytest
from parcel_office import (
    DESKS,
    TASK,
    add_certificate,
    add_task,
    audit,
    kinds,
    make_certificate,
)

from shoal.errors import LearningError
from shoal.flywheel.promotion import (
    demote,
    promote,
    redraw,
    usable_certificate,
)
from shoal.guarantees import LabelProof
from shoal.storage import Event, Store


@pytest.fixture(autouse=True)
def task(store: Store) -> None:
    add_task(store)


def stage(store: Store) -> str:
    standing = store.standings.get(TASK.id)
    return standing.stage if standing else "observe"


def redraw_now(store: Store, kind: str = "split") -> None:
    with store.database.transaction() as conn:
        redraw(store, conn, Event(at=time.time(), task=TASK.id, kind=kind, by="person"))


def test_without_a_certificate_nothing_is_promoted(store: Store) -> None:
    with pytest.raises(LearningError, match="no certificate yet"):
        promote(store, TASK.id, "shadow", "a person", "")
    assert stage(store) == "observe"
    assert kinds(store) == []


def test_a_promotion_names_card_and_certificate(store: Store) -> None:
    add_certificate(store, make_certificate())
    standing = promote(store, TASK.id, "serve", "a person", "I like it")
    assert standing == store.standings.get(TASK.id)
    assert (standing.stage, standing.card, standing.certificate) == ("serve", "d-1", "c-1")
    (event,) = store.events.list(TASK.id)
    assert (event.kind, event.by, event.reason) == ("promoted", "a person", "I like it")
    assert msgspec.json.decode(event.detail) == {
        "from": "observe",
        "to": "serve",
        "certificate": "c-1",
    }


def test_the_newest_certificate_is_what_stands(store: Store) -> None:
    add_certificate(store, make_certificate(2))
    add_certificate(store, make_certificate(1))
    assert promote(store, TASK.id, "shadow", "learner", "").certificate == "c-2"
    assert usable_certificate(store, TASK.id).id == "c-2"


def test_a_lapsed_certificate_is_refused(store: Store) -> None:
    add_certificate(store, make_certificate(lapses_at=time.time() - 1))
    with pytest.raises(LearningError, match="has lapsed"):
        promote(store, TASK.id, "serve", "a person", "")
    assert stage(store) == "observe"


def test_an_older_certificate_does_not_stand_in_for_a_lapsed_one(store: Store) -> None:
    add_certificate(store, make_certificate(1))
    add_certificate(store, make_certificate(2, lapses_at=time.time() - 1))
    with pytest.raises(LearningError, match="has lapsed"):
        usable_certificate(store, TASK.id)


def test_what_audits_broke_is_not_promoted_again(store: Store) -> None:
    add_certificate(store, make_certificate())
    promote(store, TASK.id, "serve", "a person", "")
    assert store.events.broken_at(TASK.id) == 0
    assert audit(store, "c-1", [False] * 12)
    assert stage(store) == "observe"
    assert store.events.broken_at(TASK.id) == pytest.approx(time.time(), abs=5)
    with pytest.raises(LearningError, match="audits broke its certificate"):
        promote(store, TASK.id, "shadow", "a person", "")
    add_certificate(store, make_certificate(2, issued_at=time.time()))
    assert promote(store, TASK.id, "shadow", "learner", "").certificate == "c-2"


def test_what_audits_broke_for_one_label_is_not_promoted_again(store: Store) -> None:
    proofs = tuple(LabelProof(desk, 0.8, 100, 90, 1, 0.05) for desk in DESKS)
    add_certificate(store, make_certificate(labels=proofs))
    audit(store, "c-1", [n < 60 or n % 6 > 0 for n in range(180)])  # nothing stands yet
    watch = store.audits.watch("c-1")
    assert not watch.average.crossed(0.05)
    assert watch.labels["garden"].crossed(0.05 / 6)
    with pytest.raises(LearningError, match="audits broke its certificate"):
        promote(store, TASK.id, "serve", "a person", "")


def test_a_person_who_demoted_may_promote_again(store: Store) -> None:
    add_certificate(store, make_certificate())
    promote(store, TASK.id, "serve", "a person", "")
    demote(store, TASK.id, "person", "I want to look at it")
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert (standing.stage, standing.card, standing.certificate) == ("observe", "", "")
    assert store.events.broken_at(TASK.id) == 0
    promote(store, TASK.id, "serve", "person", "looked at")
    assert stage(store) == "serve"
    assert kinds(store) == ["promoted", "demoted", "promoted"]


@pytest.mark.parametrize("kind", ["split", "merged", "widened"])
def test_a_redrawn_task_observes_until_it_is_certified_again(store: Store, kind: str) -> None:
    add_certificate(store, make_certificate())
    promote(store, TASK.id, "serve", "a person", "")
    redraw_now(store, kind)
    assert stage(store) == "observe"
    assert store.events.redrawn_at(TASK.id) == pytest.approx(time.time(), abs=5)
    (event, _) = store.events.list(TASK.id)
    assert msgspec.json.decode(event.detail) == {"from": "serve", "to": "observe"}
    with pytest.raises(LearningError, match="its calls are others now"):
        promote(store, TASK.id, "serve", "a person", "")
    add_certificate(store, make_certificate(2, issued_at=time.time()))
    assert promote(store, TASK.id, "serve", "a person", "").certificate == "c-2"


def test_a_task_that_only_observes_is_redrawn_without_a_move(store: Store) -> None:
    redraw_now(store)
    assert store.standings.get(TASK.id) is None
    assert kinds(store) == ["split"]


def test_a_decision_on_a_standing_that_is_past_changes_nothing(store: Store) -> None:
    """Between the look and the move somebody demoted: the demotion stands."""
    add_certificate(store, make_certificate())
    seen = promote(store, TASK.id, "shadow", "learner", "")
    demote(store, TASK.id, "person", "")
    with pytest.raises(LearningError, match="changed meanwhile"):
        promote(store, TASK.id, "serve", "learner", "", seen=seen)
    with pytest.raises(LearningError, match="changed meanwhile"):
        demote(store, TASK.id, "learner", "", seen=seen)
    assert stage(store) == "observe"
    assert kinds(store) == ["promoted", "demoted"]


def test_other_tasks_are_left_alone(store: Store) -> None:
    add_certificate(store, make_certificate())
    promote(store, TASK.id, "serve", "a person", "")
    demote(store, "t-other", "person", "")
    assert stage(store) == "serve"
    assert store.events.broken_at("t-other") == 0
