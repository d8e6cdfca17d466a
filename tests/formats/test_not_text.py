"""Replies with a byte in them that is not UTF-8, wherever it stands, in every wire format."""

from collections.abc import Iterator

import pytest

from shoal.chat import Answer, Reasoning, ToolCall, Usage
from shoal.errors import EngineUnreachable
from shoal.formats import FORMATS, ErrorText, WireFormat
from written_streams import envelope, reader, streamed

ANSWER = Answer(
    "text",
    (ToolCall("c1", "look", '{"key":"value"}'),),
    "tool_calls",
    model="m",
    usage=Usage(7, 2),
    reasoning=(Reasoning("thought", "signature"),),
)
wires = pytest.mark.parametrize("wire", FORMATS.values(), ids=list(FORMATS))


def spoilt(text: bytes) -> Iterator[bytes]:
    """``text`` with one of its letters replaced."""
    for at, byte in enumerate(text):
        if chr(byte).isalpha():
            yield text[:at] + b"\xff" + text[at + 1 :]


@wires
def test_an_answer_that_is_no_text_is_none(wire: WireFormat) -> None:
    for reply in spoilt(wire.encode_answer(ANSWER, envelope())):
        with pytest.raises(EngineUnreachable):
            wire.decode_answer(reply)


@wires
def test_a_stream_that_is_no_text_ends_there(wire: WireFormat) -> None:
    events = streamed(ANSWER, wire=wire).split(b"data: ")
    for place, data in enumerate(events[1:-1], 1):
        for spoiled in spoilt(data.partition(b"\n")[0]):
            reading = reader(wire)
            reading.feed(b"data: ".join([*events[:place], spoiled + b"\n\n"]))
            assert isinstance(reading.failure, EngineUnreachable), spoiled


@wires
def test_an_error_that_is_no_text_is_not_passed_on(wire: WireFormat) -> None:
    error = wire.encode_error(ErrorText(500, "it broke", code="broken"))
    assert wire.is_error(error)
    assert not any(wire.is_error(body) for body in spoilt(error))
