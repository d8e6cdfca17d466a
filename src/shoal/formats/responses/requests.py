"""Responses requests: from a caller's bytes to a ``Request``, and on to an upstream."""

import json
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from shoal.chat import Message, Request
from shoal.errors import MalformedRequest
from shoal.formats.json_text import (
    join_members,
    members_of,
    members_or_none,
    no_collection,
    replace_members,
)
from shoal.formats.request_fields import read_fields, read_model, read_stream, read_text
from shoal.formats.responses.items import InputReader, InputWriter
from shoal.formats.responses.params import OWN, own_params, read_params, write_params
from shoal.formats.responses.tools import (
    read_text_format,
    read_tools,
    write_text_format,
    write_tools,
)
from shoal.formats.responses.wire_items import NULL, opening_of
from shoal.formats.strategy_field import take_asked
from shoal.formats.untranslatable import UNTRANSLATABLE
from shoal.formats.wire_format import Target

_ELSEWHERE = ("previous_response_id", "conversation", "prompt")  # where input may stand, too


@no_collection()
def decode_request(body: bytes, max_messages: int | None = None) -> Request:
    """Read a Responses request; ``body`` is kept in it.

    What only this format can say is listed in ``params`` (see ``formats.untranslatable``); hints
    that do not change the answer (``store``, ``metadata``, caching, …) are left out of them.

    Raises:
        MalformedRequest: not JSON, or a field of the wrong type; ``param`` names the field.
        TooManyMessages: items and their parts are more than ``max_messages`` (None: any number).
    """
    fields = read_fields(body, "input", max_messages)
    body, asked = take_asked(fields, body)
    model, stream = read_model(fields), read_stream(fields)
    missing: list[str] = []
    text = members_or_none(bytes(fields.get("text", NULL))) or {}
    messages = _messages(fields, missing)
    tools = read_tools(read_text(fields, "tools", b"[", "a list of tools"), missing)
    params = read_params(fields, missing) | asked
    params[OWN] = own_params(fields)
    if missing:
        params[UNTRANSLATABLE] = msgspec.json.encode(missing)
    return Request(
        model=model,
        messages=tuple(messages),
        tools=tools,
        response_format=read_text_format(text.get("format", NULL)),
        params=join_members(params).decode(),
        stream=stream,
        body=body,
        format="responses",
    )


def _messages(fields: Mapping[str, Raw], missing: list[str]) -> list[Message]:
    instructions = read_text(fields, "instructions", b'"', "a string")
    said = [Message("system", json.loads(instructions))] if instructions not in ("", '""') else []
    value = fields.get("input", NULL)
    start = opening_of(value)
    if start == b'"':
        return [*said, Message("user", msgspec.json.decode(value, type=str))]
    if start == b"[":
        read = InputReader(missing).read(value)
    elif bytes(value) == b"null":
        read = []
    else:
        raise MalformedRequest("input: expected a string or a list of items", "input")
    nothing = bytes(value).translate(None, b" \t\r\n") in (b"null", b"[]")
    if nothing and not any(name in fields for name in _ELSEWHERE):
        if "input" not in fields:
            raise MalformedRequest("'input' is missing", "input")
        raise MalformedRequest("input: expected at least one item", "input")
    return said + read


def encode_request(request: Request, target: Target) -> bytes:
    """The bytes to send upstream.

    A Responses request that still has its ``body`` is forwarded as it came; only the value of
    ``model`` is replaced where it differs, and ``stream`` where it is not ``request.stream``. Of
    others the upstream is told not to keep the answer (``store``).

    Raises:
        Untranslatable: it asks for what this format cannot say.
    """
    forwarded = request.body and request.format == "responses"
    body = request.body if forwarded else msgspec.json.encode(built_fields(request))
    fields = members_of(body)
    changes: dict[str, bytes] = {}
    if json.loads(bytes(fields["model"])) != target.model:
        changes["model"] = msgspec.json.encode(target.model)
    if (bytes(fields.get("stream", b"false")) == b"true") != request.stream:
        changes["stream"] = b"true" if request.stream else b"false"
    if not request.stream and "stream_options" in fields:  # refused upstream without a stream
        del fields["stream_options"]
        return join_members({**fields, **changes})
    return replace_members(body, changes) if changes else body


def built_fields(request: Request, instructed: bool | None = None) -> dict[str, object]:
    """The fields of a request written anew. ``instructed`` says whether the first message was its
    instructions; None: it is, where it may be.

    Raises:
        Untranslatable: it asks for what this format cannot say.
    """
    params = write_params(request)
    text = dict(params.pop("text", {}))
    if request.response_format:
        text["format"] = write_text_format(request.response_format)
    messages = list(enumerate(request.messages))
    fields: dict[str, object] = {"model": request.model}
    if instructed is None:
        instructed = len(messages) > 1 and _is_plain_system(messages[0][1])
    if instructed:
        fields["instructions"] = messages.pop(0)[1].text
    fields["input"] = InputWriter(request).write(messages)
    if request.tools:
        fields["tools"] = write_tools(request.tools)
    if text:
        fields["text"] = text
    if request.stream:
        fields["stream"] = True
    return {**fields, **params, "store": False}


def _is_plain_system(message: Message) -> bool:
    return message == Message("system", message.text) and bool(message.text)
