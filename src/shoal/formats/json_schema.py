"""Whether a JSON value keeps a JSON Schema, as tools and response formats state them.

What this module does not know: where a schema stands in a request.
"""

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs

Json = Any
"""A value as ``json.loads`` gives it."""

TYPES = {"dict": "object", "float": "number", "tuple": "array", "bool": "boolean"}
"""What some tools call JSON Schema's types, by Python's names."""


def is_valid(schema: str, value: Json) -> bool:
    """Whether a value keeps the schema, a JSON text; one that cannot be read keeps nobody."""
    found = _validator(schema)
    return found is not None and found.is_valid(value)


def is_readable(schema: str) -> bool:
    """Whether this is a JSON Schema that something can be held to."""
    return _validator(schema) is not None


def breach(schema: str, value: Json) -> str:
    """The first way in which a value breaks the schema, in plain words; "" if it keeps it."""
    found = _validator(schema)
    if found is None:
        return "the schema cannot be read"
    error = next(found.iter_errors(value), None)
    if error is None:
        return ""
    place = ".".join(map(str, error.instance_path))
    return f"{place}: {error.message}" if place else error.message


def is_schema(schema: Json) -> bool:
    """Whether a value is a JSON Schema that needs nothing fetched."""
    try:
        return _validator(json.dumps(schema)) is not None
    except (TypeError, ValueError, RecursionError):
        return False


@lru_cache(maxsize=1024)
def _validator(schema: str) -> jsonschema_rs.Validator | None:
    try:
        # Offline: whoever sends a request must not make Shoal fetch addresses of their choice.
        return jsonschema_rs.validator_for(
            _standard(json.loads(schema)),
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),  # takes time linear in the text
        )
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
