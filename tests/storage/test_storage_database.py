import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from shoal.errors import StoreError
from shoal.storage import CallFilter, CallRecord, Store, StoreOptions

MakeCall = Callable[..., CallRecord]
spawn = multiprocessing.get_context("forkserver")
spawn.set_forkserver_preload(["shoal.storage"])


def test_the_secret_is_random_and_stays(options: StoreOptions, tmp_path: Path) -> None:
    with Store.open(options) as store:
        secret = store.database.secret()
    with Store.open(options) as store:
        assert store.database.secret() == secret
    with Store.open(StoreOptions(path=tmp_path / "other")) as store:
        assert store.database.secret() != secret
    assert len(secret) == 32


def test_a_store_that_is_in_use_opens_again(options: StoreOptions, make_call: MakeCall) -> None:
    with Store.open(options) as first, Store.open(options) as second:
        first.record(make_call(1)).result(5)
        assert second.calls.get(make_call(1).id) == make_call(1)


def open_and_record(options: StoreOptions, call: CallRecord) -> None:
    with Store.open(options) as store:
        store.record(call).result(30)


def test_processes_may_make_the_store_at_once(options: StoreOptions, make_call: MakeCall) -> None:
    processes = [
        spawn.Process(target=open_and_record, args=(options, make_call(number)))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    with Store.open(options) as store:
        assert len(store.calls.list()) == 4


def test_threads_may_read_while_one_writes(store: Store, make_call: MakeCall) -> None:
    def read(_: int) -> int:
        found = store.calls.list(CallFilter(limit=1000))
        assert [call.at for call in found] == sorted((call.at for call in found), reverse=True)
        return len(found)

    written = [store.record(make_call(number)) for number in range(300)]
    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(read, range(40)))
    for future in written:
        future.result(5)
    assert max(counts) <= 300
    assert read(0) == 300


def test_a_read_sees_one_moment(store: Store, make_call: MakeCall) -> None:
    with store.database.read() as conn:
        before = conn.exec_driver_sql("SELECT count(*) FROM calls").scalar_one()
        store.record(make_call(1)).result(5)
        assert conn.exec_driver_sql("SELECT count(*) FROM calls").scalar_one() == before == 0


def test_a_transaction_that_raises_changes_nothing(store: Store, make_call: MakeCall) -> None:
    with suppress(KeyError), store.database.transaction() as conn:
        store.calls.insert(conn, make_call(1))
        raise KeyError
    assert store.calls.list() == []


def test_what_is_read_from_cannot_be_written(store: Store) -> None:
    readonly = pytest.raises(StoreError, match=r"readonly|read-only")
    with readonly, store.database.read() as conn:
        conn.exec_driver_sql("DELETE FROM calls")


def test_polling_the_revision_is_cheap(store: Store) -> None:
    times = []
    for _ in range(500):
        begun = time.thread_time_ns()
        store.database.revision()
        times.append(time.thread_time_ns() - begun)
    assert sorted(times)[250] < 50_000


def test_errors_name_the_database(store: Store) -> None:
    missing = pytest.raises(
        StoreError, match=r"shoal\.db: no such table|^postgresql://.*\"nonsense\" does not exist"
    )
    with missing, store.database.read() as conn:
        conn.exec_driver_sql("SELECT * FROM nonsense")
