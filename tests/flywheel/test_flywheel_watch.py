"""The watch: what it starts, what it lets serve, what it ends, and what it leaves alone."""

import threading
import time
from typing import Literal

import pytest
from msgspec.structs import replace
from parcel_office import (
    OPTIONS,
    TASK,
    add_certificate,
    add_task,
    audit,
    kinds,
    make_certificate,
)

from shoal.errors import StoreError
from shoal.flywheel.promotion import demote, promote, redraw
from shoal.flywheel.watch import Watch
from shoal.guarantees import assumptions_of
from shoal.routing.filing import agreement_id
from shoal.storage import Event, Store


@pytest.fixture(autouse=True)
def task(store: Store) -> None:
    add_task(store)


def watch(store: Store, how_far: Literal["observe", "shadow", "serve"] = "serve") -> Watch:
    return Watch(store, OPTIONS.model_copy(update={"promote": how_far}))


def stage(store: Store) -> str:
    standing = store.standings.get(TASK.id)
    return standing.stage if standing else "observe"


def test_a_certified_task_shadows_and_then_serves(store: Store) -> None:
    add_certificate(store, make_certificate())
    eye = watch(store)
    eye.turn()
    assert stage(store) == "shadow"
    audit(store, "c-1", [True] * (OPTIONS.shadow_calls - 1))
    eye.turn()
    assert stage(store) == "shadow"
    audit(store, "c-1", [True], first=60_000)
    eye.turn()
    assert stage(store) == "serve"
    newest = store.events.list(TASK.id)[0]
    assert newest.by == "learner"
    assert f"{OPTIONS.shadow_calls} shadowed calls, 0 differed" in newest.reason
    eye.turn()
    assert kinds(store) == ["promoted", "promoted"]


def test_what_people_certified_waits_for_no_shadow(store: Store) -> None:
    """Put there by a person, or when `promote` was "shadow": nothing is ever compared with it."""
    people = assumptions_of("held-out", "people", by_people=True)
    add_certificate(store, make_certificate(by_people=True, assumptions=people))
    promote(store, TASK.id, "shadow", "person", "")
    watch(store).turn()
    assert stage(store) == "serve"
    assert "no shadow is compared" in store.events.list(TASK.id)[0].reason


def test_without_a_certificate_nothing_moves(store: Store) -> None:
    watch(store).turn()
    assert store.standings.list() == []
    assert kinds(store) == []


def test_promote_observe_moves_nothing(store: Store) -> None:
    add_certificate(store, make_certificate())
    watch(store, "observe").turn()
    assert store.standings.list() == []
    promote(store, TASK.id, "shadow", "person", "")
    audit(store, "c-1", [True] * 30)
    watch(store, "observe").turn()
    assert stage(store) == "shadow"


def test_promote_shadow_stops_at_shadow(store: Store) -> None:
    add_certificate(store, make_certificate())
    watch(store, "shadow").turn()
    audit(store, "c-1", [True] * 30)
    watch(store, "shadow").turn()
    assert stage(store) == "shadow"


def test_a_persons_demotion_stands_until_a_person_promotes(store: Store) -> None:
    add_certificate(store, make_certificate())
    eye = watch(store)
    eye.turn()
    demote(store, TASK.id, "person", "not this week")
    eye.turn()
    add_certificate(store, make_certificate(2, issued_at=time.time()))
    eye.turn()
    assert stage(store) == "observe"
    promote(store, TASK.id, "shadow", "person", "now it may")
    audit(store, "c-2", [True] * OPTIONS.shadow_calls)
    eye.turn()
    assert stage(store) == "serve"


@pytest.mark.parametrize("how_far", ["observe", "shadow", "serve"])
def test_a_lapsed_certificate_demotes(
    store: Store, how_far: Literal["observe", "shadow", "serve"]
) -> None:
    add_certificate(store, make_certificate(lapses_at=time.time() + 1.0))
    promote(store, TASK.id, "serve", "person", "")
    time.sleep(1.01)
    watch(store, how_far).turn()
    assert stage(store) == "observe"
    assert store.events.list(TASK.id)[0].reason == "the certificate has lapsed"
    watch(store, how_far).turn()
    assert kinds(store) == ["promoted", "demoted"]


def test_after_a_lapse_a_new_certificate_starts_in_shadow(store: Store) -> None:
    add_certificate(store, make_certificate(lapses_at=time.time() + 1.0))
    promote(store, TASK.id, "serve", "person", "")
    time.sleep(1.01)
    eye = watch(store)
    eye.turn()
    add_certificate(store, make_certificate(2, issued_at=time.time()))
    eye.turn()
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert (standing.stage, standing.certificate) == ("shadow", "c-2")


def test_a_broken_promise_is_not_started_again(store: Store) -> None:
    add_certificate(store, make_certificate())
    eye = watch(store)
    eye.turn()
    assert audit(store, "c-1", [False] * 12)
    eye.turn()
    assert stage(store) == "observe"
    assert kinds(store) == ["promoted", "demoted"]


def test_an_ignored_task_is_left_alone(store: Store) -> None:
    add_task(store, replace(TASK, ignored=True))
    add_certificate(store, make_certificate())
    watch(store).turn()
    assert store.standings.list() == []


def test_running_goes_on_after_a_look_that_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shoal.flywheel.watch._EVERY_S", 0.01)
    add_certificate(store, make_certificate())
    eye, turn, fails, stop = watch(store), Watch.turn, [StoreError("locked")], threading.Event()

    def shaky(self: Watch) -> None:
        if fails:
            raise fails.pop()
        turn(self)
        stop.set()

    monkeypatch.setattr(Watch, "turn", shaky)
    running = threading.Thread(target=eye.run, args=(stop,))
    running.start()
    running.join(timeout=5)
    assert not running.is_alive()
    assert stage(store) == "shadow"
    assert "locked" in caplog.text


def heard_everywhere(store: Store) -> str:
    """A certificate for the agreement of two models on all calls."""
    rung = agreement_id(TASK.id)
    certificate = replace(make_certificate(), id="c-2", specialist="d-2", models=("ann", "bob"))
    add_certificate(store, certificate, replace(TASK, id=rung))
    return rung


def test_an_agreement_serves_at_once_where_the_learner_may_let_serve(store: Store) -> None:
    rung = heard_everywhere(store)
    watch(store, "shadow").turn()
    assert store.standings.get(rung) is None
    watch(store).turn()
    standing = store.standings.get(rung)
    assert standing is not None
    assert (standing.stage, standing.certificate) == ("serve", "c-2")


def test_an_agreement_ends_when_a_specialist_comes_before_it(store: Store) -> None:
    rung = heard_everywhere(store)
    watch(store).turn()
    add_certificate(store, make_certificate())
    promote(store, TASK.id, "serve", "test", "")
    watch(store).turn()
    standing = store.standings.get(rung)
    assert standing is not None
    assert standing.stage == "observe"
    assert "now comes before it" in store.events.list(rung)[0].reason
    watch(store).turn()
    assert store.events.list(rung)[0].kind == "demoted"


def test_a_redrawn_task_ends_its_agreement(store: Store) -> None:
    rung = heard_everywhere(store)
    watch(store).turn()
    now = time.time()
    event = Event(at=now, task=TASK.id, kind="split", by="person", reason="two kinds")
    with store.database.transaction() as conn:
        redraw(store, conn, event)
    standing = store.standings.get(rung)
    assert standing is not None
    assert standing.stage == "observe"
    watch(store).turn()
    assert store.standings.get(rung) == standing
