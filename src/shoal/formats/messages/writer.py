"""The events that a streamed Messages answer comes in, written."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from shoal.chat import Answer, CallDelta, Delta, ToolCall, Usage
from shoal.formats.messages.answers import head_of, named
from shoal.formats.messages.calls import call_block, is_object
from shoal.formats.messages.usage import encode_usage, ending_of
from shoal.formats.wire_format import Envelope

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


class _Call(Struct):
    id: str = ""
    name: str = ""
    arguments: list[str] = []
    sent: bool = False

    def whole(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self.arguments))

    def seems_whole(self) -> bool:
        """Whether the arguments are an object already, to which nothing can be added."""
        ends = bool(self.arguments) and self.arguments[-1].rstrip().endswith("}")
        return ends and is_object("".join(self.arguments))


class MessageWriter:
    """Writes the events of one answer, one block after the other.

    The arguments of a call are held until they are whole, as Anthropic itself does: calls may come
    mixed, and their arguments may turn out to be no object. A ping stands for what is held.
    """

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._begun = False
        self._blocks = 0
        self._open = ""  # the type of the block that is open
        self._calls: dict[int, _Call] = {}
        self._finish_reason = ""
        self._refusals: list[str] = []
        self._usage: Usage | None = None

    def feed(self, deltas: Iterable[Delta]) -> bytes:
        """The events that these steps make."""
        written, held = b"", False
        for delta in deltas:
            written += self._step(delta)
            held = held or bool(delta.calls)
        return written or (_PING if held else b"")

    def end(self) -> bytes:
        """The calls that are still held, why the answer ends, its usage and ``message_stop``."""
        rest = self._begin("") + self._send_calls(all_of_them=True) + self._close()
        answer = Answer(
            tool_calls=tuple(call.whole() for call in self._calls.values()),
            finish_reason=self._finish_reason or "stop",
            refusal="".join(self._refusals),
        )
        ending = _event(
            "message_delta", {"delta": ending_of(answer), "usage": encode_usage(self._usage)}
        )
        return rest + ending + _event("message_stop", {})

    def _step(self, delta: Delta) -> bytes:
        written = self._begin(delta.model)
        self._usage = delta.usage or self._usage
        self._finish_reason = delta.finish_reason or self._finish_reason
        if delta.refusal:
            self._refusals.append(delta.refusal)
        if delta.thinking:
            written += self._say("thinking", "thinking_delta", "thinking", delta.thinking)
        if delta.signature:
            written += self._sign(delta.signature, delta.sealed)
        if delta.text:
            written += self._send_calls() + self._say("text", "text_delta", "text", delta.text)
        for call in delta.calls:
            written += self._hold(call)
        return written + (self._send_calls(all_of_them=True) if delta.finish_reason else b"")

    def _begin(self, model: str) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        message = {
            **head_of(self._envelope, model or self._envelope.request.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(None),
        }
        return _event("message_start", {"message": message})

    def _say(self, block: str, kind: str, member: str, text: str) -> bytes:
        begun = b"" if self._open == block else self._close() + self._start(block)
        delta = {"type": kind, member: text}
        return begun + _event("content_block_delta", {"index": self._blocks, "delta": delta})

    def _sign(self, signature: str, sealed: bool) -> bytes:
        if sealed:
            block = {"type": "redacted_thinking", "data": signature}
            return self._close() + self._whole_block(block)
        return self._say("thinking", "signature_delta", "signature", signature) + self._close()

    def _hold(self, piece: CallDelta) -> bytes:
        begun = b""
        if piece.index not in self._calls:
            begun = self._send_calls()
            self._calls[piece.index] = _Call()
        call = self._calls[piece.index]
        call.id = call.id or piece.id
        call.name += piece.name
        if piece.arguments:
            call.arguments.append(piece.arguments)
        return begun

    def _send_calls(self, all_of_them: bool = False) -> bytes:
        """Those that are whole, in their order; or all that there are."""
        written = b""
        for number, call in self._calls.items():
            if call.sent:
                continue
            if not (all_of_them or call.seems_whole()):
                break
            call.sent = True
            block = call_block(named(call.whole(), number, self._envelope))
            arguments = {"type": "input_json_delta", "partial_json": _text(block["input"])}
            written += self._close() + self._whole_block({**block, "input": {}}, arguments)
        return written

    def _start(self, kind: str) -> bytes:
        empty: dict[str, object] = {"type": kind, kind: ""}
        if kind == "thinking":
            empty["signature"] = ""
        self._open = kind
        return _event("content_block_start", {"index": self._blocks, "content_block": empty})

    def _whole_block(self, block: object, delta: object = None) -> bytes:
        place: dict[str, object] = {"index": self._blocks}
        self._blocks += 1
        said = b"" if delta is None else _event("content_block_delta", place | {"delta": delta})
        begun = _event("content_block_start", place | {"content_block": block})
        return begun + said + _event("content_block_stop", place)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        self._blocks += 1
        return _event("content_block_stop", {"index": self._blocks - 1})


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _event(kind: str, members: dict[str, object]) -> bytes:
    data = msgspec.json.encode({"type": kind, **members})
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)
