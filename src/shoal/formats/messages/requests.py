"""Messages requests: from a caller's bytes to a ``Request``, and on to an upstream."""

import msgspec
from msgspec import Raw

from shoal.chat import Request
from shoal.errors import MalformedRequest
from shoal.formats.json_text import members_of, no_collection, replace_members
from shoal.formats.messages.settings import (
    own_settings,
    read_settings,
    write_format,
    write_settings,
)
from shoal.formats.messages.tools import read_tools, write_tools
from shoal.formats.messages.turns import read_turns, write_turns
from shoal.formats.request_fields import read_fields, read_model, read_stream, read_text
from shoal.formats.strategy_field import take_asked
from shoal.formats.untranslatable import translatable_params, without_own
from shoal.formats.wire_format import Target

_NULL = Raw(b"null")


@no_collection()
def decode_request(body: bytes, max_messages: int | None = None) -> Request:
    """Read a Messages request; ``body`` is kept in it.

    Raises:
        MalformedRequest: not JSON, or a field that must be read is of the wrong type; ``param``
            names the field.
        TooManyMessages: messages and their blocks are more than ``max_messages`` (None: any
            number).
    """
    fields = read_fields(body, "messages", max_messages)
    body, asked = take_asked(fields, body)
    model, stream = read_model(fields), read_stream(fields)
    if "messages" not in fields:
        raise MalformedRequest("'messages' is missing", "messages")
    messages, strange = read_turns(fields.get("system", _NULL), fields["messages"])
    tools, strange_tools = read_tools(read_text(fields, "tools", b"[", "a list of tools"))
    settings = read_settings(fields)
    settings.params |= asked
    return Request(
        model=model,
        messages=messages,
        tools=tools,
        response_format=settings.response_format,
        params=settings.text(strange + strange_tools),
        stream=stream,
        body=body,
        format="messages",
    )


def encode_request(request: Request, target: Target) -> bytes:
    """The bytes to send upstream.

    A Messages request that still has its ``body`` is forwarded as it came; only the value of
    ``model`` is replaced where it differs, and ``stream`` where it is not ``request.stream``.

    Raises:
        Untranslatable: it came in another format and asks for what this one cannot say.
    """
    if request.body and request.format == "messages":
        return _forwarded(request, target)
    return _built(request, target)


def _built(request: Request, target: Target) -> bytes:
    own = request.format == "messages"
    params = members_of(request.params.encode()) if own else translatable_params(request.params)
    kept = own_settings(params) if own else {}
    tools = write_tools(request.tools, own)
    fields: dict[str, object] = {
        "model": target.model,
        **write_settings(without_own(params), target, bool(tools)),
        **write_turns(request.messages, own),
    }
    if tools:
        fields["tools"] = tools
    wanted = write_format(request.response_format)
    if wanted and not kept.keys() & {"output_config", "output_format"}:
        effort = fields.get("output_config")
        fields["output_config"] = {**effort, **wanted} if isinstance(effort, dict) else wanted
    if request.stream:
        fields["stream"] = True
    return msgspec.json.encode(fields | kept)


def _forwarded(request: Request, target: Target) -> bytes:
    fields = members_of(request.body)
    changes: dict[str, bytes] = {}
    if msgspec.json.decode(fields["model"]) != target.model:
        changes["model"] = msgspec.json.encode(target.model)
    if (bytes(fields.get("stream", _NULL)) == b"true") != request.stream:
        changes["stream"] = b"true" if request.stream else b"false"
    return replace_members(request.body, changes) if changes else request.body
