"""Whether a JSON value keeps a JSON Schema, for the keywords that models are asked to keep.

Checked are type, enum, const, required, properties, additionalProperties, items, anyOf, oneOf (as
anyOf), allOf, minimum, maximum, minLength, maxLength, minItems and maxItems. What this module does
not know: every other keyword (``pattern``, ``$ref``, formats), which it takes for kept.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_SIZES = (("minLength", "maxLength", str), ("minItems", "maxItems", list))
_DEEPEST = 64


def breach(value: object, schema: Schema | bool, depth: int = 0) -> str:
    """The first way in which a decoded JSON value breaks a schema; "" if none was found."""
    if isinstance(schema, bool) or depth > _DEEPEST or not isinstance(schema, Mapping):
        return "nothing is allowed here" if schema is False else ""
    return next((found for found in _breaches(value, schema, depth) if found), "")


def _breaches(value: object, schema: Schema, depth: int) -> Iterator[str]:
    yield _of_type(value, schema.get("type"))
    if "enum" in schema and not any(_equal(value, one) for one in schema["enum"]):
        yield f"{value!r} is none of the values allowed"
    if "const" in schema and not _equal(value, schema["const"]):
        yield f"{value!r} is not {schema['const']!r}"
    for part in schema.get("allOf", ()):
        yield breach(value, part, depth + 1)
    for several in ("anyOf", "oneOf"):
        ways = schema.get(several)
        if ways and all(breach(value, way, depth + 1) for way in ways):
            yield f"{value!r} keeps none of the schemas allowed"
    yield _of_size(value, schema)
    if isinstance(value, dict):
        yield from _of_object(value, schema, depth)
    if isinstance(value, list) and "items" in schema:
        for at, item in enumerate(value):
            found = breach(item, schema["items"], depth + 1)
            yield found and f"[{at}]: {found}"


def _of_type(value: object, wanted: object) -> str:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list) or not names or any(name not in _TYPES for name in names):
        return ""  # a type that is not known here, as "any", allows all
    fits = any(_is(value, name) for name in names)
    return "" if fits else f"{value!r} is not of type {' or '.join(names)}"


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"  # which in Python is an integer
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _of_size(value: object, schema: Schema) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            return f"{value!r} is out of range"
    for least, most, kind in _SIZES:
        if isinstance(value, kind):
            size = len(value)
            if size < schema.get(least, size) or size > schema.get(most, size):
                return f"a length of {size} is out of range"
    return ""


def _of_object(value: dict[str, object], schema: Schema, depth: int) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{name} is missing"
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name not in known and rest is False:
            yield f"{name} is not allowed"
        found = breach(item, known.get(name, rest), depth + 1)
        yield found and f"{name}: {found}"


def _equal(a: object, b: object) -> bool:
    """``True == 1`` in Python, but not in JSON."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
