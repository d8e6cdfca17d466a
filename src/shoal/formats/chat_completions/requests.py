"""Chat Completions requests: from a caller's bytes to a ``Request``, and on to an upstream."""

import hashlib
import json
from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from shoal.chat import CallDelta, Message, Request, ToolCall
from shoal.errors import MalformedRequest, Untranslatable
from shoal.formats.chat_completions.reasoning import (
    ReasoningDetail,
    read_reasoning,
    write_reasoning,
)
from shoal.formats.json_text import (
    canonical_json,
    explain,
    join_members,
    members_of,
    no_collection,
    replace_members,
)
from shoal.formats.request_fields import read_fields, read_model, read_stream, read_text
from shoal.formats.strategy_field import take_asked
from shoal.formats.untranslatable import translatable_params
from shoal.formats.wire_format import Target

_READ = frozenset(("model", "messages", "tools", "response_format", "stream"))
_NULL = Raw(b"null")


class WirePart(Struct):
    """One part of a content that came as a list; of other kinds than text only the kind is read."""

    type: str
    text: str | None = None


class WireFunction(Struct):
    """A function's name and its arguments, as JSON text."""

    name: str = ""
    arguments: str = ""


class WireCustom(Struct):
    """A custom tool's name and its free-text input."""

    name: str = ""
    input: str = ""


class WireCall(Struct):
    """A call of a tool, as assistants' messages hold it."""

    id: str | None = None
    function: WireFunction | None = None
    custom: WireCustom | None = None

    def call(self) -> ToolCall:
        """The same as data."""
        if self.function is None and self.custom is not None:
            return ToolCall(self.id or "", self.custom.name, self.custom.input)
        function = self.function or WireFunction()
        return ToolCall(self.id or "", function.name, function.arguments)


class _WireMessage(Struct):
    role: str
    content: str | list[WirePart] | None = None
    name: str | None = None
    tool_calls: list[WireCall] | None = None
    tool_call_id: str | None = None
    function_call: WireFunction | None = None
    reasoning_content: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None


class _RawContent(Struct):
    content: Raw = _NULL


class _Custom(Struct):
    name: str = ""


class _Tool(Struct):
    custom: _Custom | None = None


class _Kind(Struct):
    type: str = ""


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Params(Struct):
    stream_options: _StreamOptions | None = None


_MESSAGES = msgspec.json.Decoder(list[_WireMessage])
_CONTENTS = msgspec.json.Decoder(list[_RawContent])
_PARAMS = msgspec.json.Decoder(_Params)
_TOOLS = msgspec.json.Decoder(list[_Tool])
_KINDS = msgspec.json.Decoder(list[_Kind])
_CONTENT_TYPES = "a string or a list of parts"


def text_of(content: str | list[WirePart] | None) -> str:
    """The textual content: its text parts joined by newlines where it came in parts."""
    if isinstance(content, list):
        return "\n".join(part.text for part in content if part.type == "text" and part.text)
    return content or ""


@no_collection()
def decode_request(body: bytes, max_messages: int | None = None) -> Request:
    """Read a Chat Completions request; ``body`` is kept in it.

    Raises:
        MalformedRequest: not JSON, or a field of the wrong type; ``param`` names the field.
        TooManyMessages: messages, and calls of tools in them, are more than ``max_messages`` (None:
            as many as there are).
    """
    fields = read_fields(body, "messages", max_messages)
    body, asked = take_asked(fields, body)
    params = {name: value for name, value in fields.items() if name not in _READ}
    return Request(
        model=read_model(fields),
        messages=_messages(fields),
        tools=read_text(fields, "tools", b"[", "a list of tools"),
        response_format=read_text(fields, "response_format", b"{", "an object"),
        params=join_members({**params, **asked}).decode(),
        stream=read_stream(fields),
        body=body,
    )


def _messages(fields: dict[str, Raw]) -> tuple[Message, ...]:
    if "messages" not in fields:
        raise MalformedRequest("'messages' is missing", "messages")
    raw = bytes(fields["messages"])
    try:
        wire = _MESSAGES.decode(raw)
    except msgspec.ValidationError as error:
        about_content = "content`" in str(error)
        expected = _CONTENT_TYPES if about_content else ""
        raise MalformedRequest(*explain(error, "messages", expected)) from None
    if not wire:
        raise MalformedRequest("messages: expected at least one message", "messages")
    in_parts = any(isinstance(message.content, list) for message in wire)
    contents = [item.content for item in _CONTENTS.decode(raw)] if in_parts else [_NULL] * len(wire)
    return tuple(_message(*pair) for pair in zip(wire, contents, strict=True))


def _message(wire: _WireMessage, content: Raw) -> Message:
    calls = [call.call() for call in wire.tool_calls or ()]
    if wire.function_call is not None:  # the form that came before tool_calls
        calls.append(ToolCall("", wire.function_call.name, wire.function_call.arguments))
    return Message(
        role=wire.role,
        text=text_of(wire.content),
        parts=bytes(content).decode() if isinstance(wire.content, list) else "",
        name=wire.name or "",
        tool_calls=tuple(calls),
        tool_call_id=wire.tool_call_id or "",
        reasoning=read_reasoning(wire.reasoning_content, wire.reasoning_details),
    )


def asks_usage(request: Request) -> bool:
    """Whether the caller asked for the usage at the end of a stream."""
    try:
        options = _PARAMS.decode(request.params).stream_options
    except msgspec.DecodeError:
        return False
    return options is not None and options.include_usage is True


def encode_request(request: Request, target: Target) -> bytes:
    """The bytes to send upstream.

    A Chat Completions request that still has its ``body`` is forwarded as it came; only the value
    of ``model`` is replaced where it differs, ``stream`` where it is not ``request.stream``, and
    for a stream ``stream_options.include_usage`` is set, so that what the answer cost is known
    (not if the target's ``ask_usage`` is false, for upstreams that refuse it).

    Raises:
        Untranslatable: it came in another format and asks for what this one cannot say.
    """
    forwarded = request.body and request.format == "chat"
    body = request.body if forwarded else _translated(request)
    fields = members_of(body)
    changes: dict[str, bytes] = {}
    name = msgspec.json.encode(target.model)
    if "model" not in fields or json.loads(bytes(fields["model"])) != target.model:
        changes["model"] = name
    if (bytes(fields.get("stream", b"false")) == b"true") != request.stream:
        changes["stream"] = b"true" if request.stream else b"false"
    if not request.stream and "stream_options" in fields:  # refused upstream without a stream
        del fields["stream_options"]
        return join_members({**fields, **changes})
    if request.stream and target.ask_usage and not asks_usage(request):
        changes["stream_options"] = _with_usage(bytes(fields.get("stream_options", _NULL)))
    return replace_members(body, changes) if changes else body


def _with_usage(options: bytes) -> bytes:
    asked = {"include_usage": b"true"}
    return replace_members(options, asked) if options.startswith(b"{") else join_members(asked)


def _translated(request: Request) -> bytes:
    params = translatable_params(request.params)
    _check_results(request)
    return _built(request, params)


def record_request(request: Request) -> bytes:
    """The request as recordings keep it: built anew, with all that it asks for in any format."""
    return _built(request, members_of(request.params.encode()))


def _check_results(request: Request) -> None:
    """Results of tools are text in this format; who speaks it may try more."""
    if request.format == "chat":
        return
    for index, message in enumerate(request.messages):
        if message.role == "tool" and message.parts:
            for kind in {part.type for part in _KINDS.decode(message.parts)} - {"text"}:
                place = f"messages[{index}].content"
                said = f"{place}: {kind} in a tool's result cannot be said in Chat Completions"
                raise Untranslatable(said, place)


def _built(request: Request, params: dict[str, Raw]) -> bytes:
    fields: dict[str, bytes | Raw] = {
        "model": msgspec.json.encode(request.model),
        "messages": msgspec.json.encode(_wire_messages(request)),
    }
    for name in ("tools", "response_format"):
        if text := getattr(request, name):
            fields[name] = text.encode()
    if request.stream:
        fields["stream"] = b"true"
    return join_members({**fields, **params})


def _wire_messages(request: Request) -> list[dict[str, object]]:
    custom = custom_tools(request.tools)
    return [_wire_message(message, custom) for message in request.messages]


def _wire_message(message: Message, custom: frozenset[str]) -> dict[str, object]:
    content: object = Raw(message.parts.encode()) if message.parts else message.text
    wire: dict[str, object] = {"role": message.role, "content": content}
    if message.tool_calls:
        wire["content"] = content or None
        wire["tool_calls"] = wire_calls(message.tool_calls, custom)
    if message.name:
        wire["name"] = message.name
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    return wire | write_reasoning(message.reasoning)


def custom_tools(tools: str) -> frozenset[str]:
    """The names of the tools whose input is free text, not JSON."""
    if '"custom"' not in tools:
        return frozenset()
    try:
        return frozenset(tool.custom.name for tool in _TOOLS.decode(tools) if tool.custom)
    except msgspec.DecodeError:
        return frozenset()


def wire_calls(
    calls: Iterable[ToolCall], custom: frozenset[str] = frozenset()
) -> list[dict[str, object]]:
    """Calls of tools as Chat Completions writes them; ``custom`` are the names of custom tools."""
    return [{"id": call.id, **wire_call(call, call.name in custom)} for call in calls]


def wire_call(call: ToolCall | CallDelta, custom: bool) -> dict[str, object]:
    """What is called, without the id."""
    if custom:
        return {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments}
    return {"type": "function", "function": function}


def digest_request(request: Request) -> str:
    """SHA-256 (hex) of what was asked: messages, tools and response format, whatever the model.

    Blanks and the order of keys inside ``tools``, ``response_format`` and parts do not matter.
    """
    messages = [
        msgspec.structs.replace(message, parts=canonical_json(message.parts))
        for message in request.messages
    ]
    asked = (messages, canonical_json(request.tools), canonical_json(request.response_format))
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
