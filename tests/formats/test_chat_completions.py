"""Chat Completions bytes to data and back."""

import json

import pytest
from msgspec.structs import replace

from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.errors import EngineRefused, EngineUnreachable, MalformedRequest
from shoal.formats import Target
from shoal.formats.chat_completions import (
    asks_usage,
    decode_answer,
    decode_request,
    digest_request,
    encode_answer,
    encode_request,
)
from shoal.formats.events import EventSplitter, data_of
from written_streams import ended, envelope, passed, reader, streamed

AGENT = {
    "model": "gpt",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is"},
                {"type": "image_url", "image_url": {"url": "data:,"}},
                {"type": "text", "text": "this?"},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a fish"},
    ],
    "tools": [{"type": "function", "function": {"name": "look"}}],
    "response_format": {"type": "json_object"},
    "temperature": 0.20,
    "unheard_of": {"a": [1, 2]},
}


def body(**changes: object) -> bytes:
    asked = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps(asked | changes).encode()


def test_a_request_is_read_whole() -> None:
    sent = json.dumps(AGENT).encode()
    request = decode_request(sent)
    assert request.model == "gpt"
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.messages[1].text == "What is\nthis?"
    assert json.loads(request.messages[1].parts) == AGENT["messages"][1]["content"]  # type: ignore[index]
    assert request.messages[2].tool_calls == (ToolCall("c1", "look", "{}"),)
    assert request.messages[3].tool_call_id == "c1"
    assert json.loads(request.tools) == AGENT["tools"]
    assert json.loads(request.response_format) == AGENT["response_format"]
    assert json.loads(request.params) == {"temperature": 0.2, "unheard_of": {"a": [1, 2]}}
    assert request.body is sent


def test_unread_fields_keep_their_text() -> None:
    sent = b'{"model":"a","messages":[{"role":"user"}],"x":1.50,"tools":[ 1e2 ],"y":"\\u00e9"}'
    request = decode_request(sent)
    assert request.params == '{"x":1.50,"y":"\\u00e9"}'
    assert request.tools == "[ 1e2 ]"


@pytest.mark.parametrize(
    ("sent", "param", "said"),
    [
        (b"", None, "the body is not JSON"),
        (b"[]", None, "must be a JSON object"),
        (b"{}", "model", "'model' is missing"),
        (b'{"model": 3, "messages": []}', "model", "expected the name of a model"),
        (b'{"model": ""}', "model", "expected the name of a model"),
        (b'{"model": "a"}', "messages", "'messages' is missing"),
        (body(messages=[]), "messages", "expected at least one message"),
        (body(messages=3), "messages", "messages: expected a list, got a number"),
        (body(messages=["hi"]), "messages[0]", "expected an object, got a string"),
        (body(messages=[{"content": "hi"}]), "messages[0]", "'role' is missing"),
        (
            body(messages=[{"role": "user"}, {"role": "user"}, {"role": "user", "content": 3}]),
            "messages[2].content",
            "messages[2].content: expected a string or a list of parts, got a number",
        ),
        (
            body(messages=[{"role": "user", "content": [{"type": "text", "text": [1]}]}]),
            "messages[0].content[0].text",
            "expected a string, got a list",
        ),
        (body(messages=[{"role": "u", "name": {}}]), "messages[0].name", "got an object"),
        (body(tools={}), "tools", "expected a list of tools"),
        (body(response_format="json"), "response_format", "expected an object"),
        (body(stream="yes"), "stream", "expected true or false"),
        (b'{"model": "a", "x": NaN}', None, "NaN is not JSON"),
        (b'{"model": "a", "x": -Infinity}', None, "-Infinity is not JSON"),
        (b'{"model": "a", "model": "b"}', "model", "'model' is given twice"),
        (b'{"model": "a", "x": [{"k": 1, "k": 2}]}', "k", "'k' is given twice"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "nested too deeply"),
        (b'{"model": "\xff"}', None, "not UTF-8: byte 11 is 0xff"),
        (b"\x1f\x8b\x08\x00", None, "gzip-compressed"),
        (b'{"x":' + b"1" * 5000 + b"}", None, "a number that cannot be read"),
        (b'{"model": "a", "x": "\\ud83d"}', None, "half of a surrogate pair"),
        ('{"model": "a"}'.encode("utf-16"), None, "not UTF-8"),
    ],
)
def test_what_is_wrong_is_said(sent: bytes, param: str | None, said: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        decode_request(sent)
    assert said in str(caught.value)
    assert caught.value.param == param


SPACED = b' { "messages" : [ {"role":"user","content":"\\"model\\": 1"} ] ,\n "model":"gpt" } '


def test_nothing_to_rewrite_is_byte_identical() -> None:
    assert encode_request(decode_request(SPACED), Target("gpt")) == SPACED


def test_only_the_model_is_replaced() -> None:
    assert encode_request(decode_request(SPACED), Target('é"x')) == SPACED.replace(
        b'"gpt"', '"é\\"x"'.encode()
    )


def test_nested_models_stay() -> None:
    sent = b'{"x":{"model":"a"},"tools":[{"model":"a"}],"model":"a","messages":[{"role":"u"}]}'
    assert encode_request(decode_request(sent), Target("b")) == sent.replace(
        b'"model":"a","messages"', b'"model":"b","messages"'
    )


def test_a_key_spelt_with_escapes_is_found() -> None:
    sent = b'{"mod\\u0065l":"a","messages":[{"role":"u"}]}'
    assert encode_request(decode_request(sent), Target("b")) == sent.replace(b'"a"', b'"b"')


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (b"", b',"stream_options":{"include_usage":true}}'),
        (b',"stream_options":null', b',"stream_options":{"include_usage":true}}'),
        (b',"stream_options":{}', b',"stream_options":{"include_usage":true}}'),
        (
            b',"stream_options":{"include_usage":false}',
            b',"stream_options":{"include_usage":true}}',
        ),
        (b',"stream_options":{"x":1}', b',"stream_options":{"x":1,"include_usage":true}}'),
        (
            b',"stream_options":{ "include_usage" :true}',
            b',"stream_options":{ "include_usage" :true}}',
        ),
    ],
)
def test_usage_is_asked_for_in_streams(options: bytes, expected: bytes) -> None:
    start = b'{"model":"a","messages":[{"role":"u"}],"stream":true'
    assert encode_request(decode_request(start + options + b"}"), Target("a")) == start + expected


def test_usage_is_not_asked_for_where_refused() -> None:
    sent = b'{"model":"a","messages":[{"role":"u"}],"stream":true}'
    assert encode_request(decode_request(sent), Target("a", ask_usage=False)) == sent


def test_a_streamed_request_can_be_asked_whole() -> None:
    sent = b'{"model":"a","stream":true,"messages":[{"role":"u"}],"stream_options":{},"n":1}'
    whole = replace(decode_request(sent), stream=False)
    assert json.loads(encode_request(whole, Target("a"))) == {
        "model": "a",
        "stream": False,
        "messages": [{"role": "u"}],
        "n": 1,
    }


def test_a_request_without_body_is_built() -> None:
    bare = replace(decode_request(json.dumps(AGENT).encode()), body=b"")
    assert json.loads(encode_request(bare, Target("up"))) == AGENT | {"model": "up"}


def test_asks_usage() -> None:
    assert asks_usage(decode_request(body(stream_options={"include_usage": True})))
    assert not asks_usage(decode_request(body(stream_options={"include_usage": False})))
    assert not asks_usage(decode_request(body(stream_options=7)))
    assert not asks_usage(decode_request(body()))


def test_the_digest_knows_what_was_asked() -> None:
    asked = digest_request(decode_request(json.dumps(AGENT).encode()))
    same = digest_request(
        decode_request(json.dumps(AGENT | {"model": "b", "n": 3}, indent=1).encode())
    )
    assert asked == same
    assert asked != digest_request(decode_request(json.dumps(AGENT | {"tools": []}).encode()))
    assert asked != digest_request(decode_request(body()))


REPLY = {
    "id": "x",
    "object": "chat.completion",
    "model": "gpt-1",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            "finish_reason": "tool_calls",
            "logprobs": None,
        }
    ],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
    "system_fingerprint": "kept",
}


def test_a_reply_is_read_and_kept() -> None:
    sent = json.dumps(REPLY).encode()
    assert decode_answer(sent) == Answer(
        tool_calls=(ToolCall("c", "f", "{}"),),
        finish_reason="tool_calls",
        model="gpt-1",
        usage=Usage(9, 4, 5, 2),
        body=sent,
    )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ("many", None),
        ({}, None),
        ({"prompt_tokens": 3, "prompt_tokens_details": None}, Usage(3, 0)),
    ],
)
def test_odd_usage_does_not_lose_the_answer(usage: object, expected: Usage | None) -> None:
    assert decode_answer(json.dumps(REPLY | {"usage": usage}).encode()).usage == expected


def test_replies_are_read_leniently() -> None:
    sent = b'{"choices":[{"logprobs":NaN,"message":{"content":"a\\ud83d"}}]}'
    assert decode_answer(sent) == Answer(text="a?", body=sent)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"<html>Bad gateway</html>", "not JSON; it starts '<html>Bad gateway</html>'"),
        (b"", "not JSON"),
        (b"{}", "'choices' is missing"),
        (b'{"error":{"message":"quota"}}', "quota"),
        (b'{"choices":[]}', "no choices"),
        (
            b'{"choices":[{"message":{"content":3}}]}',
            "choices[0].message.content: expected a string",
        ),
        (b"[" * 100_000, "expected an object, got a list"),
        (b'{"x":' + b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_reply_that_is_no_answer(reply: bytes, said: str) -> None:
    with pytest.raises(EngineUnreachable) as caught:
        decode_answer(reply)
    assert said in str(caught.value)


def test_events_are_cut_at_blank_lines() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\n\r\ndata: b\n\n: note\r\rdata: c\n") == [
        b"data: a\r\n\r\n",
        b"data: b\n\n",
        b": note\r\r",
    ]
    assert splitter.feed(b"data: d\r\n") == []
    assert splitter.feed(b"\r\n") == [b"data: c\ndata: d\r\n\r\n"]
    assert splitter.rest == b""


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\r\n\r\n", b"a"),
        (b"data: a\ndata:b\n\n", b"a\nb"),
        (b": keep-alive\n\n", b""),
        (b"event: x\nid: 3\ndata: [DONE]\n\n", b"[DONE]"),
        (b"\ndata:  a\n\n", b" a"),
    ],
)
def test_data_of_an_event(event: bytes, data: bytes) -> None:
    assert data_of(event) == data


def chunk(**fields: object) -> bytes:
    return b"data: %s\n\n" % json.dumps(fields).encode()


def delta(**fields: object) -> bytes:
    return chunk(choices=[{"index": 0, "delta": fields}])


def test_calls_of_one_index_with_ids_of_their_own_are_apart() -> None:
    assembler = reader()
    for name in "ab":
        function = {"name": name, "arguments": "{}"}
        assembler.feed(delta(tool_calls=[{"index": 0, "id": f"c{name}", "function": function}]))
    assert assembler.answer.tool_calls == (ToolCall("ca", "a", "{}"), ToolCall("cb", "b", "{}"))


def test_other_choices_are_passed_on_unread() -> None:
    assembler = reader()
    second = chunk(choices=[{"index": 1, "delta": {"content": "no"}}])
    assert passed(assembler, second + delta(content="yes")) == [second, delta(content="yes")]
    assert assembler.answer.text == "yes"


def test_only_the_chunk_of_usage_alone_is_hidden() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    with_text = chunk(choices=[{"delta": {"content": "a"}}], usage=usage)
    filtered = chunk(choices=[], prompt_filter_results=[])
    alone = chunk(choices=[], usage=usage)
    for hidden in (True, False):
        assembler = reader(hide_usage=hidden)
        sent = passed(assembler, filtered + with_text + alone)
        assert sent == [filtered, with_text] + [alone] * (not hidden)
        assert assembler.answer.usage == Usage(3, 1)


def test_an_error_in_the_stream_ends_it() -> None:
    assembler = reader()
    error = chunk(error={"message": "overloaded"})
    sent = passed(assembler, delta(content="a") + error + delta(content="b"))
    assert sent == [delta(content="a")]
    assert isinstance(assembler.failure, EngineRefused)
    assert json.loads(assembler.failure.body) == {"error": {"message": "overloaded"}}
    assert (assembler.answer.text, assembler.answer.complete) == ("a", False)


@pytest.mark.parametrize("data", [b"nonsense", b'{"choices": 3}', b'"x"'])
def test_garbage_in_the_stream_ends_it(data: bytes) -> None:
    assembler = reader()
    assert assembler.feed(b"data: " + data + b"\n\n") == []
    assert isinstance(assembler.failure, EngineUnreachable)


def test_a_stream_may_end_without_done() -> None:
    assembler = reader()
    assembler.feed(chunk(choices=[{"delta": {"content": "a"}, "finish_reason": "stop"}]))
    assert not assembler.answer.complete
    assert ended(assembler) == b""
    assert assembler.answer == Answer(text="a")
    cut = reader()
    cut.feed(delta(content="a") + b"data: [DONE]\n")
    assert ended(cut) == b"data: [DONE]\n\n"
    assert cut.answer.complete


def test_a_stream_may_not_end_in_the_middle() -> None:
    assembler = reader()
    assembler.feed(delta(content="a"))
    assembler.end()
    assert assembler.answer == Answer(text="a", finish_reason="", complete=False)


CUT = [
    (b'data: {"choices":[{"del', b"", False),
    (b'data: {"choices":[{"delta":{"content":"b"}}]}', b"", False),
    (b": ping", b"", False),
    (b"data: [DO", b"", False),
    (b"data: [DONE]\r", b"data: [DONE]\r\n\n", True),
    (b'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}', None, True),
]


@pytest.mark.parametrize(("rest", "last", "whole"), CUT)
def test_what_the_end_cut_off_is_dropped_unless_it_completes_the_answer(
    rest: bytes, last: bytes | None, whole: bool
) -> None:
    assembler = reader()
    assert passed(assembler, delta(content="a") + rest) == [delta(content="a")]
    assert ended(assembler) == (rest + b"\n\n" if last is None else last)
    assert assembler.answer.complete == whole
    assert assembler.answer.text == ("ab" if last is None else "a")
    assert assembler.failure is None


def test_an_error_that_the_end_cut_off_is_read() -> None:
    assembler = reader()
    assembler.feed(delta(content="a") + b'data: {"error":{"message":"overloaded"}}')
    assert ended(assembler) == b""
    assert isinstance(assembler.failure, EngineRefused)


NO_EVENTS = [
    b"<html>\n<body>Welcome</body>\n\n</html>",
    b"\x89PNG\r\n\x1a\n\x00\x00",
    b"OK\n\n",
    b": \xff\xfe\n\n",
    b'{"choices":[]}\n\n',
    b"x: 1\n\n",
    b"event: x\n<html>\n\n",
    b'x: 1\ndata: {"choices":[]}\n\n',
]


@pytest.mark.parametrize("sent", NO_EVENTS)
@pytest.mark.parametrize("before", [b"", b": hello\n\n"])
def test_what_is_no_event_is_refused(sent: bytes, before: bytes) -> None:
    assembler = reader()
    assert b"".join(passed(assembler, before + sent)) == before
    assert isinstance(assembler.failure, EngineUnreachable)
    assert "no server-sent event" in str(assembler.failure)


def test_what_the_standard_allows_is_passed_on() -> None:
    sent = [
        b"\xef\xbb\xbf" + delta(content="a"),
        b"id: 7\r\nretry: 10\r\n\r\n",
        b"\n\n",
        b": \xc3\xa9\n\n",
        b"event: x\ntheir-own: 1\n" + delta(content="b"),
    ]
    assembler = reader()
    whole = b"".join(sent)
    seen = [e for at in range(len(whole)) for e in passed(assembler, whole[at : at + 1])]
    assert b"".join(seen) == whole
    assert assembler.failure is None
    assert assembler.answer.text == "ab"


def test_an_answer_of_nothing_keeps_its_shape() -> None:
    assert json.loads(encode_answer(Answer(), envelope()))["choices"][0]["message"]["content"] == ""
    refused = json.loads(encode_answer(Answer(refusal="no"), envelope()))["choices"][0]["message"]
    assert (refused["content"], refused["refusal"]) == (None, "no")
    assert streamed(Answer()).endswith(b"\n\ndata: [DONE]\n\n")


def test_old_forms_of_calls_are_read() -> None:
    old = {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}
    custom = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "custom": {"name": "g", "input": "x"}}],
    }
    request = decode_request(body(messages=[old, custom]))
    assert [message.tool_calls for message in request.messages] == [
        (ToolCall("", "f", "{}"),),
        (ToolCall("c", "g", "x"),),
    ]
    assert decode_request(
        body(messages=[{"role": "user", "content": "hi", "extra": 1}])
    ).messages == (Message("user", "hi"),)
    assert isinstance(request, Request)
