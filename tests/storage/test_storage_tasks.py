from collections.abc import Callable

import pytest
from msgspec.structs import replace

from postgres_home import revision_of
from shoal.errors import NotFound, StoreError
from shoal.storage import (
    Attempt,
    CallRecord,
    CardRow,
    CertificateRow,
    Event,
    Standing,
    Store,
    StoreOptions,
    TaskRow,
)

TASK = TaskRow(
    id="t1", name="topic", spec=b'{"slots": 1}' * 100, created_at=1.0, updated_at=2.0, pinned=True
)
CARD = CardRow(id="d1", task="t1", spec=b'{"kind": "label"}', created_at=3.0)
CERTIFICATE = CertificateRow(
    id="c1", task="t1", card="d1", alpha=0.05, spec=b'{"n": 900}', issued_at=4.0
)


def put(store: Store, *tasks: TaskRow) -> None:
    with store.database.transaction() as conn:
        for task in tasks:
            store.tasks.put(conn, task)


def test_a_task_is_found_by_id_and_by_name(store: Store) -> None:
    put(store, TASK)
    assert store.tasks.get("t1") == store.tasks.named("topic") == TASK


def test_putting_again_replaces(store: Store) -> None:
    renamed = replace(TASK, name="subject", ignored=True, updated_at=9.0)
    put(store, TASK, renamed)
    assert store.tasks.list() == [renamed]


def test_a_name_is_given_once(store: Store) -> None:
    put(store, TASK)
    with pytest.raises(StoreError, match=r"'topic' exists already \(id t1\)"):
        put(store, replace(TASK, id="t2"))
    assert store.tasks.list() == [TASK]


def test_a_missing_task_is_answered_with_those_there_are(store: Store) -> None:
    with pytest.raises(NotFound, match="none so far"):
        store.tasks.named("topic")
    put(store, TASK, replace(TASK, id="t2", name="about"))
    with pytest.raises(NotFound, match="no task named 'topics'; there are: about, topic"):
        store.tasks.named("topics")
    with pytest.raises(NotFound):
        store.tasks.get("t3")


def test_deleting_frees_the_calls_and_keeps_the_history(
    store: Store, make_call: Callable[..., CallRecord], record: Callable[..., None]
) -> None:
    put(store, TASK)
    record(make_call(1, task="t1"), make_call(2, task="t2"))
    promotion = Event(at=5.0, task="t1", kind="promoted", by="learner")
    standing = Standing(task="t1", stage="serve", card="d1", certificate="c1", since=5.0)
    with store.database.transaction() as conn:
        store.cards.insert(conn, CARD)
        store.certificates.insert(conn, CERTIFICATE)
        store.standings.set(conn, standing, promotion)
    with store.database.transaction() as conn:
        store.tasks.delete(conn, "t1")
    assert store.tasks.list() == []
    assert store.standings.list() == []
    assert [store.calls.get(make_call(i).id).task for i in (1, 2)] == ["", "t2"]
    assert store.certificates.list("t1") == [CERTIFICATE]
    assert len(store.events.list("t1")) == 1
    with pytest.raises(NotFound), store.database.transaction() as conn:
        store.tasks.delete(conn, "t1")


def test_cards_and_certificates_never_change(store: Store) -> None:
    with store.database.transaction() as conn:
        store.cards.insert(conn, CARD)
        store.certificates.insert(conn, CERTIFICATE)
    with pytest.raises(StoreError, match="never change"), store.database.transaction() as conn:
        store.cards.insert(conn, replace(CARD, spec=b"{}"))
    with pytest.raises(StoreError, match="never change"), store.database.transaction() as conn:
        store.certificates.insert(conn, replace(CERTIFICATE, spec=b"{}"))
    assert store.cards.get("d1") == CARD
    assert store.certificates.get("c1") == CERTIFICATE


def test_cards_and_certificates_by_task_newest_first(store: Store) -> None:
    newer = replace(CARD, id="d2", created_at=9.0)
    other = replace(CARD, id="d3", task="t2", created_at=5.0)
    newest = replace(CERTIFICATE, id="c2", card="d2", issued_at=9.0)
    with store.database.transaction() as conn:
        for card in (CARD, newer, other):
            store.cards.insert(conn, card)
        for certificate in (newest, CERTIFICATE):
            store.certificates.insert(conn, certificate)
    assert store.cards.list("t1") == [newer, CARD]
    assert store.cards.list() == [newer, other, CARD]
    assert store.certificates.list() == store.certificates.list("t1") == [newest, CERTIFICATE]
    assert store.certificates.list("t2") == []
    for get in (store.cards.get, store.certificates.get):
        with pytest.raises(NotFound, match="'x'"):
            get("x")


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_a_certificate_of_no_possible_risk_is_refused(store: Store, alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"), store.database.transaction() as conn:
        store.certificates.insert(conn, replace(CERTIFICATE, alpha=alpha))
    assert store.certificates.list() == []


def test_attempts_are_counted_per_task(store: Store) -> None:
    with store.database.transaction() as conn:
        counted = [
            store.attempts.insert(conn, task, at, b'{"refused": "too few"}')
            for task, at in (("a", 1.0), ("a", 2.0), ("b", 3.0), ("a", 4.0))
        ]
    assert counted == [1, 2, 1, 3]
    assert store.attempts.list("b") == [
        Attempt(task="b", nth=1, at=3.0, outcome=b'{"refused": "too few"}')
    ]
    assert [attempt.at for attempt in store.attempts.list("a")] == [1.0, 2.0, 4.0]


def test_a_standing_and_its_event_are_one(store: Store) -> None:
    assert store.standings.get("t1") is None
    shadow = Standing(task="t1", stage="shadow", card="d1", certificate="c1", since=5.0)
    serve = replace(shadow, stage="serve", since=6.0)
    for standing in (shadow, serve):
        event = Event(
            at=standing.since,
            task="t1",
            kind="promoted",
            by="maria",
            reason="it is good",
            detail=b'{"stage": "%s"}' % standing.stage.encode(),
        )
        with store.database.transaction() as conn:
            store.standings.set(conn, standing, event)
    assert store.standings.get("t1") == serve
    assert store.standings.list() == [serve]
    last, first = store.events.list()
    assert (first.number, last.number) == (1, 2)
    assert last == Event(
        at=6.0,
        task="t1",
        kind="promoted",
        by="maria",
        reason="it is good",
        detail=b'{"stage": "serve"}',
        number=2,
    )


def test_events_are_listed_from_a_mark_on(store: Store) -> None:
    with store.database.transaction() as conn:
        for at in range(5):
            task = "t1" if at % 2 else "t2"
            store.events.insert(conn, Event(at=at, task=task, kind="edited", by="maria"))
    assert [event.at for event in store.events.list(after=2)] == [4, 3, 2]
    assert [event.at for event in store.events.list("t1")] == [3, 1]
    assert [event.at for event in store.events.list(limit=1)] == [4]


def test_every_change_that_gateways_must_see_moves_the_revision(store: Store) -> None:
    seen = [revision_of(store)]
    event = Event(at=1.0, task="t1", kind="promoted", by="learner")
    changes: list[Callable[..., object]] = [
        lambda conn: store.tasks.put(conn, TASK),
        lambda conn: store.tasks.put(conn, replace(TASK, pinned=False)),
        lambda conn: store.cards.insert(conn, CARD),
        lambda conn: store.certificates.insert(conn, CERTIFICATE),
        lambda conn: store.standings.set(
            conn, Standing(task="t1", stage="serve", since=1.0), event
        ),
        lambda conn: store.tasks.delete(conn, "t1"),
    ]
    for change in changes:
        with store.database.transaction() as conn:
            change(conn)
        seen.append(revision_of(store))
    assert seen == sorted(set(seen))
    assert len(seen) == 7


def test_what_gateways_need_not_see_leaves_the_revision(
    store: Store, make_call: Callable[..., CallRecord], record: Callable[..., None]
) -> None:
    before = revision_of(store)
    record(make_call(1))
    with store.database.transaction() as conn:
        store.attempts.insert(conn, "t1", 1.0, b"{}")
        store.calls.assign(conn, {make_call(1).id: "t1"})
    assert revision_of(store) == before


def test_another_store_sees_the_revision_at_once(options: StoreOptions) -> None:
    with Store.open(options) as learner, Store.open(options) as gateway:
        before = revision_of(gateway)
        put(learner, TASK)
        assert revision_of(gateway) == before + 1
        assert gateway.tasks.named("topic") == TASK
