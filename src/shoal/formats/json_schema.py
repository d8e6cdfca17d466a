"""Whether a JSON value keeps a JSON Schema, as tools and response formats state them.

What this module does not know: where a schema stands in a request.
"""

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs
from msgspec import Struct

from shoal.formats.schema_growth import Growth

Json = Any
"""A value as ``json.loads`` gives it."""

_KEPT = 100_000  # characters of a schema up to which its validator is kept
_MOST_LOOKS = 30_000_000  # of a validator at one value: about half a second
_MOST_TOLD = 300_000  # of one that finds words for what is wrong: about as long
_MOST_SAID = 2_000  # characters of what is wrong with a value

TYPES = {"dict": "object", "float": "number", "tuple": "array", "bool": "boolean"}
"""What some tools call JSON Schema's types, by Python's names."""


def is_valid(schema: str, value: Json) -> bool:
    """Whether a value keeps the schema, a JSON text; one that cannot be read keeps nobody."""
    found = _of(schema)
    if found is None or found.growth.looks_at(value) > _MOST_LOOKS:
        return False
    try:
        return found.validator.is_valid(value)
    except ValueError:  # nested more deeply than it is looked into
        return False


def is_readable(schema: str) -> bool:
    """Whether this is a JSON Schema that something can be held to."""
    return _of(schema) is not None


def breach(schema: str, value: Json) -> str:
    """The first way in which a value breaks the schema, in plain words; "" if it keeps it."""
    found = _of(schema)
    if found is None:
        return "the schema cannot be read"
    looks = found.growth.looks_at(value)
    if looks > _MOST_LOOKS:
        return "the schema branches too often to be held to a value as deep as this"
    try:
        if looks > _MOST_TOLD:
            keeps = found.validator.is_valid(value)
            return "" if keeps else "it breaks the schema, which branches too often to say where"
        error = next(found.validator.iter_errors(value), None)
    except ValueError:
        return "it is nested too deeply"
    if error is None:
        return ""
    place, said = ".".join(map(str, error.instance_path)), _short(error.message)
    return f"{_short(place)}: {said}" if place else said


def is_schema(schema: Json) -> bool:
    """Whether a value is a JSON Schema that needs nothing fetched."""
    try:
        return _of(json.dumps(schema)) is not None
    except (TypeError, ValueError, RecursionError):
        return False


def _short(text: str) -> str:
    """A message holds the value that is wrong, which may be of megabytes: its two ends."""
    return text if len(text) <= _MOST_SAID else f"{text[: _MOST_SAID // 2]} … {text[-500:]}"


class _Read(Struct, frozen=True):
    validator: jsonschema_rs.Validator
    growth: Growth


def _of(schema: str) -> _Read | None:
    return _kept(schema) if len(schema) <= _KEPT else _validator(schema)


@lru_cache(maxsize=1024)
def _kept(schema: str) -> _Read | None:
    return _validator(schema)


def _validator(schema: str) -> _Read | None:
    try:
        told = _standard(json.loads(schema))
        growth = Growth(told)
        # Offline: whoever sends a request must not make Shoal fetch addresses of their choice.
        validator = jsonschema_rs.validator_for(
            told,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),  # takes time linear in the text
        )
        return _Read(validator, growth)
    except (ValueError, RecursionError):
        return None


def _standard(schema: Json) -> Json:
    """The schema with JSON Schema's names for types."""
    if isinstance(schema, list):
        return [_standard(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: _standard(value) for key, value in schema.items()}
    if isinstance(written.get("type"), str):
        written["type"] = TYPES.get(written["type"], written["type"])
        if written["type"] == "any":
            del written["type"]
    for key in ("optional", "required"):  # "required": true, of an argument, is OpenAPI 2's
        if isinstance(written.get(key), bool):
            del written[key]
    return written
