"""Templates: the constant text of a kind of call, and the slots where its input stands.

A ``Pattern`` describes one message, a ``Template`` a request. Matching walks through the literals
from left to right with ``str.find``: linear in the text, always the same answer, no regular
expression that could run away. What this module does not know: how templates are found
(``discovery``) and which task they belong to (``matcher``).
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct

from shoal.chat import Message, Request
from shoal.formats.json_text import canonical_json

CONVERSATION = "conversation"
"""Name of the slot that holds what followed the first user message."""

LEADING_ROLES = frozenset({"system", "developer"})


class Pattern(Struct, frozen=True):
    """One message: ``text == literals[0] + slot + literals[1] + ... + slot + literals[-1]``.

    A single literal is a constant message; the first and the last literal may be empty.
    """

    role: str
    literals: tuple[str, ...]

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.literals) - 1

    def match(self, text: str) -> tuple[str, ...] | None:
        """Slot values, each literal between them taken at its leftmost place; None if no match."""
        first, last = self.literals[0], self.literals[-1]
        if len(self.literals) == 1:
            return () if text == first else None
        start, end = len(first), len(text) - len(last)
        if start > end or not text.startswith(first) or not text.endswith(last):
            return None
        values = []
        for literal in self.literals[1:-1]:
            found = text.find(literal, start, end)
            if found < 0:
                return None
            values.append(text[start:found])
            start = found + len(literal)
        return (*values, text[start:end])

    def fill(self, values: Sequence[str]) -> str:
        """The message text with these slot values: the inverse of ``match``.

        Raises:
            ValueError: not as many values as slots.
        """
        if len(values) != self.slots:
            raise ValueError(f"{len(values)} values for {self.slots} slots")
        pieces = [self.literals[0]]
        for value, literal in zip(values, self.literals[1:], strict=True):
            pieces += (value, literal)
        return "".join(pieces)


class Template(Struct, frozen=True, omit_defaults=True):
    """A kind of request: its skeleton and a pattern for each message.

    ``skeleton`` is the digest of roles, tools and response format (``skeleton_of``). ``slots`` are
    names, one for each slot of the patterns in order. A template that ``continues`` describes only
    the messages up to the first one of the user; the rest of the conversation, of any length, is
    the value of one more slot named "conversation".
    """

    skeleton: str
    patterns: tuple[Pattern, ...]
    slots: tuple[str, ...]
    continues: bool = False

    def match(self, request: Request) -> tuple[str, ...] | None:
        """Slot values of a request of this kind, else None."""
        if self.skeleton not in skeletons_of(request, opening=self.continues):
            return None
        return self.match_messages(request.messages)

    def match_messages(self, messages: Sequence[Message]) -> tuple[str, ...] | None:
        """Like ``match`` for messages whose skeleton is known to be the template's."""
        values: list[str] = []
        for pattern, message in zip(self.patterns, messages, strict=False):
            found = pattern.match(content_of(message))
            if found is None:
                return None
            values += found
        if self.continues:
            values.append(transcript_of(messages[len(self.patterns) :]))
        return tuple(values)

    def input_text(self, values: Sequence[str]) -> str:
        """What a specialist reads: the value of the only slot, else one "name: value" line each."""
        if len(values) == 1:
            return values[0].strip()
        lines = zip(self.slots, values, strict=True)
        return "\n".join(f"{name}: {value.strip()}" for name, value in lines)

    @property
    def literal_text(self) -> str:
        """All the constant text, one literal a paragraph."""
        return "\n\n".join(text for p in self.patterns for text in p.literals if text.strip())

    @property
    def weight(self) -> int:
        """Characters of constant text: of two templates that match, the heavier is meant."""
        return sum(len(literal) for pattern in self.patterns for literal in pattern.literals)


def skeleton_of(request: Request) -> str:
    """Digest of the roles of all messages, the tools and the response format, whatever blanks and
    order of keys the JSON of these two is written with."""
    return _skeleton(_roles(request.messages, ""), request)


def opening_skeleton_of(request: Request) -> str:
    """Digest like ``skeleton_of`` of the messages up to the first of the user, any may follow.

    With tools it is an agent's step, and it matters what the step comes after: a message of the
    user, or the result of which tool.
    """
    return _skeleton(_opening_roles(request), request)


def skeletons_of(request: Request, opening: bool) -> Iterator[str]:
    """The digests that a template of this request may have: ``opening_skeleton_of`` or
    ``skeleton_of``, but first that of the JSON as it is written, by which templates were stored
    once; those keep their calls."""
    roles = _opening_roles(request) if opening else _roles(request.messages, "")
    if request.tools or request.response_format:
        yield _digest(roles, request.tools, request.response_format)
    yield _skeleton(roles, request)


def _origin(messages: Sequence[Message]) -> str:
    """Whose message is the last: a role, or the tool whose result it is."""
    last = messages[-1] if messages else Message("")
    if last.role != "tool":
        return last.role
    for message in reversed(messages):
        for call in message.tool_calls:
            if call.id == last.tool_call_id:
                return f"tool {call.name}"
    return last.role


def opening_length(request: Request) -> int:
    """Number of messages up to and including the first of the user (all if there is none)."""
    for index, message in enumerate(request.messages):
        if message.role == "user":
            return index + 1
    return len(request.messages)


def content_of(message: Message) -> str:
    """The text of a message, and its tool calls as lines "name(arguments)"."""
    if not message.tool_calls:
        return message.text
    calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
    return "\n".join([message.text, *calls] if message.text else calls)


def transcript_of(messages: Sequence[Message]) -> str:
    """Messages as text: "role: content" paragraphs."""
    return "\n\n".join(f"{message.role}: {content_of(message)}" for message in messages)


class _Part(Struct):
    type: str = "text"


_parts_decoder = msgspec.json.Decoder(list[_Part])
_TEXT_PARTS = frozenset({"text", "input_text", "refusal"})


def _role(message: Message) -> str:
    """The role, marked if the content is more than text: an image must not pass for its caption."""
    media = _media(message.parts) if message.parts else ""
    return f"{message.role}+{media}" if media else message.role


def _media(parts: str) -> str:
    try:
        kinds = {part.type for part in _parts_decoder.decode(parts)}
    except msgspec.DecodeError:
        return "unreadable"
    return ",".join(sorted(kinds - _TEXT_PARTS))


def _opening_roles(request: Request) -> str:
    mark = f"... {_origin(request.messages)}" if request.tools else "..."
    return _roles(request.messages[: opening_length(request)], mark)


def _roles(messages: Sequence[Message], mark: str) -> str:
    return " ".join([*map(_role, messages), mark])


def _skeleton(roles: str, request: Request) -> str:
    return _digest(roles, _value_of(request.tools), _value_of(request.response_format))


def _digest(*parts: str, size: int = 8) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


_values: dict[str, str] = {}
_MOST_VALUES = 4_096


def _value_of(text: str) -> str:
    """Digest of the value of a JSON text, "" of none.

    Tools are the same in thousands of requests, and to read them takes longer than all else here:
    what was found is kept, by the digest of the text, which takes no room.
    """
    if not text:
        return ""
    key = _digest(text, size=16)
    found = _values.get(key)
    if found is None:
        if len(_values) >= _MOST_VALUES:
            _values.clear()
        found = _values[key] = _digest(canonical_json(text), size=16)
    return found
