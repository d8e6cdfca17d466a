"""The OpenAPI 3.1 document of the gateway's routes, from plain data.

The schemas of the wire formats are loose on purpose: they say what Shoal itself insists on. What
else a request may hold is for the provider that answers it to say.
"""

from collections.abc import Mapping

import msgspec

from shoal import __version__
from shoal.chat import Format
from shoal.formats import FORMATS, WireFormat
from shoal.formats.embeddings import PATH as EMBEDDINGS
from shoal.formats.messages.token_counts import PATH as COUNTS
from shoal.gateway.replies import ESTIMATED, PREFIX
from shoal.routing.key_order import KeyOrder

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
_INPUT = {"type": ["string", "array"], "minItems": 1, "items": {"type": "object"}}
_ASKED: dict[Format, _Json] = {
    "chat": {"messages": _MESSAGES, "stream": {"type": ["boolean", "null"]}},
    "messages": {"messages": _MESSAGES, "stream": {"type": ["boolean", "null"]}},
    "responses": {"input": _INPUT, "stream": {"type": ["boolean", "null"]}},
}
"""What each format insists on, besides ``model``."""

_TEXTS: _Json = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": _NAME,
        "input": {"anyOf": [_NAME, {"type": "array", "minItems": 1, "items": _NAME}]},
        "encoding_format": {"enum": ["float", "base64", None]},
        "dimensions": {"type": ["integer", "null"], "minimum": 1},
    },
}
_REQUIRED: dict[Format, list[str]] = {
    "chat": ["model", "messages"],
    "messages": ["model", "messages"],
    "responses": ["model", "input"],
}
_TITLES: dict[Format, str] = {
    "chat": "OpenAI's Chat Completions",
    "messages": "Anthropic's Messages",
    "responses": "OpenAI's Responses",
}
_ERRORS = {
    "400": "The request cannot be answered as sent.",
    "401": "No key, or one that is not in force.",
    "403": "A key that is not for this, another host name, or a web page of another site.",
    "404": "There is no such thing.",
    "409": "There is one of that name.",
    "413": "The body is over gateway.max_body_mb.",
    "429": "More than the key's limits or budgets leave.",
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
_KEY: _Json = {
    "type": "object",
    "required": ["id", "name", "hint", "state", "spec"],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "hint": {"type": "string", "description": "Its last characters."},
        "state": {"enum": ["in force", "expired", "revoked"]},
        "spec": {"type": "object"},
        "key": {"type": "string", "description": "In the reply that makes it only."},
    },
}
_KEYS: _Json = {
    "type": "object",
    "required": ["keys"],
    "properties": {"keys": {"type": "array", "items": {"$ref": "#/components/schemas/Key"}}},
}
_TOKEN_COUNT: _Json = {
    "type": "object",
    "required": ["input_tokens"],
    "properties": {"input_tokens": {"type": "integer"}},
}
_SPEND: _Json = {
    "type": "object",
    "required": ["by", "since", "spend"],
    "properties": {"spend": {"type": "array", "items": {"type": "object"}}},
}
_SCHEMAS: _Json = {
    "Call": _CALL,
    "EmbeddingsRequest": _TEXTS,
    "Error": _ERROR,
    "Feedback": _FEEDBACK,
    "Health": _HEALTH,
    "Key": _KEY,
    "Keys": _KEYS,
    "NewKey": KeyOrder.model_json_schema(),
    "Model": _MODEL,
    "Models": _MODELS,
    "Ready": _READY,
    "Recorded": _RECORDED,
    "Spend": _SPEND,
    "TokenCount": _TOKEN_COUNT,
}
_CALL_LINKS: _Json = {
    "call": {
        "operationId": "call",
        "parameters": {"call_id": "$response.header.x-shoal-call-id"},
    },
    "feedback": {
        "operationId": "feedback",
        "requestBody": {"call_id": "$response.header.x-shoal-call-id"},
    },
}
_MODEL_LINKS: _Json = {
    "model": {"operationId": "model", "parameters": {"name": "$response.body#/data/0/id"}}
}
_RECEIPT = ("x-shoal-answered-by", "x-shoal-call-id", "x-shoal-task", "x-shoal-reason")


def openapi() -> bytes:
    """The document, as JSON."""
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Shoal", "version": __version__},
        "paths": {**_wire_paths(), **_own_paths(), **_key_paths()},
        "security": [{}, {"key": []}],
        "components": {
            "schemas": _SCHEMAS | {_named(w): _asked(w) for w in FORMATS.values()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return msgspec.json.encode(document)


def _wire_paths() -> _Json:
    replies = {"200": {"description": "The vectors.", "content": {"application/json": {}}}}
    embedding = _operation("embeddings", "Embeds texts.", replies | _refusals(*_ERRORS))
    return {
        PREFIX + COUNTS: {"post": _count()},
        PREFIX + EMBEDDINGS: {"post": embedding | {"requestBody": _body("EmbeddingsRequest")}},
        **{PREFIX + wire.path: {"post": _exchange(wire)} for wire in FORMATS.values()},
        **_kept_paths(),
    }


def _kept_paths() -> _Json:
    path = f"{PREFIX}{FORMATS['responses'].path}/{{response_id}}"
    one = _parameter("response_id", "As the answer gave it.")
    it = {"200": {"description": "It.", "content": {"application/json": {}}}}
    replies = it | _refusals("400", "404", "429", "503", "default")

    def said(id: str, summary: str) -> _Json:
        return _operation(id, summary, replies)

    return {
        path: {
            "get": said("response", "A response that is kept."),
            "delete": said("delete_response", "Has the provider delete one that it keeps."),
            **one,
        },
        f"{path}/input_items": {"get": said("input_items", "What it answered."), **one},
        f"{path}/cancel": {"post": said("cancel_response", "Ends one in the background."), **one},
    }


def _own_paths() -> _Json:
    name = _parameter("name", "A model's name; it may hold slashes.")
    call = _parameter("call_id", "As the header x-shoal-call-id of the answer gave it.")
    ready = {"200": _json("Ready", "Ready."), "503": _json("Ready", "It stops.")}
    text = {"text/plain": {"schema": {"type": "string"}}}
    figures = {"200": {"description": "The figures.", "content": text}}
    models = {"200": _json("Models", "All of them.") | {"links": _MODEL_LINKS}}
    told = {"200": _json("Recorded", "It is recorded.")}
    it = {"200": {"description": "It.", "content": {"application/json": {}}}}
    said = _operation(
        "feedback",
        "Says of a call that it was right or wrong, or what is right.",
        told | _refusals("400", "404", "413", "503"),
    )
    return {
        f"{PREFIX}/models": {"get": _operation("models", "The models to ask.", models)},
        f"{PREFIX}/models/{{name}}": _get("model", "One of them.", "Model", "404") | name,
        "/healthz": _get("health", "What works; 200 while requests are answered.", "Health"),
        "/readyz": {"get": _operation("ready", "Whether requests are answered.", ready)},
        "/metrics": {"get": _operation("metrics", "Figures for Prometheus.", figures)},
        "/openapi.json": {"get": _operation("openapi", "This document.", it)},
        "/shoal/calls/{call_id}": _get("call", "A recorded call.", "Call", "400", "404", "503")
        | call,
        "/shoal/feedback": {"post": said | {"requestBody": _body("Feedback")}},
    }


def _key_paths() -> _Json:
    key = _parameter("key_id", "A key's id or name.")
    made = _operation(
        "create_key",
        "Makes a key; wants one of scope admin.",
        {"201": _json("Key", "The key, shown once.")} | _refusals("400", "409", "413", "503"),
    )
    gone = {"200": _json("Key", "It is out of force."), **_refusals("404", "503")}
    return {
        "/shoal/keys": {
            **_get("keys", "The keys there are.", "Keys", "503"),
            "post": made | {"requestBody": _body("NewKey")},
        },
        "/shoal/keys/{key_id}": {"delete": _operation("revoke_key", "Revokes it.", gone)} | key,
        "/shoal/spend": _get("spend", "What was spent.", "Spend", "400", "503"),
    }


def _exchange(wire: WireFormat) -> _Json:
    headers = {name: {"schema": {"type": "string"}} for name in _RECEIPT}
    headers["x-shoal-overhead-ms"] = {"schema": {"type": "string"}}
    content: _Json = {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {},
    }
    answer = {"description": "The answer.", "headers": headers, "content": content}
    replies = {"200": answer | {"links": _CALL_LINKS}, **_refusals(*_ERRORS)}
    operation = _operation(wire.name, f"Answers a request of {_TITLES[wire.name]}.", replies)
    return operation | {"requestBody": _body(_named(wire))}


def _count() -> _Json:
    estimated = {"schema": {"const": "true"}, "description": "There if no provider counted."}
    counted = _json("TokenCount", "The count.") | {"headers": {ESTIMATED: estimated}}
    said = "Counts the tokens of a request of Anthropic's Messages."
    operation = _operation("count_tokens", said, {"200": counted, **_refusals(*_ERRORS)})
    return operation | {"requestBody": _body(_named(FORMATS["messages"]))}


def _asked(wire: WireFormat) -> _Json:
    properties = {"model": _NAME, **_ASKED[wire.name]}
    return {"type": "object", "required": _REQUIRED[wire.name], "properties": properties}


def _named(wire: WireFormat) -> str:
    return f"{wire.name.capitalize()}Request"


def _get(id: str, summary: str, schema: str, *errors: str) -> _Json:
    replies = {"200": _json(schema, "It."), **_refusals(*errors)}
    return {"get": _operation(id, summary, replies)}


def _operation(id: str, summary: str, replies: Mapping[str, object]) -> _Json:
    """Any request may lack a key (401), or meet the guard, which answers 403."""
    responses = {**replies, **_refusals("401", "403")}
    return {"operationId": id, "summary": summary, "responses": responses}


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


def _reference(schema: str) -> _Json:
    return {"$ref": f"#/components/schemas/{schema}"}
