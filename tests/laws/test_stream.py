"""Laws of streams: however they are cut and mixed, both ends read the same answer."""

import json
from collections.abc import Iterator

import httpx2
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

from shoal.chat import Answer, ToolCall, Usage
from shoal.formats.events import EventSplitter, is_event
from written_streams import ended, passed, reader

texts = st.text(st.characters(codec="utf-8"), max_size=8)
HEAD = b'{"id":"a","object":"chat.completion.chunk","created":1,"model":"m",'
RECORDED = (
    b"data: " + HEAD + b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},'
    b'"logprobs":null,"finish_reason":null}]}\n\n'
    b": keep-alive\n\n"
    b"data: " + HEAD + b'"choices":[{"index":0,"delta":{"content":"\xf0\x9f\x90\x9f\xc3\xa9"},'
    b'"finish_reason":null}]}\r\n\r\n'
    b"event: x\r\ndata: " + HEAD + b"\r\n"
    b'data: "choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: " + HEAD + b'"choices":[],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n'
    b"data: [DONE]\n\n"
)
RECORDED_ANSWER = Answer(text="🐟é", model="m", usage=Usage(7, 2))


def test_cut_at_every_byte() -> None:
    for at in range(len(RECORDED) + 1):
        assembler = reader()
        sent = passed(assembler, RECORDED[:at]) + passed(assembler, RECORDED[at:])
        assert b"".join(sent) == RECORDED
        assert assembler.answer == RECORDED_ANSWER


def test_byte_by_byte() -> None:
    assembler = reader(hide_usage=True)
    sent = [
        event for at in range(len(RECORDED)) for event in passed(assembler, RECORDED[at : at + 1])
    ]
    kept = [event for event in EventSplitter().feed(RECORDED) if b'"usage"' not in event]
    assert b"".join(sent) == b"".join(kept)
    assert assembler.answer == RECORDED_ANSWER


def test_broken_off_at_every_byte() -> None:
    """Whole events are kept, nothing else, and an answer that broke off never looks whole."""
    finished = RECORDED.index(b'"finish_reason":"stop"')
    for at in range(len(RECORDED)):
        assembler = reader()
        seen = passed(assembler, RECORDED[:at])
        assert b"".join(seen) == b"".join(EventSplitter().feed(RECORDED[:at]))
        if last := ended(assembler):
            assert assembler.answer.complete
            seen.append(last)
        assert EventSplitter().feed(b"".join(seen)) == seen
        assert assembler.failure is None
        assert RECORDED_ANSWER.text.startswith(assembler.answer.text)
        assert not (assembler.answer.complete and at < finished)


def pieces_of(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[dict], Answer]:  # type: ignore[type-arg]
    """Chunks of an answer whose text and calls come in pieces, in any order between them."""
    text = draw(texts)
    calls = draw(
        st.lists(st.builds(ToolCall, st.uuids().map(str), st.just("f"), texts), max_size=3)
    )
    queues = [[{"content": piece} for piece in pieces_of(draw, text)]]
    for index, call in enumerate(calls):
        first = {"id": call.id, "type": "function", "function": {"name": "f", "arguments": ""}}
        rest = [{"function": {"arguments": piece}} for piece in pieces_of(draw, call.arguments)]
        queues.append([{"tool_calls": [{"index": index, **delta}]} for delta in [first, *rest]])
    deltas: list[object] = []
    started = 1  # calls begin in the order of their indices
    while any(queues):
        ready = [at for at, queue in enumerate(queues) if queue and at <= started]
        at = draw(st.sampled_from(ready))
        deltas.append(queues[at].pop(0))
        started = max(started, at + 1)
    reason = "tool_calls" if calls else "stop"
    choices: list[list[dict]] = [[{"index": 0, "delta": delta}] for delta in deltas]  # type: ignore[type-arg]
    choices.append([{"index": 0, "delta": {}, "finish_reason": reason}])
    head = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [head | {"choices": choice} for choice in choices]
    return chunks, Answer(text=text, tool_calls=tuple(calls), finish_reason=reason, model="m")


def framed(chunks: list[dict], ends: list[bytes]) -> bytes:  # type: ignore[type-arg]
    events = [json.dumps(chunk).encode() for chunk in chunks] + [b"[DONE]"]
    return b"".join(b"data: " + e + ends[at % len(ends)] for at, e in enumerate(events))


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(at % (len(data) + 1) for at in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def as_the_client_reads(pieces: list[bytes]) -> Answer:
    """What the official client makes of these bytes, arriving in these pieces."""

    def reply(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=arriving()
        )

    def arriving() -> Iterator[bytes]:
        yield from pieces

    http = httpx2.Client(transport=httpx2.MockTransport(reply))
    client = OpenAI(api_key="none", base_url="http://upstream/v1", http_client=http)
    state = ChatCompletionStreamState()
    with client.chat.completions.create(model="m", messages=[], stream=True) as stream:
        for chunk in stream:
            state.handle_chunk(chunk)
    whole = state.current_completion_snapshot
    message, usage = whole.choices[0].message, whole.usage
    return Answer(
        text=message.content or "",
        tool_calls=tuple(
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
            if call.type == "function"
        ),
        finish_reason=whole.choices[0].finish_reason,
        model=whole.model,
        usage=usage and Usage(usage.prompt_tokens, usage.completion_tokens),
    )


ends = st.lists(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n\n: ping\n\n"]), min_size=1, max_size=3)
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


@settings(max_examples=60, deadline=None)
@given(streams(), ends, st.lists(st.integers(0, 10_000), max_size=12), st.booleans(), st.booleans())
def test_the_client_and_shoal_read_the_same(
    stream: tuple[list[dict], Answer],  # type: ignore[type-arg]
    ends: list[bytes],
    cuts: list[int],
    usage_sent: bool,
    usage_hidden: bool,
) -> None:
    chunks, answer = stream
    if usage_sent:
        chunks = [*chunks, chunks[-1] | {"choices": [], "usage": USAGE}]
    sent = framed(chunks, ends)
    assembler = reader(hide_usage=usage_hidden)
    seen = [event for piece in cut(sent, cuts) for event in passed(assembler, piece)]
    counted = Usage(7, 2) if usage_sent else None
    assert assembler.answer == answer_with(answer, counted)
    if not (usage_sent and usage_hidden):
        assert b"".join(seen) in (sent, sent.removesuffix(b": ping\n\n"))
    told = None if usage_hidden else counted
    assert as_the_client_reads(seen) == answer_with(answer, told)
    assert as_the_client_reads(cut(b"".join(seen), cuts)) == answer_with(answer, told)


def answer_with(answer: Answer, usage: Usage | None) -> Answer:
    return Answer(answer.text, answer.tool_calls, answer.finish_reason, "", "m", usage)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data: a", b": c", b"x"]), max_size=12))
@example([b": c", b"\n", b"\r\n", b"\n"])
def test_events_joined_are_the_stream(tokens: list[bytes]) -> None:
    stream = b"".join(tokens)
    whole, apart = EventSplitter(), EventSplitter()
    events = whole.feed(stream)
    assert b"".join(events) + whole.rest == stream
    pieces = [e for at in range(len(stream)) for e in apart.feed(stream[at : at + 1])]
    assert pieces == events
    assert apart.rest == whole.rest


@given(
    st.lists(st.binary(max_size=9) | st.sampled_from([b"\n", b"data:", b": c", b"id: 1", b"x:"]))
)
def test_what_is_no_event_is_refused_wherever_it_is_cut(tokens: list[bytes]) -> None:
    """Nothing but whole events is ever passed on, and cuts make no difference to what is."""
    stream = b"".join(tokens)
    whole, apart = reader(), reader()
    seen = passed(whole, stream)
    pieces = [e for at in range(len(stream)) for e in passed(apart, stream[at : at + 1])]
    assert pieces == seen
    assert all(is_event(event) for event in seen)
    assert (whole.failure is None) == (apart.failure is None)
