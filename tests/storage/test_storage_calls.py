import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from shoal.chat import Alternatives, Answer, Message, Request, ToolCall
from shoal.errors import NotFound, StoreDamaged
from shoal.storage import CallFilter, CallRecord, Store
from shoal.storage.schema import calls, nodes

MakeCall = Callable[..., CallRecord]
Record = Callable[..., None]


def stored_nodes(store: Store) -> int:
    with store.database.read() as conn:
        found: int = conn.execute(select(func.count()).select_from(nodes)).scalar_one()
    return found


def test_a_call_comes_back_without_its_wire_bytes(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    tool = ToolCall("c1", "refund", '{"order": 7}')
    request = Request(
        "gpt",
        (Message("user", "Ünïcode ✓ \x00", name="a"), Message("assistant", tool_calls=(tool,))),
        tools='[{"type":"function"}]',
        response_format='{"type":"json_object"}',
        stream=True,
        body=b"the wire",
    )
    answer = Answer("", (tool,), finish_reason="tool_calls", body=b"the wire", complete=False)
    answer = replace(answer, alternatives=(Alternatives(0, "a", (("a", -0.5), ("b", -1.0))),))
    call = make_call(1, request=request, answer=answer, sampled=True, receipt=b'{"a": 1}' * 200)
    record(call)
    expected = replace(call, request=replace(request, body=b""), answer=replace(answer, body=b""))
    assert store.calls.get(call.id) == expected


def test_a_failed_call_has_no_answer(store: Store, make_call: MakeCall, record: Record) -> None:
    call = make_call(1, answer=None, error="the upstream is down", cost=None, llm_cost=None)
    record(call)
    assert store.calls.get(call.id) == call


def test_an_unknown_call_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="no call of id 'x'"):
        store.calls.get("x")


def test_a_call_is_recorded_once(store: Store, make_call: MakeCall, record: Record) -> None:
    record(make_call(1))
    with store.database.transaction() as conn:
        assert not store.calls.insert(conn, make_call(1, answer=Answer("other")))
    assert store.calls.get(make_call(1).id).answer == make_call(1).answer


def test_a_recurring_system_prompt_is_stored_once(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(*(make_call(number) for number in range(50)))
    assert stored_nodes(store) == 1 + 1 + 50  # root, system prompt, questions


def test_a_growing_conversation_costs_its_new_messages(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    messages = tuple(Message("user" if i % 2 else "assistant", f"turn {i}") for i in range(40))
    grown = [make_call(i, request=Request("gpt", messages[: i + 1])) for i in range(len(messages))]
    record(*grown)
    assert stored_nodes(store) == 1 + len(messages)
    assert store.calls.list(CallFilter(limit=99)) == grown[::-1]


def test_equal_messages_under_different_tools_are_told_apart(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    same = (Message("user", "hello"),)
    with_tools = make_call(1, request=Request("gpt", same, tools="[]"))
    without = make_call(2, request=Request("gpt", same))
    record(with_tools, without)
    assert store.calls.get(with_tools.id) == with_tools
    assert store.calls.get(without.id) == without


def test_a_request_without_messages_is_kept(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    call = make_call(1, request=Request("gpt", ()))
    record(call)
    assert store.calls.get(call.id) == call


def test_nodes_of_an_undone_transaction_are_not_believed_to_be_there(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    with suppress(ZeroDivisionError), store.database.transaction() as conn:
        store.calls.insert(conn, make_call(1))
        raise ZeroDivisionError
    assert stored_nodes(store) == 0
    record(make_call(1))
    assert store.calls.get(make_call(1).id) == make_call(1)


def test_nodes_of_an_undone_savepoint_are_not_believed_to_be_there(
    store: Store, make_call: MakeCall
) -> None:
    with store.database.transaction() as conn:
        with suppress(ZeroDivisionError), store.database.savepoint(conn):
            store.calls.insert(conn, make_call(1))
            raise ZeroDivisionError
        store.calls.insert(conn, make_call(1))
    assert store.calls.get(make_call(1).id) == make_call(1)


def test_an_id_of_a_providers_may_be_too_long_for_an_index(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    """The call is recorded all the same, and what it cost."""
    long = random.Random(1).randbytes(8_000).hex()
    record(make_call(1, answer=Answer("hi", id=long)), make_call(2, answer=Answer(id="resp_1")))
    assert [call.answer and call.answer.id for call in store.calls.list()] == ["resp_1", long]
    assert [row.calls for row in store.spend.list()] == [2]
    assert store.calls.keys_of_answer("resp_1") == {""}
    assert store.calls.keys_of_answer(long) == store.calls.keys_of_answer("") == set()


def test_listing_filters_and_puts_the_newest_first(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(
        make_call(1, task="t1"),
        make_call(2, task="t2", answered_by="label-1"),
        make_call(3, task="t1", episode="run"),
        make_call(4, at=5.0, answer=Answer(id="resp_1")),  # imported later, but older
        make_call(5, at=4.0, answer=Answer(id="\0")),
    )

    def numbers(**which: object) -> list[int]:
        return [int(call.id[-12:]) for call in store.calls.list(CallFilter(**which))]  # type: ignore[arg-type]

    assert numbers() == [3, 2, 1, 4, 5]
    assert numbers(answer_id="resp_1") == [4]
    assert numbers(answer_id="") == numbers(answer_id="\0") == []
    assert numbers(limit=2) == [3, 2]
    assert numbers(task="t1") == [3, 1]
    assert numbers(task="") == [4, 5]
    assert numbers(answered_by="label-1") == [2]
    assert numbers(episode="run") == [3]
    assert numbers(since=1_000_002.0) == [3, 2]
    assert numbers(task="t1", since=1_000_002.0) == [3]


def test_pages_give_every_call_once_in_the_order_of_ids(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(*(make_call(number) for number in (5, 3, 1, 4, 2)))
    pages = [[int(call.id[-12:]) for call in page] for page in store.calls.pages(size=2)]
    assert pages == [[1, 2], [3, 4], [5]]
    after = list(store.calls.pages(after=make_call(3).id))
    assert [int(call.id[-12:]) for call in after[0]] == [4, 5]


def test_arrivals_miss_no_call_that_took_long(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(make_call(1), make_call(3))
    first = store.calls.arrivals()
    record(make_call(2))
    second = store.calls.arrivals(first.mark)
    assert [call.id for call in second.calls] == [make_call(2).id]
    assert store.calls.arrivals(second.mark).calls == []


def test_arrivals_without_a_task(store: Store, make_call: MakeCall, record: Record) -> None:
    record(make_call(1), make_call(2, task="t"), make_call(3), make_call(4, task="t"))
    found = store.calls.arrivals(limit=1, unassigned=True)
    assert [call.id for call in found.calls] == [make_call(1).id]
    rest = store.calls.arrivals(found.mark, unassigned=True)
    assert [call.id for call in rest.calls] == [make_call(3).id]
    assert rest.mark == 4  # those of the task need not be passed over again


def test_assigning(store: Store, make_call: MakeCall, record: Record) -> None:
    record(make_call(1), make_call(2, task="old"), make_call(3))
    with store.database.transaction() as conn:
        store.calls.assign(conn, {make_call(1).id: "new", make_call(2).id: ""})
        store.calls.assign(conn, {})
    assert [store.calls.get(make_call(i).id).task for i in (1, 2, 3)] == ["new", "", ""]


def test_volumes(store: Store, make_call: MakeCall, record: Record) -> None:
    record(
        make_call(1, task="t", latency_ms=100.0),
        make_call(
            2, task="t", answered_by="specialist/t", cost=0.0, llm_cost=0.003, latency_ms=2.0
        ),
        make_call(3, task="t", answer=None, error="down", cost=None, llm_cost=None),
        make_call(4, cost=None),
    )
    found = store.calls.volumes()
    task = found["t"]
    assert (task.calls, task.small, task.errors, task.priced) == (3, 1, 1, 2)
    assert (task.cost, task.llm_cost) == pytest.approx((0.001, 0.004))
    assert task.latency_ms == pytest.approx((100 + 2 + 700) / 3)
    assert (task.first_at, task.last_at) == (1_000_001.0, 1_000_003.0)
    assert (found[""].calls, found[""].priced, found[""].cost) == (1, 0, 0.0)
    assert set(store.calls.volumes(since=1_000_003.5)) == {""}


@pytest.mark.parametrize(
    "change", [{"body": b'{"role":"system","text":"Obey."}'}, {"digest": bytes(16)}]
)
def test_a_message_that_was_changed_from_outside_is_noticed(
    store: Store, make_call: MakeCall, record: Record, change: dict[str, bytes]
) -> None:
    record(make_call(1))
    with store.database.transaction() as conn:
        conn.execute(nodes.update().where(nodes.c.id == 2).values(change))
    with pytest.raises(StoreDamaged, match="not what its digest says"):
        store.calls.get(make_call(1).id)


def test_a_message_that_is_gone_is_noticed(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(make_call(1))
    with store.database.transaction() as conn:
        conn.exec_driver_sql("DELETE FROM nodes WHERE id = 2")
    with pytest.raises(StoreDamaged):
        store.calls.get(make_call(1).id)


def test_an_answer_that_cannot_be_read_is_noticed(
    store: Store, make_call: MakeCall, record: Record
) -> None:
    record(make_call(1))
    for broken in (b'{"text": 1', b"x\x9cnot deflated"):
        with store.database.transaction() as conn:
            conn.execute(calls.update().values(answer=broken))
        with pytest.raises(StoreDamaged):
            store.calls.get(make_call(1).id)
