"""The form that a model's answer is held to when it writes a plan: JSON Schema, from the structs.

OpenAI's strict mode takes no object whose keys are free, and a tool's arguments are just that; so
the schema is sent with ``strict`` off: a guide there, and a grammar to servers that constrain what
is decoded. Names are closed sets: what a catalogue does not offer cannot be written.
"""

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

from shoal.planning.catalogue import Catalogue
from shoal.planning.plan import Plan

Structure = Literal["schema", "object", "free"]
"""How a model is held to the form: by this schema, by JSON alone, or by words only."""

_DROPPED = {"default", "discriminator", "title", "description"}
_KINDS = ("Ask", "Retrieve", "Use", "Map", "Branch", "Repeat", "Approve", "Say")
_NAMES = {"Use": "tool", "Retrieve": "collection"}


def response_format(catalogue: Catalogue, structure: Structure) -> str:
    """The field ``response_format`` of Chat Completions, "" for none."""
    match structure:
        case "free":
            return ""
        case "object":
            return '{"type":"json_object"}'
        case "schema":
            return _written(_Offered.of(catalogue))


class _Offered(NamedTuple):
    """Names, in order."""

    tool: tuple[str, ...]
    collection: tuple[str, ...]
    task: tuple[str, ...]
    model: tuple[str, ...]

    @classmethod
    def of(cls, catalogue: Catalogue) -> "_Offered":
        kinds = (catalogue.tools, catalogue.collections, catalogue.tasks, catalogue.models)
        return cls(*(tuple(sorted(names)) for names in kinds))


@lru_cache(maxsize=64)
def _written(offered: _Offered) -> str:
    schema = {"name": "plan", "strict": False, "schema": _schema(offered)}
    return msgspec.json.encode({"type": "json_schema", "json_schema": schema}).decode()


def plan_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The JSON Schema of plans that name nothing but what is offered: an object at its root, the
    kinds of steps under ``$defs``."""
    return _schema(_Offered.of(catalogue))


def _schema(names: _Offered) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([Plan])
    kinds: dict[str, Any] = _plain(components)
    offered = {field: list(found) for field, found in names._asdict().items()}
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
    root = _with_step(kinds.pop("Plan"))
    steps = [{"$ref": f"#/$defs/{kind}"} for kind in _KINDS if kind not in gone]
    return {**root, "$defs": {"Step": {"anyOf": steps}, **_with_step(kinds)}}


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


def _with_step(schema: Any) -> Any:
    """With the choice of all kinds of steps written once."""
    if isinstance(schema, list):
        return [_with_step(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    options = schema.get("anyOf")
    if isinstance(options, list) and {"$ref": "#/$defs/Say"} in options:
        return {"$ref": "#/$defs/Step"}
    return {key: _with_step(one) for key, one in schema.items()}
