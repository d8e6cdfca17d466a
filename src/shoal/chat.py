"""Requests, answers and the protocol between them: data only, no behaviour.

Nothing here knows a provider's wire format. ``formats`` makes a ``Request`` of what a caller sent
and an ``Answer`` of what a provider replied, and everything between the two deals in these structs
alone. Where a field holds JSON text (``parts``, ``tools``, ``response_format``, ``params``), it is
in the dialect of Chat Completions, whatever format the request came in.
"""

from collections.abc import AsyncIterator
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

Format = Literal["chat", "responses", "messages"]
"""A wire format: OpenAI's Chat Completions, OpenAI's Responses, Anthropic's Messages."""


class ToolCall(Struct, frozen=True):
    """A call of a tool that a model asked for; ``arguments`` is JSON text, as the model sent it."""

    id: str
    name: str
    arguments: str


class Reasoning(Struct, frozen=True, omit_defaults=True):
    """What a model thought before it answered, as far as its provider shows it.

    ``signature`` is opaque: the provider wants it back, unchanged, in the next request. A
    ``sealed`` block has nothing else.
    """

    text: str = ""
    signature: str = ""
    sealed: bool = False


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
    reasoning: tuple[Reasoning, ...] = ()


class Request(Struct, frozen=True):
    """What a caller asked.

    ``tools`` and ``response_format`` are JSON texts ("" if absent); ``params`` is the JSON text of
    every other field of the request (temperature, seed, fields that Shoal does not know).
    ``body`` holds the bytes as the caller sent them, in the wire format ``format``: an engine that
    speaks it forwards them untouched, another builds its own from the other fields. Who changes
    those must empty ``body``. ``headers`` are names, in lower case, and values of what the caller
    said in headers to whoever answers in that format; nobody else is told. They are not stored.
    """

    model: str
    messages: tuple[Message, ...]
    tools: str = ""
    response_format: str = ""
    params: str = "{}"
    stream: bool = False
    body: bytes = b""
    format: Format = "chat"
    headers: tuple[tuple[str, str], ...] = ()


class Usage(Struct, frozen=True):
    """Tokens of one answer.

    ``cached_tokens`` (read from the provider's prompt cache) and ``cache_write_tokens`` (written
    to it) are part of ``input_tokens``, ``reasoning_tokens`` of ``output_tokens``. ``estimated``
    marks counts that no tokenizer and no provider gave.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cache_write_tokens: int = 0


class Alternatives(Struct, frozen=True):
    """What else a model might have written at one place of its answer's text, where it was asked to
    tell: ``token`` stands at character ``at``; ``tokens`` are it and others that might, each with
    its log-probability given what stands before."""

    at: int
    token: str
    tokens: tuple[tuple[str, float], ...]


class Sample(Struct, frozen=True, omit_defaults=True):
    """One call of a model that a strategy made on the way to an answer.

    ``agrees`` says whether what came of it is the answer that was given, None where that was not
    asked. ``cost`` is in USD, None if unknown; ``error`` one of few words for why it came to
    nothing.
    """

    model: str
    agrees: bool | None = None
    usage: Usage | None = None
    cost: float | None = None
    latency_ms: float = 0.0
    error: str = ""


class Deliberation(Struct, frozen=True, omit_defaults=True):
    """How an answer was worked out by a strategy that asked a model more than once.

    ``most`` is how many candidates might have been looked at, ``agreement`` the share of those
    looked at that say what the answer says, None where nothing was compared; ``stopped`` why there
    were no more. ``cost`` is in USD, of all ``samples``; None if unknown.
    """

    strategy: str
    most: int
    samples: tuple[Sample, ...]
    agreement: float | None = None
    stopped: str = ""
    cost: float | None = None


class Answer(Struct, frozen=True):
    """What an answerer replied.

    ``finish_reason`` is Chat Completions' word for it ("stop", "length", "tool_calls",
    "content_filter"). ``body`` holds the provider's own bytes, in the wire format ``format``, when
    they may be passed on as they came. ``complete`` is false for a stream that broke off before its
    end. ``request_id`` is what the provider's support knows the exchange by, ``id`` what callers
    may name the answer by later, where the provider keeps it; "" if it told none.
    ``alternatives`` are of the places near both ends of the text where the model was in two minds.
    ``deliberation`` is how a strategy came to it, None if a model was asked once.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    refusal: str = ""
    model: str = ""
    usage: Usage | None = None
    body: bytes = b""
    complete: bool = True
    reasoning: tuple[Reasoning, ...] = ()
    format: Format = "chat"
    request_id: str = ""
    id: str = ""
    alternatives: tuple[Alternatives, ...] = ()
    deliberation: Deliberation | None = None


class CallDelta(Struct, frozen=True):
    """A piece of a call of a tool. Calls are counted from 0 in the order in which they begin;
    ``id`` and ``name`` come with the first piece, ``arguments`` are to be joined."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Delta(Struct, frozen=True):
    """What one step adds to an answer on its way; fields that add nothing are empty.

    Text, refusal and thinking are to be joined; ``alternatives`` are of places of this text. A
    ``signature`` ends the block of thinking that it belongs to, a ``sealed`` one is a block of its
    own. Of finish reason, model, usage and id the last holds.
    """

    text: str = ""
    refusal: str = ""
    thinking: str = ""
    signature: str = ""
    sealed: bool = False
    calls: tuple[CallDelta, ...] = ()
    finish_reason: str = ""
    model: str = ""
    usage: Usage | None = None
    id: str = ""
    alternatives: tuple[Alternatives, ...] = ()


class Piece(Struct, frozen=True):
    """One step of a stream: the bytes as the provider framed them (b"" if none are to be passed
    on), and what they add to the answer. ``last`` is the event that says that all has been sent."""

    raw: bytes = b""
    deltas: tuple[Delta, ...] = ()
    last: bool = False


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
    """An answer on its way, piece by piece, and the answer assembled so far."""

    @property
    def format(self) -> Format | None:
        """The wire format of the pieces' bytes; None if the pieces have none."""

    def __aiter__(self) -> AsyncIterator[Piece]:
        """The pieces.

        Raises:
            EngineError: the stream broke off, or the provider sent an error.
        """

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
