"""The events that a streamed Responses answer is written in."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Raw

from shoal.chat import Answer, CallDelta, Delta, Usage
from shoal.formats.chat_completions import custom_tools
from shoal.formats.responses.answers import ResponseText, status_of
from shoal.formats.responses.open_items import Event, OpenCall, OpenItem, OpenMessage, OpenThought
from shoal.formats.responses.reasoning import made_id, unsign
from shoal.formats.wire_format import Envelope


class EventWriter:
    """Writes the events of one answer.

    Thoughts, text and refusals end when something else begins, calls of tools only with the answer:
    their arguments may come in turns.
    """

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._response = ResponseText(envelope)
        self._custom = custom_tools(envelope.request.tools)
        self._model = envelope.request.model
        self._finish_reason = ""
        self._usage: Usage | None = None
        self._number = 0
        self._items: list[OpenItem] = []
        self._thought: OpenThought | None = None
        self._message: OpenMessage | None = None
        self._calls: dict[int, OpenCall] = {}

    def feed(self, deltas: Iterable[Delta]) -> bytes:
        """The events that these steps make."""
        return b"".join(self._frame(event) for delta in deltas for event in self._step(delta))

    def end(self) -> bytes:
        """The events that end a whole answer."""
        return b"".join(self._frame(event) for event in self._end())

    def _frame(self, event: Event) -> bytes:
        kind, members = event
        text = msgspec.json.encode({"type": kind, **members, "sequence_number": self._number})
        self._number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), text)

    def _begin(self) -> Iterator[Event]:
        if self._number == 0:
            begun = {"response": Raw(self._response.begun(self._model))}
            yield "response.created", begun
            yield "response.in_progress", begun

    def _step(self, delta: Delta) -> Iterator[Event]:
        self._model = delta.model or self._model
        self._finish_reason = delta.finish_reason or self._finish_reason
        self._usage = delta.usage or self._usage
        yield from self._begin()
        if delta.thinking or delta.signature:
            yield from self._think(delta)
        if delta.text or delta.refusal:
            yield from self._close_thought()
            yield from self._open_message()
            assert self._message is not None
            yield from self._message.add(delta.text, delta.refusal)
        for call in delta.calls:
            yield from self._call(call)

    def _think(self, delta: Delta) -> Iterator[Event]:
        yield from self._close_message()
        if delta.sealed:  # a block of its own, whatever is under way
            yield from self._close_thought()
        if self._thought is None:
            index = len(self._items)
            made = made_id(self._envelope.id, index)
            self._thought = OpenThought(index, unsign(delta.signature, made)[0])
            self._items.append(self._thought)
            yield from self._thought.open()
        if delta.thinking:
            yield from self._thought.add(delta.thinking)
        if delta.signature:
            yield from self._close_thought(delta.signature)

    def _close_thought(self, signature: str = "") -> Iterator[Event]:
        if self._thought is not None:
            yield from self._thought.close(signature)
            self._thought = None

    def _open_message(self) -> Iterator[Event]:
        if self._message is None:
            index = len(self._items)
            self._message = OpenMessage(index, f"msg_{self._envelope.id}_{index}")
            self._items.append(self._message)
            yield from self._message.open()

    def _close_message(self, status: str = "completed") -> Iterator[Event]:
        if self._message is not None:
            yield from self._message.close(status)
            self._message = None

    def _call(self, piece: CallDelta) -> Iterator[Event]:
        call = self._calls.get(piece.index)
        if call is None:
            yield from self._close_thought()
            yield from self._close_message()
            custom = piece.name in self._custom
            call = OpenCall(len(self._items), self._envelope.id, piece, custom)
            self._calls[piece.index] = call
            self._items.append(call)
            yield from call.open()
        else:
            call.name += piece.name
        if piece.arguments:
            yield from call.add(piece.arguments)

    def _end(self) -> Iterator[Event]:
        yield from self._begin()
        yield from self._close_thought()
        status = status_of(self._finish_reason)
        if not self._calls and not any(isinstance(item, OpenMessage) for item in self._items):
            yield from self._open_message()
            assert self._message is not None
            yield from self._message.add_nothing()
        yield from self._close_message(status)
        for call in self._calls.values():
            yield from call.close(status)
        answer = Answer(
            finish_reason=self._finish_reason or "stop", model=self._model, usage=self._usage
        )
        items = [msgspec.json.encode(item.whole) for item in self._items]
        ended = Raw(self._response.ended(answer, items))
        yield f"response.{status}", {"response": ended}
