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
from shoal.flywheel.promotion import demote, promote
from shoal.flywheel.watch import Watch
from shoal.storage import Store


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
