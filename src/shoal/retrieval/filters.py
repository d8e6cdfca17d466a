"""Filters over the attributes of documents, in the JSON form of OpenAI's vector stores.

``{"type": "gte", "key": "year", "value": 2020}`` compares, ``{"type": "and", "filters": […]}``
joins. Text, numbers and true/false never compare with each other: ``year = "2020"`` is false of a
document whose year is the number 2020. What a document does not say satisfies only ``ne`` and
``nin``.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from shoal.errors import MalformedRequest
from shoal.retrieval.documents import Value

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
Join = Literal["and", "or"]

MOST_DEPTH = 16  # of compounds in compounds
MOST_COMPARISONS = 256
MOST_VALUES = 10_000  # of one in or nin
MOST_KEY, MOST_TEXT = 256, 4096  # characters

ORDERED = ("gt", "gte", "lt", "lte")
LISTED = ("in", "nin")


class Comparison(Struct, frozen=True):
    """One attribute against a value; ``in`` and ``nin`` against a tuple of them."""

    type: Operator
    key: str
    value: Value | tuple[Value, ...]


class Compound(Struct, frozen=True):
    """All (``and``) or any (``or``) of its ``filters``, of which there is at least one."""

    type: Join
    filters: tuple["Comparison | Compound", ...]


Filter = Comparison | Compound

_Text = Annotated[str, Meta(max_length=MOST_TEXT)]
_One = bool | float | _Text


class _Node(Struct, forbid_unknown_fields=True):
    """What the JSON may hold, before it is told apart by its type."""

    type: Operator | Join
    key: Annotated[str, Meta(min_length=1, max_length=MOST_KEY)] | UnsetType = UNSET
    value: _One | Annotated[list[_One], Meta(max_length=MOST_VALUES)] | UnsetType = UNSET
    filters: list["_Node"] | UnsetType = UNSET


def filter_from_json(data: object) -> Filter:
    """The filter in ``data``: JSON as bytes, or what has been decoded from it.

    Raises ``MalformedRequest``, which names the place, for what is no filter or one too large.
    """
    try:
        raw = isinstance(data, bytes | msgspec.Raw)
        decoded = msgspec.json.decode(data) if raw else data  # type: ignore[call-overload]
        node = msgspec.convert(decoded, _Node)
    except msgspec.DecodeError as error:  # ValidationError too, which says where
        raise MalformedRequest(f"filters: {error}", "filters") from error
    except RecursionError as error:
        raise _refusal("filters", f"nested deeper than {MOST_DEPTH} levels") from error
    found = _typed(node, "filters", 0)
    check_size(found)
    return found


def check_size(filter: Filter) -> None:
    """Raises ``MalformedRequest`` if there are more than ``MOST_COMPARISONS``."""
    count = sum(1 for _ in comparisons(filter))
    if count > MOST_COMPARISONS:
        raise _refusal("filters", f"{count} comparisons; at most {MOST_COMPARISONS} are taken")


def comparisons(filter: Filter) -> Iterator[Comparison]:
    """Every comparison in it, from left to right."""
    if isinstance(filter, Comparison):
        yield filter
    else:
        for part in filter.filters:
            yield from comparisons(part)


def comparison(type: Operator, key: str, value: object, where: str) -> Comparison:
    """A checked comparison; ``where`` is named in the ``MalformedRequest`` that this may raise."""
    if type in LISTED:
        if not isinstance(value, list | tuple):
            raise _refusal(f"{where}.value", f"{type} takes a list of values, found {_kind(value)}")
        return Comparison(type, key, tuple(_value(one, where) for one in value))
    if isinstance(value, list | tuple):
        raise _refusal(f"{where}.value", f"{type} takes one value, found a list; use in or nin")
    if type in ORDERED and isinstance(value, bool):
        raise _refusal(f"{where}.value", f"true and false have no order for {type}; use eq or ne")
    return Comparison(type, key, _value(value, where))


def _typed(node: _Node, where: str, depth: int) -> Filter:
    if depth >= MOST_DEPTH:
        raise _refusal(where, f"nested deeper than {MOST_DEPTH} levels")
    if node.type == "and" or node.type == "or":
        if node.key is not UNSET or node.value is not UNSET:
            raise _refusal(where, f"{node.type!r} takes filters, and neither key nor value")
        if node.filters is UNSET or not node.filters:
            raise _refusal(f"{where}.filters", f"{node.type!r} takes at least one filter")
        parts = enumerate(node.filters)
        inner = tuple(_typed(part, f"{where}.filters[{at}]", depth + 1) for at, part in parts)
        return Compound(node.type, inner)
    if node.filters is not UNSET:
        raise _refusal(where, f"{node.type!r} takes key and value, and no filters")
    if node.key is UNSET or node.value is UNSET:
        missing = "key" if node.key is UNSET else "value"
        raise _refusal(f"{where}.{missing}", f"{node.type!r} needs a {missing}")
    return comparison(node.type, node.key, node.value, where)


def _value(value: object, where: str) -> Value:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and value == value:
        return float(value)
    raise _refusal(f"{where}.value", f"expected text, a number, true or false, found {value!r}")


def _kind(value: object) -> str:
    kinds: tuple[tuple[type, str], ...] = ((bool, "true or false"), (str, "text"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number")


def _refusal(where: str, what: str) -> MalformedRequest:
    return MalformedRequest(f"{where}: {what}", where)
