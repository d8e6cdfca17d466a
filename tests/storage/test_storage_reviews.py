"""The calls that people are asked to judge: drawn at random, and counted in order."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from shoal.errors import NotFound
from shoal.guarantees import draw
from shoal.storage import CallRecord, Feedback, Store

RATE = 0.3
EVER = 10_000


@pytest.fixture
def calls(store: Store, make_call: Callable[..., CallRecord]) -> list[CallRecord]:
    """Forty calls of a task."""
    found = [
        replace(make_call(number), task="t1", sampled=True, at=1_000.0 + number, error="")
        for number in range(40)
    ]
    with store.database.transaction() as conn:
        for call in found:
            assert store.calls.insert(conn, call)
    return found


def drawn(store: Store, calls: list[CallRecord], rate: float = RATE) -> list[str]:
    secret = store.database.secret()
    return [call.id for call in calls if draw(call.id, rate, secret)]


def say(store: Store, call_id: str, verdict: str = "right", at: float = 1.0) -> str:
    word = Feedback(call_id=call_id, at=at, verdict=verdict)  # type: ignore[arg-type]
    with store.database.transaction() as conn:
        return store.feedback.insert(conn, word)


def test_all_that_were_drawn_wait_in_order(store: Store, calls: list[CallRecord]) -> None:
    queue = store.reviews.queue("t1", 1.0, 0.0, EVER)
    assert queue.waits == tuple(call.id for call in calls)
    queue = store.reviews.queue("t1", RATE, 0.0, EVER)
    assert (queue.counts, list(queue.waits)) == ((), drawn(store, calls))
    assert store.reviews.queue("t2", 1.0, 0.0, EVER).waits == ()


def test_words_count_up_to_the_first_call_without_one(
    store: Store, calls: list[CallRecord]
) -> None:
    ids = [call.id for call in calls]
    for at in (0, 1, 3, 5):
        assert say(store, ids[at]) == "t1"
    queue = store.reviews.queue("t1", 1.0, 0.0, EVER)
    assert queue.counts == tuple(ids[:2])
    assert queue.waits == (ids[2], ids[4], *ids[6:])
    say(store, ids[2], "answer")
    assert store.reviews.queue("t1", 1.0, 0.0, EVER).counts == tuple(ids[:4])


def test_words_on_calls_that_were_not_drawn_count_nothing(
    store: Store, calls: list[CallRecord]
) -> None:
    ids = drawn(store, calls)
    assert 0 < len(ids) < 40
    for call in calls:
        if call.id not in ids:
            say(store, call.id, "answer")
    queue = store.reviews.queue("t1", RATE, 0.0, EVER)
    assert (queue.counts, list(queue.waits)) == ((), ids)
    for call_id in ids:
        say(store, call_id)
    assert list(store.reviews.queue("t1", RATE, 0.0, EVER).counts) == ids


def test_wrong_alone_says_not_what_is_right(store: Store, calls: list[CallRecord]) -> None:
    first = calls[0].id
    say(store, first, "wrong")
    assert store.reviews.queue("t1", 1.0, 0.0, EVER).waits[0] == first
    say(store, first, "answer", at=2.0)
    assert store.reviews.queue("t1", 1.0, 0.0, EVER).counts == (first,)
    say(store, first, "wrong", at=3.0)
    assert store.reviews.queue("t1", 1.0, 0.0, EVER).counts == ()


def test_only_the_newest_and_those_since(store: Store, calls: list[CallRecord]) -> None:
    ids = tuple(call.id for call in calls)
    assert store.reviews.queue("t1", 1.0, 0.0, 10).waits == ids[-10:]
    assert store.reviews.queue("t1", 1.0, 1_035.0, EVER).waits == ids[-5:]
    assert store.reviews.queue("t1", 1.0, 1_035.0, 2).waits == ids[-2:]


def test_what_failed_or_is_no_fair_sample_is_not_asked(
    store: Store, make_call: Callable[..., CallRecord]
) -> None:
    fine = replace(make_call(1), task="t1", sampled=True, error="")
    with store.database.transaction() as conn:
        store.calls.insert(conn, fine)
        for number, odd in enumerate(({"sampled": False}, {"error": "broke"}, {"answer": None}), 2):
            call = replace(make_call(number), **{"task": "t1", "sampled": True, "error": ""} | odd)
            store.calls.insert(conn, call)
    assert store.reviews.queue("t1", 1.0, 0.0, EVER).waits == (fine.id,)


def test_a_word_on_no_call(store: Store) -> None:
    with pytest.raises(NotFound):
        say(store, "nobody")
