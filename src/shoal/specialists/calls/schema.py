"""Tools as a request offers them: names, what they are for, and what their arguments must be.

What this module does not know: which tool to call, and where the values come from.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct

from shoal.chat import ToolCall
from shoal.formats import json_schema
from shoal.formats.json_schema import TYPES, Json


class Argument(Struct, frozen=True, omit_defaults=True):
    """One argument of a tool. ``type`` is JSON Schema's, "" if it may be anything.

    ``items`` are the keys of the object that it is, or of the objects in the list that it is;
    ``enum`` and ``default`` are JSON texts.
    """

    name: str
    type: str = ""
    required: bool = False
    description: str = ""
    enum: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    default: str = ""


class Tool(Struct, frozen=True, omit_defaults=True):
    """A tool that may be called; ``schema`` is the JSON text of its parameters' schema, or ""."""

    name: str
    description: str = ""
    arguments: tuple[Argument, ...] = ()
    schema: str = ""


@lru_cache(maxsize=256)
def offered(tools: str) -> tuple[Tool, ...]:
    """The tools of a request's JSON, whatever in it describes none left out; () of no JSON."""
    try:
        found = json.loads(tools) if tools else []
    except (ValueError, RecursionError):
        return ()
    functions = [_function(item) for item in found if isinstance(item, dict)] if found else []
    return tuple(
        Tool(
            name=function["name"],
            description=str(function.get("description") or ""),
            arguments=_arguments(function.get("parameters")),
            schema=json.dumps(function["parameters"], sort_keys=True)
            if isinstance(function.get("parameters"), dict)
            else "",
        )
        for function in functions
        if isinstance(function.get("name"), str)
    )


def observed(calls: Iterable[ToolCall]) -> dict[str, Tool]:
    """The tools that calls were made of, as far as their arguments tell."""
    given: dict[str, list[dict[str, Json]]] = {}
    for call in calls:
        arguments = arguments_of(call)
        if arguments is not None:
            given.setdefault(call.name, []).append(arguments)
    return {name: Tool(name, arguments=_seen_arguments(rows)) for name, rows in given.items()}


def arguments_of(call: ToolCall) -> dict[str, Json] | None:
    """A call's arguments; None if they are no JSON object."""
    try:
        found = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def canonical(value: Json) -> str:
    """JSON text that equal values share: keys sorted, 1.0 written as 1."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def is_valid(tool: Tool, arguments: dict[str, Json]) -> bool:
    """Whether the arguments keep the tool's schema; a schema that cannot be read keeps nobody."""
    return json_schema.is_valid(tool.schema, arguments) if tool.schema else True


def _function(item: dict[str, Json]) -> dict[str, Json]:
    """The function of a tool in Chat Completions' form, or in a form without the wrapper."""
    inner = item.get("function")
    return inner if isinstance(inner, dict) else item


def _arguments(parameters: Json) -> tuple[Argument, ...]:
    if not isinstance(parameters, dict) or not isinstance(parameters.get("properties"), dict):
        return ()
    listed = parameters.get("required")
    required = set(listed) if isinstance(listed, list) else set()
    return tuple(
        _argument(name, schema if isinstance(schema, dict) else {}, name in required)
        for name, schema in parameters["properties"].items()
    )


def _argument(name: str, schema: dict[str, Json], required: bool) -> Argument:
    kind = schema.get("type")
    inner = schema.get("items")
    inner = inner if isinstance(inner, dict) else {}
    values = schema.get("enum") or inner.get("enum") or ()
    properties = schema.get("properties") or inner.get("properties")
    return Argument(
        name=name,
        type=TYPES.get(kind, kind) if isinstance(kind, str) and kind != "any" else "",
        required=required,
        description=str(schema.get("description") or ""),
        enum=tuple(map(canonical, values)) if isinstance(values, list) else (),
        items=tuple(properties) if isinstance(properties, dict) else (),
        default=canonical(schema["default"]) if "default" in schema else "",
    )


def _seen_arguments(rows: Sequence[dict[str, Json]]) -> tuple[Argument, ...]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return tuple(
        Argument(
            name=name,
            type=_common_type([row[name] for row in rows if name in row]),
            required=all(name in row for row in rows),
            items=_common_keys([row[name] for row in rows if name in row]),
        )
        for name in names
    )


def _common_type(values: Sequence[Json]) -> str:
    found = {type_of(value) for value in values}
    if found == {"integer", "number"}:
        return "number"
    return found.pop() if len(found) == 1 else ""


def _common_keys(values: Sequence[Json]) -> tuple[str, ...]:
    """The keys of the objects that values are or hold, if they all have the same."""
    objects = [item for value in values for item in (value if isinstance(value, list) else [value])]
    if not objects or not all(isinstance(item, dict) for item in objects):
        return ()
    keys = {tuple(item) for item in objects}
    return keys.pop() if len(keys) == 1 else ()


def type_of(value: Json) -> str:
    """JSON Schema's name for a value's type."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "null"


def shape_of(value: Json) -> str:
    """What a value looks like: "AB-1234" is "A-9", "H8Q05L" is "9A (6)"; objects by their keys."""
    match value:
        case str():
            return _text_shape(value)
        case list():
            return f"[{', '.join(sorted({shape_of(item) for item in value[:4]}))}]"
        case dict():
            return "{" + ", ".join(sorted(value)) + "}"
        case _:
            return type_of(value)


def fits(argument: Argument, kind: str) -> bool:
    """Whether a value of this type may be the argument's."""
    return argument.type in ("", kind) or (argument.type == "number" and kind == "integer")


def tools_json(tools: Iterable[Tool]) -> list[Json]:
    """Tools as JSON, for a specialist's file."""
    return [msgspec.to_builtins(tool) for tool in tools]


def _text_shape(text: str) -> str:
    kinds = re.sub(r"[A-Z]", "A", re.sub(r"[^\W\d_A-Z]", "a", re.sub(r"\d", "9", text[:60])))
    if re.fullmatch(r"[Aa9]+", kinds) and len(text) <= 12:
        return f"{''.join(sorted(set(kinds)))} ({len(text)})"
    return re.sub(r"(.)\1+", r"\1", kinds)[:24]


def _plain(value: Json) -> Json:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
