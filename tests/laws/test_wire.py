"""Laws of the Chat Completions wire format."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shoal.chat import Answer, Message, Reasoning, Request, ToolCall, Usage
from shoal.errors import EngineUnreachable, MalformedRequest
from shoal.formats import Target
from shoal.formats.chat_completions import (
    decode_answer,
    decode_request,
    digest_request,
    encode_answer,
    encode_request,
)
from spoiling import with_one_wrong_value
from written_streams import envelope, passed, reader, streamed

texts = st.text(st.characters(codec="utf-8"), max_size=30)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(ToolCall, names, names, texts)
text_parts = st.fixed_dictionaries({"type": st.just("text"), "text": texts})
other_parts = st.fixed_dictionaries({"type": st.just("image_url"), "image_url": values})


signed = st.builds(Reasoning, texts, names)
sealed = st.builds(Reasoning, st.just(""), names, st.just(True))
unsigned = st.builds(Reasoning, texts.filter(bool))
thoughts = st.lists(signed | sealed, max_size=2).map(tuple) | unsigned.map(lambda one: (one,))


def packed(value: object) -> str:
    return msgspec.json.encode(value).decode()


@st.composite
def messages(draw: st.DrawFn) -> Message:
    text, parts = draw(texts), ""
    if draw(st.booleans()):
        listed = draw(st.lists(text_parts | other_parts, max_size=3))
        parts = packed(listed)
        said = [part["text"] for part in listed if part["type"] == "text"]
        text = "\n".join(part for part in said if part)
    return Message(
        role=draw(st.sampled_from(["system", "user", "assistant", "tool"])),
        text=text,
        parts=parts,
        name=draw(st.just("") | names),
        tool_calls=tuple(draw(st.lists(calls, max_size=2))),
        tool_call_id=draw(st.just("") | names),
        reasoning=draw(st.just(()) | thoughts),
    )


READ = {"model", "messages", "tools", "response_format", "stream", "stream_options"}
params = st.dictionaries(names.filter(lambda name: name not in READ), values, max_size=3)
requests = st.builds(
    Request,
    model=names,
    messages=st.lists(messages(), min_size=1, max_size=4).map(tuple),
    tools=st.just("") | st.lists(values, max_size=2).map(packed),
    response_format=st.just("") | st.dictionaries(names, values, max_size=2).map(packed),
    params=params.map(packed),
    stream=st.booleans(),
)
usages = st.none() | st.builds(Usage, *[st.integers(0, 10**6)] * 4)
answers = st.builds(
    Answer,
    text=texts,
    tool_calls=st.lists(calls, max_size=3).map(tuple),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls"]),
    refusal=texts,
    model=names,
    usage=usages,
    reasoning=st.just(()) | thoughts,
)


@given(requests)
def test_a_request_that_is_built_is_read_back(request: Request) -> None:
    sent = encode_request(request, Target(request.model, ask_usage=False))
    assert replace(decode_request(sent), body=b"") == request


@given(requests, names)
def test_only_the_model_differs_upstream(request: Request, model: str) -> None:
    sent = encode_request(request, Target(request.model, ask_usage=False))
    asked = decode_request(sent)
    assert encode_request(asked, Target(asked.model, ask_usage=False)) is sent
    upstream = encode_request(asked, Target(model, ask_usage=False))
    assert json.loads(upstream) == json.loads(sent) | {"model": model}
    assert len(upstream) - len(sent) == len(packed(model).encode()) - len(
        packed(asked.model).encode()
    )


@given(requests, st.sampled_from([None, 1]), st.booleans())
def test_spelling_does_not_matter_to_what_is_read(
    request: Request, indent: int | None, ascii_only: bool
) -> None:
    sent = encode_request(request, Target(request.model))
    spelt = json.dumps(json.loads(sent), indent=indent, ensure_ascii=ascii_only).encode()
    one, other = decode_request(sent), decode_request(spelt)
    assert digest_request(one) == digest_request(other)
    assert [m.text for m in one.messages] == [m.text for m in other.messages]
    assert json.loads(one.params) == json.loads(other.params)
    changed = encode_request(other, Target("another model"))
    assert json.loads(changed) == json.loads(sent) | {"model": "another model"}


@given(requests, st.data())
def test_a_streamed_request_asked_whole_differs_in_nothing_else(
    request: Request, data: st.DataObject
) -> None:
    sent = encode_request(replace(request, stream=True), Target(request.model))
    whole = encode_request(replace(decode_request(sent), stream=False), Target(request.model))
    expected = json.loads(sent) | {"stream": False}
    del expected["stream_options"]
    assert json.loads(whole) == expected


@given(answers)
def test_an_answer_that_is_built_is_read_back(answer: Answer) -> None:
    assert replace(decode_answer(encode_answer(answer, envelope())), body=b"") == answer


@given(answers, st.booleans())
def test_an_answer_as_a_stream_is_read_back(answer: Answer, include_usage: bool) -> None:
    asked = '{"stream_options":{"include_usage":true}}' if include_usage else "{}"
    sent = streamed(answer, Request("m", (), params=asked))
    reading = reader()
    assert b"".join(passed(reading, sent)) == sent
    assert reading.answer == (answer if include_usage else replace(answer, usage=None))


@settings(max_examples=300)
@given(st.binary(max_size=60) | texts.map(str.encode) | values.map(lambda v: packed(v).encode()))
def test_anything_else_is_refused_in_words(sent: bytes) -> None:
    with pytest.raises(MalformedRequest):
        decode_request(sent)
    with pytest.raises(EngineUnreachable):
        decode_answer(sent)


@settings(max_examples=300)
@given(requests, st.data())
def test_a_request_with_one_wrong_value_is_read_or_refused(
    request: Request, data: st.DataObject
) -> None:
    """Whatever stands in place of whatever value, nothing but MalformedRequest comes of it."""
    tree = json.loads(encode_request(request, Target(request.model)))
    sent = with_one_wrong_value(tree, data, values)
    with suppress(MalformedRequest):
        decode_request(sent)
