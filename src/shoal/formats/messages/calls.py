"""Calls of tools: Chat Completions holds arguments as text that a model wrote, Messages as an
object, and wants ids of its own alphabet."""

import re
from hashlib import blake2b

import msgspec
from msgspec import Raw

from shoal.chat import ToolCall
from shoal.formats.json_text import join_members, members_or_none

_ID = re.compile(r"[A-Za-z0-9_-]+")


def input_of(arguments: str) -> Raw:
    """The arguments as a JSON object; what is none stands in one, under "arguments"."""
    text = arguments.strip() or "{}"
    if is_object(text):
        return Raw(text.encode())
    return Raw(join_members({"arguments": msgspec.json.encode(arguments)}))


def is_object(text: str) -> bool:
    """Whether ``text`` is a JSON object, whole."""
    return members_or_none(text.encode()) is not None


def wire_id(given: str) -> str:
    """An id that Anthropic takes: the one given, or one made of it, always the same."""
    if _ID.fullmatch(given):
        return given
    return f"toolu_{blake2b(given.encode(), digest_size=12).hexdigest()}"


def call_block(call: ToolCall) -> dict[str, object]:
    """A call as a block of an assistant's message."""
    return {
        "type": "tool_use",
        "id": wire_id(call.id),
        "name": call.name,
        "input": input_of(call.arguments),
    }
