"""Laws of Messages: what is written is read back, and the official client reads the same answer,
however a stream is mixed and cut."""

import json
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import msgspec
import pytest
from anthropic import Anthropic
from anthropic.types import Message as ClientMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shoal.chat import Answer, CallDelta, Delta, Message, Reasoning, Request, ToolCall, Usage
from shoal.errors import EngineUnreachable, MalformedRequest, Untranslatable
from shoal.formats import AnswerAssembler, Envelope, Target
from shoal.formats.chat_completions import CHAT_COMPLETIONS
from shoal.formats.messages import MESSAGES
from shoal.formats.reader import StreamReader
from spoiling import with_one_wrong_value

TARGET = Target("m")
ASKED = Request("m", (Message("user", "x"),))

texts = st.text(st.characters(codec="utf-8"), max_size=8)
said = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
names = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, values, max_size=3)
packed = objects.map(lambda value: msgspec.json.encode(value).decode())
calls = st.lists(st.builds(ToolCall, names, names, packed), max_size=3).map(tuple)
thoughts = st.lists(
    st.builds(Reasoning, texts, said) | st.builds(Reasoning, st.just(""), said, st.just(True)),
    max_size=2,
).map(tuple)
text_parts = st.builds(lambda text: {"type": "text", "text": text}, said)
images = st.sampled_from(["data:image/png;base64,aGk=", "https://x/y.png"]).map(
    lambda url: {"type": "image_url", "image_url": {"url": url}}
)
pdfs = st.builds(
    lambda name: {
        "type": "file",
        "file": {"filename": name, "file_data": "data:application/pdf;base64,JVBE"},
    },
    said,
)


def in_parts(parts: list[dict[str, str]]) -> tuple[str, str]:
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return text, msgspec.json.encode(parts).decode()


contents = st.tuples(said, st.just("")) | st.one_of(
    st.lists(text_parts | images | pdfs, min_size=2, max_size=3),
    st.lists(images | pdfs, min_size=1, max_size=2),
).map(in_parts)  # type: ignore[arg-type]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """What Messages can say as it stands: turns alternate, each says something."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", draw(said)))
    messages.append(Message("user", *draw(contents)))
    for _ in range(draw(st.integers(0, 2))):
        used = draw(calls)
        messages.append(Message("assistant", draw(said), tool_calls=used, reasoning=draw(thoughts)))
        results = [Message("tool", *draw(contents), tool_call_id=call.id) for call in used]
        messages += results
        if not results or draw(st.booleans()):
            messages.append(Message("user", *draw(contents)))
    return tuple(messages)


functions = st.fixed_dictionaries(
    {"name": names},
    optional={
        "description": texts,
        "parameters": objects.map(lambda extra: {"type": "object", "properties": {}, **extra}),
        "strict": st.just(True),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    tools = [{"type": "function", "function": f} for f in draw(st.lists(functions, max_size=2))]
    for tool in tools:
        tool["function"].setdefault("parameters", {"type": "object", "properties": {}})
    params: dict[str, object] = {"max_completion_tokens": draw(st.integers(1, 99))}
    params |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.floats(0, 1),
                "top_p": st.floats(0, 1),
                "stop": st.lists(texts, max_size=2),
                "user": texts,
                "reasoning_effort": st.sampled_from(["none", "low", "medium", "high", "xhigh"]),
            },
        )
    )
    if tools:
        params["tool_choice"] = draw(st.sampled_from(["auto", "required", "none"]))
        if params["tool_choice"] != "none" and draw(st.booleans()):
            params["parallel_tool_calls"] = False
    schema = {"name": "answer", "schema": draw(objects), "strict": True}
    wanted = {"type": "json_schema", "json_schema": schema}
    return Request(
        model="m",
        messages=draw(conversations()),
        tools=json.dumps(tools) if tools else "",
        response_format=json.dumps(wanted) if draw(st.booleans()) else "",
        params=json.dumps(params),
        stream=draw(st.booleans()),
    )


def plain(request: Request) -> object:
    """A request without its bytes, JSON texts as values."""
    params = json.loads(request.params)
    params.pop("shoal:messages", None)
    messages = [replace(message, parts="", tool_calls=()) for message in request.messages]
    parts = [json.loads(message.parts or "null") for message in request.messages]
    used = [
        [(call.id, call.name, json.loads(call.arguments)) for call in message.tool_calls]
        for message in request.messages
    ]
    tools, wanted = (json.loads(t or "null") for t in (request.tools, request.response_format))
    return request.model, messages, parts, used, tools, wanted, params, request.stream


@settings(deadline=None)
@given(requests())
def test_a_request_that_is_built_is_read_back(request: Request) -> None:
    again = MESSAGES.decode_request(MESSAGES.encode_request(request, TARGET))
    assert plain(again) == plain(request)


@settings(deadline=None)
@given(requests())
def test_a_request_goes_round_through_chat_completions(request: Request) -> None:
    """Messages to Chat Completions and back: the upstream reads the same."""
    sent = MESSAGES.encode_request(request, TARGET)
    results = [message.parts for message in request.messages if message.role == "tool"]
    if any('"image_url"' in parts or '"file"' in parts for parts in results):
        with pytest.raises(Untranslatable):  # results of tools are text there
            CHAT_COMPLETIONS.encode_request(MESSAGES.decode_request(sent), Target("m", False))
        return
    chat = CHAT_COMPLETIONS.encode_request(MESSAGES.decode_request(sent), Target("m", False))
    back = MESSAGES.encode_request(CHAT_COMPLETIONS.decode_request(chat), TARGET)
    assert json.loads(back) == json.loads(sent)


@settings(deadline=None)
@given(requests())
def test_a_request_written_anew_in_its_own_format_says_the_same(request: Request) -> None:
    sent = MESSAGES.encode_request(request, TARGET)
    again = MESSAGES.encode_request(replace(MESSAGES.decode_request(sent), body=b""), TARGET)
    assert json.loads(again) == json.loads(sent)


usages = st.builds(
    lambda fresh, read, written, output, thought: Usage(
        fresh + read + written, output + thought, read, thought, cache_write_tokens=written
    ),
    *[st.integers(0, 99)] * 5,
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    used = draw(calls)
    refusal = "" if used else draw(st.just("") | said)
    reason = "tool_calls" if used else draw(st.sampled_from(["stop", "length"]))
    return Answer(
        text="" if refusal else draw(texts),
        tool_calls=used,
        finish_reason="content_filter" if refusal else reason,
        refusal=refusal,
        model="up",
        usage=draw(usages),
        reasoning=draw(thoughts),
    )


def alike(answer: Answer) -> Answer:
    """An answer with its arguments written in one way, and without its bytes."""
    used = tuple(
        replace(call, arguments=json.dumps(json.loads(call.arguments)))
        for call in answer.tool_calls
    )
    return replace(answer, tool_calls=used, body=b"", format="chat")


@given(answers())
def test_an_answer_that_is_built_is_read_back(answer: Answer) -> None:
    again = MESSAGES.decode_answer(MESSAGES.encode_answer(answer, Envelope("x", 1, ASKED)))
    assert alike(again) == alike(answer)


def cuts_of(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[Answer, list[Delta]]:
    """An answer, and steps that add up to it: text and calls in pieces, in any order."""
    answer = draw(answers())
    begun = [Delta(model=answer.model)]
    for block in answer.reasoning:
        begun += [Delta(thinking=text) for text in cuts_of(draw, block.text)]
        begun.append(Delta(signature=block.signature, sealed=block.sealed))
    queues = [[Delta(text=text) for text in cuts_of(draw, answer.text)]]
    queues.append([Delta(refusal=text) for text in cuts_of(draw, answer.refusal)])
    for index, call in enumerate(answer.tool_calls):
        steps = [CallDelta(index, arguments=text) for text in cuts_of(draw, call.arguments)]
        steps[0] = replace(steps[0], id=call.id, name=call.name)
        queues.append([Delta(calls=(step,)) for step in steps])
    mixed: list[Delta] = []
    started = 2  # calls begin in the order of their numbers
    while any(queues):
        ready = [at for at, queue in enumerate(queues) if queue and at <= started]
        at = draw(st.sampled_from(ready))
        mixed.append(queues[at].pop(0))
        started = max(started, at + 1)
    return answer, [
        *begun,
        *mixed,
        Delta(finish_reason=answer.finish_reason),
        Delta(usage=answer.usage),
    ]


def events_of(deltas: list[Delta]) -> bytes:
    writer = MESSAGES.new_writer(Envelope("x", 1, ASKED))
    return b"".join(writer.feed([delta]) for delta in deltas) + writer.end()


def as_the_client_reads(pieces: list[bytes]) -> ClientMessage:
    """What the official client makes of these bytes, arriving in these pieces."""

    def arriving() -> Iterator[bytes]:
        yield from pieces

    def reply(request: httpx2.Request) -> httpx2.Response:
        kind = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=kind, content=arriving())

    http = httpx2.Client(transport=httpx2.MockTransport(reply))
    client = Anthropic(api_key="none", base_url="http://upstream", http_client=http)
    with client.messages.stream(model="m", max_tokens=9, messages=[]) as stream:
        return stream.get_final_message()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted(at % (len(data) + 1) for at in places)
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(max_examples=60, deadline=None)
@given(streams(), st.lists(st.integers(0, 5_000), max_size=5))
def test_the_official_client_reads_the_answer(
    stream: tuple[Answer, list[Delta]], places: list[int]
) -> None:
    answer, deltas = stream
    events = events_of(deltas)
    assembler = AnswerAssembler()
    for delta in deltas:
        assembler.add(delta)
    assert assembler.answer(complete=True) == answer
    whole = as_the_client_reads(cut(events, places))
    read = MESSAGES.decode_answer(whole.model_dump_json().encode())
    assert alike(read) == alike(answer)


@settings(deadline=None)
@given(streams(), st.lists(st.integers(0, 5_000), max_size=5))
def test_a_stream_is_read_back_however_it_is_cut(
    stream: tuple[Answer, list[Delta]], places: list[int]
) -> None:
    answer, deltas = stream
    reader = StreamReader(MESSAGES.new_decoder(False))
    events = events_of(deltas)
    passed = [piece for part in cut(events, places) for piece in reader.feed(part)]
    assert b"".join(piece.raw for piece in passed) == events
    assert alike(reader.answer) == alike(answer)


def without_writes(answer: Answer) -> Answer:
    """Chat Completions has no count of what was written to a cache."""
    return replace(answer, usage=answer.usage and replace(answer.usage, cache_write_tokens=0))


@settings(deadline=None)
@given(streams())
def test_a_stream_goes_round_through_chat_completions(stream: tuple[Answer, list[Delta]]) -> None:
    """Messages' events as Chat Completions' chunks, and those as events: nothing is lost."""
    answer, deltas = stream
    asked = replace(ASKED, params='{"stream_options":{"include_usage":true}}')
    chunks, events = CHAT_COMPLETIONS.new_writer(Envelope("x", 1, asked)), events_of(deltas)
    first = StreamReader(MESSAGES.new_decoder(False))
    sent = b"".join(chunks.feed(piece.deltas) for piece in first.feed(events)) + chunks.end()
    second = StreamReader(CHAT_COMPLETIONS.new_decoder(False))
    again = events_of([delta for piece in second.feed(sent) for delta in piece.deltas])
    third = StreamReader(MESSAGES.new_decoder(False))
    third.feed(again)
    assert without_writes(alike(third.answer)) == without_writes(alike(answer))


RECORDED = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","model":"up","content":[],"stop_reason":null,"usage":{"input_tokens":7,'
    b'"output_tokens":1}}}\n\n'
    b'event: ping\ndata: {"type": "ping"}\n\n'
    b'event: content_block_start\r\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\r\n\r\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,\ndata: "delta":'
    b'{"type":"text_delta","text":"\xf0\x9f\x90\x9f\xc3\xa9"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":2}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
RECORDED_ANSWER = Answer(text="🐟é", model="up", usage=Usage(7, 2))


def test_cut_at_every_byte() -> None:
    for at in range(len(RECORDED) + 1):
        reader = StreamReader(MESSAGES.new_decoder(True))
        passed = reader.feed(RECORDED[:at]) + reader.feed(RECORDED[at:])
        assert b"".join(piece.raw for piece in passed) == RECORDED
        assert reader.answer == RECORDED_ANSWER


def test_broken_off_at_every_byte() -> None:
    """What came is kept, and an answer that broke off never looks whole."""
    finished = RECORDED.index(b'"output_tokens":2')
    for at in range(len(RECORDED)):
        reader = StreamReader(MESSAGES.new_decoder(True))
        reader.feed(RECORDED[:at])
        reader.end()
        assert RECORDED_ANSWER.text.startswith(reader.answer.text)
        assert not (reader.answer.complete and at < finished)


@settings(deadline=None)
@given(streams())
def test_without_its_last_usage_a_stream_is_read_all_the_same(
    stream: tuple[Answer, list[Delta]],
) -> None:
    answer, deltas = stream
    reader = StreamReader(MESSAGES.new_decoder(False))
    reader.feed(events_of(deltas[:-1]))
    assert alike(replace(reader.answer, usage=None)) == alike(replace(answer, usage=None))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | values.map(lambda v: json.dumps(v).encode()))
def test_anything_else_is_refused_in_words(sent: bytes) -> None:
    with pytest.raises(MalformedRequest):
        MESSAGES.decode_request(sent)
    with pytest.raises(EngineUnreachable):
        MESSAGES.decode_answer(sent)


@settings(max_examples=300, deadline=None)
@given(requests(), st.data())
def test_a_request_with_one_wrong_value_is_read_or_refused(
    request: Request, data: st.DataObject
) -> None:
    """Whatever stands in place of whatever value, nothing but a refusal comes of it."""
    tree = json.loads(MESSAGES.encode_request(request, TARGET))
    sent = with_one_wrong_value(tree, data, values)
    with suppress(MalformedRequest, Untranslatable):
        read = MESSAGES.decode_request(sent)
        CHAT_COMPLETIONS.encode_request(read, TARGET)
        MESSAGES.encode_request(replace(read, body=b""), TARGET)


@settings(max_examples=300, deadline=None)
@given(requests(), st.data())
def test_a_chat_request_with_one_wrong_value_is_translated_or_refused(
    request: Request, data: st.DataObject
) -> None:
    tree = json.loads(CHAT_COMPLETIONS.encode_request(request, TARGET))
    sent = with_one_wrong_value(tree, data, values)
    with suppress(MalformedRequest, Untranslatable):
        read = CHAT_COMPLETIONS.decode_request(sent)
        MESSAGES.encode_request(read, TARGET)
