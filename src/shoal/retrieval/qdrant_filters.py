"""Filters as Qdrant understands them, and attributes as it is given them.

What ``filters`` says holds of both. Text, numbers and true/false of an attribute lie in fields of
their own, so they never compare with each other. Qdrant gives text no order; a comparison by order
becomes a list of those texts that pass, of all that the attribute has. Nor does it know equality
of floats; that becomes a range from the number to itself. True and false are texts to it, for not
all of its clients tell them from 1 and 0.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from shoal.errors import MissingExtra
from shoal.retrieval.documents import Value
from shoal.retrieval.filters import Comparison, Filter

Texts = Mapping[str, Sequence[str]]
_OPPOSITE = {"ne": "eq", "nin": "in"}


@cache
def models() -> Any:
    """What Qdrant's client calls its models.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from qdrant_client import models as found
    except ImportError as error:
        raise MissingExtra("qdrant", "keeping vectors in Qdrant") from error
    return found


def field_of(key: str, value: Value) -> str:
    """Where an attribute lies that has a value of this kind. Qdrant takes ``.``, ``[`` and others
    for paths, so that anything but ASCII letters and digits is spelt out."""
    plain = (c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in key)
    kind = "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return f"{kind}-{''.join(plain)}"


def fields_of(attributes: Mapping[str, Value]) -> dict[str, str | float]:
    """What a point is given of a document's attributes."""
    return {
        field_of(key, value): str(value) if isinstance(value, bool) else value
        for key, value in attributes.items()
    }


def translated(where: Filter, texts: Texts) -> Any:
    """A filter as one of Qdrant's; ``texts`` has, in order, those of every attribute with order."""
    api = models()
    if not isinstance(where, Comparison):
        parts = [translated(part, texts) for part in where.filters]
        return api.Filter(must=parts) if where.type == "and" else api.Filter(should=parts)
    if (type := _OPPOSITE.get(where.type)) is not None:
        opposite = Comparison(type, where.key, where.value)  # type: ignore[arg-type]
        return api.Filter(must_not=[translated(opposite, texts)])
    if isinstance(where.value, tuple):
        return _among(where.key, where.value)
    if isinstance(where.value, str) and where.type != "eq":
        words = texts.get(where.key, ())
        return _among(where.key, _ordered(words, where.type, where.value))
    if isinstance(where.value, str | bool):
        return _among(where.key, (where.value,))
    return _number(where.type, where.key, where.value)


def _among(key: str, values: Sequence[Value]) -> Any:
    api = models()
    words = [value for value in values if isinstance(value, str)]
    flags = [value for value in values if isinstance(value, bool)]
    numbers = {value for value in values if not isinstance(value, str | bool)}
    parts = [_number("eq", key, number) for number in numbers]
    for kind in (words, flags):
        if kind:
            match = api.MatchAny(any=list(dict.fromkeys(map(str, kind))))
            parts.append(api.FieldCondition(key=field_of(key, kind[0]), match=match))
    return api.Filter(should=parts) if parts else _nothing()


def _number(type: str, key: str, value: float) -> Any:
    api, field = models(), field_of(key, 0.0)
    if math.isinf(value):  # JSON has none, so that no document has it
        below = type in (("lt", "lte") if value > 0 else ("gt", "gte"))
        if not below:
            return _nothing()
        return api.Filter(must_not=[api.IsEmptyCondition(is_empty=api.PayloadField(key=field))])
    bounds = {"gte": value, "lte": value} if type == "eq" else {type: value}
    return api.Filter(must=[api.FieldCondition(key=field, range=api.Range(**bounds))])


def _ordered(words: Sequence[str], type: str, value: str) -> Sequence[str]:
    at = (bisect_left if type in ("lt", "gte") else bisect_right)(words, value)
    return words[:at] if type in ("lt", "lte") else words[at:]


def _nothing() -> Any:
    """What no point passes; an empty ``should`` all would."""
    return models().Filter(must=[models().HasIdCondition(has_id=[])])
