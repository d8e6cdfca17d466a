"""What formats' tests share: streams read and written without a server."""

from shoal.chat import Answer, Request
from shoal.formats import FORMATS, Envelope, WireFormat, deltas_of
from shoal.formats.reader import StreamReader

CHAT = FORMATS["chat"]


def envelope(request: Request | None = None, id: str = "x") -> Envelope:
    return Envelope(id, 1, request or Request("m", ()))


def reader(wire: WireFormat = CHAT, hide_usage: bool = False) -> StreamReader:
    return StreamReader(wire.new_decoder(hide_usage))


def passed(reading: StreamReader, received: bytes) -> list[bytes]:
    """The events that are passed on."""
    return [piece.raw for piece in reading.feed(received) if piece.raw]


def ended(reading: StreamReader) -> bytes:
    return b"".join(piece.raw for piece in reading.end())


def streamed(answer: Answer, request: Request | None = None, wire: WireFormat = CHAT) -> bytes:
    """An answer as a stream of events."""
    writer = wire.new_writer(envelope(request))
    return writer.feed(deltas_of(answer)) + writer.end()
