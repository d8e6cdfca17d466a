"""Which schemas and grammars llama.cpp is given to hold a model to.

A schema is held to by LLGuidance, which llama.cpp has built in: of 60 keywords and patterns that
were tried with a random model it held to all but those that it refuses, where llama.cpp's own
translation passed over a third of them. But what LLGuidance refuses llama.cpp answers as if nothing
had been asked: so each schema is tried first (``Child.holds_to``).

llama.cpp ends its process on a schema nested some 20,000 deep or a grammar with as many brackets,
and is busy for minutes with a list of 20,000 words (all measured). So both are kept within bounds
that no honest one reaches.
"""

import json
import sys

import msgspec
from msgspec import Struct

from shoal.errors import MalformedRequest, Untranslatable
from shoal.formats.json_schema import is_readable, is_valid

_MOST_BYTES, _DEEPEST = 200_000, 48
_MOST_NODES, _MOST_WORDS, _MOST_OPTIONAL = 2_000, 1_000, 150
_MOST_TIMES = 2_000
_MOST_GRAMMAR, _DEEPEST_GRAMMAR = 50_000, 64
_NOT_HELD_TO = frozenset((
    "not", "if", "then", "else", "dependentSchemas", "dependentRequired", "dependencies",
    "propertyNames", "uniqueItems", "contains", "minContains", "maxContains",
    "unevaluatedProperties", "unevaluatedItems", "additionalItems", "$dynamicRef",
    "$recursiveRef", "contentSchema", "oneOf", "pattern", "format",
))  # fmt: skip
"""Keywords that may be why a schema is refused."""
_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE_SCHEMA = ("items", "additionalProperties", "not", "if", "then", "else")
_TIMES = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""A model that is unsure could go on with blanks for ever."""


LET_GO = "the answer does not keep its schema; llama.cpp could not hold the model to it"


class _Count:
    def __init__(self) -> None:
        self.nodes = self.words = 0
        self.doubtful: set[str] = set()


class Held(Struct, frozen=True):
    """What an answer is to be held to: a grammar in LLGuidance's notation, and the error if it
    turns out that it cannot be."""

    grammar: str
    refusal: Untranslatable
    schema: str

    def keeps(self, text: str, cut_off: bool) -> bool:
        """Whether an answer keeps the schema, as far as it goes. It may not: LLGuidance gives up
        where it finds no way on (a number below 0 that is a multiple of 5), and llama.cpp then goes
        on without it."""
        try:
            value = json.loads(text, parse_float=_finite)
        except RecursionError:
            return False
        except ValueError:
            return cut_off and _is_begun(text)
        return is_valid(self.schema, value)


def held_to(text: bytes, place: str) -> Held:
    """The grammar of a JSON schema, as yet untried.

    Raises: what ``check_schema`` raises.
    """
    doubtful = check_schema(text, place)
    schema = msgspec.json.decode(text) | {"x-guidance": _COMPACT}
    why = f"; it may be for {', '.join(sorted(doubtful))}" if doubtful else ""
    refusal = Untranslatable(f"{place}: no answer can be held to this schema{why}", place)
    grammar = "%llguidance {}\nstart: %json " + msgspec.json.encode(schema).decode()
    if not is_readable(text.decode()):
        raise MalformedRequest(f"{place}: is no JSON schema that can be read", place)
    return Held(grammar, refusal, text.decode())


def check_schema(text: bytes, place: str) -> set[str]:
    """See that a JSON schema is one that llama.cpp can be given. Returns those of its keywords that
    answers may not be held to.

    Raises:
        MalformedRequest: it is no schema, or beyond what anybody needs.
        Untranslatable: it asks for what is sure not to be held to.
    """
    if len(text) > _MOST_BYTES:
        raise MalformedRequest(f"{place}: a schema has at most {_MOST_BYTES:,} bytes", place)
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedRequest(f"{place}: expected a schema", place) from None
    if not isinstance(schema, dict):
        raise MalformedRequest(f"{place}: expected a schema, an object", place)
    count = _Count()
    _walk(schema, place, 0, count)
    return count.doubtful


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
    if isinstance(schema, bool):
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
    count.doubtful |= schema.keys() & _NOT_HELD_TO
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
        if key in schema and not isinstance(schema[key], list):  # of an old form
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
    if '"' in str(schema.get("pattern", "")):  # LLGuidance takes it for the end of the text
        raise Untranslatable(f'{place}.pattern: answers cannot be held to one with a "', place)
    _check_reference(schema, place)


def _check_reference(schema: dict[str, object], place: str) -> None:
    target = schema.get("$ref", "#")
    if not isinstance(target, str) or not target.startswith("#"):
        raise Untranslatable(f"{place}.$ref: expected a part of the same schema: #/…", place)


def _texts(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _finite(text: str) -> float:
    """A number, or the largest there is: JSON has no bounds, and 3E6352 is one."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))


def _is_begun(text: str) -> bool:
    """Whether this is how some JSON begins."""
    try:
        msgspec.json.decode(text.rstrip("\N{REPLACEMENT CHARACTER}"))
    except (msgspec.DecodeError, RecursionError) as error:
        return "truncated" in str(error)
    return True
