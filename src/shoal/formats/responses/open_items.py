"""The items of an answer on its way: each makes the events that tell of it."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from shoal.chat import CallDelta, ToolCall
from shoal.formats.responses.answers import (
    call_of_answer,
    message_item,
    refusal_part,
    text_part,
)
from shoal.formats.responses.reasoning import reasoning_item, unsign

Event = tuple[str, Mapping[str, object]]
"""An event's type and its members, save its number."""


class OpenItem(Protocol):
    """An item; once it is closed it is ``whole``."""

    @property
    def whole(self) -> Mapping[str, object]:
        """What it has become."""


class OpenThought:
    """A block of reasoning, shown as a summary of one part."""

    def __init__(self, index: int, item_id: str) -> None:
        self._place = {"item_id": item_id, "output_index": index}
        self._texts: list[str] = []
        self.whole: Mapping[str, object] = reasoning_item(item_id, "", "")

    def open(self) -> Iterator[Event]:
        """It begins."""
        yield _added(self._place, self.whole)

    def add(self, text: str) -> Iterator[Event]:
        """More of it."""
        place = {**self._place, "summary_index": 0}
        if not self._texts:
            part = {"type": "summary_text", "text": ""}
            yield "response.reasoning_summary_part.added", {**place, "part": part}
        self._texts.append(text)
        yield "response.reasoning_summary_text.delta", {**place, "delta": text}

    def close(self, signature: str) -> Iterator[Event]:
        """It ends; ``signature`` is what its provider wants back."""
        text, item_id = "".join(self._texts), str(self._place["item_id"])
        if text:
            place = {**self._place, "summary_index": 0}
            part = {"type": "summary_text", "text": text}
            yield "response.reasoning_summary_text.done", {**place, "text": text}
            yield "response.reasoning_summary_part.done", {**place, "part": part}
        given, content = unsign(signature, item_id)
        # the id was told before the signature came; if it holds another, it must be kept whole
        self.whole = reasoning_item(item_id, text, content if given == item_id else signature)
        yield _done(self._place, self.whole)


class OpenMessage:
    """A message: parts of text and of refusal, one after the other."""

    def __init__(self, index: int, item_id: str) -> None:
        self._place: dict[str, object] = {"item_id": item_id, "output_index": index}
        self._item_id = item_id
        self._parts: list[dict[str, object]] = []
        self._refuses = False
        self._texts: list[str] = []
        self.whole: Mapping[str, object] = message_item(item_id, [], "in_progress")

    def open(self) -> Iterator[Event]:
        """It begins."""
        yield _added(self._place, self.whole)

    def add(self, text: str, refusal: str) -> Iterator[Event]:
        """More of it."""
        if text:
            yield from self._say(text, refuses=False)
        if refusal:
            yield from self._say(refusal, refuses=True)

    def add_nothing(self) -> Iterator[Event]:
        """An empty text: what a message of an answer that says nothing holds."""
        yield from self._open_part(refuses=False)

    def close(self, status: str) -> Iterator[Event]:
        """It ends."""
        yield from self._close_part()
        self.whole = message_item(self._item_id, self._parts, status)
        yield _done(self._place, self.whole)

    def _say(self, text: str, refuses: bool) -> Iterator[Event]:
        if not self._parts or refuses != self._refuses:
            yield from self._close_part()
            yield from self._open_part(refuses)
        self._texts.append(text)
        if refuses:
            yield "response.refusal.delta", {**self._part_place(), "delta": text}
        else:
            delta = {"delta": text, "logprobs": []}
            yield "response.output_text.delta", {**self._part_place(), **delta}

    def _part_place(self) -> dict[str, object]:
        return {**self._place, "content_index": len(self._parts) - 1}

    def _open_part(self, refuses: bool) -> Iterator[Event]:
        part = refusal_part("") if refuses else text_part("")
        self._refuses, self._texts = refuses, []
        self._parts.append(part)
        yield "response.content_part.added", {**self._part_place(), "part": part}

    def _close_part(self) -> Iterator[Event]:
        if not self._parts:
            return
        text, place = "".join(self._texts), self._part_place()
        part = self._parts[-1] = refusal_part(text) if self._refuses else text_part(text)
        if self._refuses:
            yield "response.refusal.done", {**place, "refusal": text}
        else:
            yield "response.output_text.done", {**place, "text": text, "logprobs": []}
        yield "response.content_part.done", {**place, "part": part}


class OpenCall:
    """A call of a function or of a custom tool; ``name`` may grow."""

    def __init__(self, index: int, answer_id: str, first: CallDelta, custom: bool) -> None:
        self.name = first.name
        self._id, self._answer_id = first.id, answer_id
        self._index, self._custom = index, custom
        self._arguments: list[str] = []
        self.whole: Mapping[str, object] = self._item("in_progress")
        self._place = {"item_id": self.whole["id"], "output_index": index}
        self._kind = "custom_tool_call_input" if custom else "function_call_arguments"

    def open(self) -> Iterator[Event]:
        """It begins."""
        yield _added(self._place, self.whole)

    def add(self, arguments: str) -> Iterator[Event]:
        """More of its arguments."""
        self._arguments.append(arguments)
        yield f"response.{self._kind}.delta", {**self._place, "delta": arguments}

    def close(self, status: str) -> Iterator[Event]:
        """It ends."""
        self.whole = self._item(status)
        said = "input" if self._custom else "arguments"
        done = {said: self.whole[said]}
        yield f"response.{self._kind}.done", {**self._place, **done}
        yield _done(self._place, self.whole)

    def _item(self, status: str) -> dict[str, object]:
        call = ToolCall(self._id, self.name, "".join(self._arguments))
        return call_of_answer(call, self._custom, self._answer_id, self._index, status)


def _added(place: Mapping[str, object], item: object) -> Event:
    return "response.output_item.added", {"output_index": place["output_index"], "item": item}


def _done(place: Mapping[str, object], item: object) -> Event:
    return "response.output_item.done", {"output_index": place["output_index"], "item": item}
