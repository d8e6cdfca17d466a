"""Requests, answers and the protocol between them: data only, no behaviour.

Nothing here knows a provider's wire format. ``gateway.wire`` makes a ``Request`` of what a caller
sent, engines make an ``Answer`` of what a provider replied, and everything between the two deals in
these structs alone.
"""

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from msgspec import Struct


class ToolCall(Struct, frozen=True):
    """A call of a tool that a model asked for; ``arguments`` is JSON text, as the model sent it."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, omit_defaults=True):
    """One message of a conversation.

    ``text`` is the textual content (the text parts joined by newlines where the content came in
    parts); ``parts`` is the JSON text of the content array if it came as one, else empty.
    """

    role: str
    text: str = ""
    parts: str = ""
    name: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class Request(Struct, frozen=True):
    """What a caller asked.

    ``tools`` and ``response_format`` are JSON texts ("" if absent); ``params`` is the JSON text of
    every other field of the request (temperature, seed, fields that Shoal does not know), and
    ``body`` the bytes as the caller sent them, which same-format engines forward untouched.
    """

    model: str
    messages: tuple[Message, ...]
    tools: str = ""
    response_format: str = ""
    params: str = "{}"
    stream: bool = False
    body: bytes = b""


class Usage(Struct, frozen=True):
    """Tokens of one answer. ``estimated`` marks counts that no tokenizer and no provider gave."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


class Answer(Struct, frozen=True):
    """What an answerer replied.

    ``body`` holds the provider's own bytes when they may be passed on as they came. ``complete`` is
    false for a stream that broke off before its end.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    refusal: str = ""
    model: str = ""
    usage: Usage | None = None
    body: bytes = b""
    complete: bool = True


class Answerer(Protocol):
    """Anything that maps a request to an answer: an engine, a cascade, a planner, all of Shoal."""

    @property
    def name(self) -> str:
        """Who answers, as receipts and headers name it."""

    async def answer(self, request: Request) -> Answer:
        """Answer the whole request.

        Raises:
            EngineError: it could not.
        """


class AnswerStream(Protocol):
    """An answer on its way: wire bytes to pass on, and the answer assembled so far."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Server-sent events, byte for byte as the provider framed them."""

    @property
    def answer(self) -> Answer:
        """What has been assembled so far; ``complete`` once the stream has ended properly."""

    async def aclose(self) -> None:
        """Stop, and cancel what is still running upstream."""


@runtime_checkable
class Streamer(Protocol):
    """An answerer that can also send its answer piece by piece."""

    async def stream(self, request: Request) -> AnswerStream:
        """Start answering; returns once the upstream has accepted the request.

        Raises:
            EngineError: nothing was sent yet, so the caller may still be given a clear error.
        """
