"""The OpenAPI 3.1 document of the gateway's routes, from plain data.

The schemas of the wire formats are loose on purpose: they say what Shoal itself insists on. What
else a request may hold is for the provider that answers it to say.
"""

import msgspec

from shoal import __version__
from shoal.chat import Format
from shoal.formats import FORMATS, WireFormat
from shoal.gateway.replies import PREFIX

_Json = dict[str, object]

_NAME = {"type": "string", "minLength": 1}
_MESSAGES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role"],
        "properties": {"role": {"type": "string"}},
    },
}
_ASKED: dict[Format, _Json] = {
    "chat": {"messages": _MESSAGES, "stream": {"type": ["boolean", "null"]}},
    "messages": {"messages": _MESSAGES, "stream": {"type": ["boolean", "null"]}},
    "responses": {"stream": {"type": ["boolean", "null"]}},
}
"""What each format insists on, besides ``model``."""

_REQUIRED: dict[Format, list[str]] = {
    "chat": ["model", "messages"],
    "messages": ["model", "messages"],
    "responses": ["model"],
}
_TITLES: dict[Format, str] = {
    "chat": "OpenAI's Chat Completions",
    "messages": "Anthropic's Messages",
    "responses": "OpenAI's Responses",
}
_ERRORS = {
    "400": "The request cannot be answered as sent.",
    "403": "Another host name, or a web page of another site.",
    "404": "There is no such thing.",
    "413": "The body is over gateway.max_body_mb.",
    "503": "Too much is under way, or the store or every upstream is out of order.",
    "default": "What an upstream said, with its own status; 502 and 504 where it said nothing.",
}
_MODEL: _Json = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_MODELS: _Json = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    },
}
_CALL: _Json = {
    "type": "object",
    "required": ["id", "at", "receipt", "request"],
    "properties": {
        "id": {"type": "string"},
        "at": {"type": "number"},
        "receipt": {"type": "object"},
        "request": {"type": "object"},
        "answer": {"type": ["object", "null"]},
        "error": {"type": "string"},
    },
}
_FEEDBACK: _Json = {
    "type": "object",
    "required": ["call_id"],
    "properties": {
        "call_id": {"type": "string"},
        "verdict": {"enum": ["right", "wrong", None]},
        "answer": {"type": ["string", "null"]},
    },
    "oneOf": [
        {"required": ["verdict"], "properties": {"verdict": {"enum": ["right", "wrong"]}}},
        {"required": ["answer"], "properties": {"answer": {"type": "string"}}},
    ],
    "additionalProperties": False,
}
_RECORDED: _Json = {
    "type": "object",
    "required": ["call_id", "status"],
    "properties": {"call_id": {"type": "string"}, "status": {"const": "recorded"}},
}
_HEALTH: _Json = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"enum": ["ok", "degraded"]}},
}
_READY: _Json = {
    "type": "object",
    "required": ["ready"],
    "properties": {"ready": {"type": "boolean"}},
}
_ERROR: _Json = {
    "type": "object",
    "required": ["error"],
    "description": "In the shape of the wire format that the request came in.",
}
_SCHEMAS: _Json = {
    "Call": _CALL,
    "Error": _ERROR,
    "Feedback": _FEEDBACK,
    "Health": _HEALTH,
    "Model": _MODEL,
    "Models": _MODELS,
    "Ready": _READY,
    "Recorded": _RECORDED,
}
_RECEIPT = ("x-shoal-answered-by", "x-shoal-call-id", "x-shoal-task", "x-shoal-reason")


def openapi() -> bytes:
    """The document, as JSON."""
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Shoal", "version": __version__},
        "paths": {**_wire_paths(), **_own_paths()},
        "components": {"schemas": _SCHEMAS | {_named(w): _asked(w) for w in FORMATS.values()}},
    }
    return msgspec.json.encode(document)


def _wire_paths() -> _Json:
    return {PREFIX + wire.path: {"post": _exchange(wire)} for wire in FORMATS.values()}


def _own_paths() -> _Json:
    name = _parameter("name", "A model's name; it may hold slashes.")
    call = _parameter("call_id", "As the header x-shoal-call-id of the answer gave it.")
    ready = {"200": _json("Ready", "Ready."), "503": _json("Ready", "Not ready.")}
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        f"{PREFIX}/models": _get("The models that may be asked.", "Models", "403"),
        f"{PREFIX}/models/{{name}}": _get("One of them.", "Model", "403", "404") | name,
        "/healthz": _get(
            "What works; 200 while requests are answered.", "Health"
        ),
        "/readyz": {"get": {"summary": "Whether requests are taken.", "responses": ready}},
        "/metrics": {
            "get": {
                "summary": "Figures for Prometheus.",
                "responses": {"200": {"description": "The figures.", "content": text}},
            }
        },
        "/openapi.json": _get("This document.", ""),
        "/shoal/calls/{call_id}": _get("A recorded call.", "Call", "403", "404", "503") | call,
        "/shoal/feedback": {
            "post": {
                "summary": "Says of a call that it was right or wrong, or what is right.",
                "requestBody": _body("Feedback"),
                "responses": {
                    "200": _json("Recorded", "It is recorded."),
                    **_refusals("400", "403", "404", "413", "503"),
                },
            }
        },
    }


def _exchange(wire: WireFormat) -> _Json:
    headers = {name: {"schema": {"type": "string"}} for name in _RECEIPT}
    headers["x-shoal-overhead-ms"] = {"schema": {"type": "string"}}
    content = {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {"schema": {"type": "string"}},
    }
    answer = {"description": "The answer.", "headers": headers, "content": content}
    return {
        "summary": f"Answers a request of {_TITLES[wire.name]}.",
        "requestBody": _body(_named(wire)),
        "responses": {"200": answer, **_refusals(*_ERRORS)},
    }


def _asked(wire: WireFormat) -> _Json:
    properties = {"model": _NAME, **_ASKED[wire.name]}
    return {"type": "object", "required": _REQUIRED[wire.name], "properties": properties}


def _named(wire: WireFormat) -> str:
    return f"{wire.name.capitalize()}Request"


def _get(summary: str, schema: str, *errors: str) -> _Json:
    answer = _json(schema, "It.") if schema else _object("It.")
    return {"get": {"summary": summary, "responses": {"200": answer, **_refusals(*errors)}}}


def _parameter(name: str, description: str) -> _Json:
    place = {"name": name, "in": "path", "required": True, "schema": _NAME}
    return {"parameters": [place | {"description": description}]}


def _body(schema: str) -> _Json:
    return {"required": True, "content": {"application/json": {"schema": _reference(schema)}}}


def _refusals(*statuses: str) -> _Json:
    return {status: _json("Error", _ERRORS[status]) for status in statuses}


def _json(schema: str, description: str) -> _Json:
    content = {"application/json": {"schema": _reference(schema)}}
    return {"description": description, "content": content}


def _object(description: str) -> _Json:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {"description": description, "content": content}


def _reference(schema: str) -> _Json:
    return {"$ref": f"#/components/schemas/{schema}"}
