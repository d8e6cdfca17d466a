"""Laws of the Responses format: what it can say is read back, and the official client reads it."""

import json
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai import OpenAI
from openai.types.responses import Response

from shoal.chat import Answer, CallDelta, Delta, Message, Reasoning, Request, ToolCall, Usage
from shoal.errors import EngineError, EngineUnreachable, MalformedRequest, Untranslatable
from shoal.formats import FORMATS, AnswerAssembler, Envelope, Target, deltas_of
from shoal.formats.events import EventSplitter
from shoal.formats.reader import StreamReader
from shoal.formats.responses.kept import encode_items, recalled
from shoal.formats.responses.params import OWN as REPEATED
from spoiling import with_one_wrong_value

CHAT, RESPONSES = FORMATS["chat"], FORMATS["responses"]
ENVELOPE = Envelope("x", 7, Request("m", (), tools='[{"type":"custom","custom":{"name":"own"}}]'))

texts = st.text(st.characters(codec="utf-8"), max_size=20)
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)
tool_names = st.sampled_from(["look", "own"])
signatures = st.sampled_from(["signed", "rs_9:enc", "EqQ+/="])
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
schemas = st.dictionaries(words, values, max_size=2)


def packed(value: object) -> str:
    return msgspec.json.encode(value).decode()


def calls_named(draw: st.DrawFn, most: int) -> tuple[ToolCall, ...]:
    ids = draw(st.lists(words, max_size=most, unique=True))
    return tuple(ToolCall(one, draw(tool_names), draw(texts)) for one in ids)


@st.composite
def reasonings(draw: st.DrawFn, signed: bool) -> tuple[Reasoning, ...]:
    blocks = []
    for index in range(draw(st.integers(0, 3))):
        text = draw(texts)
        signature = draw(signatures if signed or not text else st.just("") | signatures)
        signature = signature.replace("9", str(index))  # an item's id is given once
        blocks.append(Reasoning(text, signature, sealed=not text))
    return tuple(blocks)


said_parts = st.fixed_dictionaries({"type": st.just("text"), "text": texts})
refusal_parts = st.fixed_dictionaries({"type": st.just("refusal"), "refusal": texts})
image_parts = st.builds(
    lambda url, detail: {"type": "image_url", "image_url": {"url": url, **detail}},
    words,
    st.sampled_from([{}, {"detail": "low"}, {"detail": "high"}]),
)
file_parts = st.fixed_dictionaries(
    {
        "type": st.just("file"),
        "file": st.fixed_dictionaries({"file_data": words, "filename": texts}),
    }
)


def content(draw: st.DrawFn, role: str) -> tuple[str, str]:
    """A text and the parts it came in, "" if it came as one."""
    if draw(st.booleans()):
        return draw(texts), ""
    if role == "assistant":
        parts = draw(st.lists(said_parts | refusal_parts, min_size=2, max_size=3))
    else:
        parts = draw(st.lists(said_parts | image_parts | file_parts, min_size=1, max_size=3))
    text = "\n".join(part["text"] for part in parts if part.get("text"))
    return text, packed(parts)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Messages in an order that makes sense: calls are answered, the assistant takes turns."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", draw(words)))
    for role in draw(st.lists(st.sampled_from(["user", "developer", "assistant"]), min_size=1)):
        if role != "assistant":
            messages.append(Message(role, *content(draw, role)))
            continue
        text, parts = content(draw, role)
        calls = calls_named(draw, 2)
        messages.append(
            Message(role, text, parts, tool_calls=calls, reasoning=draw(reasonings(signed=True)))
        )
        for call in calls:
            messages.append(Message("tool", *content(draw, "tool"), tool_call_id=call.id))
        messages.append(Message("user", draw(texts)))
    return tuple(messages)


OWN = {"type": "custom", "custom": {"name": "own"}}
functions = st.builds(
    lambda name, rest: {"type": "function", "function": {"name": name, **rest}},
    words,
    st.fixed_dictionaries({}, optional={"description": texts, "parameters": schemas}),
)
formats = st.just("") | st.sampled_from(
    ['{"type":"json_object"}', '{"type":"json_schema","json_schema":{"name":"n","schema":{"a":1}}}']
)
params = st.fixed_dictionaries(
    {},
    optional={
        "temperature": numbers,
        "max_completion_tokens": st.integers(1, 10**6),
        "reasoning_effort": st.sampled_from(["low", "none"]),
        "verbosity": st.sampled_from(["low", "high"]),
        "parallel_tool_calls": st.booleans(),
        "tool_choice": st.sampled_from(
            ["auto", "required", {"type": "function", "function": {"name": "look"}}]
        ),
        "user": words,
        "unheard_of": values.filter(lambda value: value is not None),
    },
)
requests = st.builds(
    Request,
    model=words,
    messages=conversations(),
    tools=st.lists(functions, max_size=2).map(lambda listed: packed([*listed, OWN])),
    response_format=formats,
    params=params.map(packed),
    stream=st.booleans(),
    format=st.just("responses"),
)
usages = st.none() | st.builds(
    Usage, *[st.integers(0, 10**6)] * 4, cache_write_tokens=st.integers(0, 10**6)
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    calls = calls_named(draw, 3)
    ended = "tool_calls" if calls else "stop"
    return Answer(
        text=draw(texts),
        tool_calls=calls,
        finish_reason=draw(st.sampled_from([ended, "length", "content_filter"])),
        refusal=draw(texts),
        model=draw(words),
        usage=draw(usages),
        reasoning=draw(reasonings(signed=False)),
    )


def known(request: Request) -> tuple[object, ...]:
    """A request, whatever the order of its fields."""
    loaded = [
        json.loads(text) if text else None
        for text in (request.tools, request.response_format, request.params)
    ]
    loaded[-1].pop(REPEATED, None)
    parts = [json.loads(message.parts or "[]") for message in request.messages]
    messages = [replace(message, parts="") for message in request.messages]
    return (request.model, messages, parts, request.stream, *loaded)


@given(requests)
def test_a_request_that_is_built_is_read_back(request: Request) -> None:
    sent = RESPONSES.encode_request(request, Target(request.model))
    assert known(RESPONSES.decode_request(sent)) == known(request)


@given(requests, words)
def test_only_the_model_differs_upstream(request: Request, model: str) -> None:
    sent = RESPONSES.encode_request(request, Target(request.model))
    asked = RESPONSES.decode_request(sent)
    assert RESPONSES.encode_request(asked, Target(request.model)) is sent
    upstream = RESPONSES.encode_request(asked, Target(model))
    assert json.loads(upstream) == json.loads(sent) | {"model": model}


@given(requests)
def test_a_stored_request_is_recalled(request: Request) -> None:
    sent = json.loads(RESPONSES.encode_request(request, Target(request.model)))
    asked = RESPONSES.decode_request(msgspec.json.encode(sent | {"store": True}))
    told = recalled(as_stored(asked))
    assert told is not None
    assert known(RESPONSES.decode_request(told.body)) == known(asked)
    items = json.loads(encode_items(Envelope("x", 1, told), (("order", "asc"), ("limit", "100"))))
    assert [item.get("role") for item in items["data"]] == [
        item.get("role") for item in sent["input"][:100]
    ]


def as_stored(request: Request) -> Request:
    """As the store gives it back: without its bytes, and who knows in which format it came."""
    return replace(request, body=b"", format="chat", headers=())


def only_text(request: Request) -> bool:
    results = [message for message in request.messages if message.role == "tool"]
    return not any("url" in message.parts or "file" in message.parts for message in results)


@given(requests.filter(only_text))
def test_a_detour_over_chat_completions_changes_nothing(request: Request) -> None:
    target = Target(request.model, ask_usage=False)
    there = CHAT.decode_request(CHAT.encode_request(request, target))
    back = RESPONSES.decode_request(RESPONSES.encode_request(there, target))
    assert known(back) == known(request)


@given(answers())
def test_an_answer_that_is_built_is_read_back(answer: Answer) -> None:
    body = RESPONSES.encode_answer(answer, ENVELOPE)
    read = replace(RESPONSES.decode_answer(body), body=b"", format="chat")
    assert read == replace(answer, id="resp_x")


def unsigned_joined(answer: Answer) -> Answer:
    """As a stream keeps it: thoughts that no signature ends are one with the next."""
    assembler = AnswerAssembler()
    for delta in deltas_of(answer):
        assembler.add(delta)
    return assembler.answer(complete=True)


def streamed(deltas: list[Delta]) -> bytes:
    writer = RESPONSES.new_writer(ENVELOPE)
    return b"".join([writer.feed([delta]) for delta in deltas]) + writer.end()


@given(answers())
def test_an_answer_as_a_stream_is_read_back(answer: Answer) -> None:
    reader = StreamReader(RESPONSES.new_decoder(False))
    pieces = reader.feed(streamed(deltas_of(answer)))
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert reader.answer == replace(unsigned_joined(answer), id="resp_x")


def pieces_of(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[Delta], Answer]:
    """An answer whose text, refusal and calls come in pieces, in any order between them."""
    answer = draw(answers())
    blocks = answer.reasoning
    queues = [
        [Delta(text=piece) for piece in pieces_of(draw, answer.text)],
        [Delta(refusal=piece) for piece in pieces_of(draw, answer.refusal)],
    ]
    for index, call in enumerate(answer.tool_calls):
        rest = [CallDelta(index, arguments=piece) for piece in pieces_of(draw, call.arguments)]
        parts = [CallDelta(index, call.id, call.name), *rest]
        queues.append([Delta(calls=(part,)) for part in parts])
    deltas = [Delta(model=answer.model)]
    for block in blocks:
        deltas += [Delta(thinking=piece) for piece in pieces_of(draw, block.text) if piece]
        deltas.append(Delta(signature=block.signature, sealed=block.sealed))
    started = 2  # calls begin in the order of their numbers
    while any(queues):
        ready = [at for at, queue in enumerate(queues) if queue and at <= started]
        at = draw(st.sampled_from(ready))
        deltas.append(queues[at].pop(0))
        started = max(started, at + 1)
    deltas.append(Delta(finish_reason=answer.finish_reason, usage=answer.usage))
    return deltas, answer


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(at % (len(data) + 1) for at in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def as_the_client_reads(pieces: list[bytes], whole: bool) -> Answer:
    """What the official client assembles of these bytes; ``whole`` is what its helper keeps."""

    def reply(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=arriving()
        )

    def arriving() -> Iterator[bytes]:
        yield from pieces

    http = httpx2.Client(transport=httpx2.MockTransport(reply))
    client = OpenAI(api_key="none", base_url="http://upstream/v1", http_client=http)
    with client.responses.stream(model="m", input="hi") as stream:
        last = list(stream)[-1]
        assert last.type in ("response.completed", "response.incomplete")
        response = stream.get_final_response() if whole else last.response
    return answer_of(response)


def answer_of(response: Response) -> Answer:
    usage = response.usage
    messages = [item for item in response.output if item.type == "message"]
    refusals = [part.refusal for m in messages for part in m.content if part.type == "refusal"]
    details = response.incomplete_details
    called = [
        ToolCall(item.call_id, item.name, item.input)
        if item.type == "custom_tool_call"
        else ToolCall(item.call_id, item.name, item.arguments)
        for item in response.output
        if item.type in ("function_call", "custom_tool_call")
    ]
    cut_reasons = {"max_output_tokens": "length", "content_filter": "content_filter"}
    return Answer(
        text=response.output_text,
        tool_calls=tuple(called),
        finish_reason=cut_reasons[str(details.reason)]
        if details
        else ("tool_calls" if called else "stop"),
        refusal="".join(refusals),
        model=str(response.model),
        usage=usage
        and Usage(
            usage.input_tokens,
            usage.output_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.output_tokens_details.reasoning_tokens,
            cache_write_tokens=usage.input_tokens_details.cache_write_tokens,
        ),
    )


@settings(max_examples=60, deadline=None)
@given(interleaved(), st.lists(st.integers(0, 10_000), max_size=8))
def test_the_client_and_shoal_read_the_same(
    stream: tuple[list[Delta], Answer], cuts: list[int]
) -> None:
    deltas, answer = stream
    sent = streamed(deltas)
    reader = StreamReader(RESPONSES.new_decoder(True))
    pieces = cut(sent, cuts)
    passed = [piece.raw for part in pieces for piece in reader.feed(part)]
    assert b"".join(passed) == sent
    assert replace(reader.answer, reasoning=()) == replace(answer, reasoning=(), id="resp_x")
    assembler = AnswerAssembler()
    for delta in deltas:
        assembler.add(delta)
    assert reader.answer == replace(assembler.answer(complete=True), id="resp_x")
    completed = answer.finish_reason in ("stop", "tool_calls")
    assert as_the_client_reads(pieces, completed) == replace(answer, reasoning=())


@settings(max_examples=40, deadline=None)
@given(answers())
def test_the_client_reads_a_whole_answer(answer: Answer) -> None:
    body = RESPONSES.encode_answer(answer, ENVELOPE)
    response = Response.model_validate_json(body)  # strictly, unlike the client
    assert answer_of(response) == replace(answer, reasoning=())
    kept = [item for item in response.output if item.type == "reasoning"]
    assert [item.encrypted_content or "" for item in kept] == [
        block.signature.split(":")[-1] for block in answer.reasoning
    ]
    assert ["".join(part.text for part in item.summary) for item in kept] == [
        block.text for block in answer.reasoning
    ]


RECORDED = streamed(
    deltas_of(
        Answer(
            text="🐟é",
            tool_calls=(ToolCall("c1", "look", '{"a":"🐟"}'), ToolCall("c2", "own", "x")),
            finish_reason="tool_calls",
            refusal="no",
            model="m",
            usage=Usage(7, 2),
            reasoning=(Reasoning("hm", "s"),),
        )
    )
).replace(
    b"\n\nevent: response.output_text.delta", b"\n\n: ping\r\n\r\nevent: response.output_text.delta"
)


def test_cut_at_every_byte() -> None:
    expected = StreamReader(RESPONSES.new_decoder(False))
    expected.feed(RECORDED)
    assert expected.answer.complete
    for at in range(len(RECORDED) + 1):
        reader = StreamReader(RESPONSES.new_decoder(False))
        passed = reader.feed(RECORDED[:at]) + reader.feed(RECORDED[at:])
        assert b"".join(piece.raw for piece in passed) == RECORDED
        assert reader.answer == expected.answer


def test_broken_off_at_every_byte() -> None:
    """What came is kept, and an answer that broke off never looks whole."""
    for at in range(len(RECORDED) - 2):
        reader = StreamReader(RESPONSES.new_decoder(False))
        passed = b"".join(piece.raw for piece in reader.feed(RECORDED[:at]))
        assert reader.end() == []
        assert RECORDED.startswith(passed)
        assert not reader.answer.complete
        assert "🐟é".startswith(reader.answer.text)


def test_without_the_usage() -> None:
    """The event that ends a stream may hold no usage; the rest is read all the same."""
    events = EventSplitter().feed(RECORDED)
    last = json.loads(events[-1].split(b"data: ")[1])
    del last["response"]["usage"]
    ended = b"event: response.completed\ndata: %s\n\n" % json.dumps(last).encode()
    reader = StreamReader(RESPONSES.new_decoder(False))
    reader.feed(b"".join([*events[:-1], ended]))
    assert reader.answer.usage is None
    assert reader.answer.complete
    dropped = StreamReader(RESPONSES.new_decoder(False))
    dropped.feed(b"".join(events[:-1]))
    assert dropped.end() == []
    assert not dropped.answer.complete
    assert dropped.answer.text == "🐟é"


@settings(max_examples=200)
@given(st.binary(max_size=60) | texts.map(str.encode) | values.map(lambda v: packed(v).encode()))
def test_anything_else_is_refused_in_words(sent: bytes) -> None:
    with pytest.raises(MalformedRequest):
        RESPONSES.decode_request(sent)
    with pytest.raises(EngineUnreachable):
        RESPONSES.decode_answer(sent)


@settings(max_examples=200)
@given(requests, st.data())
def test_a_request_with_one_wrong_value_is_read_or_refused(
    request: Request, data: st.DataObject
) -> None:
    """Whatever stands in place of whatever value: refused in words, or forwarded and translated."""
    sent = json.loads(RESPONSES.encode_request(request, Target(request.model)))
    with suppress(MalformedRequest, Untranslatable):
        asked = RESPONSES.decode_request(with_one_wrong_value(sent, data, values))
        RESPONSES.encode_answer(Answer(text="a"), Envelope("x", 1, asked))
        CHAT.encode_request(asked, Target("up"))
        if told := recalled(as_stored(asked)):
            encode_items(Envelope("x", 1, told), ())
        RESPONSES.encode_request(replace(asked, body=b""), Target("up"))


@settings(max_examples=200)
@given(requests, st.data())
def test_a_chat_with_one_wrong_value_is_translated_or_refused(
    request: Request, data: st.DataObject
) -> None:
    whole = replace(request, params=packed({"stop": None, "n": 1}))
    with suppress(MalformedRequest, Untranslatable):
        sent = json.loads(CHAT.encode_request(whole, Target(request.model)))
        asked = CHAT.decode_request(with_one_wrong_value(sent, data, values))
        RESPONSES.encode_request(asked, Target("up"))


@settings(max_examples=200)
@given(answers(), st.data())
def test_an_answer_with_one_wrong_value_is_read_or_refused(
    answer: Answer, data: st.DataObject
) -> None:
    tree = json.loads(RESPONSES.encode_answer(answer, ENVELOPE))
    with suppress(EngineError):
        RESPONSES.decode_answer(with_one_wrong_value(tree, data, values))
    events = EventSplitter().feed(streamed(deltas_of(answer)))
    at = data.draw(st.integers(0, len(events) - 1))
    event = json.loads(events[at].split(b"data: ")[1])
    events[at] = b"data: %s\n\n" % with_one_wrong_value(event, data, values)
    reader = StreamReader(RESPONSES.new_decoder(False))
    reader.feed(b"".join(events))
    assert reader.end() == [] or reader.answer.complete
