"""The chunks that a streamed Chat Completions answer comes in: read, and written."""

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from shoal.chat import CallDelta, Delta, Piece
from shoal.errors import EngineRefused, EngineUnreachable
from shoal.formats.alternatives import of_choice
from shoal.formats.chat_completions.answers import completion_id, decode_usage, encode_usage
from shoal.formats.chat_completions.reasoning import ReasoningDetail
from shoal.formats.chat_completions.requests import (
    WirePart,
    asks_usage,
    custom_tools,
    text_of,
    wire_call,
)
from shoal.formats.events import data_of
from shoal.formats.json_text import decode_reply
from shoal.formats.wire_format import Envelope

DONE = b"data: [DONE]\n\n"
_NULL = Raw(b"null")


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Custom(Struct):
    name: str | None = None
    input: str | None = None


class _Call(Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None


class _Delta(Struct):
    content: str | list[WirePart] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None


class _Choice(Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: Raw = _NULL


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: Raw = _NULL
    error: Raw = _NULL


_CHUNK = msgspec.json.Decoder(_Chunk)


class ChunkDecoder:
    """Reads the chunks of one stream; of several choices the first is the answer.

    ``hide_usage`` takes the chunk that holds nothing but the usage out of what is passed on: the
    caller had not asked for it.
    """

    def __init__(self, hide_usage: bool = False) -> None:
        self.finished = False
        self._hide_usage = hide_usage
        self._calls: dict[int, tuple[int, str]] = {}  # by their index: number and id of the latest
        self._count = 0

    def read(self, event: bytes) -> Piece:
        """One event.

        Raises:
            EngineRefused: it is an error of the upstream (it is in ``body``).
            EngineUnreachable: it is no chunk.
        """
        data = data_of(event)
        if not data:
            return Piece(event)
        if data.startswith(b"[DONE]"):
            return Piece(event, last=True)
        try:
            chunk = decode_reply(_CHUNK, data)
        except ValueError:
            start = data[:200].decode(errors="replace")
            raise EngineUnreachable(f"the upstream's stream holds no chunk: {start!r}") from None
        if bytes(chunk.error) != b"null":
            raise EngineRefused(502, data)
        return self._piece(event, chunk)

    def _piece(self, event: bytes, chunk: _Chunk) -> Piece:
        usage = decode_usage(chunk.usage)
        hidden = self._hide_usage and usage is not None and not chunk.choices
        choices = [choice for choice in chunk.choices or () if choice.index == 0]
        deltas = [self._delta(choice) for choice in choices]
        if usage is not None or not deltas:
            deltas.append(Delta(model=chunk.model or "", usage=usage))
        elif chunk.model:
            deltas[0] = msgspec.structs.replace(deltas[0], model=chunk.model)
        return Piece(b"" if hidden else event, tuple(deltas))

    def _delta(self, choice: _Choice) -> Delta:
        delta = choice.delta or _Delta()
        self.finished = self.finished or bool(choice.finish_reason)
        signature, sealed = _signature(delta.reasoning_details or ())
        text = text_of(delta.content)
        return Delta(
            text=text,
            refusal=delta.refusal or "",
            thinking=delta.reasoning_content or delta.reasoning or "",
            signature=signature,
            sealed=sealed,
            calls=tuple(self._call(call) for call in delta.tool_calls or ()),
            finish_reason=choice.finish_reason or "",
            alternatives=of_choice(choice.logprobs, text),
        )

    def _call(self, piece: _Call) -> CallDelta:
        number, known_id = self._calls.get(piece.index, (-1, ""))
        # some providers give every call the index 0, each whole and with an id of its own
        if number < 0 or (piece.id and known_id and piece.id != known_id):
            number, known_id = self._count, ""
            self._count += 1
        self._calls[piece.index] = (number, known_id or piece.id or "")
        if piece.custom is not None:
            custom = piece.custom
            return CallDelta(number, piece.id or "", custom.name or "", custom.input or "")
        function = piece.function or _Function()
        return CallDelta(number, piece.id or "", function.name or "", function.arguments or "")


def _signature(details: Iterable[ReasoningDetail]) -> tuple[str, bool]:
    for detail in details:
        if detail.data:
            return detail.data, True
        if detail.signature:
            return detail.signature, False
    return "", False


class ChunkWriter:
    """Writes the chunks of one answer."""

    def __init__(self, envelope: Envelope) -> None:
        self._include_usage = asks_usage(envelope.request)
        self._head: dict[str, object] = {
            "id": completion_id(envelope),
            "object": "chat.completion.chunk",
            "created": envelope.created,
            "model": envelope.request.model,
        }
        self._begun = False
        self._usage: dict[str, object] | None = None
        self._custom_tools = custom_tools(envelope.request.tools)
        self._named: dict[int, bool] = {}  # by number: whether a custom tool is called

    def feed(self, deltas: Iterable[Delta]) -> bytes:
        """The chunks that these steps make."""
        return b"".join(self._step(delta) for delta in deltas)

    def end(self) -> bytes:
        """The usage if it was asked for, and ``[DONE]``."""
        if not self._include_usage or self._usage is None:
            return DONE
        return _event(self._head | {"choices": [], "usage": self._usage}) + DONE

    def _step(self, delta: Delta) -> bytes:
        if delta.model and not self._begun:
            self._head["model"] = delta.model
        if delta.usage is not None:
            self._usage = encode_usage(delta.usage)
        said = self._said(delta)
        if not said and not delta.finish_reason:
            return b""
        if not self._begun:
            self._begun = True
            said = {"role": "assistant", **said}
        if delta.finish_reason and said:
            return self._chunk(said, None) + self._chunk({}, delta.finish_reason)
        return self._chunk(said, delta.finish_reason or None)

    def _said(self, delta: Delta) -> dict[str, object]:
        said: dict[str, object] = {}
        if delta.text:
            said["content"] = delta.text
        if delta.refusal:
            said["refusal"] = delta.refusal
        if delta.thinking:
            said["reasoning_content"] = delta.thinking
        if delta.signature:
            key = "data" if delta.sealed else "signature"
            kind = "reasoning.encrypted" if delta.sealed else "reasoning.text"
            said["reasoning_details"] = [{"type": kind, key: delta.signature}]
        if delta.calls:
            said["tool_calls"] = [self._call(call) for call in delta.calls]
        return said

    def _call(self, call: CallDelta) -> dict[str, object]:
        custom = self._named.get(call.index)
        if custom is None:
            custom = self._named[call.index] = call.name in self._custom_tools
            return {"index": call.index, "id": call.id, **wire_call(call, custom)}
        if custom:
            return {"index": call.index, "custom": {"input": call.arguments}}
        return {"index": call.index, "function": {"arguments": call.arguments}}

    def _chunk(self, said: dict[str, object], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": said, "finish_reason": reason}
        blank: dict[str, object] = {"usage": None} if self._include_usage else {}
        return _event(self._head | {"choices": [choice]} | blank)


def _event(chunk: object) -> bytes:
    return b"data: %s\n\n" % msgspec.json.encode(chunk)
