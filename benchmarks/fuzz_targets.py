"""What the fuzzer feeds, and what must hold whatever the bytes are.

Readers raise nothing but the errors that they document; what was read, written and read again is
the same; where a stream is cut does not matter; an input takes bounded CPU time.
"""

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.chaos_script import Asked, answer_to, body_of
from shoal.chat import Answer, Message, Reasoning, Request, ToolCall, Usage
from shoal.errors import EngineUnreachable, MalformedRequest, RequestError
from shoal.formats import FORMATS, Envelope, ErrorText, Target, WireFormat, deltas_of
from shoal.formats.events import EventSplitter, begins_event, data_of, is_event
from shoal.formats.json_text import members_of, parse_strictly, replace_members
from shoal.formats.reader import StreamReader

MOST_CPU_S = 0.5  # for an input of at most 4 KB, which takes some 100 us
_MOST_MESSAGES = 1_000
_ENVELOPE = Envelope("x", 1, Request("m", (), params='{"stream_options":{"include_usage":true}}'))
_MOST_PIECES = 64
_CUTS = 4  # bytes in front of a stream that say where it is cut


class Fuzzed(Struct, frozen=True):
    """One target: inputs to begin with, and the check of one input."""

    seeds: Sequence[bytes]
    check: Callable[[bytes], None]


def targets() -> dict[str, Fuzzed]:
    """All targets by name."""
    found = {
        "events": Fuzzed([b"0000" + seed for seed in _streams(FORMATS["chat"])], check_events),
        "members": Fuzzed([*_requests(FORMATS["chat"]), b"{}", b' { "a" : 1 } '], check_members),
    }
    for name, wire in FORMATS.items():
        found[f"{name}-request"] = Fuzzed(_requests(wire), partial(check_request, wire))
        found[f"{name}-answer"] = Fuzzed(_replies(wire), partial(check_answer, wire))
        seeds = [b"0000" + seed for seed in _streams(wire)]
        found[f"{name}-stream"] = Fuzzed(seeds, partial(check_stream, wire))
    return found


def timed(check: Callable[[bytes], None], data: bytes) -> float:
    """Run a check; returns the CPU seconds it took.

    Raises:
        AssertionError: it took too long, or what it checks does not hold.
    """
    began = time.thread_time()
    check(data)
    took = time.thread_time() - began
    assert took < MOST_CPU_S, f"took {took:.2f} s of CPU"
    return took


def check_request(wire: WireFormat, data: bytes) -> None:
    """A request is refused in words, or means the same once written and read again."""
    try:
        request = wire.decode_request(data, _MOST_MESSAGES)
    except RequestError:
        return
    with suppress(RequestError):
        once = _again(wire, request)
        assert _asks(once, request), f"{once!r} was {request!r}"
        twice = _again(wire, once)
        assert twice == once, f"{twice!r} was {once!r}"
    _check_forwarded(wire, request)
    for other in FORMATS.values():
        with suppress(RequestError):
            sent = other.encode_request(request, Target("another"))
            other.decode_request(sent, None)


def _again(wire: WireFormat, request: Request) -> Request:
    """A request built anew and read."""
    bare = replace(request, body=b"")
    built = wire.encode_request(bare, Target(request.model, ask_usage=False))
    return replace(wire.decode_request(built, None), body=b"")


def _asks(request: Request, asked: Request) -> bool:
    """Whether a request asks what another did. Messages of one role that follow each other may
    become one, and those that say nothing may go."""
    now, once = (_turns(one.messages) for one in (request, asked))
    return [turn[:2] for turn in now] == [turn[:2] for turn in once] and all(
        _same(turn[2], other[2]) for turn, other in zip(now, once, strict=True)
    )


def _turns(messages: Iterable[Message]) -> list[tuple[str, str, list[ToolCall]]]:
    said = [m for m in messages if m.text or m.parts or m.tool_calls]
    said.sort(key=lambda message: message.role == "tool")  # Messages has results first in a turn
    turns = []
    for role, group in groupby(said, key=lambda message: message.role):
        listed = list(group)
        texts = "\n".join(message.text for message in listed if message.text)
        turns.append((role, texts, [call for message in listed for call in message.tool_calls]))
    return turns


def _check_forwarded(wire: WireFormat, request: Request) -> None:
    """Forwarded, a request differs in nothing but the model's name."""
    sent = json.loads(wire.encode_request(request, Target("another", ask_usage=False)))
    expected = json.loads(request.body) | {"model": "another"}
    if not request.stream:
        expected.pop("stream_options", None)
    assert sent == expected or sent != sent or "NaN" in str(expected), f"sent {sent!r}"


def check_answer(wire: WireFormat, data: bytes) -> None:
    """A reply is no answer, or means the same once written and read again, whole and streamed."""
    _check_error(wire, data)
    try:
        answer = wire.decode_answer(data)
    except EngineUnreachable:
        return
    bare = replace(answer, body=b"")
    once = replace(wire.decode_answer(wire.encode_answer(bare, _ENVELOPE)), body=b"")
    twice = replace(wire.decode_answer(wire.encode_answer(once, _ENVELOPE)), body=b"")
    assert once == twice, f"{twice!r} was {once!r}"
    assert _says(once, bare), f"{once!r} was {bare!r}"
    for other in FORMATS.values():
        _check_written(other, once)


def _check_error(wire: WireFormat, data: bytes) -> None:
    if wire.is_error(data):
        reader = StreamReader(wire.new_decoder(False))
        reader.feed(wire.error_event(data))
        assert reader.failure is not None, f"not seen in a stream: {data!r}"
    told = wire.encode_error(ErrorText(500, data.decode(errors="replace")))
    assert wire.is_error(told), told


def _check_written(wire: WireFormat, answer: Answer) -> None:
    written = wire.decode_answer(wire.encode_answer(answer, _ENVELOPE))
    assert _says(written, answer), f"{wire.name}: {written!r} was {answer!r}"
    writer = wire.new_writer(_ENVELOPE)
    reader = StreamReader(wire.new_decoder(False))
    reader.feed(writer.feed(deltas_of(answer)) + writer.end())
    assert reader.done, f"{wire.name}: {reader.failure}"
    assert _says(reader.answer, answer), f"{wire.name}: {reader.answer!r} was {answer!r}"


def _says(answer: Answer, said: Answer) -> bool:
    """Whether an answer says what another did. Arguments count where they are an object: a format
    that takes nothing else has to wrap others."""
    texts = (answer.text, answer.refusal) == (said.text, said.refusal)
    return texts and _same(answer.tool_calls, said.tool_calls)


def _same(calls: Sequence[ToolCall], said: Sequence[ToolCall]) -> bool:
    if [call.name for call in calls] != [call.name for call in said]:
        return False
    now, once = ([_object(call.arguments) for call in listed] for listed in (calls, said))
    return all(one == other or not other for one, other in zip(now, once, strict=True))


def _object(text: str) -> object:
    try:
        value = parse_strictly(text.encode())
    except (MalformedRequest, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict) else None


def check_stream(wire: WireFormat, data: bytes) -> None:
    """A stream is the same wherever it is cut."""
    stream = data[_CUTS:]
    whole, cut = (StreamReader(wire.new_decoder(False)) for _ in range(2))
    one = _passed(whole, [stream])
    other = _passed(cut, _pieces(stream, data[:_CUTS]))
    assert type(whole.failure) is type(cut.failure), f"{whole.failure!r}, cut {cut.failure!r}"
    assert whole.done == cut.done
    assert one == other, f"{one!r}, cut {other!r}"
    assert whole.answer == cut.answer, f"{whole.answer!r}, cut {cut.answer!r}"
    assert whole.answer.complete == whole.done


def _passed(reader: StreamReader, pieces: Iterable[bytes]) -> bytes:
    passed = b"".join(piece.raw for sent in pieces for piece in reader.feed(sent))
    return passed + b"".join(piece.raw for piece in reader.end())


def check_events(data: bytes) -> None:
    """Events are the stream again, wherever it is cut."""
    stream = data[_CUTS:]
    whole, cut = EventSplitter(), EventSplitter()
    events = whole.feed(stream)
    assert b"".join(events) + whole.rest == stream
    again = [event for piece in _pieces(stream, data[:_CUTS]) for event in cut.feed(piece)]
    assert b"".join(again) + cut.rest == stream
    for event in events:
        data_of(event)
        assert not is_event(event) or begins_event(event) is not False or not event.strip()


def check_members(data: bytes) -> None:
    """Replacing members changes these and nothing else."""
    try:
        value = parse_strictly(data)
    except MalformedRequest:
        return
    if not isinstance(value, dict):
        return
    with suppress(RecursionError):  # parse_strictly may read what is nested a little deeper
        names = list(members_of(data))
        assert names == list(value)
        changes = dict.fromkeys([*names[:1], *names[-1:], "added"], b'"changed"')
        found = json.loads(replace_members(data, changes))
        assert found == value | dict.fromkeys(changes, "changed"), found


def _pieces(stream: bytes, seed: bytes) -> list[bytes]:
    draw = random.Random(seed)
    most = max(draw.choice((1, 3, 20, 200)), len(stream) // _MOST_PIECES)
    pieces, at = [], 0
    while at < len(stream):
        size = draw.randint(1, most)
        pieces.append(stream[at : at + size])
        at += size
    return pieces


def _requests(wire: WireFormat) -> list[bytes]:
    return [
        body_of(wire.name, "m", Asked(number, tools), stream)
        for number, (tools, stream) in enumerate(((False, False), (True, False), (True, True)))
    ]


def _answers() -> list[Answer]:
    thought = (Reasoning("hm", "signature"), Reasoning("", "sealed", True))
    return [
        answer_to(Asked(7, False)),
        answer_to(Asked(8, True)),
        Answer("text", answer_to(Asked(9, True)).tool_calls, "tool_calls", usage=Usage(9, 8, 7, 6)),
        Answer("", refusal="no", finish_reason="content_filter"),
        Answer("short", finish_reason="length", reasoning=thought),
    ]


def _replies(wire: WireFormat) -> list[bytes]:
    whole = [wire.encode_answer(answer, _ENVELOPE) for answer in _answers()]
    return [*whole, wire.encode_error(ErrorText(429, "slow down", code="rate_limited"))]


def _streams(wire: WireFormat) -> list[bytes]:
    found = []
    for answer in _answers():
        writer = wire.new_writer(_ENVELOPE)
        found.append(writer.feed(deltas_of(answer)) + writer.end())
    error = wire.encode_error(ErrorText(500, "it broke"))
    return [*found, b": keep-alive\n\n" + found[0], found[0][:200] + wire.error_event(error)]
