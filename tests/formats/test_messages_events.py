"""The events of a streamed Messages answer, read and written."""

import json
from typing import Any

import pytest

from shoal.chat import Answer, CallDelta, Delta, Reasoning, Request, ToolCall, Usage
from shoal.errors import EngineRefused, EngineUnreachable
from shoal.formats import AnswerAssembler, Envelope
from shoal.formats.events import EventSplitter, data_of
from shoal.formats.messages import MESSAGES, MessageDecoder, MessageWriter
from shoal.formats.reader import StreamReader

PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def event(kind: str, **members: object) -> bytes:
    data = json.dumps({"type": kind, **members})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def started(index: int, **block: object) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def piece(index: int, kind: str, **delta: object) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **delta})


def stopped(index: int) -> bytes:
    return event("content_block_stop", index=index)


START = event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 100, "output_tokens": 1},
    },
)
STOP = event("message_stop")


def ending(reason: str, **usage: object) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


def read(*events: bytes) -> StreamReader:
    reader = StreamReader(MESSAGES.new_decoder(False))
    passed = reader.feed(b"".join(events))
    if reader.failure is None:
        assert b"".join(step.raw for step in passed) == b"".join(events)
    return reader


def written(*deltas: Delta) -> list[dict[str, Any]]:
    """All events of an answer; the first and the last two are checked here."""
    writer = MessageWriter(Envelope("x", 1, Request("asked", ())))
    sent = b"".join(writer.feed([delta]) for delta in deltas) + writer.end()
    events = [json.loads(data_of(one)) for one in EventSplitter().feed(sent)]
    assert [one["type"] for one in events[-2:]] == ["message_delta", "message_stop"]
    assert events[0]["type"] == "message_start"
    return events


def blocks(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks that these events make; they come one after the other, in order."""
    made: list[dict[str, Any]] = []
    is_open = False
    for one in events:
        if one["type"] == "content_block_start":
            assert not is_open
            assert one["index"] == len(made)
            made.append(dict(one["content_block"]))
            is_open = True
        elif one["type"] == "content_block_delta":
            assert is_open
            assert one["index"] == len(made) - 1
            (kind, value), block = list(one["delta"].items())[1], made[-1]
            block[kind] = block.get(kind, "") + value
        elif one["type"] == "content_block_stop":
            assert is_open
            is_open = False
    assert not is_open
    return made


# --- read ---


def test_a_whole_stream() -> None:
    reader = read(
        START,
        PING,
        started(0, type="thinking", thinking="", signature=""),
        piece(0, "thinking_delta", thinking="H"),
        piece(0, "thinking_delta", thinking="m."),
        piece(0, "signature_delta", signature="s"),
        stopped(0),
        started(1, type="redacted_thinking", data="x"),
        stopped(1),
        started(2, type="text", text=""),
        piece(2, "text_delta", text="One 🐟"),
        piece(2, "citations_delta", citation={"text": [1]}),
        stopped(2),
        started(3, type="tool_use", id="t1", name="look", input={}),
        piece(3, "input_json_delta", partial_json=""),
        piece(3, "input_json_delta", partial_json='{"at":'),
        piece(3, "input_json_delta", partial_json='"sea"}'),
        stopped(3),
        started(4, type="tool_use", id="t2", name="look", input={}),
        stopped(4),
        started(5, type="text", text="."),
        stopped(5),
        ending("tool_use", output_tokens=9),
        STOP,
    )
    assert reader.done
    assert reader.answer == Answer(
        text="One 🐟.",
        tool_calls=(ToolCall("t1", "look", '{"at":"sea"}'), ToolCall("t2", "look", "{}")),
        finish_reason="tool_calls",
        model="claude",
        usage=Usage(103, 9, cached_tokens=100),
        reasoning=(Reasoning("Hm.", "s"), Reasoning("", "x", sealed=True)),
    )


def test_an_input_may_come_with_the_beginning_of_its_block() -> None:
    reader = read(START, started(0, type="tool_use", id="t", name="n", input={"a": 1}), stopped(0))
    assert reader.answer.tool_calls == (ToolCall("t", "n", '{"a": 1}'),)


def test_blocks_and_events_that_are_not_known_are_passed_on_unread() -> None:
    reader = read(
        START,
        started(0, type="server_tool_use", id="s", name="web_search", input={}),
        piece(0, "input_json_delta", partial_json='{"query":"x"}'),
        stopped(0),
        started(1, type="web_search_tool_result", content=[{"text": "no"}], text=[1]),
        piece(1, "text_delta", text="not the answer"),
        stopped(1),
        event("not yet known", message="x", index="y"),
        started(2, type="text", text="yes"),
        ending("end_turn", output_tokens=1),
        STOP,
    )
    assert (reader.answer.text, reader.answer.tool_calls) == ("yes", ())


def test_what_is_known_of_the_usage_before_the_end_is_an_estimate() -> None:
    reader = read(START, started(0, type="text", text="half"))
    assert reader.answer.usage == Usage(103, 1, cached_tokens=100, estimated=True)
    reader.feed(event("message_delta", delta={"stop_reason": "end_turn"}) + STOP)
    assert reader.answer.usage == Usage(103, 1, cached_tokens=100, estimated=True)


def test_counts_at_the_end_replace_those_at_the_start() -> None:
    reader = read(START, ending("max_tokens", input_tokens=5, output_tokens=2), STOP)
    assert reader.answer.usage == Usage(105, 2, cached_tokens=100)
    assert reader.answer.finish_reason == "length"


def test_a_refusal() -> None:
    told = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "No."}}
    reader = read(START, event("message_delta", delta=told, usage={"output_tokens": 0}), STOP)
    assert (reader.answer.refusal, reader.answer.finish_reason) == ("No.", "content_filter")


def test_an_answer_that_says_why_it_ended_is_whole_without_its_last_event() -> None:
    reader = read(START, ending("end_turn", output_tokens=1))
    assert not reader.answer.complete
    reader.end()
    assert reader.answer.complete
    cut = read(START, started(0, type="text", text="half"))
    cut.end()
    assert not cut.answer.complete


@pytest.mark.parametrize(
    ("kind", "status"),
    [("overloaded_error", 529), ("rate_limit_error", 429), ("api_error", 500), ("other", 502)],
)
def test_an_error_ends_the_stream(kind: str, status: int) -> None:
    told = event("error", error={"type": kind, "message": "no"})
    reader = read(START, told, started(0, type="text", text="never read"))
    assert isinstance(reader.failure, EngineRefused)
    assert reader.failure.status == status
    assert reader.failure.body == data_of(told)
    assert reader.answer.text == ""


@pytest.mark.parametrize(
    "sent", [b"data: <html>\n\n", b"data: 3\n\n", b"data: {}\n\n", b'data: {"type":"error"\n\n']
)
def test_what_is_no_event(sent: bytes) -> None:
    reader = read(START, sent)
    assert isinstance(reader.failure, EngineUnreachable)
    assert "no event of a message" in str(reader.failure)


def test_a_known_event_of_another_form_is_none() -> None:
    with pytest.raises(EngineUnreachable):
        MessageDecoder().read(b'data: {"type":"content_block_delta","delta":{"text":1}}\n\n')


# --- written ---


def test_an_answer_is_written_block_by_block() -> None:
    events = written(
        Delta(model="claude"),
        Delta(thinking="H"),
        Delta(thinking="m.", signature="s"),
        Delta(signature="x", sealed=True),
        Delta(text="One "),
        Delta(text="answer."),
        Delta(calls=(CallDelta(0, "t", "look", '{"at":'),)),
        Delta(calls=(CallDelta(0, arguments='"sea"}'),)),
        Delta(finish_reason="tool_calls"),
        Delta(usage=Usage(123, 9, cached_tokens=100, cache_write_tokens=20)),
    )
    assert events[0]["message"]["model"] == "claude"
    assert events[0]["message"]["id"] == "msg_x"
    assert blocks(events) == [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "One answer."},
        {
            "type": "tool_use",
            "id": "t",
            "name": "look",
            "input": {},
            "partial_json": '{"at":"sea"}',
        },
    ]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-2]["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 100,
        "output_tokens": 9,
    }


def test_calls_that_come_mixed_are_sorted() -> None:
    made = blocks(
        written(
            Delta(calls=(CallDelta(0, "a", "f", '{"x"'), CallDelta(1, "b", "g", '{"y"'))),
            Delta(calls=(CallDelta(1, arguments=":2}"),)),
            Delta(calls=(CallDelta(0, arguments=":1}"),)),
            Delta(finish_reason="tool_calls"),
        )
    )
    assert [(block["id"], block["partial_json"]) for block in made] == [
        ("a", '{"x":1}'),
        ("b", '{"y":2}'),
    ]


def test_a_call_that_is_whole_is_sent_when_something_else_begins() -> None:
    writer = MessageWriter(Envelope("x", 1, Request("m", ())))
    writer.feed([Delta(model="m")])
    assert writer.feed([Delta(calls=(CallDelta(0, "a", "f", '{"x":'),))]) == PING
    assert writer.feed([Delta(calls=(CallDelta(0, arguments="1}"),))]) == PING
    assert b'"id":"a"' in writer.feed([Delta(calls=(CallDelta(1, "b", "g"),))])
    rest = writer.feed([Delta(text="later")]) + writer.end()
    assert b'"id":"b"' in rest
    assert rest.count(b'"id":"a"') == 0


def test_text_after_a_call_and_calls_after_text() -> None:
    made = blocks(
        written(
            Delta(text="one"),
            Delta(calls=(CallDelta(0, "a", "f", "{}"),)),
            Delta(text="two"),
            Delta(calls=(CallDelta(1, "b", "g", "{}"),)),
            Delta(finish_reason="tool_calls"),
        )
    )
    assert [block.get("text", block.get("id")) for block in made] == ["one", "a", "two", "b"]


def test_text_within_a_call_that_is_not_whole() -> None:
    made = blocks(
        written(
            Delta(calls=(CallDelta(0, "a", "f", '{"x":'),)),
            Delta(text="one"),
            Delta(calls=(CallDelta(0, arguments="1}"),)),
            Delta(text="two"),
        )
    )
    assert [block.get("text", block.get("partial_json")) for block in made] == [
        "one",
        '{"x":1}',
        "two",
    ]


@pytest.mark.parametrize("arguments", ["look", '{"a":', "[1]"])
def test_arguments_that_are_no_object_make_a_valid_block(arguments: str) -> None:
    (block,) = blocks(written(Delta(calls=(CallDelta(0, "a", "f", arguments),))))
    assert json.loads(block["partial_json"]) == {"arguments": arguments}


def test_arguments_may_be_missing() -> None:
    (block,) = blocks(written(Delta(calls=(CallDelta(0, "a", "f"),))))
    assert block["partial_json"] == "{}"


def test_a_refusal_is_told_at_the_end() -> None:
    events = written(Delta(refusal="I "), Delta(refusal="won't."), Delta(finish_reason="stop"))
    assert blocks(events) == []
    assert events[-2]["delta"]["stop_details"]["explanation"] == "I won't."
    assert events[-2]["delta"]["stop_reason"] == "refusal"


def test_an_empty_answer_is_a_whole_message_still() -> None:
    events = written()
    assert [one["type"] for one in events] == ["message_start", "message_delta", "message_stop"]
    assert events[0]["message"]["model"] == "asked"
    assert events[-2]["delta"]["stop_reason"] == "end_turn"


def test_what_is_written_is_read_back() -> None:
    assembler = AnswerAssembler()
    deltas = [
        Delta(model="m", thinking="t", signature="s"),
        Delta(text="x", calls=(CallDelta(0, "a", "f", "{}"),), finish_reason="tool_calls"),
        Delta(usage=Usage(5, 6)),
    ]
    for delta in deltas:
        assembler.add(delta)
    writer = MessageWriter(Envelope("x", 1, Request("m", ())))
    reader = StreamReader(MessageDecoder())
    reader.feed(writer.feed(deltas) + writer.end())
    assert reader.answer == assembler.answer(complete=True)


def test_an_error_event_holds_its_body_line_by_line() -> None:
    assert MESSAGES.error_event(b'{"a":\n1}') == b'event: error\ndata: {"a":\ndata: 1}\n\n'
