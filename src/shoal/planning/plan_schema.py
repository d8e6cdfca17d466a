"""The form that a model's answer is held to when it writes a plan: JSON Schema, from the structs.

OpenAI's strict mode takes no object whose keys are free, and a tool's arguments are just that; so
the schema is sent with ``strict`` off: a guide there, and a grammar to servers that constrain what
is decoded. Names are closed sets: what a catalogue does not offer cannot be written.
"""

import copy
from typing import Any, Literal

import msgspec

from shoal.planning.catalogue import Catalogue
from shoal.planning.plan import Plan

Structure = Literal["schema", "object", "free"]
"""How a model is held to the form: by this schema, by JSON alone, or by words only."""

_DROPPED = {"default", "discriminator", "title", "description"}
_NAMES = {"Use": "tool", "Retrieve": "collection"}


def response_format(catalogue: Catalogue, structure: Structure) -> str:
    """The field ``response_format`` of Chat Completions, "" for none."""
    match structure:
        case "free":
            return ""
        case "object":
            return '{"type":"json_object"}'
        case "schema":
            schema = {"name": "plan", "strict": False, "schema": plan_schema(catalogue)}
            return msgspec.json.encode({"type": "json_schema", "json_schema": schema}).decode()


def plan_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The JSON Schema of plans that name nothing but what is offered: an object at its root, the
    kinds of steps under ``$defs``."""
    _, components = msgspec.json.schema_components([Plan])
    kinds: dict[str, Any] = _plain(copy.deepcopy(components))
    offered = {
        "tool": sorted(catalogue.tools),
        "collection": sorted(catalogue.collections),
        "task": sorted(catalogue.tasks),
        "model": sorted(catalogue.models),
    }
    gone = [kind for kind, field in _NAMES.items() if not offered[field]]
    if not offered["task"] and not offered["model"]:
        gone.append("Ask")
    for kind in gone:
        del kinds[kind]
    for kind, field in _NAMES.items():
        if kind in kinds:
            kinds[kind]["properties"][field] = {"enum": offered[field]}
    if "Ask" in kinds:
        _close_ask(kinds["Ask"]["properties"], offered)
    root = _without({f"#/$defs/{kind}" for kind in gone}, kinds.pop("Plan"))
    return {**root, "$defs": _without({f"#/$defs/{kind}" for kind in gone}, kinds)}


def _close_ask(properties: dict[str, Any], offered: dict[str, list[str]]) -> None:
    for field in ("task", "model"):
        if offered[field]:
            properties[field] = {"enum": ["", *offered[field]]}
        else:
            del properties[field]
    if offered["model"]:
        properties["escalate"] = {"type": "array", "items": {"enum": offered["model"]}}
    else:
        del properties["escalate"]


def _plain(schema: Any, names: bool = True) -> Any:
    """Without what only tells; ``names``: the keys of this object are names, not JSON Schema's."""
    if isinstance(schema, list):
        return [_plain(one, False) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _plain(one, key == "properties" and not names)
        for key, one in schema.items()
        if names or key not in _DROPPED
    }


def _without(gone: set[str], schema: Any) -> Any:
    """Without the kinds of steps that have nothing to name."""
    if isinstance(schema, list):
        kept = [one for one in schema if not (isinstance(one, dict) and one.get("$ref") in gone)]
        return [_without(gone, one) for one in kept]
    if isinstance(schema, dict):
        return {key: _without(gone, one) for key, one in schema.items()}
    return schema
