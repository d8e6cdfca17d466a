import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, text

from shoal.chat import Answer, Message, Request, ToolCall
from shoal.errors import StoreError
from shoal.storage import CallFilter, CallRecord, Store, StoreOptions
from shoal.storage.calls import call_bytes
from shoal.storage.database import Database
from shoal.storage.dialects import define, is_postgres
from shoal.storage.homes import open_database
from shoal.storage.writer import Writer

MakeCall = Callable[..., CallRecord]


@pytest.fixture
def database(options: StoreOptions) -> Iterator[Database]:
    database = open_database(options)
    with database.transaction() as conn:
        define(conn, "CREATE TABLE log (id INTEGER PRIMARY KEY, n INTEGER UNIQUE, filler BLOB)")
    yield database
    database.close()


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    writer = Writer(database)
    yield writer
    writer.close()


def log(number: int, filler: int = 0) -> Callable[[Connection], int]:
    def operation(conn: Connection) -> int:
        row = {"n": number, "filler": bytes(filler)}
        conn.execute(text("INSERT INTO log (n, filler) VALUES (:n, :filler)"), row)
        return number

    return operation


def logged(database: Database) -> list[int]:
    with database.read() as conn:
        return list(conn.exec_driver_sql("SELECT n FROM log ORDER BY id").scalars())


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


DISK_FULL = """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'database or disk is full' USING ERRCODE = '53100'; END $$"""


def fill_disk(database: Database, table: str = "log") -> None:
    """Have the database find the disk full: SQLite by itself, on the one connection that writes,
    Postgres as it would say so."""
    with database.transaction() as conn:
        if is_postgres(conn):
            conn.exec_driver_sql(DISK_FULL)
            when = f"BEFORE INSERT ON {table}"
            conn.exec_driver_sql(f"CREATE TRIGGER full_disk {when} EXECUTE FUNCTION refuse()")
        else:
            conn.exec_driver_sql("PRAGMA max_page_count = 1")  # no fewer than there are


def empty_disk(database: Database) -> None:
    with database.transaction() as conn:
        if is_postgres(conn):
            conn.exec_driver_sql("DROP FUNCTION refuse CASCADE")
        else:
            conn.exec_driver_sql("PRAGMA max_page_count = 1000000")


def test_what_is_submitted_is_written_in_order(database: Database, writer: Writer) -> None:
    futures = [writer.submit(log(number)) for number in range(1200)]
    assert [future.result(10) for future in futures] == list(range(1200))
    assert logged(database) == list(range(1200))


def test_what_comes_together_is_one_transaction(database: Database, writer: Writer) -> None:
    transactions = set()

    def operation(conn: Connection) -> None:
        transactions.add(id(conn.get_transaction()))

    for future in [writer.submit(operation) for _ in range(200)]:
        future.result(5)
    assert len(transactions) <= 3  # one, if the machine is idle


def test_a_lone_operation_is_written_within_50_ms(database: Database, writer: Writer) -> None:
    times = []
    for number in range(20):
        begun = time.perf_counter()
        writer.submit(log(number)).result(5)
        times.append(time.perf_counter() - begun)
    assert sorted(times)[10] < 0.05


def test_an_urgent_operation_does_not_wait_for_others(database: Database, writer: Writer) -> None:
    times = []
    for number in range(20):
        begun = time.perf_counter()
        writer.submit(log(number), urgent=True).result(5)
        times.append(time.perf_counter() - begun)
    assert sorted(times)[10] < 0.01


def test_an_operation_that_fails_fails_alone(database: Database, writer: Writer) -> None:
    def broken(conn: Connection) -> None:
        conn.exec_driver_sql("INSERT INTO log (n) VALUES (-1)")
        raise KeyError("its own fault")

    good = [writer.submit(log(number)) for number in range(5)]
    bad = writer.submit(broken)
    twice = writer.submit(log(3))
    more = [writer.submit(log(number)) for number in range(5, 10)]
    assert [future.result(5) for future in good + more] == list(range(10))
    with pytest.raises(KeyError, match="its own fault"):
        bad.result(5)
    with pytest.raises(StoreError, match=r"UNIQUE constraint failed|duplicate key"):
        twice.result(5)
    assert logged(database) == list(range(10))
    assert writer.health().ok


def test_a_call_is_recorded_though_its_waiter_is_gone(database: Database, writer: Writer) -> None:
    future = writer.submit(log(1))
    assert not future.cancel()
    assert future.result(5) == 1


async def test_an_event_loop_can_wait_for_it(database: Database, writer: Writer) -> None:
    numbers = await asyncio.gather(
        *(asyncio.wrap_future(writer.submit(log(number))) for number in range(20))
    )
    assert numbers == list(range(20))


def test_a_full_disk_delays_and_loses_nothing(database: Database, writer: Writer) -> None:
    writer.submit(log(0)).result(5)
    assert writer.health().ok
    fill_disk(database)
    futures = [writer.submit(log(number, filler=5_000)) for number in range(1, 200)]
    wait_until(lambda: not writer.health().ok)
    health = writer.health()
    assert "database or disk is full" in health.last_error
    assert health.backlog == 199
    assert health.dropped == 0
    assert abs(health.since - time.time()) < 10
    assert logged(database) == [0]
    empty_disk(database)
    assert [future.result(10) for future in futures] == list(range(1, 200))
    assert logged(database) == list(range(200))
    wait_until(lambda: writer.health().ok)
    assert writer.health().backlog == 0


def test_a_full_disk_met_while_one_fails_alone_loses_nothing(
    database: Database, writer: Writer
) -> None:
    def broken(conn: Connection) -> None:
        raise KeyError

    fill_disk(database)
    futures = [writer.submit(log(number, filler=5_000)) for number in range(3)]
    bad = writer.submit(broken)
    first = writer.submit(broken)
    wait_until(lambda: not writer.health().ok)
    empty_disk(database)
    assert [future.result(10) for future in futures] == [0, 1, 2]
    for future in (bad, first):
        with pytest.raises(KeyError):
            future.result(10)


def test_beyond_the_backlog_the_oldest_are_dropped_and_counted(database: Database) -> None:
    writer = Writer(database, capacity=50)
    fill_disk(database)
    futures = [writer.submit(log(number, filler=5_000)) for number in range(20)]
    wait_until(lambda: not writer.health().ok)
    futures += [writer.submit(log(number, filler=5_000)) for number in range(20, 120)]
    wait_until(lambda: writer.health().dropped == 70)
    assert writer.health().backlog == 50
    empty_disk(database)
    assert [future.result(10) for future in futures[70:]] == list(range(70, 120))
    for future in futures[:70]:
        with pytest.raises(StoreError, match=r"not written, the backlog is full: .*disk is full"):
            future.result(0)
    assert logged(database) == list(range(70, 120))
    writer.close()


def test_the_backlog_is_bounded_by_bytes_too(database: Database) -> None:
    writer = Writer(database, capacity_bytes=1_000)
    fill_disk(database)
    first = writer.submit(log(0, filler=5_000), size=400)
    wait_until(lambda: not writer.health().ok)
    futures = [writer.submit(log(n, filler=5_000), size=300) for n in range(1, 6)]
    futures.append(writer.submit(log(6, filler=5_000)))  # takes no room
    wait_until(lambda: writer.health().dropped == 3)
    assert writer.health().backlog == 4
    for future in (first, *futures[:2]):
        with pytest.raises(StoreError, match="the backlog is full"):
            future.result(0)
    empty_disk(database)
    assert [future.result(10) for future in futures[2:]] == [3, 4, 5, 6]
    again = [writer.submit(log(n), size=300) for n in range(7, 10)]  # what was written is gone
    assert [future.result(10) for future in again] == [7, 8, 9]
    assert writer.health().dropped == 3
    writer.close()


def test_many_bytes_are_not_one_transaction(database: Database, writer: Writer) -> None:
    transactions: list[object] = []

    def operation(conn: Connection) -> None:
        transactions.append(conn.get_transaction())

    with database.transaction():  # until all have been submitted
        futures = [writer.submit(operation, size=8_000_000) for _ in range(8)]
    for future in futures:
        future.result(5)
    assert len(set(transactions)) >= 4


def test_a_call_tells_about_how_many_bytes_it_takes(make_call: MakeCall) -> None:
    small = call_bytes(make_call(1))
    assert small < 10_000
    texts = make_call(1, request=Request("gpt", (Message("user", "a" * 100_000),)))
    tool = ToolCall("1", "search", "b" * 100_000)
    whole = make_call(
        1,
        request=Request("gpt", (Message("assistant", tool_calls=(tool,)),), body=b"c" * 100_000),
        answer=Answer("d" * 100_000, tool_calls=(tool,), body=b"e" * 100_000),
    )
    assert 100_000 < call_bytes(texts) < 110_000
    assert 500_000 < call_bytes(whole) < 510_000


def test_a_store_counts_the_bytes_of_its_calls(store: Store, make_call: MakeCall) -> None:
    sizes = []
    submit = store.writer.submit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            store.writer, "submit", lambda work, size: (sizes.append(size), submit(work))[1]
        )
        store.record(make_call(1)).result(5)
    assert sizes == [call_bytes(make_call(1))]


def test_the_lag_is_that_of_the_oldest(database: Database, writer: Writer) -> None:
    assert writer.lag() == 0.0
    with database.transaction():
        first = writer.submit(log(1))
        time.sleep(0.1)
        writer.submit(log(2))
        assert 0.1 <= writer.lag() < 5.0
    first.result(5)
    wait_until(lambda: writer.lag() == 0.0)


def test_a_locked_file_is_waited_for(
    database: Database, options: StoreOptions, writer: Writer
) -> None:
    other = open_database(options)
    with other.transaction():
        future = writer.submit(log(1))
        time.sleep(0.1)
        assert not future.done()
    assert future.result(10) == 1
    other.close()


def test_closing_writes_what_waits(database: Database) -> None:
    writer = Writer(database)
    futures = [writer.submit(log(number)) for number in range(1000)]
    writer.close()
    assert all(future.done() for future in futures)
    assert logged(database) == list(range(1000))
    with pytest.raises(StoreError, match="closed"):
        writer.submit(log(0))
    writer.close()  # closing twice is nothing


def test_closing_with_a_full_disk_ends_and_says_what_was_lost(database: Database) -> None:
    writer = Writer(database)
    fill_disk(database)
    futures = [writer.submit(log(number, filler=5_000)) for number in range(10)]
    wait_until(lambda: not writer.health().ok)
    writer.close()
    for future in futures:
        with pytest.raises(StoreError, match=r"the store was closed: .*disk is full"):
            future.result(0)
    assert writer.health().dropped == 10


def test_submitting_from_many_threads(database: Database, writer: Writer) -> None:
    def submit(offset: int) -> None:
        for number in range(offset, offset + 100):
            writer.submit(log(number))

    threads = [threading.Thread(target=submit, args=(i * 100,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(logged(database)) == list(range(800))


def test_calls_survive_a_full_disk_with_their_conversations(
    store: Store, make_call: MakeCall
) -> None:
    store.record(make_call(0)).result(5)
    fill_disk(store.database, "calls")
    calls = [make_call(number, receipt=b'"%064d"' % number * 30) for number in range(1, 400)]
    futures = [store.record(call) for call in calls]
    wait_until(lambda: not store.writer.health().ok)
    empty_disk(store.database)
    for future in futures:
        assert future.result(10)
    assert store.calls.list(CallFilter(limit=1000)) == [*calls[::-1], make_call(0)]
