"""What holds for every sequence of things put into the store."""

from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.storage import CallFilter, CallRecord, Store, StoreOptions, bodies
from shoal.storage.expiry import expire
from shoal.storage.packing import pack, unpack
from shoal.storage.schema import calls, nodes

# few different values, so that prefixes are shared, and any text at all, so that nothing is lost
some_text = st.sampled_from(["", "a", "b", "{}", '"', "x\x9c", "é", "\x00", "😀", "n" * 600])
text = some_text | st.text()
tool_calls = st.lists(st.builds(ToolCall, text, text, text), max_size=2).map(tuple)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    text=text,
    parts=some_text,
    name=some_text,
    tool_calls=st.just(()) | tool_calls,
    tool_call_id=some_text,
)
requests = st.builds(
    Request,
    model=text,
    messages=st.lists(messages, max_size=5).map(tuple),
    tools=some_text,
    response_format=some_text,
    params=text,
    stream=st.booleans(),
)
tokens = st.integers(0, 2**40)
answers = st.builds(
    Answer,
    text=text,
    tool_calls=tool_calls,
    finish_reason=text,
    refusal=text,
    model=text,
    usage=st.none() | st.builds(Usage, tokens, tokens, tokens, tokens, st.booleans()),
    complete=st.booleans(),
)
amounts = st.floats(allow_nan=False, allow_infinity=False)


SOURCES: tuple[Literal["live"], Literal["import"]] = ("live", "import")


@st.composite
def histories(draw: st.DrawFn) -> list[CallRecord]:
    """Calls with ids in order, many of which go on where an earlier one stopped."""
    made: list[CallRecord] = []
    for number in range(draw(st.integers(1, 5))):
        request = draw(requests)
        goes_on: bool = draw(st.booleans())
        if made and goes_on:
            before = draw(st.sampled_from(made)).request
            kept = before.messages[: draw(st.integers(0, len(before.messages)))]
            request = Request(
                request.model, (*kept, *request.messages), before.tools, before.response_format
            )
        made.append(
            CallRecord(
                id=f"{number:04d}",
                at=draw(amounts),
                episode=draw(text),
                request=request,
                answer=draw(st.none() | answers),
                error=draw(some_text),
                task=draw(some_text),
                answered_by=draw(some_text),
                reason=draw(text),
                llm=draw(some_text),
                sampled=draw(st.booleans()),
                cost=draw(st.none() | amounts),
                llm_cost=draw(st.none() | amounts),
                latency_ms=draw(amounts),
                receipt=draw(st.sampled_from([b"{}", b'{"tried": []}', b'"%0700d"' % number])),
                source=draw(st.sampled_from(SOURCES)),
            )
        )
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(StoreOptions(path=tmp_path_factory.mktemp("laws"))) as store:
        yield store


def emptied(store: Store) -> Store:
    """The store without calls, but with what its connections believe to know of nodes."""
    with store.database.transaction() as conn:
        last = list(conn.execute(select(calls.c.node)).scalars())
        conn.execute(delete(calls))
        bodies.collect(conn, last)
    return store


def insert(store: Store, history: list[CallRecord]) -> None:
    with store.database.transaction() as conn:
        for call in history:
            assert store.calls.insert(conn, call)


def prefixes(history: list[CallRecord]) -> set[tuple[str, str, tuple[Message, ...]]]:
    return {
        (call.request.tools, call.request.response_format, call.request.messages[:length])
        for call in history
        for length in range(len(call.request.messages) + 1)
    }


def count_nodes(store: Store) -> int:
    with store.database.read() as conn:
        return int(conn.execute(select(func.count()).select_from(nodes)).scalar_one())


law = settings(max_examples=40, deadline=None)


@law
@given(history=histories())
def test_what_goes_in_comes_out_and_each_distinct_prefix_is_one_node(
    store: Store, history: list[CallRecord]
) -> None:
    insert(emptied(store), history)
    assert [call for page in store.calls.pages(size=2) for call in page] == history
    assert store.calls.arrivals(limit=99).calls == history
    for call in history:
        assert store.calls.get(call.id) == call
    assert count_nodes(store) == len(prefixes(history))


@law
@given(history=histories(), data=st.data())
def test_removing_calls_removes_what_only_they_used(
    store: Store, history: list[CallRecord], data: st.DataObject
) -> None:
    insert(emptied(store), history)
    gone = data.draw(st.sets(st.sampled_from([call.id for call in history])))
    with store.database.transaction() as conn:
        conn.execute(calls.update().values(at=1e9))
        conn.execute(calls.update().where(calls.c.id.in_(gone)).values(at=0.0))
    assert expire(store.database, now=1e9, keep_days=90, max_gb=1.0) == len(gone)
    left = [call for call in history if call.id not in gone]
    assert count_nodes(store) == len(prefixes(left))
    assert [call.id for page in store.calls.pages() for call in page] == [c.id for c in left]
    insert(store, [call for call in history if call.id in gone])  # what went can come again
    for call in history:
        assert store.calls.get(call.id).request == call.request


@law
@given(history=histories(), task=some_text, since=amounts, limit=st.integers(1, 5))
def test_a_list_is_what_the_filter_says(
    store: Store, history: list[CallRecord], task: str, since: float, limit: int
) -> None:
    insert(emptied(store), history)
    found = store.calls.list(CallFilter(task=task, since=since, limit=limit))
    fitting = [call for call in history if call.task == task and call.at >= since]
    fitting.sort(key=lambda call: (call.at, call.id), reverse=True)
    assert found == fitting[:limit]


@given(st.binary(max_size=20).map(lambda data: b"{" + data) | st.text(min_size=600).map(str.encode))
def test_packing_is_undone_and_never_longer(content: bytes) -> None:
    json = b'"' + content + b'"'
    assert unpack(pack(json)) == json
    assert len(pack(json)) <= len(json)
