"""What is the Postgres home's own: who may see what when, and what is refused."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

from postgres_home import revision_of
from shoal.chat import Message, Request
from shoal.errors import MissingExtra, StoreError
from shoal.storage import CallRecord, Store, StoreOptions
from shoal.storage.migrations import MIGRATIONS
from shoal.storage.revision import bump

MakeCall = Callable[..., CallRecord]


@pytest.fixture
def home() -> str:
    return "postgres"


def test_arrivals_miss_no_call_of_several_writers(
    options: StoreOptions, store: Store, make_call: MakeCall
) -> None:
    """Each number is given out under the lock: without it 3 or 4 of the 160 calls are missed."""
    done = threading.Event()
    seen: list[str] = []

    def follow() -> None:
        mark, last_look = 0, False
        while not last_look:
            last_look = done.is_set()
            arrived = store.calls.arrivals(mark, limit=7)
            while arrived.calls:
                seen.extend(call.id for call in arrived.calls)
                mark = arrived.mark
                arrived = store.calls.arrivals(mark, limit=7)

    def write(writer: int) -> None:
        with Store.open(options) as gateway:
            for number in range(40):
                call = make_call(1000 * writer + number)
                with gateway.database.transaction() as conn:
                    gateway.calls.insert(conn, call)
                    conn.exec_driver_sql("SELECT pg_sleep(0.002 * random())")

    with ThreadPoolExecutor(5) as threads:
        following = threads.submit(follow)
        for writing in [threads.submit(write, writer) for writer in range(4)]:
            writing.result(60)
        done.set()
        following.result(60)
    assert len(seen) == len(set(seen)) == 160


def test_what_a_transaction_read_does_not_change_under_it(
    options: StoreOptions, store: Store
) -> None:
    """Eight writers count attempts: each reads the highest number and writes the next."""

    def attempt(_: int) -> int:
        with Store.open(options) as other, other.database.transaction() as conn:
            return other.attempts.insert(conn, "t", at=1.0, outcome=b"{}")

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(attempt, range(8))) == list(range(1, 9))


def test_a_revision_is_seen_by_others(options: StoreOptions, store: Store) -> None:
    with Store.open(options) as other:
        before = revision_of(store)
        with other.database.transaction() as conn:
            bump(conn)
        assert revision_of(store) == before + 1


def test_a_connection_that_breaks_within_a_transaction_delays_and_loses_nothing(
    store: Store, make_call: MakeCall
) -> None:
    broken: list[int] = []

    def break_once(conn: Connection) -> bool:
        if not broken:
            broken.append(conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
            with store.database.read() as other:
                other.exec_driver_sql("SELECT pg_terminate_backend(%s)", (broken[0],))
        return store.calls.insert(conn, make_call(2))

    first = store.record(make_call(1))
    assert store.writer.submit(break_once).result(10)
    assert first.result(10)
    assert broken
    assert store.writer.health().ok
    assert "cannot be reached" in store.writer.health().last_error
    assert [call.id for call in store.calls.list()] == [make_call(2).id, make_call(1).id]


def test_what_is_wrong_with_a_row_is_no_failure_of_the_store(
    store: Store, make_call: MakeCall
) -> None:
    with pytest.raises(StoreError, match="out of range") as refused:
        store.record(make_call(1, at="1e999")).result(5)  # type: ignore[arg-type]
    assert not store.database.is_failure(refused.value)
    assert store.writer.health().last_error == ""


def test_a_text_with_a_nul_is_stored(store: Store, make_call: MakeCall) -> None:
    asked = Request("g\0t", (Message("user", "one\0two"),))
    assert store.record(make_call(1, request=asked, error="\0")).result(5)
    found = store.calls.get(make_call(1).id)
    assert found.request.model == "g\N{REPLACEMENT CHARACTER}t"
    assert found.request.messages == asked.messages


@pytest.mark.parametrize(("durable", "level"), [(True, "on"), (False, "off")])
def test_durable_means_commits_on_the_disk(
    options: StoreOptions, durable: bool, level: str
) -> None:
    chosen = options.model_copy(update={"durable": durable})
    with Store.open(chosen) as store, store.database.transaction() as conn:
        assert conn.exec_driver_sql("SHOW synchronous_commit").scalar_one() == level


def test_a_newer_store_is_refused(options: StoreOptions) -> None:
    newer = len(MIGRATIONS) + 1
    with Store.open(options) as store, store.database.transaction() as conn:
        conn.exec_driver_sql(f"UPDATE shoal_schema SET version = {newer}")
    with pytest.raises(StoreError, match=rf"newer Shoal \(schema {newer}.*upgrade Shoal"):
        Store.open(options)


def test_another_programs_database_is_refused(options: StoreOptions) -> None:
    with Store.open(options) as store, store.database.transaction() as conn:
        conn.exec_driver_sql("DROP TABLE shoal_schema")
    with pytest.raises(StoreError, match="some other program's tables"):
        Store.open(options)


def test_a_password_comes_from_the_environment_and_is_shown_nowhere(
    options: StoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = options.model_copy(update={"password_env": "DB_PASSWORD"})
    with pytest.raises(StoreError, match=r"store\.password_env: .* DB_PASSWORD is not set"):
        Store.open(chosen)
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    with Store.open(chosen) as store:
        assert "hunter2" not in store.database.place
        with store.database._writes.connect() as conn:
            driver = conn.connection.driver_connection
            assert driver is not None
            assert driver.info.password == "hunter2"
    nobody = chosen.model_copy(update={"url": "postgresql://shoal@127.0.0.1:9/shoal"})
    with pytest.raises(StoreError, match=r"^postgresql://shoal@127.0.0.1:9/shoal: ") as refused:
        Store.open(nobody)
    assert "hunter2" not in str(refused.value)


def test_without_the_driver_the_extra_is_named(
    options: StoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("psycopg", "shoal.storage.postgres", "shoal.storage.server"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"store\.url.*'shoal\[postgres\]'"):
        Store.open(options)


def test_a_store_in_a_file_does_not_load_the_driver() -> None:
    asked = "import sys, shoal.gateway, shoal.storage; print('psycopg' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
