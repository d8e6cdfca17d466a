"""Answers of the Responses API, whole and streamed, and its errors."""

import json

import pytest
from msgspec.structs import replace

from shoal.chat import Answer, CallDelta, Delta, Message, Reasoning, Request, ToolCall, Usage
from shoal.errors import EngineRefused, EngineUnreachable
from shoal.formats import FORMATS, Envelope, ErrorText, deltas_of
from shoal.formats.reader import StreamReader

RESPONSES = FORMATS["responses"]
TOOLS = '[{"type":"custom","custom":{"name":"patch"}}]'
REQUEST = Request("gpt", (Message("user", "hi"),), tools=TOOLS, format="responses")
ENVELOPE = Envelope("call-1", 1_700_000_000, REQUEST)
ANSWER = Answer(
    text="Grüße 🐟",
    tool_calls=(ToolCall("c1", "look", '{"at":1}'), ToolCall("c2", "patch", "@@")),
    finish_reason="tool_calls",
    model="up",
    usage=Usage(7, 5, cached_tokens=3, reasoning_tokens=2, cache_write_tokens=1),
    reasoning=(Reasoning("hm", "signed"), Reasoning("", "rs_9:enc", True), Reasoning("so")),
)


def reply(*output: object, **changes: object) -> bytes:
    whole = {"id": "resp_1", "object": "response", "status": "completed", "model": "up"}
    return json.dumps(whole | {"output": list(output)} | changes).encode()


def said(*parts: object) -> dict[str, object]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(parts)}


def text(words: str) -> dict[str, object]:
    return {"type": "output_text", "text": words, "annotations": []}


def event(kind: str, **members: object) -> bytes:
    data = json.dumps({"type": kind, **members}).encode()
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


def events(written: bytes) -> list[dict[str, object]]:
    found = []
    for block in written.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        found.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + str(found[-1]["type"]).encode()
    return found


def read(stream: bytes) -> StreamReader:
    reader = StreamReader(RESPONSES.new_decoder(False))
    reader.feed(stream)
    reader.end()
    return reader


def written(*deltas: Delta, envelope: Envelope = ENVELOPE) -> list[dict[str, object]]:
    writer = RESPONSES.new_writer(envelope)
    return events(writer.feed(deltas) + writer.end())


def test_a_reply_is_read_whole() -> None:
    body = reply(
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}]},
        {"type": "web_search_call", "id": "w", "status": "completed", "arguments": {"odd": 1}},
        said(text("one "), {"type": "refusal", "refusal": "no"}),
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "id": "ct", "call_id": "c2", "name": "g", "input": "x"},
        said(text("two")),
        usage={
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 14,
        },
    )
    assert RESPONSES.decode_answer(body) == Answer(
        text="one two",
        tool_calls=(ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "x")),
        finish_reason="tool_calls",
        refusal="no",
        model="up",
        usage=Usage(9, 5, 4, 3, cache_write_tokens=2),
        body=body,
        reasoning=(Reasoning("a"),),
        format="responses",
        id="resp_1",
    )


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_output_tokens", "length"),
        ("max_messages", "length"),
        ("content_filter", "content_filter"),
        ("steered", "stop"),
        (None, "length"),
    ],
)
def test_why_it_ended(reason: str | None, finish: str) -> None:
    details = {"reason": reason} if reason else None
    body = reply(said(text("a")), status="incomplete", incomplete_details=details)
    assert RESPONSES.decode_answer(body).finish_reason == finish
    stream = event("response.incomplete", response=json.loads(body))
    assert read(stream).answer == Answer(text="a", finish_reason=finish, model="up", id="resp_1")


def test_an_answer_in_the_works_is_not_complete() -> None:
    body = reply(status="queued")
    assert not RESPONSES.decode_answer(body).complete


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it is not JSON"),
        (b"[]", "expected an object"),
        (b"{}", "'output' is missing"),
        (reply(output=3), "output: expected a list"),
        (reply(said(3)), "expected an object"),
        (reply({"type": "function_call", "name": 3}), "name: expected a string"),
        (b'{"output":' + b"[" * 100_000, "it is not JSON"),
    ],
)
def test_what_is_no_answer_is_said(body: bytes, why: str) -> None:
    with pytest.raises(EngineUnreachable, match="the reply is not a response") as caught:
        RESPONSES.decode_answer(body)
    assert why in str(caught.value)


def test_odd_numbers_and_half_pairs_cost_no_answer() -> None:
    body = (
        b'{"output":[{"type":"message","content":[{"type":"output_text","text":"a\\ud83d",'
        b'"logprobs":NaN}]}],"usage":{"input_tokens":"many"}}'
    )
    assert RESPONSES.decode_answer(body) == Answer(text="a?", body=body, format="responses")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"code": "rate_limit_exceeded", "message": "slow"}, 429, "rate_limit_exceeded"),
        ({"code": "server_error", "message": "down"}, 502, "server_error"),
        ({"code": "invalid_image", "message": "what?"}, 400, "invalid_image"),
        ({"code": "overloaded", "message": "wait"}, 502, "overloaded"),
        (None, 502, "server_error"),
    ],
)
def test_an_answer_that_failed_is_an_error(
    error: dict[str, str] | None, status: int, code: str
) -> None:
    body = reply(status="failed", error=error)
    with pytest.raises(EngineRefused) as caught:
        RESPONSES.decode_answer(body)
    assert caught.value.status == status
    assert RESPONSES.is_error(caught.value.body)
    told = json.loads(caught.value.body)["error"]
    assert told["code"] == code
    assert (told["message"] == error["message"]) if error else told["message"]
    reader = read(event("response.failed", response=json.loads(body)))
    assert isinstance(reader.failure, EngineRefused)
    assert (reader.failure.status, reader.failure.body) == (status, caught.value.body)


@pytest.mark.parametrize(
    "told",
    [
        {"code": "rate_limit_exceeded", "message": "slow", "param": None},
        {"error": {"code": "rate_limit_exceeded", "message": "slow", "type": "x"}},
    ],
)
def test_an_error_in_the_stream_ends_it(told: dict[str, object]) -> None:
    reader = read(event("error", sequence_number=3, **told))
    assert isinstance(reader.failure, EngineRefused)
    assert reader.failure.status == 429
    assert json.loads(reader.failure.body)["error"]["message"] == "slow"


@pytest.mark.parametrize("data", [b"nonsense", b"{}", b'{"type":3}', b'{"choices":[]}'])
def test_garbage_in_the_stream_ends_it(data: bytes) -> None:
    reader = read(b"data: " + data + b"\n\n")
    assert isinstance(reader.failure, EngineUnreachable)


def test_a_stream_that_breaks_off_is_not_whole() -> None:
    reader = read(event("response.output_text.delta", output_index=0, delta="a"))
    assert reader.answer == Answer(text="a", finish_reason="", complete=False)
    cut = event("response.completed", response=json.loads(reply(said(text("a")))))
    assert read(cut[:-1]).answer.complete
    assert not read(cut[:-4]).answer.complete


def test_a_stream_is_read_whichever_events_hold_it() -> None:
    """Deltas, items at their end, or the response at the end of all: each is read once."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": part} for part in ("a", "b")],
        "encrypted_content": "x",
    }
    items = [thought, said(text("hi"), {"type": "refusal", "refusal": "no"}), call]
    ended = event("response.completed", response=json.loads(reply(*items)))
    done = [
        event("response.output_item.done", output_index=index, item=item)
        for index, item in enumerate(items)
    ]
    added = event("response.output_item.added", output_index=2, item=call | {"arguments": ""})
    deltas = [
        event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="a"),
        event("response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="b"),
        event("response.output_text.delta", output_index=1, content_index=0, delta="h"),
        event("response.output_text.delta", output_index=1, content_index=0, delta="i"),
        event("response.refusal.delta", output_index=1, content_index=1, delta="no"),
        added,
        event("response.function_call_arguments.delta", output_index=2, delta="{}"),
    ]
    expected = Answer(
        text="hi",
        tool_calls=(ToolCall("c", "f", "{}"),),
        finish_reason="tool_calls",
        refusal="no",
        model="up",
        reasoning=(Reasoning("a\n\nb", "rs_1:x"),),
        id="resp_1",
    )
    whole = b"".join([*deltas, *done, ended])
    assert read(whole).answer == expected
    assert read(whole.replace(added, b"")).answer == expected
    assert read(b"".join([*done, ended])).answer == expected
    assert read(ended).answer == expected
    assert read(whole.replace(b"event: ", b": ")).answer == expected
    assert RESPONSES.decode_answer(reply(*items)).reasoning == expected.reasoning


def test_an_item_that_ends_twice_is_read_once() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    done = [
        event("response.output_item.done", output_index=index, item=item)
        for index, item in enumerate([thought, call, thought | {"id": "rs_2"}])
    ]
    answer = read(b"".join(done + done)).answer
    assert answer.tool_calls == (ToolCall("c", "f", "{}"),)
    assert [block.signature for block in answer.reasoning] == ["rs_1:x", "rs_2:x"]


def test_events_of_tools_at_work_pass_unread() -> None:
    reader = StreamReader(RESPONSES.new_decoder(False))
    strange = event("response.web_search_call.searching", output_index=0, delta={"x": 1})
    ping = b": keep-alive\n\n"
    assert [piece.raw for piece in reader.feed(strange + ping)] == [strange, ping]
    assert reader.failure is None


def test_an_answer_is_written_and_read_back() -> None:
    body = RESPONSES.encode_answer(ANSWER, ENVELOPE)
    expected = replace(ANSWER, body=body, format="responses", id="resp_call-1")
    assert RESPONSES.decode_answer(body) == expected
    sent = json.loads(body)
    assert (sent["id"], sent["object"]) == ("resp_call-1", "response")
    assert (sent["status"], sent["error"], sent["incomplete_details"]) == ("completed", None, None)
    assert [item["type"] for item in sent["output"]] == [
        "reasoning",
        "reasoning",
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
    ]
    assert [item["id"] for item in sent["output"]][:4] == [
        "rs_shoal_call-1_0",
        "rs_9",
        "rs_shoal_call-1_2",
        "msg_call-1_3",
    ]
    assert sent["usage"]["total_tokens"] == 12


def test_what_was_asked_is_repeated() -> None:
    body = (
        b'{"model": "gpt", "input": "hi",\n "temperature": 0.25, "tools": [\n{"type": "x"}\n],'
        b' "metadata": {"a": "b"}, "top_p": null}'
    )
    envelope = Envelope("x", 7, RESPONSES.decode_request(body))
    whole = json.loads(RESPONSES.encode_answer(Answer(text="a"), envelope))
    assert (whole["temperature"], whole["top_p"], whole["tools"]) == (0.25, None, [{"type": "x"}])
    assert (whole["metadata"], whole["tool_choice"]) == ({"a": "b"}, "auto")
    for told in written(*deltas_of(Answer(text="a")), envelope=envelope):  # each data is one line
        if "response" in told:
            assert told["response"]["tools"] == [{"type": "x"}]  # type: ignore[index]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("stop", "completed", None),
    ],
)
def test_an_answer_that_is_cut_short_says_so(finish: str, status: str, reason: str | None) -> None:
    answer = Answer(text="a", finish_reason=finish)
    whole = json.loads(RESPONSES.encode_answer(answer, ENVELOPE))
    last = written(*deltas_of(answer))[-1]
    assert last["type"] == f"response.{status}"
    for told in (whole, last["response"]):
        assert told["status"] == status
        assert (told["incomplete_details"] or {}).get("reason") == reason
        assert told["output"][-1]["status"] == status


def test_an_answer_of_nothing_keeps_its_shape() -> None:
    told = json.loads(RESPONSES.encode_answer(Answer(), ENVELOPE))
    assert [part["text"] for part in told["output"][0]["content"]] == [""]
    assert written()[-1]["response"]["output"] == told["output"]  # type: ignore[index]
    assert read(RESPONSES.new_writer(ENVELOPE).end()).answer.complete


def test_the_order_of_events() -> None:
    kinds = [
        str(told["type"]).removeprefix("response.")
        for told in written(
            Delta(model="up"),
            Delta(thinking="hm"),
            Delta(thinking=".", signature="s"),
            Delta(text="a"),
            Delta(refusal="no"),
            Delta(calls=(CallDelta(0, "c", "f", ""),)),
            Delta(calls=(CallDelta(0, arguments="{}"),)),
            Delta(text="b", finish_reason="tool_calls"),
        )
    ]
    thought = ["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"]
    message = ["output_item.added", "content_part.added", "output_text.delta"]
    message_end = ["output_text.done", "content_part.done"]
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        *thought,
        *message,
        *message_end,
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        *message,
        *message_end,
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_a_thought_that_nobody_signed_ends_where_the_text_begins() -> None:
    kinds = [told["type"] for told in written(Delta(thinking="hm"), Delta(text="a"))]
    assert kinds.index("response.output_item.done") < kinds.index("response.output_text.delta")


def test_a_stream_ends_in_what_a_whole_answer_holds() -> None:
    answer = replace(ANSWER, reasoning=ANSWER.reasoning[:2])
    whole = json.loads(RESPONSES.encode_answer(answer, ENVELOPE))
    assert written(*deltas_of(answer))[-1]["response"] == whole


def test_events_are_numbered_and_name_their_items() -> None:
    told = written(*deltas_of(ANSWER))
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    output = told[-1]["response"]["output"]  # type: ignore[index]
    for one in told:
        if "item_id" in one:
            assert output[one["output_index"]]["id"] == one["item_id"]
        if one["type"] == "response.output_item.done":
            assert output[one["output_index"]] == one["item"]


def test_calls_without_ids_get_some() -> None:
    answer = Answer(tool_calls=(ToolCall("", "f", "{}"), ToolCall("", "f", "{}")))
    whole = json.loads(RESPONSES.encode_answer(answer, ENVELOPE))["output"]
    assert [item["call_id"] for item in whole] == ["call_call-1_0", "call_call-1_1"]
    assert written(*deltas_of(answer))[-1]["response"]["output"] == whole  # type: ignore[index]


def test_a_signature_that_comes_late_keeps_the_id_it_holds() -> None:
    told = written(Delta(thinking="hm"), Delta(signature="rs_9:enc"))
    item = told[-1]["response"]["output"][0]  # type: ignore[index]
    body = json.dumps({"model": "m", "input": [item, {"role": "user", "content": "x"}]}).encode()
    assert RESPONSES.decode_request(body).messages[0].reasoning == (Reasoning("hm", "rs_9:enc"),)


def test_errors() -> None:
    told = ErrorText(404, "there is no model 'x'", "model", "model_not_found", "call-1")
    body = RESPONSES.encode_error(told)
    assert RESPONSES.is_error(body)
    error = {
        "message": "there is no model 'x'",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    assert json.loads(body) == {"error": error}
    (event,) = events(RESPONSES.error_event(body))
    assert event.pop("error") == error
    error.pop("type")
    assert event == {"type": "error", **error, "sequence_number": 0}
    (odd,) = events(RESPONSES.error_event(b"<html>\n\xff"))
    assert odd["message"] == "<html>\n\ufffd"
    assert events(RESPONSES.error_event(b'{"error":{"x":' + b"[" * 100_000))
    assert not RESPONSES.is_error(reply(error=None, type="x"))
