"""Input items, to messages and back.

What one answer was made of (reasoning, text, calls) comes as items of their own, one after another;
in a conversation of messages it is one of the assistant's.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Message, Reasoning, Request, ToolCall
from shoal.errors import MalformedRequest
from shoal.formats.chat_completions import custom_tools
from shoal.formats.json_text import explain
from shoal.formats.responses.parts import Content, cannot_say, read_content, write_content
from shoal.formats.responses.reasoning import made_id, read_reasoning, write_reasoning
from shoal.formats.responses.wire_items import (
    CALL,
    CALLS,
    NULL,
    REASONING,
    RESULT,
    RESULTS,
    WireCall,
    kind_of,
    opening_of,
)

_ROLES = frozenset(("user", "system", "developer", "assistant"))


class _WireMessage(Struct):
    role: str
    content: Raw = NULL


class _Turn(Struct):
    """What the assistant said in one go, so far."""

    contents: list[Content] = []
    calls: list[ToolCall] = []
    reasoning: list[Reasoning] = []

    def message(self) -> Message:
        text = "\n".join(content.text for content in self.contents if content.text)
        return Message(
            role="assistant",
            text=text,
            parts=self._parts(),
            tool_calls=tuple(self.calls),
            reasoning=tuple(self.reasoning),
        )

    def _parts(self) -> str:
        parts = [part for content in self.contents for part in _as_parts(content)]
        only_text = len(parts) == 1 and isinstance(parts[0], dict) and parts[0]["type"] == "text"
        if not parts or only_text:  # as one string, which is how other formats say it
            return ""
        return msgspec.json.encode(parts).decode()


_LIST = msgspec.json.Decoder(list[Raw])
_MESSAGE = msgspec.json.Decoder(_WireMessage)


def _as_parts(content: Content) -> list[object]:
    if content.parts is not None:
        return content.parts
    return [{"type": "text", "text": content.text}] if content.text else []


class InputReader:
    """Makes messages of input items, in their order.

    ``missing`` gets the paths of what only this format can say. An item of a kind that is not read
    becomes a message with its type as the role and the item as its only part.
    """

    def __init__(self, missing: list[str]) -> None:
        self._missing = missing
        self._messages: list[Message] = []
        self._turn: _Turn | None = None

    def read(self, items: Raw) -> list[Message]:
        """The messages.

        Raises:
            MalformedRequest: an item is none, or what must be read of it has the wrong type.
        """
        for index, item in enumerate(_LIST.decode(items)):
            path, kind = f"input[{index}]", kind_of(item)
            if not kind and opening_of(item) != b"{":
                raise MalformedRequest(f"{path}: expected an object", path)
            try:
                self._take(kind, item, path)
            except msgspec.ValidationError as error:
                raise MalformedRequest(*explain(error, path)) from None
        self._end_turn()
        return self._messages

    def _take(self, kind: str, item: Raw, path: str) -> None:
        if kind == "message":
            self._take_message(item, path)
        elif kind == "reasoning":
            if block := read_reasoning(REASONING.decode(item)):
                self._turn_for_more().reasoning.append(block)
        elif kind in CALLS:
            self._take_call(CALL.decode(item), path)
        elif kind in RESULTS:
            result = RESULT.decode(item)
            content = read_content(result.output, f"{path}.output", self._missing)
            self._add("tool", content, result.call_id or "")
        else:
            self._missing.append(f"{path} ({kind or 'of no type'})")
            self._add(kind or "unknown", Content(parts=[item]))

    def _take_message(self, item: Raw, path: str) -> None:
        message = _MESSAGE.decode(item)
        content = read_content(message.content, f"{path}.content", self._missing)
        if message.role == "assistant":
            self._turn_for_more().contents.append(content)
        else:
            self._add(message.role, content)

    def _take_call(self, call: WireCall, path: str) -> None:
        if call.namespace:
            self._missing.append(f"{path}.namespace")
        arguments = call.arguments if call.input is None else call.input
        turn = self._turn = self._turn or _Turn()
        turn.calls.append(ToolCall(call.call_id or "", call.name, arguments or ""))

    def _turn_for_more(self) -> _Turn:
        """The turn under way, unless it has said its text and calls nothing: then a new one.

        A turn that waits for its calls to be answered must stay one message.
        """
        if self._turn is not None and self._turn.contents and not self._turn.calls:
            self._end_turn()
        self._turn = self._turn or _Turn()
        return self._turn

    def _add(self, role: str, content: Content, call_id: str = "") -> None:
        self._end_turn()
        parts = "" if content.parts is None else msgspec.json.encode(content.parts).decode()
        self._messages.append(Message(role, content.text, parts, tool_call_id=call_id))

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._messages.append(self._turn.message())
            self._turn = None


class InputWriter:
    """Makes input items of messages. Reasoning that its provider does not want back is left out."""

    def __init__(self, request: Request) -> None:
        self._custom = custom_tools(request.tools)
        self._custom_ids: set[str] = set()
        self._items: list[dict[str, object]] = []

    def write(self, messages: Iterable[tuple[int, Message]]) -> list[dict[str, object]]:
        """The items of messages, which come with their numbers.

        Raises:
            Untranslatable: a role, name or part that this format has not.
        """
        for index, message in messages:
            self._write(message, f"messages[{index}]")
        return self._items

    def _write(self, message: Message, path: str) -> None:
        if message.role == "tool":
            self._write_result(message, path)
            return
        if message.role not in _ROLES:
            raise cannot_say(f"{path}.role ({message.role})")
        if message.name:
            raise cannot_say(f"{path}.name")
        before = len(self._items)
        for block in message.reasoning:
            if block.signature:
                self._items.append(write_reasoning(block, made_id("input", len(self._items))))
        content = write_content(message, path)
        if content or not (message.tool_calls or len(self._items) > before):
            self._items.append({"role": message.role, "content": content})
        for call in message.tool_calls:
            self._write_call(call, path)

    def _write_call(self, call: ToolCall, path: str) -> None:
        if not call.id:
            raise cannot_say(f"{path}.function_call")
        if call.name in self._custom:
            self._custom_ids.add(call.id)
        self._items.append(call_item(call, call.name in self._custom))

    def _write_result(self, message: Message, path: str) -> None:
        custom = message.tool_call_id in self._custom_ids
        kind = "custom_tool_call_output" if custom else "function_call_output"
        output = write_content(message, path)
        self._items.append({"type": kind, "call_id": message.tool_call_id, "output": output})


def call_item(call: ToolCall, custom: bool) -> dict[str, object]:
    """A call as an item; of a ``custom`` tool, or of a function."""
    kind, said = ("custom_tool_call", "input") if custom else ("function_call", "arguments")
    return {"type": kind, "call_id": call.id, "name": call.name, said: call.arguments}
