"""Puts a streamed answer together while it passes by."""

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Answer, ToolCall, Usage
from shoal.engines.chat_completions.answers import decode_usage
from shoal.engines.chat_completions.events import (
    EventSplitter,
    begins_event,
    closed,
    data_of,
    is_event,
)
from shoal.engines.chat_completions.json_text import decode_reply
from shoal.engines.chat_completions.requests import WirePart, text_of
from shoal.errors import EngineError, EngineRefused, EngineUnreachable

_NULL = Raw(b"null")
_EXCERPT = 200  # bytes of what is no chunk, shown in the error


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct):
    content: str | list[WirePart] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: Raw = _NULL
    error: Raw = _NULL


_CHUNK = msgspec.json.Decoder(_Chunk)


class _OpenCall:
    """A call of a tool whose pieces are still coming."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, piece: _Call) -> None:
        self.id = self.id or piece.id or ""
        if piece.function is not None:
            self.name += piece.function.name or ""
            self.arguments.append(piece.function.arguments or "")

    def call(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self.arguments))


class StreamAssembler:
    """Reads a stream of Chat Completions chunks, cut anywhere, and keeps the answer so far.

    ``hide_usage`` takes the chunk that holds nothing but the usage out of what is passed on: the
    caller had not asked for it. ``failure`` is set when the upstream sent an error, or something
    that is no chunk; what comes after it is not read.
    """

    def __init__(self, hide_usage: bool = False) -> None:
        self.failure: EngineError | None = None
        self.done = False
        self._hide_usage = hide_usage
        self._splitter = EventSplitter()
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: list[_OpenCall] = []
        self._by_index: dict[int, _OpenCall] = {}
        self._finish_reason = ""
        self._model = ""
        self._usage: Usage | None = None

    def feed(self, piece: bytes) -> list[bytes]:
        """The whole events that may be passed on now, each as it came; ``[DONE]`` is the last."""
        passed: list[bytes] = []
        for event in self._splitter.feed(piece):
            if self._over:
                break
            if self._read(event):
                passed.append(event)
        if not self._over and begins_event(self._splitter.start) is False:
            self._refuse(self._splitter.rest)  # now, not when its end has come
        return passed

    def end(self) -> bytes:
        """Say that the stream has ended; returns a last event, to be passed on.

        An answer with a finish reason is whole even if the upstream never sends ``[DONE]``. What
        came of an event that the end cut off is dropped, unless it is all there but its blank line
        and completes the answer, or is the upstream's error.
        """
        if self._over:
            return b""
        event = closed(self._splitter.rest)
        passed = self._ends(event) and self._read(event)
        self.done = self.done or (bool(self._finish_reason) and self.failure is None)
        return event if passed else b""

    @property
    def answer(self) -> Answer:
        """What has come so far; ``complete`` once the stream has ended properly."""
        return Answer(
            text="".join(self._texts),
            tool_calls=tuple(call.call() for call in self._calls),
            finish_reason=self._finish_reason or ("stop" if self.done else ""),
            refusal="".join(self._refusals),
            model=self._model,
            usage=self._usage,
            complete=self.done and self.failure is None,
        )

    @property
    def _over(self) -> bool:
        return self.done or self.failure is not None

    def _ends(self, event: bytes) -> bool:
        """Whether the event that the stream ended in is to be read."""
        data = data_of(event)
        if not data or data.startswith(b"[DONE]"):
            return bool(data)
        try:
            chunk = decode_reply(_CHUNK, data)
        except ValueError:
            return False
        reasons = [choice.finish_reason for choice in chunk.choices or () if choice.index == 0]
        return bool(self._finish_reason) or any(reasons) or bytes(chunk.error) != b"null"

    def _read(self, event: bytes) -> bool:
        """Take in one event; whether it is to be passed on."""
        data = data_of(event)
        if not data:
            if not is_event(event):
                self._refuse(event)
            return self.failure is None
        if data.startswith(b"[DONE]"):
            self.done = True
            return True
        try:
            chunk = decode_reply(_CHUNK, data)
        except ValueError:
            start = data[:_EXCERPT].decode(errors="replace")
            self.failure = EngineUnreachable(f"the upstream's stream holds no chunk: {start!r}")
            return False
        if bytes(chunk.error) != b"null":
            self.failure = EngineRefused(502, data)
            return False
        return self._take(chunk)

    def _refuse(self, sent: bytes) -> None:
        start = sent[:_EXCERPT].decode(errors="replace")
        self.failure = EngineUnreachable(
            f"the upstream's stream holds no server-sent event: {start!r}"
        )

    def _take(self, chunk: _Chunk) -> bool:
        self._model = self._model or chunk.model or ""
        usage = decode_usage(chunk.usage)
        self._usage = usage or self._usage
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._finish_reason = choice.finish_reason or self._finish_reason
                self._add(choice.delta or _Delta())
        return bool(chunk.choices) or usage is None or not self._hide_usage

    def _add(self, delta: _Delta) -> None:
        if delta.content:
            self._texts.append(text_of(delta.content))
        if delta.refusal:
            self._refusals.append(delta.refusal)
        for piece in delta.tool_calls or ():
            self._call_for(piece).add(piece)

    def _call_for(self, piece: _Call) -> _OpenCall:
        known = self._by_index.get(piece.index)
        # some providers give every call the index 0, each whole and with an id of its own
        if known is None or (piece.id and known.id and piece.id != known.id):
            known = self._by_index[piece.index] = _OpenCall()
            self._calls.append(known)
        return known
