"""Which schemas and grammars llama.cpp is given to hold a model to.

It ends its process on a schema nested some 20,000 deep or a grammar with as many brackets, is busy
for minutes with a list of 20,000 words (all measured), and passes over keywords that it cannot
hold a model to. So they are kept within bounds that no honest schema reaches, and a keyword that
would be passed over is refused: an answer that only seems held to its schema is worse than none.
"""

import msgspec

from shoal.errors import MalformedRequest, Untranslatable

_MOST_BYTES, _DEEPEST = 200_000, 48
_MOST_NODES, _MOST_WORDS, _MOST_OPTIONAL = 2_000, 1_000, 150
_MOST_TIMES = 2_000
_MOST_GRAMMAR, _DEEPEST_GRAMMAR = 50_000, 64
_PASSED_OVER = frozenset(
    """not if then else dependentSchemas dependentRequired dependencies patternProperties
    propertyNames minProperties maxProperties uniqueItems contains minContains maxContains
    unevaluatedProperties unevaluatedItems multipleOf additionalItems $dynamicRef $recursiveRef
    contentSchema""".split()
)
_OF_SCHEMAS = ("properties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE_SCHEMA = ("items", "additionalProperties")
_TIMES = ("minItems", "maxItems", "minLength", "maxLength")
_FORMATS = ("date", "time", "date-time", "uuid")


class _Count:
    def __init__(self) -> None:
        self.nodes = self.words = 0


def check_schema(text: bytes, place: str) -> None:
    """See that a JSON schema is one that llama.cpp can be given, and holds a model to as a whole.

    Raises:
        MalformedRequest: it is no schema, or beyond what anybody needs.
        Untranslatable: it has a keyword that no answer could be held to.
    """
    if len(text) > _MOST_BYTES:
        raise MalformedRequest(f"{place}: a schema has at most {_MOST_BYTES:,} bytes", place)
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedRequest(f"{place}: expected a schema", place) from None
    if not isinstance(schema, dict):
        raise MalformedRequest(f"{place}: expected a schema, an object", place)
    _walk(schema, place, 0, _Count())


def check_grammar(text: str, place: str) -> None:
    """See that a grammar is in llama.cpp's own notation (GBNF) and can be read without harm.

    Raises:
        MalformedRequest: it is not.
    """
    if len(text) > _MOST_GRAMMAR:
        raise MalformedRequest(f"{place}: has at most {_MOST_GRAMMAR:,} characters", place)
    if text.lstrip().startswith("%llguidance"):  # which, where it is wrong, holds to nothing
        raise MalformedRequest(f"{place}: expected llama.cpp's notation, GBNF", place)
    if "root" not in text or "::=" not in text:
        raise MalformedRequest(f"{place}: expected a rule: root ::= …", place)
    depth = deepest = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST_GRAMMAR:
        said = f"{place}: brackets are nested at most {_DEEPEST_GRAMMAR} deep"
        raise MalformedRequest(said, place)


def _walk(schema: object, place: str, depth: int, count: _Count) -> None:
    if schema is True:
        return
    if not isinstance(schema, dict):
        raise MalformedRequest(f"{place}: expected a schema, an object", place)
    count.nodes += 1
    if depth > _DEEPEST or count.nodes > _MOST_NODES:
        raise MalformedRequest(
            f"{place}: a schema is nested at most {_DEEPEST} deep, and has at most "
            f"{_MOST_NODES:,} parts",
            place.split(".")[0],
        )
    for key in schema.keys() & _PASSED_OVER:
        raise Untranslatable(f"{place}.{key}: answers cannot be held to it; leave it out", place)
    _check_values(schema, place, count)
    for key in _OF_SCHEMAS:
        inner = schema.get(key, {})
        if not isinstance(inner, dict):
            raise MalformedRequest(f"{place}.{key}: expected an object of schemas", place)
        for name, part in inner.items():
            _walk(part, f"{place}.{key}.{name}"[:300], depth + 1, count)
    for key in _LISTS_OF_SCHEMAS:
        parts = schema.get(key, [])
        if not isinstance(parts, list):
            raise MalformedRequest(f"{place}.{key}: expected a list of schemas", place)
        for index, part in enumerate(parts):
            _walk(part, f"{place}.{key}[{index}]"[:300], depth + 1, count)
    for key in _ONE_SCHEMA:
        if schema.get(key, False) is not False:
            _walk(schema[key], f"{place}.{key}"[:300], depth + 1, count)


def _check_values(schema: dict[str, object], place: str, count: _Count) -> None:
    words = schema.get("enum", ())
    count.words += len(words) if isinstance(words, list) else 0
    properties, required = schema.get("properties"), schema.get("required", ())
    if isinstance(properties, dict):
        known = set(required) if isinstance(required, list) and _texts(required) else set()
        if len(properties.keys() - known) > _MOST_OPTIONAL:
            raise MalformedRequest(
                f"{place}: at most {_MOST_OPTIONAL} properties may be left out; name the others "
                "in required",
                place,
            )
    if count.words > _MOST_WORDS:
        raise MalformedRequest(f"{place}.enum: at most {_MOST_WORDS:,} values", place)
    for key in _TIMES:
        times = schema.get(key, 0)
        if not isinstance(times, int) or not 0 <= times <= _MOST_TIMES:
            raise MalformedRequest(
                f"{place}.{key}: expected a number from 0 to {_MOST_TIMES:,}", place
            )
    if (form := schema.get("format")) is not None and form not in _FORMATS:
        raise Untranslatable(
            f"{place}.format: answers can be held to {', '.join(_FORMATS)}; leave {form!r} out"[
                :300
            ],
            place,
        )
    _check_reference(schema, place)


def _check_reference(schema: dict[str, object], place: str) -> None:
    target = schema.get("$ref", "#/")
    if not isinstance(target, str) or not target.startswith("#/"):
        raise Untranslatable(f"{place}.$ref: expected a part of the same schema: #/…", place)


def _texts(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)
