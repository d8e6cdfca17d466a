from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from shoal.chat import Answer, Message, Request
from shoal.errors import NotFound
from shoal.storage import Audit, CallRecord, CertificateRow, Feedback, Store, StoreOptions
from shoal.storage.expiry import expire
from shoal.storage.schema import audits, calls, feedback, nodes
from shoal.storage.sqlite import SqliteDatabase

MakeCall = Callable[..., CallRecord]
Record = Callable[..., None]
DAY = 86_400.0


def count(store: Store, table: str) -> int:
    tables = {"calls": calls, "nodes": nodes, "audits": audits, "feedback": feedback}
    with store.database.read() as conn:
        query = select(func.count()).select_from(tables[table])
        return int(conn.execute(query).scalar_one())


def test_by_age(store: Store, make_call: MakeCall, record: Record) -> None:
    record(*(make_call(number, at=number * DAY) for number in range(100)))
    assert store.expire(now=100 * DAY) == 10  # 90 days are kept
    assert [call.at / DAY for call in store.calls.list()][-1] == 50
    assert min(call.at for page in store.calls.pages() for call in page) == 10 * DAY
    assert store.expire(now=100 * DAY) == 0


def test_a_clock_that_stands_far_ahead_for_once_makes_no_call_old(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(*(make_call(number, at=number * DAY) for number in range(100)))
    assert store.expire(now=100 * DAY) == 10
    for turn in range(20):  # calls are recorded with the wrong time meanwhile
        record(make_call(1000 + turn, at=200 * DAY + turn))
        assert store.expire(now=200 * DAY + 600 * turn) <= 1
    assert store.expire(now=100.1 * DAY) == 0
    assert count(store, "calls") == 90 + 20 - 1
    assert store.expire(now=101 * DAY) == 0


def test_an_idle_store_expires_all_the_same(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(*(make_call(number, at=DAY) for number in range(10)))
    assert expire(store.database, now=2 * DAY, keep_days=3, max_gb=5.0) == 0
    turns = 0
    while count(store, "calls"):  # after a year without a turn
        expire(store.database, now=365 * DAY, keep_days=3, max_gb=5.0)
        turns += 1
        assert turns < 60
    assert turns == 2 * 24 + 1


def test_a_clock_that_was_set_back_is_followed(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    store.expire(now=300 * DAY)  # the first time, when nothing contradicts it
    store.expire(now=100 * DAY)
    record(make_call(1, at=50 * DAY))
    assert store.expire(now=100 * DAY) == 0


def test_what_living_calls_share_with_dead_ones_stays(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    turns = tuple(Message("user", f"turn {i}") for i in range(6))
    old_branch = (*turns[:3], Message("user", "the old way"))
    record(
        make_call(1, at=0.0, request=Request("gpt", turns[:2])),
        make_call(2, at=0.0, request=Request("gpt", old_branch)),
        make_call(3, at=200 * DAY, request=Request("gpt", turns)),
    )
    assert count(store, "nodes") == 1 + 6 + 1
    assert store.expire(now=200 * DAY) == 2
    assert count(store, "nodes") == 1 + 6
    assert store.calls.get(make_call(3).id).request.messages == turns


def test_the_last_call_takes_its_whole_conversation_along(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    long = tuple(Message("user", f"turn {i}") for i in range(30))
    record(make_call(1, at=0.0, request=Request("gpt", long)))
    store.expire(now=200 * DAY)
    assert count(store, "nodes") == 0


def test_a_prompt_that_expired_is_stored_again_when_it_recurs(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(make_call(1, at=0.0))
    store.expire(now=200 * DAY)
    record(make_call(2, at=200 * DAY))
    assert store.calls.get(make_call(2).id).request == make_call(2).request


def test_a_prompt_that_another_connection_expired_is_stored_again(
    options: StoreOptions, make_call: MakeCall
) -> None:
    with Store.open(options) as gateway, Store.open(options) as learner:
        gateway.record(make_call(1, at=0.0)).result(5)
        assert learner.expire(now=200 * DAY) == 1
        gateway.record(make_call(2, at=200 * DAY)).result(5)
        assert learner.calls.get(make_call(2).id).request == make_call(2).request


def test_by_size_the_oldest_go_and_a_file_shrinks(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    for start in range(0, 3000, 500):
        record(*(make_call(n, receipt=b'"%0600x"' % (3**n)) for n in range(start, start + 500)))
    before = size_of_file(store)
    used = store.database.bytes_used()
    removed = expire(store.database, now=0.0, keep_days=90, max_gb=used / 2 / 1e9)
    assert 0 < removed < 3000
    assert 0.4 * used < store.database.bytes_used() <= used / 2
    assert size_of_file(store) <= 0.55 * before
    left = [call.id for page in store.calls.pages() for call in page]
    assert left == [make_call(number).id for number in range(removed, 3000)]


def size_of_file(store: Store) -> int:
    """What the system sees; 0 where that is a server's business."""
    if not isinstance(store.database, SqliteDatabase):
        return 0
    store.database.checkpoint()
    return store.database.path.stat().st_size


def test_what_seems_too_large_for_its_free_space_loses_nothing(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(*(make_call(number, at=float(number)) for number in range(2000)))
    assert expire(store.database, now=90 * DAY + 1000, keep_days=90, max_gb=5.0) == 1000
    used = store.database.bytes_used()
    assert expire(store.database, now=90 * DAY, keep_days=90, max_gb=1.05 * used / 1e9) == 0


def test_feedback_and_audits_go_with_their_call(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(make_call(1, at=0.0), make_call(2, at=200 * DAY))
    certificate = CertificateRow(id="c", task="t", card="d", alpha=0.05, spec=b"{}", issued_at=1.0)
    with store.database.transaction() as conn:
        store.certificates.insert(conn, certificate)
        for number in (1, 2):
            word = Feedback(call_id=make_call(number).id, at=1.0, verdict="right")
            store.feedback.insert(conn, word)
            audit = Audit(
                call_id=make_call(number).id,
                at=1.0,
                task="t",
                certificate="c",
                kind="audit",
                agrees=True,
                reference=Answer("x"),
            )
            store.audits.record(conn, audit, delta=0.05)
    store.expire(now=200 * DAY)
    assert (count(store, "feedback"), count(store, "audits")) == (1, 1)
    assert store.audits.process("c").n == 2  # the evidence stays
    assert store.certificates.get("c") == certificate


def test_recording_goes_on_meanwhile(store: Store, make_call: MakeCall, record: Record) -> None:
    record(*(make_call(number, at=0.0) for number in range(2000)))
    with ThreadPoolExecutor(1) as threads:
        expiring = threads.submit(store.expire, 200 * DAY)
        new = [store.record(make_call(number, at=200 * DAY)) for number in range(2000, 2500)]
        assert all(future.result(10) for future in new)
        assert expiring.result(30) == 2000
    found = [call for page in store.calls.pages() for call in page]
    assert found == [make_call(number, at=200 * DAY) for number in range(2000, 2500)]


def test_an_expired_call_is_not_found(store: Store, make_call: MakeCall, record: Record) -> None:
    record(make_call(1, at=0.0))
    store.expire(now=200 * DAY)
    with pytest.raises(NotFound, match="has expired"):
        store.calls.get(make_call(1).id)
