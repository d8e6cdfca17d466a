from collections.abc import Callable

from shoal.storage import CallRecord, Store


def test_history_is_in_the_order_of_time_and_misses_none(
    store: Store, make_call: Callable[..., CallRecord], record: Callable[..., None]
) -> None:
    times = [5.0, 1.0, 3.0, 3.0, 3.0, 3.0, 2.0, 3.0, 9.0]
    calls = [make_call(n, at=at, task=f"t{n % 2}") for n, at in enumerate(times)]
    record(*calls)
    expected = sorted(calls, key=lambda call: call.at)
    for size in (1, 2, 3, 100):
        pages = list(store.calls.history(size=size))
        assert all(len(page) <= size for page in pages)
        assert [call.id for page in pages for call in page] == [call.id for call in expected]
        of_one = [call for page in store.calls.history("t1", size) for call in page]
        assert [call.id for call in of_one] == [c.id for c in expected if c.task == "t1"]
    assert list(store.calls.history("none")) == []


def test_a_task_gives_all_its_calls_to_another(
    store: Store, make_call: Callable[..., CallRecord], record: Callable[..., None]
) -> None:
    record(*(make_call(n, task=f"t{n % 3}") for n in range(9)))
    with store.database.transaction() as conn:
        assert store.calls.reassign(conn, "t1", "t2") == 3
    assert {task: volume.calls for task, volume in store.calls.volumes().items()} == {
        "t0": 3,
        "t2": 6,
    }
