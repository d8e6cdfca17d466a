"""The OpenAPI 3.1 document of the gateway's routes, from plain data.

The schemas of the wire formats are loose on purpose: they say what Shoal itself insists on. What
else a request may hold is for the provider that answers it to say.
"""

import msgspec

from shoal import __version__
from shoal.chat import Format
from shoal.formats import FORMATS, WireFormat
from shoal.formats.embeddings import PATH as EMBEDDINGS
from shoal.formats.messages.token_counts import PATH as COUNTS
from shoal.gateway.key_check import MCP
from shoal.gateway.openapi_parts import (
    NAME,
    WIRE_ERRORS,
    Json,
    body_of,
    getting,
    operation,
    parameter,
    refusals,
    replied,
)
from shoal.gateway.openapi_runs import run_paths, run_schemas
from shoal.gateway.openapi_stores import store_paths, store_schemas
from shoal.gateway.replies import ESTIMATED, PREFIX
from shoal.routing.key_order import KeyOrder

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
_ASKED: dict[Format, Json] = {
    "chat": {"messages": _MESSAGES, "stream": {"type": ["boolean", "null"]}},
    "messages": {"messages": _MESSAGES, "stream": {"type": ["boolean", "null"]}},
    "responses": {"input": _INPUT, "stream": {"type": ["boolean", "null"]}},
}
"""What each format insists on, besides ``model``."""

_TEXTS: Json = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": NAME,
        "input": {"anyOf": [NAME, {"type": "array", "minItems": 1, "items": NAME}]},
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
_MODEL: Json = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_MODELS: Json = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    },
}
_CALL: Json = {
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
_FEEDBACK: Json = {
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
_RECORDED: Json = {
    "type": "object",
    "required": ["call_id", "status"],
    "properties": {"call_id": {"type": "string"}, "status": {"const": "recorded"}},
}
_HEALTH: Json = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"enum": ["ok", "degraded"]}},
}
_READY: Json = {
    "type": "object",
    "required": ["ready"],
    "properties": {"ready": {"type": "boolean"}},
}
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "description": "In the shape of the wire format that the request came in.",
}
_KEY: Json = {
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
_KEYS: Json = {
    "type": "object",
    "required": ["keys"],
    "properties": {"keys": {"type": "array", "items": {"$ref": "#/components/schemas/Key"}}},
}
_TOKEN_COUNT: Json = {
    "type": "object",
    "required": ["input_tokens"],
    "properties": {"input_tokens": {"type": "integer"}},
}
_SPEND: Json = {
    "type": "object",
    "required": ["by", "since", "spend"],
    "properties": {"spend": {"type": "array", "items": {"type": "object"}}},
}
_SCHEMAS: Json = {
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
_CALL_LINKS: Json = {
    "call": {
        "operationId": "call",
        "parameters": {"call_id": "$response.header.x-shoal-call-id"},
    },
    "feedback": {
        "operationId": "feedback",
        "requestBody": {"call_id": "$response.header.x-shoal-call-id"},
    },
}
_MODEL_LINKS: Json = {
    "model": {"operationId": "model", "parameters": {"name": "$response.body#/data/0/id"}}
}
_RECEIPT = (
    "x-shoal-answered-by",
    "x-shoal-call-id",
    "x-shoal-task",
    "x-shoal-reason",
    "x-shoal-episode",
)


def openapi(mcp: bool = False) -> bytes:
    """The document, as JSON; ``mcp``: there is somebody at /mcp."""
    asked = {_named(wire): _asked(wire) for wire in FORMATS.values()}
    paths = {**_wire_paths(), **_own_paths(), **_key_paths(), **store_paths(), **run_paths()}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Shoal", "version": __version__},
        "paths": paths | (_mcp_path() if mcp else {}),
        "security": [{}, {"key": []}],
        "components": {
            "schemas": _SCHEMAS | store_schemas() | run_schemas() | asked,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return msgspec.json.encode(document)


def _wire_paths() -> Json:
    replies = {"200": {"description": "The vectors.", "content": {"application/json": {}}}}
    embedding = operation("embeddings", "Embeds texts.", replies | refusals(*WIRE_ERRORS))
    return {
        PREFIX + COUNTS: {"post": _count()},
        PREFIX + EMBEDDINGS: {"post": embedding | {"requestBody": body_of("EmbeddingsRequest")}},
        **{PREFIX + wire.path: {"post": _exchange(wire)} for wire in FORMATS.values()},
        **_kept_paths(),
    }


def _kept_paths() -> Json:
    path = f"{PREFIX}{FORMATS['responses'].path}/{{response_id}}"
    one = parameter("response_id", "As the answer gave it.")
    it = {"200": {"description": "It.", "content": {"application/json": {}}}}
    replies = it | refusals("400", "404", "429", "503", "default")

    def said(id: str, summary: str) -> Json:
        return operation(id, summary, replies)

    return {
        path: {
            "get": said("response", "A response that is kept."),
            "delete": said("delete_response", "Has the provider delete one that it keeps."),
            **one,
        },
        f"{path}/input_items": {"get": said("input_items", "What it answered."), **one},
        f"{path}/cancel": {"post": said("cancel_response", "Ends one in the background."), **one},
    }


def _own_paths() -> Json:
    name = parameter("name", "A model's name; it may hold slashes.")
    call = parameter("call_id", "As the header x-shoal-call-id of the answer gave it.")
    ready = {"200": replied("Ready", "Ready."), "503": replied("Ready", "It stops.")}
    text = {"text/plain": {"schema": {"type": "string"}}}
    figures = {"200": {"description": "The figures.", "content": text}}
    models = {"200": replied("Models", "All of them.") | {"links": _MODEL_LINKS}}
    told = {"200": replied("Recorded", "It is recorded.")}
    it = {"200": {"description": "It.", "content": {"application/json": {}}}}
    said = operation(
        "feedback",
        "Says of a call that it was right or wrong, or what is right.",
        told | refusals("400", "404", "413", "503"),
    )
    return {
        f"{PREFIX}/models": {"get": operation("models", "The models to ask.", models)},
        f"{PREFIX}/models/{{name}}": getting("model", "One of them.", "Model", "404") | name,
        "/healthz": getting("health", "What works; 200 while requests are answered.", "Health"),
        "/readyz": {"get": operation("ready", "Whether requests are answered.", ready)},
        "/metrics": {"get": operation("metrics", "Figures for Prometheus.", figures)},
        "/openapi.json": {"get": operation("openapi", "This document.", it)},
        "/shoal/calls/{call_id}": getting("call", "A recorded call.", "Call", "400", "404", "503")
        | call,
        "/shoal/feedback": {"post": said | {"requestBody": body_of("Feedback")}},
    }


def _key_paths() -> Json:
    key = parameter("key_id", "A key's id or name.")
    made = operation(
        "create_key",
        "Makes a key; wants one of scope admin.",
        {"201": replied("Key", "The key, shown once.")} | refusals("400", "409", "413", "503"),
    )
    gone = {"200": replied("Key", "It is out of force."), **refusals("404", "503")}
    return {
        "/shoal/keys": {
            **getting("keys", "The keys there are.", "Keys", "503"),
            "post": made | {"requestBody": body_of("NewKey")},
        },
        "/shoal/keys/{key_id}": {"delete": operation("revoke_key", "Revokes it.", gone)} | key,
        "/shoal/spend": getting("spend", "What was spent.", "Spend", "400", "503"),
    }


def _mcp_path() -> Json:
    message: Json = {"application/json": {"schema": {"type": "object"}}}
    reply = {"description": "What it comes to; a stream of notices (subscriptions/listen)."}
    replies = {"200": reply | {"content": {**message, "text/event-stream": {}}}}
    replies["202"] = {"description": "A notice was taken."}
    summary = "Tools over MCP: one message of JSON-RPC 2.0, by streamable HTTP."
    said = operation("mcp", summary, {**replies, **refusals("400", "413", "503")})
    return {MCP: {"post": said | {"requestBody": {"required": True, "content": message}}}}


def _exchange(wire: WireFormat) -> Json:
    headers = {name: {"schema": {"type": "string"}} for name in _RECEIPT}
    headers["x-shoal-overhead-ms"] = {"schema": {"type": "string"}}
    content: Json = {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {},
    }
    answer = {"description": "The answer.", "headers": headers, "content": content}
    replies = {"200": answer | {"links": _CALL_LINKS}, **refusals(*WIRE_ERRORS)}
    told = operation(wire.name, f"Answers a request of {_TITLES[wire.name]}.", replies)
    return told | {"requestBody": body_of(_named(wire))}


def _count() -> Json:
    estimated = {"schema": {"const": "true"}, "description": "There if no provider counted."}
    counted = replied("TokenCount", "The count.") | {"headers": {ESTIMATED: estimated}}
    said = "Counts the tokens of a request of Anthropic's Messages."
    told = operation("count_tokens", said, {"200": counted, **refusals(*WIRE_ERRORS)})
    return told | {"requestBody": body_of(_named(FORMATS["messages"]))}


def _asked(wire: WireFormat) -> Json:
    properties = {"model": NAME, **_ASKED[wire.name]}
    return {"type": "object", "required": _REQUIRED[wire.name], "properties": properties}


def _named(wire: WireFormat) -> str:
    return f"{wire.name.capitalize()}Request"
