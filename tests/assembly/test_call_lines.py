"""The line of a call: what is written is read back as the same call."""

import json
import uuid

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from shoal.assembly.call_lines import LineReader, encode_line, is_whole
from shoal.assembly.record import receipt_of
from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.errors import CallFileError
from shoal.routing.receipt import Receipt, Tried
from shoal.storage import CallRecord

NOW = 1_800_000_000.0

texts = st.text(max_size=30)
names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
tool_calls = st.lists(st.builds(ToolCall, names, names, texts), max_size=2).map(tuple)
money = st.none() | st.floats(0, 1e3)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    text=texts,
    name=texts,
    tool_calls=tool_calls,
    tool_call_id=texts,
)
requests = st.builds(
    Request,
    model=names,
    messages=st.lists(messages, min_size=1, max_size=4).map(tuple),
    tools=st.sampled_from(["", '[{"type":"function","function":{"name":"f"}}]']),
    response_format=st.sampled_from(["", '{"type":"json_object"}']),
    params=st.sampled_from(["{}", '{"temperature":0.5,"seed":3}']),
    stream=st.booleans(),
)
answers = st.builds(
    Answer,
    text=texts,
    tool_calls=tool_calls,
    finish_reason=st.sampled_from(["stop", "length", "tool_calls"]),
    refusal=texts,
    model=names,
    usage=st.none() | st.builds(Usage, *([st.integers(0, 10**6)] * 4)),
)


@st.composite
def calls(draw: st.DrawFn) -> CallRecord:
    request = draw(requests)
    at = draw(st.floats(1, 4e9))
    receipt = Receipt(
        call_id=str(draw(st.uuids(version=4))),
        at=at,
        llm=request.model,
        answered_by=draw(st.sampled_from([request.model, "specialist/x"])),
        reason=draw(texts),
        tried=(Tried("specialist/x", False, "signal under the threshold", 0.3, 0.5),),
        sampled=draw(st.booleans()),
        cost=draw(money),
        llm_cost=draw(money),
        latency_ms=draw(st.floats(0, 1e6)),
        episode=draw(texts),
    )
    return CallRecord(
        id=receipt.call_id,
        episode=receipt.episode,
        at=at,
        request=request,
        answer=draw(answers),
        answered_by=receipt.answered_by,
        reason=receipt.reason,
        llm=receipt.llm,
        sampled=receipt.sampled,
        cost=receipt.cost,
        llm_cost=receipt.llm_cost,
        latency_ms=receipt.latency_ms,
        receipt=msgspec.json.encode(receipt),
    )


@given(calls())
def test_a_call_comes_back_from_its_line(call: CallRecord) -> None:
    line = encode_line(call, "some task")
    assert line.count(b"\n") == 1
    back = LineReader("", NOW).read(line)
    assert receipt_of(back) == receipt_of(call)
    assert back.episode == call.episode
    assert back == replace(call, source="import")


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["request", "response", "messages", "body", "id", "at", "model",
                         "choices", "message", "role", "content", "receipt"]), inner),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_other_line_is_a_clear_error(line: bytes) -> None:
    try:
        call = LineReader("gpt", NOW).read(line)
    except CallFileError as error:
        said = str(error)
        event(said[:20])
    else:
        assert is_whole(call)
        assert call.request.messages


def a_line(**more: object) -> bytes:
    request = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
    response = {"choices": [{"message": {"content": "hello"}}]}
    return json.dumps({"request": request, "response": response, **more}).encode()


def test_a_new_id_is_a_uuid_of_its_time() -> None:
    call = LineReader("", NOW).read(a_line(at=1_700_000_000.5))
    found = uuid.UUID(call.id)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == 1_700_000_000_500


def test_ids_depend_on_content_and_on_equal_lines_before() -> None:
    first, second = LineReader("", NOW), LineReader("", NOW + 5)
    a, b, again = (first.read(line).id for line in (a_line(), a_line(n=1), a_line()))
    assert len({a, b, again}) == 3
    assert [second.read(line).id for line in (a_line(n=1), a_line(), a_line())] == [b, a, again]


@pytest.mark.parametrize("at", [float("inf"), 0, -1, 1e12])
def test_impossible_times_are_refused(at: float) -> None:
    with pytest.raises(CallFileError):
        LineReader("", NOW).read(a_line(at=at))


def test_what_chat_completions_cannot_say_is_kept_in_the_line() -> None:
    """A call that came in another format is exported all the same, and comes back as it was."""
    params = '{"shoal:untranslatable":["tools[0] (web_search)"]}'
    request = Request("m", (Message("user", "hi"),), tools='[{"type":"web_search"}]', params=params)
    call = CallRecord(id=str(uuid.uuid4()), at=NOW, request=request, answer=Answer(text="a"))
    back = LineReader("", NOW).read(encode_line(call, ""))
    assert back.request == request


def test_a_call_that_asked_for_what_only_its_own_format_says_is_exported_too() -> None:
    params = '{"shoal:untranslatable":["container"],"shoal:messages":{"container":"c"}}'
    call = CallRecord(
        id=str(uuid.uuid4()),
        at=NOW,
        request=Request("m", (Message("user", "x"),), params=params),
        answer=Answer("y"),
        answered_by="m",
        reason="",
        llm="m",
    )
    line = encode_line(call, "")
    assert LineReader("", NOW).read(line).request.params == params
