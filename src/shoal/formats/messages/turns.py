"""Conversations: the turns of Messages to messages of Chat Completions and back.

In Messages the results of tools are part of the user's next turn, and the system prompt stands
beside the conversation.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from shoal.chat import Message, Reasoning, ToolCall
from shoal.errors import MalformedRequest, Untranslatable
from shoal.formats.json_text import explain
from shoal.formats.messages.blocks import Part, blocks_of, media_part, said, text_part
from shoal.formats.messages.calls import call_block, wire_id

B = TypeVar("B", bound=Struct)

_NULL = Raw(b"null")
_CONTENT_TYPES = "a string or a list of blocks"
_SYSTEM = ("system", "developer")


class _Turn(Struct):
    role: str
    content: Raw = _NULL


class _Block(Struct):
    type: str


class _Text(Struct):
    text: str


class _Thinking(Struct):
    thinking: str = ""
    signature: str = ""


class _Redacted(Struct):
    data: str


class _ToolUse(Struct):
    id: str
    name: str
    input: Raw = Raw(b"{}")


class _ToolResult(Struct):
    tool_use_id: str
    content: Raw = _NULL
    is_error: bool | None = None


_TURNS = msgspec.json.Decoder(list[_Turn])
_RAWS = msgspec.json.Decoder(list[Raw])


def read_turns(system: Raw, turns: Raw) -> tuple[tuple[Message, ...], list[str]]:
    """The messages, and the names of blocks that no other format has.

    Raises:
        MalformedRequest: a field that must be read is of the wrong type.
    """
    reader = _Reader()
    if bytes(system) != b"null":
        reader.read("system", system, "system")
    try:
        wire = _TURNS.decode(turns)
    except msgspec.ValidationError as error:
        raise MalformedRequest(*explain(error, "messages")) from None
    if not wire:
        raise MalformedRequest("messages: expected at least one message", "messages")
    for index, turn in enumerate(wire):
        reader.read(turn.role, turn.content, f"messages[{index}].content")
    return tuple(reader.messages), reader.strange


class _Reader:
    """Reads one turn after the other."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.strange: list[str] = []

    def read(self, role: str, content: Raw, place: str) -> None:
        if (text := _string(content)) is not None:
            self.messages.append(Message(role, text))
            return
        parts: list[Part] = []
        calls: list[ToolCall] = []
        thoughts: list[Reasoning] = []
        results: list[Message] = []
        for index, raw in enumerate(_list(content, place)):
            at = f"{place}[{index}]"
            kind = _decoded(raw, _Block, at).type
            if kind == "tool_use" and role == "assistant":
                calls.append(_call(raw, at))
            elif kind in ("thinking", "redacted_thinking"):
                thoughts.append(_thought(kind, raw, at))
            elif kind == "tool_result" and role == "user":
                results.append(self._result(raw, at))
            else:
                parts.append(self._part(kind, raw, at))
        self.messages += results
        if parts or calls or thoughts or not results:
            text, in_parts = said(parts)
            message = Message(
                role, text, in_parts, tool_calls=tuple(calls), reasoning=tuple(thoughts)
            )
            self.messages.append(message)

    def _part(self, kind: str, raw: Raw, place: str) -> Part:
        if kind == "text":
            return text_part(_decoded(raw, _Text, place).text)
        part = media_part(kind, raw) if kind in ("image", "document") else raw
        if part is raw:
            self.strange.append(f"{place} ({kind})")
        return part

    def _parts(self, content: Raw, place: str) -> list[Part]:
        placed = [(raw, f"{place}[{index}]") for index, raw in enumerate(_list(content, place))]
        return [self._part(_decoded(raw, _Block, at).type, raw, at) for raw, at in placed]

    def _result(self, raw: Raw, place: str) -> Message:
        """A result of a tool; that it failed is said in its text, for want of another place."""
        result = _decoded(raw, _ToolResult, place)
        text = _string(result.content)
        inner = f"{place}.content"
        parts = [text_part(text)] if text is not None else self._parts(result.content, inner)
        if result.is_error:
            parts = _as_error(parts)
        text, in_parts = said(parts)
        return Message("tool", text, in_parts, tool_call_id=result.tool_use_id)


def _as_error(parts: list[Part]) -> list[Part]:
    first = parts[0] if parts else None
    text = first.get("text") if isinstance(first, dict) else None
    if not isinstance(text, str):
        return [text_part("Error:"), *parts]
    if text.lower().startswith("error"):
        return parts
    return [text_part(f"Error: {text}".strip()), *parts[1:]]


def _string(content: Raw) -> str | None:
    """The content if it is a string, "" if there is none."""
    text = bytes(content)
    if text == b"null":
        return ""
    return msgspec.json.decode(text, type=str) if text.startswith(b'"') else None


def _list(content: Raw, place: str) -> list[Raw]:
    try:
        return _RAWS.decode(content)
    except msgspec.ValidationError as error:
        raise MalformedRequest(*explain(error, place, _CONTENT_TYPES)) from None


def _decoded(raw: Raw, kind: type[B], place: str) -> B:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise MalformedRequest(*explain(error, place)) from None


def _call(raw: Raw, place: str) -> ToolCall:
    use = _decoded(raw, _ToolUse, place)
    return ToolCall(use.id, use.name, bytes(use.input).decode())


def _thought(kind: str, raw: Raw, place: str) -> Reasoning:
    if kind == "redacted_thinking":
        return Reasoning(signature=_decoded(raw, _Redacted, place).data, sealed=True)
    thought = _decoded(raw, _Thinking, place)
    return Reasoning(thought.thinking, thought.signature)


class _Written(Struct):
    """A turn that is being written; the API wants results of tools before all else in it."""

    role: str
    results: list[object] = []
    blocks: list[object] = []

    def wire(self) -> dict[str, object]:
        content: object = [*self.results, *self.blocks]
        return {"role": self.role, "content": _shortened(content)}


def write_turns(messages: Sequence[Message], own: bool) -> dict[str, object]:
    """``messages``, and ``system`` if there is a system prompt.

    What follows in the same role is one turn. A message that says nothing is left out: the API
    refuses it. ``own``: the request came in this format.

    Raises:
        Untranslatable: a message cannot be said in this format.
    """
    turns: list[_Written] = []
    for index, message in enumerate(messages):
        turn = _written(message, f"messages[{index}]", own)
        if not (turn.blocks or turn.results):
            continue
        if turns and turns[-1].role == turn.role:
            turns[-1].results += turn.results
            turns[-1].blocks += turn.blocks
        else:
            turns.append(turn)
    system = turns.pop(0) if turns and turns[0].role == "system" else None
    if not turns:
        raise Untranslatable(
            "messages: Messages wants one of a user that says something", "messages"
        )
    fields: dict[str, object] = {"messages": [turn.wire() for turn in turns]}
    return fields | ({"system": _shortened(system.blocks)} if system else {})


def _written(message: Message, place: str, own: bool) -> _Written:
    if message.name and message.role != "tool":
        said_by = f"{place}.name"
        raise Untranslatable(f"{said_by}: Messages has no names of speakers", said_by)
    blocks = blocks_of(message.text, message.parts, place, own)
    if message.role == "tool":
        return _Written("user", results=[_result_block(message, blocks)])
    if message.role in _SYSTEM:
        return _Written("system", blocks=blocks)
    if message.role == "assistant":
        calls = [call_block(call) for call in message.tool_calls]
        thoughts = list(thought_blocks(message.reasoning, unsigned=own))
        return _Written("assistant", blocks=[*thoughts, *blocks, *calls])
    if message.role != "user":
        role = f"{place}.role"
        raise Untranslatable(f"{role}: Messages has no role {message.role!r}", role)
    return _Written("user", blocks=blocks)


def _result_block(message: Message, blocks: list[object]) -> dict[str, object]:
    block: dict[str, object] = {
        "type": "tool_result",
        "tool_use_id": wire_id(message.tool_call_id),
    }
    return block | ({"content": _shortened(blocks)} if blocks else {})


def thought_blocks(thoughts: Iterable[Reasoning], unsigned: bool) -> Iterable[dict[str, str]]:
    """Blocks of thinking; in a request those that nobody signed would be refused."""
    for thought in thoughts:
        if thought.sealed:
            yield {"type": "redacted_thinking", "data": thought.signature}
        elif thought.signature or unsigned:
            yield {
                "type": "thinking",
                "thinking": thought.text,
                "signature": thought.signature,
            }


def _shortened(blocks: object) -> object:
    """One text as a string, which means the same."""
    match blocks:
        case [{"type": "text", "text": str(text), **rest}] if not rest:
            return text
    return blocks
