"""The events that a streamed Messages answer comes in, read."""

import msgspec
from msgspec import Raw, Struct

from shoal.chat import CallDelta, Delta, Piece
from shoal.errors import EngineRefused, EngineUnreachable
from shoal.formats.events import data_of
from shoal.formats.json_text import decode_reply, word_of
from shoal.formats.messages.answers import explanation
from shoal.formats.messages.errors import status_of
from shoal.formats.messages.usage import Counts, decode_counts, finish_reason

_NULL = Raw(b"null")


class _Started(Struct):
    model: str | None = None
    usage: Raw = _NULL


class _MessageStart(Struct, tag="message_start"):
    message: _Started


class _NewBlock(Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: Raw = _NULL
    id: str | None = None
    name: str | None = None
    input: Raw = _NULL


class _BlockStart(Struct, tag="content_block_start"):
    content_block: Raw
    index: int = 0


class _BlockDelta(Struct):
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None


class _BlockPiece(Struct, tag="content_block_delta"):
    delta: _BlockDelta
    index: int = 0


class _BlockStop(Struct, tag="content_block_stop"):
    index: int = 0


class _Ending(Struct):
    stop_reason: str | None = None
    stop_details: Raw = _NULL


class _MessageDelta(Struct, tag="message_delta"):
    delta: _Ending
    usage: Raw = _NULL


class _MessageStop(Struct, tag="message_stop"):
    pass


class _Told(Struct, frozen=True):
    type: str = ""


class _Error(Struct, tag="error"):
    error: _Told = _Told()


class _Kind(Struct):
    type: str


_Event = (
    _MessageStart | _BlockStart | _BlockPiece | _BlockStop | _MessageDelta | _MessageStop | _Error
)
_EVENT: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)
_KIND = msgspec.json.Decoder(_Kind)
_NEW_BLOCK = msgspec.json.Decoder(_NewBlock)
_READ = frozenset(("text", "thinking", "redacted_thinking", "tool_use"))
_KINDS = frozenset(str(member.__struct_config__.tag) for member in _Event.__args__)


class _Block(Struct):
    """What is known of a block that has begun: whether its type is read, the number of its call,
    its whole input if that came with its beginning, and the signature that ends it."""

    read: bool = True
    call: int = -1
    input: bytes = b""
    signature: str = ""


class MessageDecoder:
    """Reads the events of one stream. Its usage is always passed on: it cannot be left out.

    The usage of the beginning counts as an estimate, because what is answered is not in it yet.
    """

    def __init__(self, hide_usage: bool = False) -> None:
        self.finished = False
        self._counts = Counts()
        self._blocks: dict[int, _Block] = {}
        self._calls = 0

    def read(self, event: bytes) -> Piece:
        """One event. Types that are not known are passed on unread, as the provider advises.

        Raises:
            EngineRefused: it is an error of the upstream (it is in ``body``).
            EngineUnreachable: it is no event of a message.
        """
        data = data_of(event)
        if not data:
            return Piece(event)
        try:
            read = self._decoded(data)
        except ValueError:
            start = data[:200].decode(errors="replace")
            raise EngineUnreachable(
                f"the upstream's stream holds no event of a message: {start!r}"
            ) from None
        if isinstance(read, _Error):
            raise EngineRefused(status_of(read.error.type), data)
        delta = None if read is None else self._delta(read)
        return Piece(event, () if delta is None else (delta,), isinstance(read, _MessageStop))

    def _decoded(self, data: bytes) -> _Event | None:
        try:
            return decode_reply(_EVENT, data)
        except msgspec.ValidationError:
            if decode_reply(_KIND, data).type in _KINDS:
                raise
            return None

    def _delta(self, event: _Event) -> Delta | None:
        match event:
            case _MessageStart(message):
                self._counts = decode_counts(message.usage)
                return Delta(model=message.model or "", usage=self._counts.usage(estimated=True))
            case _BlockStart(block, index):
                return self._begin(index, block)
            case _BlockPiece(delta, index):
                return self._piece(index, delta)
            case _BlockStop(index):
                return self._stop(index)
            case _MessageDelta(ending, usage):
                return self._end(ending, usage)
        return None

    def _begin(self, index: int, raw: Raw) -> Delta | None:
        state = self._blocks[index] = _Block()
        try:
            block = _NEW_BLOCK.decode(raw)
        except msgspec.DecodeError:  # of a type that is not known
            block = _NewBlock("")
        state.read = block.type in _READ
        state.signature = block.signature or ""
        if block.type == "tool_use":
            state.call, self._calls = self._calls, self._calls + 1
            state.input = bytes(block.input)
            return Delta(calls=(CallDelta(state.call, block.id or "", block.name or ""),))
        if block.type == "redacted_thinking":
            return Delta(signature=word_of(block.data), sealed=True)
        return _said(state, Delta(text=block.text or "", thinking=block.thinking or ""))

    def _piece(self, index: int, delta: _BlockDelta) -> Delta | None:
        state = self._blocks.setdefault(index, _Block())
        state.signature = delta.signature or state.signature
        calls: tuple[CallDelta, ...] = ()
        if delta.partial_json and state.call >= 0:
            state.input = b""
            calls = (CallDelta(state.call, arguments=delta.partial_json),)
        said = Delta(text=delta.text or "", thinking=delta.thinking or "", calls=calls)
        return _said(state, said)

    def _stop(self, index: int) -> Delta | None:
        """A signature ends its block; the input of a call may have come with its beginning."""
        state = self._blocks.pop(index, _Block())
        if state.call >= 0 and state.input:
            whole = state.input.decode() if state.input != b"null" else "{}"
            return Delta(calls=(CallDelta(state.call, arguments=whole),))
        return Delta(signature=state.signature) if state.read and state.signature else None

    def _end(self, ending: _Ending, usage: Raw) -> Delta:
        later = decode_counts(usage)
        self._counts = self._counts.updated(later)
        self.finished = self.finished or ending.stop_reason is not None
        reason = finish_reason(ending.stop_reason) if ending.stop_reason else ""
        refused = reason == "content_filter"
        return Delta(
            refusal=explanation(ending.stop_details) if refused else "",
            finish_reason=reason,
            usage=self._counts.usage() if later != Counts() else None,
        )


def _said(block: _Block, delta: Delta) -> Delta | None:
    said = delta.text or delta.thinking or delta.calls
    return delta if block.read and said else None
