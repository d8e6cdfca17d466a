"""What a wire format must be able to do."""

from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from shoal.chat import Answer, Delta, Format, Piece, Request


class Target(Struct, frozen=True):
    """What a request is encoded for: the upstream's own name for the model, and its ways.

    ``ask_usage`` has a stream end with its usage where that must be asked for. ``output_tokens`` is
    the most an answer may have where the format wants a limit and the caller named none.
    """

    model: str
    ask_usage: bool = True
    output_tokens: int = 8_192


class Envelope(Struct, frozen=True):
    """What an answer is sent in: an ``id`` (without the format's own prefix), the time in seconds
    since 1970, and the request that it answers."""

    id: str
    created: int
    request: Request


class ErrorText(Struct, frozen=True):
    """An error to tell a caller: HTTP status, words, the field it is about, a stable code."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    call_id: str = ""


class EventDecoder(Protocol):
    """Reads the events of one stream, in order."""

    @property
    def finished(self) -> bool:
        """Whether the answer is whole should the stream end now without saying so."""

    def read(self, event: bytes) -> Piece:
        """One whole server-sent event; its ``raw`` is b"" if it is not to be passed on.

        Raises:
            EngineRefused: the event is an error of the upstream.
            EngineUnreachable: the event does not belong into such a stream.
        """


class StreamWriter(Protocol):
    """Writes the events of one stream."""

    def feed(self, deltas: Iterable[Delta]) -> bytes:
        """The events that these steps make."""

    def end(self) -> bytes:
        """The events that end a whole answer."""


class WireFormat(Struct, frozen=True):
    """A wire format. ``path`` is where requests go, under the base URL of an endpoint.

    ``decode_request`` raises MalformedRequest, and TooManyMessages beyond the number it is given
    (None: any number). ``decode_answer`` raises EngineUnreachable where the bytes are none, and
    EngineRefused where they tell of a failure. ``encode_request`` forwards the ``body`` of a
    request in its own format, changed no more than its target wants, and builds others anew; it
    raises Untranslatable, with the name of the field, for what cannot be said in this format.
    ``is_error`` says whether bytes are an error in this format's own shape. ``headers`` are the
    names, in lower case, of what a caller's headers say to whoever speaks this format;
    ``request_id`` is the header of a reply that holds the provider's own id of the exchange.
    """

    name: Format
    path: str
    decode_request: Callable[[bytes, int | None], Request]
    encode_request: Callable[[Request, Target], bytes]
    decode_answer: Callable[[bytes], Answer]
    encode_answer: Callable[[Answer, Envelope], bytes]
    new_decoder: Callable[[bool], EventDecoder]
    new_writer: Callable[[Envelope], StreamWriter]
    encode_error: Callable[[ErrorText], bytes]
    error_event: Callable[[bytes], bytes]
    is_error: Callable[[bytes], bool]
    headers: tuple[str, ...]
    request_id: str
