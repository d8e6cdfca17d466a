"""The tools that a server lists, read as Shoal's: names, schemas, effects, and a digest of each.

What a server lists badly (a name twice, a schema that is none) is left out, with the reason.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from shoal.formats.json_schema import breach
from shoal.tools.mcp.options import McpOptions
from shoal.tools.mcp.plain_text import plain_text
from shoal.tools.naming import tool_name
from shoal.tools.tool import Effects, ToolSpec

if TYPE_CHECKING:
    from mcp.types import Tool, ToolAnnotations

_UNREADABLE = "the schema cannot be read"


class Listed(Struct, frozen=True):
    """One tool: its spec, what the server calls it, and a digest of all that it said of it."""

    spec: ToolSpec
    own_name: str
    digest: str


class Listing(Struct, frozen=True):
    """The tools by name, and what was ``left_out``, each with the reason."""

    tools: Mapping[str, Listed] = {}
    left_out: tuple[str, ...] = ()


def read_listing(
    found: Iterable["Tool"], gives: Mapping[str, object], options: McpOptions
) -> Listing:
    """The tools that a server lists, in its order; ``gives`` are the schemas of their results, None
    for nothing said, by the server's own names."""
    tools, left_out = dict[str, Listed](), list[str]()
    for tool in found:
        told = plain_text(tool.name, 60)
        if len(tools) >= options.limits.tools:
            left_out.append(f"all from {told!r} on: over {options.limits.tools} tools")
            break
        try:
            listed = _listed(tool, gives.get(tool.name), options)
        except (ValueError, TypeError, RecursionError) as error:  # no JSON at all, nested too deep
            left_out.append(f"{told!r}: {plain_text(str(error), 200)}")
            continue
        if listed.spec.name in tools:
            left_out.append(f"{told!r}: it is listed twice")
        else:
            tools[listed.spec.name] = listed
    return Listing(tools, tuple(left_out))


def _listed(tool: "Tool", gives: object, options: McpOptions) -> Listed:
    if not tool.name:
        raise ValueError("it has no name")
    effects, repeatable = _effects(tool.name, tool.annotations, options)
    spec = ToolSpec(
        name=tool_name(options.name, tool.name),
        description=plain_text(tool.description or tool.title or "", options.limits.description),
        takes=_schema(tool.input_schema, "inputSchema", options),
        gives="" if gives is None else _schema(gives, "outputSchema", options),
        effects=effects,
        repeatable=repeatable,
        timeout_s=options.limits.call_s,
    )
    said = msgspec.json.encode((tool.name, tool.title, tool.description, spec))
    return Listed(spec, tool.name, sha256(said).hexdigest())


def _schema(schema: object, place: str, options: McpOptions) -> str:
    text = json.dumps(schema, allow_nan=False, separators=(",", ":"), sort_keys=True)
    if len(text) > options.limits.schema_bytes:
        raise ValueError(
            f"{place} has {len(text):,} bytes, at most {options.limits.schema_bytes:,} are taken"
        )
    if not isinstance(schema, dict) or breach(text, {}) == _UNREADABLE:
        raise ValueError(f"{place} is no JSON Schema")
    return text


def _effects(
    own_name: str, told: "ToolAnnotations | None", options: McpOptions
) -> tuple[Effects, bool]:
    """What a call does, and whether it may be made twice."""
    if own_name in options.effects:
        return options.effects[own_name], options.effects[own_name] != "writes"
    if not options.trusted or told is None:
        return "writes", False
    if told.read_only_hint:
        return "reads", True
    return "writes", bool(told.idempotent_hint)
