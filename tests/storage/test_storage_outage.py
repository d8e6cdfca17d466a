"""A Postgres server that goes away while the store is open, and comes back."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postgres_server import OwnServer, own_server
from shoal.errors import StoreError
from shoal.storage import CallFilter, CallRecord, Store, StoreOptions, writer

MakeCall = Callable[..., CallRecord]


@pytest.fixture
def home() -> str:
    return "postgres"


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with own_server() as server:
        yield server


@pytest.fixture
def options(server: OwnServer, tmp_path: Path) -> StoreOptions:
    return StoreOptions(path=tmp_path / "data", url=server.url, durable=True)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def can_tell_revision(store: Store) -> bool:
    try:
        store.database.revision()
    except StoreError:
        return False
    return True


@pytest.mark.parametrize("how", ["immediate", "fast"])
def test_what_is_recorded_meanwhile_is_written_afterwards(
    store: Store, server: OwnServer, make_call: MakeCall, how: str
) -> None:
    first = len(store.calls.list(CallFilter(limit=1000)))
    numbers = [make_call(first + number) for number in range(60)]
    store.record(numbers[0]).result(5)
    assert can_tell_revision(store)
    server.stop(how)
    futures = [store.record(call) for call in numbers[1:50]]
    wait_until(lambda: not store.writer.health().ok)
    assert store.writer.health().backlog == 49
    assert store.writer.health().dropped == 0
    wait_until(lambda: not can_tell_revision(store))
    began = time.perf_counter()
    with pytest.raises(StoreError, match=r"postgresql://postgres@/tmp/.*/postgres: "):
        store.database.revision()
    assert time.perf_counter() - began < 0.01  # an event loop asks
    with pytest.raises(StoreError, match=r"cannot be reached .*see that Postgres runs there"):
        store.calls.list()
    server.start()
    assert all(future.result(20) for future in futures)
    wait_until(lambda: store.writer.health().ok and can_tell_revision(store))
    assert all(store.record(call).result(5) for call in numbers[50:])
    found = store.calls.list(CallFilter(limit=1000))
    assert found[:60] == numbers[::-1]


def test_a_server_that_hangs_is_noticed_and_waited_for(
    store: Store, server: OwnServer, make_call: MakeCall
) -> None:
    assert can_tell_revision(store)
    store.record(make_call(7000)).result(5)
    with server.frozen():
        future = store.record(make_call(7001))
        wait_until(lambda: not can_tell_revision(store))
        with pytest.raises(StoreError, match=r"the server has not answered for \d s"):
            store.database.revision()
        assert store.writer.lag() > 1.0
        assert not future.done()
    assert future.result(20)
    wait_until(lambda: can_tell_revision(store))


def test_a_server_that_hangs_keeps_no_process_from_ending(
    options: StoreOptions, server: OwnServer, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_CLOSE", 0.5)
    store = Store.open(options)
    can_tell_revision(store)
    with server.frozen():
        future = store.record(make_call(8000))
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 5.0
    assert future.result(20)


def test_a_crash_of_the_server_makes_no_later_call_look_old(
    options: StoreOptions, server: OwnServer, make_call: MakeCall
) -> None:
    """What was not durable is lost, and its numbers are free again; a mark may be among them."""
    hasty = options.model_copy(update={"durable": False})
    with Store.open(options) as reader, Store.open(hasty) as gateway:
        mark = reader.calls.arrivals(limit=10_000).mark
        futures = [gateway.record(make_call(5000 + number)) for number in range(200)]
        assert all(future.result(5) for future in futures)
        mark = reader.calls.arrivals(mark).mark
        server.stop()
        server.start()
        assert gateway.record(make_call(6000)).result(20)
        assert [call.id for call in reader.calls.arrivals(mark).calls] == [make_call(6000).id]


def test_a_lock_that_went_with_the_server_is_noticed(store: Store, server: OwnServer) -> None:
    first, second = store.database.learner_lock(), store.database.learner_lock()
    assert first.take()
    assert first.held()
    assert not second.take()
    server.stop()
    assert not first.held()
    with pytest.raises(StoreError, match="postgresql://"):
        second.take()
    server.start()
    assert not first.held()
    assert second.take()
    assert not first.take()
    second.release()
    assert first.take()
    first.release()


def test_a_server_that_is_not_there_is_told(server: OwnServer, options: StoreOptions) -> None:
    server.stop()
    try:
        with pytest.raises(StoreError) as refused:
            Store.open(options)
    finally:
        server.start()
    said = str(refused.value)
    assert said.startswith(f"postgresql://postgres@{server.url.split('=')[1]}/postgres: cannot be")
    assert "see that Postgres runs there, that the database exists" in said
