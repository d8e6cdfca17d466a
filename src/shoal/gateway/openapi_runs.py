"""The OpenAPI document's part on runs; schemas are made of the types."""

from functools import cache
from typing import Any

import msgspec

from shoal.formats.runs import (
    PATH,
    Begun,
    NewRun,
    Outline,
    Resumption,
    RunDetail,
    RunList,
    Settlement,
    Word,
)
from shoal.gateway.openapi_parts import (
    Json,
    body_of,
    operation,
    parameter,
    reference,
    refusals,
    replied,
)

_TYPES: dict[str, Any] = {
    "begun": Begun,
    "new": NewRun,
    "outline": Outline,
    "resumption": Resumption,
    "run": RunDetail,
    "runs": RunList,
    "settlement": Settlement,
    "word": Word,
}
_EVENTS: Json = {"text/event-stream": {}}


def run_paths() -> Json:
    """Every path of runs."""
    one, id = f"{PATH}/{{run_id}}", parameter("run_id", "A run's id.")
    return {
        PATH: {"get": _told("runs", "The caller's runs.", "runs", "400"), "post": _begin()},
        one: {
            "get": _told("run", "One of them, with its records.", "run", "400", "404"),
            "delete": _plainly("cancel_run", "Ends it for good.", "application/json", "409"),
            **id,
        },
        f"{one}/events": {
            "get": _plainly("run_events", "What happens in it.", "text/event-stream"),
            **id,
        },
        f"{one}/plan.svg": {
            "get": _plainly("run_plan", "Its plan, drawn.", "image/svg+xml"),
            **id,
        },
        f"{one}/decisions": {"post": _on("decide_run", "Answers a question.", "word"), **id},
        f"{one}/resume": {"post": _on("resume_run", "Goes on with it.", "resumption"), **id},
        f"{one}/settle": {"post": _on("settle_run", "Says what a step did.", "settlement"), **id},
    }


def run_schemas() -> Json:
    """The schemas of all that is asked and told, by name."""
    return _components()[1]


def _begin() -> Json:
    ended: Json = {
        "description": "How it ended (wait), what it would call (dry_run), or events (stream).",
        "content": {
            "application/json": {
                "schema": {"anyOf": [{"type": "object"}, reference(_name("outline"))]}
            },
            **_EVENTS,
        },
    }
    replies = {"200": ended, "202": replied(_name("begun"), "It has begun.")}
    errors = refusals("400", "404", "413", "503")
    said = operation("begin_run", "Begins a run of a plan or an agent.", replies | errors)
    return said | {"requestBody": body_of(_name("new"))}


def _on(id: str, summary: str, schema: str) -> Json:
    replies = {"202": replied(_name("begun"), "The run goes on.")}
    said = operation(id, summary, replies | refusals("400", "404", "409", "413", "503"))
    return said | {"requestBody": body_of(_name(schema))}


def _told(id: str, summary: str, schema: str, *errors: str) -> Json:
    replies = {"200": replied(_name(schema), "It."), **refusals(*errors, "503")}
    return operation(id, summary, replies)


def _plainly(id: str, summary: str, media: str, *errors: str) -> Json:
    it = {"200": {"description": "It.", "content": {media: {}}}}
    return operation(id, summary, it | refusals("400", "404", *errors, "503"))


def _name(of: str) -> str:
    return _components()[0][of]


@cache
def _components() -> tuple[dict[str, str], Json]:
    """The name of each type's schema, and the schemas."""
    template = "#/components/schemas/{name}"
    made, schemas = msgspec.json.schema_components(_TYPES.values(), ref_template=template)
    names = {
        name: str(one["$ref"]).rpartition("/")[2] for name, one in zip(_TYPES, made, strict=True)
    }
    return names, schemas
