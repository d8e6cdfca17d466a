"""The events that a streamed Responses answer comes in, read."""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import Raw, Struct

from shoal.chat import CallDelta, Delta, Piece
from shoal.errors import EngineUnreachable
from shoal.formats.alternatives import of_part
from shoal.formats.events import data_of
from shoal.formats.json_text import decode_reply, word_of
from shoal.formats.responses.answers import WireResponse, read_item, tool_call
from shoal.formats.responses.errors import WireError, refusal
from shoal.formats.responses.reasoning import PARAGRAPH, sign
from shoal.formats.responses.usage import decode_usage
from shoal.formats.responses.wire_items import CALL, CALLS, NULL, REASONING, kind_of

_EXCERPT = 200
_FAILED = ("response.failed", "response.cancelled")


class _Event(Struct):
    type: str
    output_index: int = 0
    summary_index: int = 0
    content_index: int = 0
    delta: Raw = NULL
    logprobs: Raw = NULL
    item: Raw = NULL
    response: Raw = NULL
    error: Raw = NULL


class _Item(Struct):
    """What has come of one item; ``part`` is the part of reasoning that the last of it was in."""

    said: bool = False
    part: tuple[str, int] | None = None
    number: int = -1
    named: bool = False
    done: bool = False


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(WireResponse)
_ERROR = msgspec.json.Decoder(WireError)
_TEXT = msgspec.json.Decoder(str)


class EventDecoder:
    """Reads the events of one stream.

    What comes only with the event that ends an item, or the stream, is taken from there. Events of
    other kinds (built-in tools at work) are passed on unread.
    """

    def __init__(self, hide_usage: bool = False) -> None:
        """``hide_usage`` changes nothing: the usage is part of the event that ends a stream."""
        self.finished = False
        self._items: dict[int, _Item] = {}
        self._calls = 0
        self._readers: Mapping[str, Callable[[_Event], Iterable[Delta]]] = {
            "response.created": self._begun,
            "response.output_item.added": self._added,
            "response.output_text.delta": self._text,
            "response.refusal.delta": self._refusal,
            "response.reasoning_summary_text.delta": self._thought,
            "response.reasoning_text.delta": self._thought,
            "response.function_call_arguments.delta": self._arguments,
            "response.custom_tool_call_input.delta": self._arguments,
            "response.output_item.done": self._done,
            "response.completed": self._ended,
            "response.incomplete": self._ended,
        }

    def read(self, event: bytes) -> Piece:
        """One event.

        Raises:
            EngineRefused: it is an error of the upstream, or says that the answer failed.
            EngineUnreachable: it is no event of such a stream.
        """
        data = data_of(event)
        if not data or data.startswith(b"[DONE]"):  # some servers send that, too
            return Piece(event)
        try:
            read = decode_reply(_EVENT, data)
            self._raise_failure(read, data)
            reader = self._readers.get(read.type)
            deltas = tuple(reader(read)) if reader else ()
        except ValueError:
            start = data[:_EXCERPT].decode(errors="replace")
            raise EngineUnreachable(
                f"the upstream's stream holds no event of a response: {start!r}"
            ) from None
        return Piece(event, deltas, last=self.finished)

    def _raise_failure(self, event: _Event, data: bytes) -> None:
        if event.type == "error":
            nested = bytes(event.error) != b"null"
            error = decode_reply(_ERROR, bytes(event.error) if nested else data)
            raise refusal(error, taken=False)
        if event.type in _FAILED:
            raise refusal(decode_reply(_RESPONSE, bytes(event.response)).error, taken=True)

    def _item(self, index: int) -> _Item:
        return self._items.setdefault(index, _Item())

    def _begun(self, event: _Event) -> Iterable[Delta]:
        response = decode_reply(_RESPONSE, bytes(event.response))
        yield Delta(model=response.model or "", id=word_of(response.id))

    def _added(self, event: _Event) -> Iterable[Delta]:
        if kind_of(event.item) in CALLS:
            yield self._call_begun(event.output_index, event.item)

    def _call_begun(self, index: int, raw: Raw) -> Delta:
        item, call = self._item(index), tool_call(decode_reply(CALL, bytes(raw)))
        item.named, item.said = True, item.said or bool(call.arguments)
        return _called(self._number(item), call.id, call.name, call.arguments)

    def _number(self, item: _Item) -> int:
        if item.number < 0:
            item.number = self._calls
            self._calls += 1
        return item.number

    def _text(self, event: _Event) -> Iterable[Delta]:
        self._item(event.output_index).said = True
        text = _said(event)
        yield Delta(text=text, alternatives=of_part(event.logprobs, text))

    def _refusal(self, event: _Event) -> Iterable[Delta]:
        self._item(event.output_index).said = True
        yield Delta(refusal=_said(event))

    def _thought(self, event: _Event) -> Iterable[Delta]:
        item = self._item(event.output_index)
        part = (event.type, event.summary_index + event.content_index)
        between = PARAGRAPH if item.said and item.part != part else ""
        item.said, item.part = True, part
        yield Delta(thinking=between + _said(event))

    def _arguments(self, event: _Event) -> Iterable[Delta]:
        item = self._item(event.output_index)
        item.said = True
        yield _called(self._number(item), arguments=_said(event))

    def _done(self, event: _Event) -> Iterable[Delta]:
        return self._whole(event.output_index, event.item)

    def _whole(self, index: int, raw: Raw) -> Iterable[Delta]:
        """What has not come of an item that is whole now."""
        item = self._item(index)
        kind = kind_of(raw)
        if item.done:
            return
        item.done = True
        if kind in CALLS:
            call = tool_call(decode_reply(CALL, bytes(raw)))
            head = ("", "") if item.named else (call.id, call.name)
            rest = "" if item.said else call.arguments
            if rest or not item.named:
                yield _called(self._number(item), *head, rest)
        elif kind == "reasoning":
            signature = sign(decode_reply(REASONING, bytes(raw)))
            told = "" if item.said else "".join(block.text for block in read_item(raw).reasoning)
            if told or signature:
                sealed = not (told or item.said)
                yield Delta(thinking=told, signature=signature, sealed=sealed)
        elif not item.said:
            said = read_item(raw)
            if said.text or said.refusal:
                yield Delta(said.text, said.refusal, alternatives=said.alternatives)

    def _ended(self, event: _Event) -> Iterable[Delta]:
        response = decode_reply(_RESPONSE, bytes(event.response))
        if not self._items:
            for index, item in enumerate(response.output or ()):
                yield from self._whole(index, item)
        self.finished = True
        yield Delta(
            finish_reason=response.finish_reason(self._calls > 0),
            model=response.model or "",
            usage=decode_usage(response.usage),
            id=word_of(response.id),
        )


def _said(event: _Event) -> str:
    return decode_reply(_TEXT, bytes(event.delta))


def _called(number: int, call_id: str = "", name: str = "", arguments: str = "") -> Delta:
    return Delta(calls=(CallDelta(number, call_id, name, arguments),))
