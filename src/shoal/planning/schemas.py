"""What is known of a value before it is there, as JSON Schema: enough to find what cannot fit.

Only ``type``, ``enum``, ``properties``, ``required``, ``additionalProperties`` and ``items`` are
read, and that there are ``patternProperties``. ``{}`` is anything: what is not known clashes with
nothing.
"""

from collections.abc import Mapping, Sequence

from shoal.planning.references import Path, literal, only_path, paths_in
from shoal.tools.tool import Json

Schema = Mapping[str, Json]

ANY: Schema = {}
TEXT: Schema = {"type": "string"}
PASSAGES: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "document": {"type": "string"},
            "headings": {"type": "array", "items": {"type": "string"}},
            "score": {"type": "number"},
        },
        "additionalProperties": False,
    },
}
"""What a ``retrieve`` step gives."""
DECISION: Schema = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "by": {"type": "string"},
        "note": {"type": "string"},
    },
    "additionalProperties": False,
}
"""What an ``approve`` step gives."""
FAILURE: Schema = {
    "type": "object",
    "properties": {
        "step": {"type": "string"},
        "message": {"type": "string"},
        "hint": {"type": "string"},
    },
    "additionalProperties": False,
}
"""What is known of a step that failed."""


def receipt(value: Schema) -> Schema:
    """What an ``ask`` step gives with its receipt."""
    told: dict[str, Json] = {name: dict(TEXT) for name in ("by", "why", "call_id")}
    told["value"] = dict(value)
    return {"type": "object", "properties": told, "additionalProperties": False}


class Nowhere(Exception):
    """A path that leads to nothing that a schema allows; says why."""


def at(path: Path, known: Mapping[str, Schema]) -> Schema:
    """What stands where a path leads.

    Raises:
        Nowhere: nothing can.
    """
    found = known[path.root]
    for count, key in enumerate(path.keys):
        found = _inside(found, key, Path(path.root, path.keys[:count]))
    return found


def of(value: Json, known: Mapping[str, Schema]) -> Schema:
    """What a value with paths will be.

    Raises:
        Nowhere: a path in it leads to nothing.
    """
    match value:
        case str():
            path = only_path(value)
            if path is not None:
                return at(path, known)
            named = list(paths_in(value))
            for one in named:
                at(one, known)
            return TEXT if named else {"type": "string", "const": literal(value)}
        case dict():
            inner: dict[str, Json] = {key: dict(of(one, known)) for key, one in value.items()}
            return {"type": "object", "properties": inner, "additionalProperties": False}
        case list():
            return array_of([of(one, known) for one in value])
        case _:
            return scalar(value)


def array_of(items: Sequence[Schema]) -> Schema:
    """A list of such items; of what, is said only where all are the same."""
    same = all(one == items[0] for one in items)
    return {"type": "array", "items": dict(items[0])} if items and same else {"type": "array"}


def scalar(value: bool | int | float | None) -> Schema:
    """Of a value that holds no others and is no text."""
    match value:
        case None:
            return {"type": "null"}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case _:
            return {"type": "number"}


def is_closed(schema: Schema) -> bool:
    """Whether an object has no properties but those that ``properties`` names."""
    return schema.get("additionalProperties") is False and "patternProperties" not in schema


def clash(found: Schema, wanted: Schema) -> str:
    """Why what is ``found`` can never be what is ``wanted``; "" if it may be."""
    has, wants = _types(found), _types(wanted)
    if has and wants and not any(_is_a(one, other) for one in has for other in wants):
        return f"it is {' or '.join(sorted(has))}, expected {' or '.join(sorted(wants))}"
    options = wanted.get("enum")
    if "const" in found and isinstance(options, list) and found["const"] not in options:
        return f"it is {found['const']!r}, expected one of {', '.join(map(repr, options))}"
    if has == {"object"} and wants == {"object"}:
        return _object_clash(found, wanted)
    if has == {"array"} and wants == {"array"}:
        told = clash(_mapping(found.get("items")), _mapping(wanted.get("items")))
        return f"its items: {told}" if told else ""
    return ""


def _object_clash(found: Schema, wanted: Schema) -> str:
    has, wants = _mapping(found.get("properties")), _mapping(wanted.get("properties"))
    is_whole = is_closed(found)
    required = wanted.get("required")
    for name in required if isinstance(required, list) else ():
        if is_whole and name not in has:
            return f"it has no {name!r}, which is required"
    for name, one in has.items():
        if name in wants:
            told = clash(_mapping(one), _mapping(wants[name]))
            if told:
                return f"{name}: {told}"
        elif is_closed(wanted):
            there = ", ".join(sorted(wants)) or "none"
            return f"there is no {name!r}; there are: {there}"
    return ""


def _inside(found: Schema, key: str | int, before: Path) -> Schema:
    types = _types(found)
    if isinstance(key, int):
        if types and "array" not in types:
            raise Nowhere(f"{before} is {' or '.join(sorted(types))}, not a list")
        return _mapping(found.get("items"))
    if types and "object" not in types:
        raise Nowhere(f"{before} is {' or '.join(sorted(types))} and has no {key!r}")
    properties = _mapping(found.get("properties"))
    if key in properties:
        return _mapping(properties[key])
    if is_closed(found):
        there = ", ".join(sorted(properties)) or "nothing"
        raise Nowhere(f"{before} has no {key!r}; it has: {there}")
    return ANY


def _types(schema: Schema) -> set[str]:
    told = schema.get("type")
    if isinstance(told, str):
        return {told}
    return {str(one) for one in told} if isinstance(told, list) else set()


def _is_a(found: str, wanted: str) -> bool:
    return found == wanted or {found, wanted} == {"integer", "number"}


def _mapping(value: Json) -> Schema:
    return value if isinstance(value, dict) else ANY
