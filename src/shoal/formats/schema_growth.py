"""How often a JSON Schema has a validator look at one place of a value.

    {"anyOf": [{"properties": {"x": {"$ref": "#"}}}, {"properties": {"x": {"$ref": "#"}}}]}

looks twice at ``x``, four times at ``x.x``, and 2**n times n levels down: a schema and a value of a
kilobyte keep a validator busy for years. Nothing of a value is looked at here but how deep it is.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

Json = Any

MOST_DEPTH = 256
"""Levels to which the validator looks into a value."""

_USUAL = 64  # looks at one place; as many are never too many
_MOST = 10**9  # nobody asks whether there are more
_MOST_PATHS = 100_000  # ways through a schema that stays at one place

_HERE_LISTS = ("allOf", "anyOf", "oneOf")
_HERE = ("not", "if", "then", "else", "contentSchema")
_HERE_MAPS = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_ANY_KEY = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_ITEMS = ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains")
_Below = Counter[tuple[str, int]]  # key of an object, "*" any, "[]" of a list; the schema there


class TooMuch(ValueError):
    """The schema cannot be followed, or has too many ways through it."""


class Growth:
    """Of one schema.

    Raises:
        TooMuch: it refers to itself without going on to a part of the value, to what is not in it,
            or leads to one place in too many ways.
        RecursionError: it is nested too deeply.
    """

    def __init__(self, schema: Json) -> None:
        self._root = schema
        self._schemas = dict[int, Json]()
        self._there = dict[int, tuple[int, _Below] | None]()  # None: being looked at
        waiting = [schema]
        while waiting:
            one = waiting.pop()
            if id(one) in self._there:
                continue
            _, below = self._at(one)
            waiting += [self._schemas[at] for _, at in below]

    @cached_property
    def _is_usual(self) -> bool:
        return self._looks(MOST_DEPTH) <= _USUAL

    def looks_at(self, value: Json) -> int:
        """How often a validator may look at places of a value; 0 for a schema that never has it
        look at one place often."""
        if self._is_usual:
            return 0
        depth, count = _extent(value)
        return self._looks(depth) * count

    def _looks(self, depth: int) -> int:
        """At one place ``depth`` levels down, at most."""
        looks = {at: ways for at, (ways, _) in self._known()}
        for _ in range(min(depth, MOST_DEPTH)):
            looks = {
                at: min(max(ways, _most(below, looks)), _MOST)
                for at, (ways, below) in self._known()
            }
        return looks.get(id(self._root), 1)

    def _known(self) -> Iterator[tuple[int, tuple[int, _Below]]]:
        for at, found in self._there.items():
            if found is not None:
                yield at, found

    def _at(self, schema: Json) -> tuple[int, _Below]:
        """In how many ways one place is looked at, and what of the schema looks below it."""
        if id(schema) in self._there:
            known = self._there[id(schema)]
            if known is None:
                raise TooMuch("it refers to itself in a circle")
            return known
        self._there[id(schema)] = None
        self._schemas[id(schema)] = schema
        ways, below = 1, _Below()
        if isinstance(schema, dict):
            for key, one in _below(schema):
                self._schemas[id(one)] = one
                below[key, id(one)] += 1
            for one in self._here(schema):
                more, further = self._at(one)
                ways += more
                below.update(further)  # adds
            if ways > _MOST_PATHS:
                raise TooMuch("it leads to one place in too many ways")
        self._there[id(schema)] = ways, below
        return ways, below

    def _here(self, schema: dict[str, Json]) -> Iterator[Json]:
        """The parts of a schema that look at the same place."""
        if schema is not self._root and isinstance(schema.get("$id"), str):
            raise TooMuch("a part of it has an address of its own")
        for key in _HERE_LISTS:
            if isinstance(schema.get(key), list):
                yield from schema[key]
        for key in _HERE:
            if key in schema:
                yield schema[key]
        for key in _HERE_MAPS:
            if isinstance(schema.get(key), dict):
                yield from schema[key].values()
        for key in _REFERENCES:
            if isinstance(schema.get(key), str):
                yield self._followed(schema[key])

    def _followed(self, to: str) -> Json:
        found = self._root
        if to.startswith("#/"):
            for part in to[2:].split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                    found = found[int(name)]
                elif isinstance(found, dict) and name in found:
                    found = found[name]
                else:
                    raise TooMuch("it refers to what is not there")
        elif to != "#":
            raise TooMuch("it refers to what is not within it")
        return found


def _below(schema: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    """The parts of a schema that look at parts of the value."""
    for name, one in _mapping(schema.get("properties")):
        yield f".{name}", one
    for _, one in _mapping(schema.get("patternProperties")):
        yield "*", one
    for key in _ANY_KEY:
        if key in schema:
            yield "*", schema[key]
    for key in _ITEMS:
        found = schema.get(key)
        yield from (("[]", one) for one in (found if isinstance(found, list) else [found]))


def _mapping(value: Json) -> list[tuple[str, Json]]:
    return list(value.items()) if isinstance(value, dict) else []


def _most(below: _Below, looks: dict[int, int]) -> int:
    """Looks at one place below, at most: what looks at any key looks at each."""
    each = Counter[str]()
    for (key, at), count in below.items():
        each[key] += count * looks.get(at, 1)
    named = max((count for key, count in each.items() if key.startswith(".")), default=0)
    return max(named + each["*"], each["[]"])


def _extent(value: Json) -> tuple[int, int]:
    """How many levels a value has, and how many values are in it."""
    depth, count, level = 0, 1, [value]
    while level and depth <= MOST_DEPTH:
        level = [
            one
            for each in level
            if isinstance(each, list | dict)
            for one in (each.values() if isinstance(each, dict) else each)
        ]
        depth, count = depth + bool(level), count + len(level)
    return depth, count
