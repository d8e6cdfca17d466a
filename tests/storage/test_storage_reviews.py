"""The calls that people are asked to judge: drawn at random, and counted in order."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from shoal.errors import NotFound
from shoal.guarantees import draw
from shoal.storage import Asking, CallRecord, Feedback, Store
from shoal.storage.reviews import ReviewQueue
from shoal.storage.schema import meta

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


def test_no_later_word_takes_back_that_a_call_counts(store: Store, calls: list[CallRecord]) -> None:
    """Else people could end what counts where it looks best."""
    ids = [call.id for call in calls[:3]]
    for one in ids:
        say(store, one)
    for at, verdict in enumerate(("wrong", "answer", "wrong"), 2):
        say(store, ids[1], verdict, at=at)
        assert store.reviews.queue("t1", 1.0, 0.0, EVER).counts == tuple(ids)


def test_however_many_come_after_what_was_left_out_waits(
    store: Store, calls: list[CallRecord]
) -> None:
    ids = tuple(call.id for call in calls)
    assert store.reviews.queue("t1", 1.0, 0.0, 10).waits == ids[:10]
    for one in ids[1:30]:
        say(store, one)
    queue = store.reviews.queue("t1", 1.0, 0.0, 10)
    assert (queue.counts, queue.waits) == ((), (ids[0], *ids[30:39]))
    say(store, ids[0])
    assert store.reviews.queue("t1", 1.0, 0.0, 2) == ReviewQueue(ids[:30], ids[30:32])
    assert store.reviews.queue("t1", 1.0, 1_035.0, 2).waits == ids[-5:-3]


def test_what_expires_while_it_waits_frees_no_words_on_others(
    store: Store, calls: list[CallRecord]
) -> None:
    """Reviewing begins anew after the last word, so that no word decides what counts."""
    ids = tuple(call.id for call in calls)
    for one in ids[1:30]:
        say(store, one)
    expire_up_to(store, 3)
    assert store.reviews.queue("t1", 1.0) == ReviewQueue((), ids[30:])
    expire_up_to(store, 20)  # they are asked about no more: nothing begins anew again
    say(store, ids[30])
    assert store.reviews.queue("t1", 1.0) == ReviewQueue(ids[30:31], ids[31:])
    expire_up_to(store, 35)
    assert store.reviews.queue("t1", 1.0) == ReviewQueue((), ids[35:])


def test_what_expires_with_a_word_or_is_not_asked_about_ends_nothing(
    store: Store, calls: list[CallRecord]
) -> None:
    ids, asked = tuple(call.id for call in calls), drawn(store, calls)
    for one in asked:
        say(store, one)
    expire_up_to(store, 20, RATE)  # of these only calls that were not drawn have no word
    assert list(store.reviews.queue("t1", RATE).counts) == [one for one in asked if one >= ids[20]]
    broken = calls[30].at  # when the promise last was: nobody is asked about what was before
    expire_up_to(store, 30, since=broken)
    assert store.reviews.queue("t1", 1.0, broken) == ReviewQueue.of(ids[30:], asked)


def expire_up_to(store: Store, number: int, rate: float = 1.0, since: float = 0.0) -> None:
    """Those of lower numbers go; the clock moves on an hour at a time at most."""
    day = 86_400.0
    with store.database.transaction() as conn:
        conn.execute(update(meta).values(expired_at=None))
    now = 1_000.0 + number + store.options.keep_days * day
    store.expire(now, {"t1": Asking(rate, since)})


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
