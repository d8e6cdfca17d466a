import multiprocessing
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from shoal.chat import Message, Request
from shoal.errors import StoreDamaged, StoreError
from shoal.storage import CallFilter, CallRecord, Store, StoreOptions, checkpointer, opening
from shoal.storage.migrations import MIGRATIONS

MakeCall = Callable[..., CallRecord]
spawn = multiprocessing.get_context("forkserver")
spawn.set_forkserver_preload(["shoal.storage"])


@pytest.fixture
def home() -> str:
    return "sqlite"


def filled(options: StoreOptions, make_call: MakeCall, calls: int = 300) -> Path:
    """A store that was closed properly; returns its database file."""
    with Store.open(options) as store, store.database.transaction() as conn:
        for number in range(calls):
            store.calls.insert(conn, make_call(number))
    return options.path / "shoal.db"


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_refused(options: StoreOptions, kind: type[StoreError], match: str) -> None:
    """Opening raises, and leaves every file as it was and none beside them."""
    before = everything(options.path)
    with pytest.raises(kind, match=match) as refusal:
        Store.open(options)
    assert type(refusal.value) is kind
    assert str(options.path / "shoal.db") in str(refusal.value)
    assert everything(options.path) == before


def test_what_is_made_is_private(options: StoreOptions) -> None:
    with Store.open(options) as store:
        mode = {path.name: stat.S_IMODE(path.stat().st_mode) for path in options.path.iterdir()}
        assert store.database.log_bytes() > 0
    assert stat.S_IMODE(options.path.stat().st_mode) == 0o700
    assert set(mode) == {"shoal.db", "shoal.db-wal", "shoal.db-shm"}
    assert set(mode.values()) == {0o600}


def test_the_file_keeps_a_log_and_gives_space_back(options: StoreOptions) -> None:
    Store.open(options).close()
    with closing(sqlite3.connect(options.path / "shoal.db")) as conn:
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert conn.execute("PRAGMA auto_vacuum").fetchone() == (2,)


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_durable_means_synced_commits(options: StoreOptions, durable: bool, level: int) -> None:
    chosen = options.model_copy(update={"durable": durable})
    with Store.open(chosen) as store, store.database.transaction() as conn:
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar_one() == level


def test_garbage_is_refused(options: StoreOptions) -> None:
    options.path.mkdir()
    (options.path / "shoal.db").write_bytes(os.urandom(10_000))
    assert_refused(options, StoreDamaged, r"damaged \(file is not a database\)")


@pytest.mark.parametrize("share", [0.3, 0.999])
def test_a_truncated_file_is_refused(
    options: StoreOptions, make_call: MakeCall, share: float
) -> None:
    path = filled(options, make_call)
    os.truncate(path, int(path.stat().st_size * share))
    assert_refused(options, StoreDamaged, "is damaged .*restore|is damaged .*Restore")


def test_flipped_bytes_in_the_middle_of_pages_are_refused(
    options: StoreOptions, make_call: MakeCall
) -> None:
    path = filled(options, make_call)
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):  # what each page says of itself
        content[start : start + 12] = bytes(byte ^ 0xFF for byte in content[start : start + 12])
    path.write_bytes(content)
    assert_refused(options, StoreDamaged, "is damaged")


def test_flipped_bytes_of_a_message_are_noticed_on_reading(
    options: StoreOptions, make_call: MakeCall
) -> None:
    path = filled(options, make_call, calls=3)
    content = path.read_bytes()
    assert content.count(b"Order 1 has") == 1
    path.write_bytes(content.replace(b"Order 1 has", b"Order 1 Has"))
    with Store.open(options) as store:
        with pytest.raises(StoreDamaged):
            store.calls.get(make_call(1).id)
        assert store.calls.get(make_call(2).id) == make_call(2)


def test_a_damaged_file_with_a_log_beside_it_is_not_merged_with_it(
    options: StoreOptions, make_call: MakeCall, tmp_path: Path
) -> None:
    with Store.open(options) as store:
        with store.database.transaction() as conn:
            for number in range(300):
                store.calls.insert(conn, make_call(number))
        store.database.checkpoint()
        with store.database.transaction() as conn:
            store.calls.insert(conn, make_call(300))
        left = everything(options.path)  # as a killed process would leave it
    crashed = StoreOptions(path=tmp_path / "crashed")
    crashed.path.mkdir()
    damaged = bytearray(left["shoal.db"])
    damaged[4096 * 5 : 4096 * 40] = os.urandom(4096 * 35)
    (crashed.path / "shoal.db").write_bytes(damaged)
    (crashed.path / "shoal.db-wal").write_bytes(left["shoal.db-wal"])
    with pytest.raises(StoreDamaged):
        Store.open(crashed)
    after = everything(crashed.path)
    assert after["shoal.db"] == damaged
    assert after["shoal.db-wal"] == left["shoal.db-wal"]


def test_a_newer_file_is_refused_with_what_to_do(
    options: StoreOptions, make_call: MakeCall
) -> None:
    path = filled(options, make_call, calls=1)
    newer = len(MIGRATIONS) + 1
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"PRAGMA user_version = {newer}")
    assert_refused(options, StoreError, rf"newer Shoal \(schema {newer}.*upgrade")


def test_another_programs_database_is_refused(options: StoreOptions) -> None:
    options.path.mkdir()
    with closing(sqlite3.connect(options.path / "shoal.db")) as conn:
        conn.execute("CREATE TABLE calls (phone TEXT)")
    assert_refused(options, StoreError, "some other program's")


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(StoreError, match="data"):
        Store.open(StoreOptions(path=tmp_path / "data"))
    assert (tmp_path / "data").read_text() == "mine"


def test_an_empty_file_is_a_new_store(options: StoreOptions) -> None:
    options.path.mkdir()
    (options.path / "shoal.db").touch()
    with Store.open(options) as store:
        assert store.calls.list() == []


def test_the_check_of_a_large_file_ends_in_time(
    options: StoreOptions, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(options, make_call)
    monkeypatch.setattr(opening, "_CHECK_SECONDS", -1.0)
    monkeypatch.setattr(opening, "_STEPS", 10)
    with Store.open(options) as store:
        assert store.calls.get(make_call(299).id) == make_call(299)
    os.truncate(path, path.stat().st_size // 2)  # what is cheap to see is seen all the same
    assert_refused(options, StoreDamaged, "is damaged")


def test_the_log_is_merged_by_a_thread_of_its_own(
    options: StoreOptions, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "_LOG_BYTES", 100_000)
    monkeypatch.setattr(checkpointer, "_EVERY", 0.005)
    with Store.open(options) as store:
        for number in range(300):
            store.record(make_call(number))
        wait_until(lambda: len(store.calls.list(CallFilter(limit=999))) == 300)
        wait_until(lambda: store.database.path.stat().st_size > 250_000)  # 120,000 when empty


def test_a_log_that_grows_all_the_same_is_begun_anew(
    options: StoreOptions, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "_LOG_BYTES", 50_000)
    monkeypatch.setattr(checkpointer, "_TOO_LONG", 100_000)
    monkeypatch.setattr(checkpointer, "_EVERY", 0.005)
    with Store.open(options) as store:
        for number in range(300):
            store.record(make_call(number))
        wait_until(lambda: len(store.calls.list(CallFilter(limit=999))) == 300)
        wait_until(lambda: store.database.path.stat().st_size > 250_000)
        wait_until(lambda: store.database.log_bytes() < 100_000)
        assert len(store.calls.list(CallFilter(limit=999))) == 300


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_commit_that_fails_leaves_no_memory_of_its_nodes(
    store: Store, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversations = [
        tuple(Message("user", f"{who} says {n}") for n in range(4)) for who in ("ann", "bob")
    ]
    ann, bob = (
        make_call(number, request=Request("gpt", said)) for number, said in enumerate(conversations)
    )

    def disk_full(connection: sqlite3.Connection) -> None:
        connection.rollback()  # as SQLite does by itself when the log cannot be written
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(store.database._writes.dialect, "do_commit", disk_full)
        full = pytest.raises(StoreError, match="disk is full")
        with full, store.database.transaction() as conn:
            store.calls.insert(conn, ann)
    for call in (bob, ann):  # the first takes the numbers that the other's nodes would have had
        assert store.record(call).result(5)
    assert store.calls.get(bob.id) == bob
    assert store.calls.get(ann.id) == ann


def test_a_file_that_is_moved_away_is_noticed(store: Store, make_call: MakeCall) -> None:
    path, aside = store.database.path, store.database.path.with_name("aside.db")
    assert store.database.displaced() == ""
    path.rename(aside)
    assert "shoal.db: was removed or moved away while Shoal runs" in store.database.displaced()
    store.record(make_call(1)).result(5)
    with ThreadPoolExecutor(3) as threads, suppress(StoreError):  # by connections not yet open
        list(threads.map(lambda _: store.calls.list(), range(3)))
    with pytest.raises(StoreError, match="unable to open"):
        store.database.checkpoint()
    assert not path.exists()  # nothing was made in its place
    path.write_bytes(aside.read_bytes())
    assert "was replaced by another file" in store.database.displaced()
    assert "Move it back, or restart Shoal" in store.database.displaced()
    aside.replace(path)
    assert store.database.displaced() == ""
    assert store.calls.get(make_call(1).id) == make_call(1)


def test_what_the_store_itself_does_displaces_nothing(store: Store, make_call: MakeCall) -> None:
    store.record(make_call(1, at=0.0)).result(5)
    store.expire(now=200 * 86_400.0)
    store.database.checkpoint(begin_anew=True)
    assert store.database.displaced() == ""


def test_an_answers_id_is_looked_up_by_its_index(options: StoreOptions) -> None:
    Store.open(options).close()
    query = "SELECT * FROM calls WHERE answer_id = ? AND answer_id <> '' ORDER BY at DESC LIMIT 1"
    with closing(sqlite3.connect(options.path / "shoal.db")) as conn:
        plan = conn.execute(f"EXPLAIN QUERY PLAN {query}", ("resp_1",)).fetchall()
    assert "calls_answer" in str(plan)
