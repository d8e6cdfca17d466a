"""The items that requests and answers of the Responses API are made of, as far as they are read."""

import msgspec
from msgspec import Raw, Struct

NULL = Raw(b"null")


class _Typed(Struct):
    type: str | None = None
    role: str | None = None


class WireText(Struct):
    """A piece of a summary, of reasoning or of an answer."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: Raw = NULL


class WireReasoning(Struct):
    """A block of reasoning."""

    id: str | None = None
    summary: list[WireText] | None = None
    content: list[WireText] | None = None
    encrypted_content: str | None = None


class WireCall(Struct):
    """A call of a function (``arguments``) or of a custom tool (``input``)."""

    name: str = ""
    call_id: str | None = None
    arguments: str | None = None
    input: str | None = None
    namespace: str | None = None


class WireResult(Struct):
    """What a tool gave."""

    call_id: str | None = None
    output: Raw = NULL


CALLS = frozenset(("function_call", "custom_tool_call"))
RESULTS = frozenset(("function_call_output", "custom_tool_call_output"))

REASONING = msgspec.json.Decoder(WireReasoning)
CALL = msgspec.json.Decoder(WireCall)
RESULT = msgspec.json.Decoder(WireResult)
_TYPED = msgspec.json.Decoder(_Typed)


def kind_of(item: Raw) -> str:
    """The type of an item or part; "message" for what has but a role, "" for what has neither."""
    try:
        typed = _TYPED.decode(item)
    except msgspec.DecodeError:
        return ""
    return typed.type or ("message" if typed.role else "")


def opening_of(value: Raw) -> bytes:
    """The sign that a JSON text begins with: a quote for a string, a bracket for a list, …"""
    return bytes(memoryview(value)[:1])
