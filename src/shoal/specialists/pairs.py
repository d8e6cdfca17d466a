"""How a pair of records is found in an input.

A record is a list of named values, or one text without a name. Where the two stand is the same for
all inputs of a task, so it is found once, in training (``way_of``), and kept. What this module does
not know: what the records are about, and when two of them match.
"""

import json
import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from shoal.tasks.input import Input

ENOUGH = 0.95
"""Share of a task's inputs in which a way must find a pair."""

_MOST_CHARACTERS = 50_000  # of one input: a bound on the time an adversarially long one can take
_DEEPEST = 8  # object within object; what is deeper is text
_DITTO = re.compile(r"\bCOL\s+(\S+)\s+VAL\b")
_LINE = re.compile(r"\s*(?:[-*•]\s*)?[\"']?([^\W\d_][\w .()-]{0,39}?)[\"']?\s*[:=]\s*(.*?)\s*")
_NUMBERED = r"(?P<head>[^\W\d_]+)[ _#-]*(?P<mark>1|2|A|B|a|b|II|I)"
_ORDINAL = r"(?P<ordinal>left|right|first|second)\b(?:[ _]+[^\W\d_]+)?"
_MARKER = re.compile(rf"\b(?:{_NUMBERED}|{_ORDINAL})\s*[:=)\]>]", re.IGNORECASE)
_SIDE = re.compile(
    r"(?:(?P<before>left|right|first|second|[12ab])[_ .-]+(?P<of>.+)"
    r"|(?P<base>.+?)[_ .-]*(?P<after>left|right|first|second|[12]|(?<=[_ .-])[ab]))",
    re.IGNORECASE,
)
_SECOND = frozenset(("2", "b", "ii", "right", "second"))
_SEPARATORS = ("[SEP]", "\t", "\n---\n", "\n\n", "\n")


class Record(Struct, frozen=True):
    """``fields`` are (name, value) in order; the name of text that is no field is ""."""

    fields: tuple[tuple[str, str], ...]

    @property
    def key(self) -> str:
        """Equal records have equal keys, of 24 characters."""
        text = json.dumps(self.fields, ensure_ascii=False)
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()

    def value(self, name: str) -> str:
        """The value of a field, "" if there is none."""
        return next((value for found, value in self.fields if found == name), "")


Pair = tuple[Record, Record]


def read_record(text: str) -> Record:
    """A record from JSON, from "COL name VAL value …", from "name: value" lines, or plain text."""
    text = text.strip()[:_MOST_CHARACTERS]
    found = _object(text)
    if isinstance(found, dict):
        return Record(tuple(_flat(found)))
    named = _DITTO.split(text)
    if len(named) > 1 and not named[0].strip():
        return Record(tuple((a, b.strip()) for a, b in zip(named[1::2], named[2::2], strict=True)))
    for separator in ("\n", " | ", "; "):
        parts = [part for part in text.split(separator) if part.strip()]
        lines = [_LINE.fullmatch(part) for part in parts]
        if len(parts) > 1 and all(lines):
            return Record(tuple((line[1].lower(), line[2]) for line in lines if line))
    return Record((("", text),))


def way_of(inputs: Sequence[Input]) -> str:
    """The first way that finds a pair in ``ENOUGH`` of the inputs (n,); "" if none does, or if they
    are conversations: an opening and what followed are no pair, and how many steps followed one
    opening is known only afterwards."""
    if any(given.goes_on for given in inputs):
        return ""
    for name, way in _WAYS.items():
        found = sum(way(given) is not None for given in inputs)
        if inputs and found >= ENOUGH * len(inputs):
            return name
    return ""


def find_pair(given: Input, way: str) -> Pair | None:
    """The pair that stands in an input by a way that ``way_of`` named; None if there is none.

    Raises:
        KeyError: there is no way of that name.
    """
    return _WAYS[way](given)


def _two_slots(given: Input) -> Pair | None:
    if len(given.slots) != 2:
        return None
    return _pair(*(value for _, value in given.slots))


def _slots_by_name(given: Input) -> Pair | None:
    """Slots such as left_name, left_price, right_name, right_price, or name, price, name_2 …"""
    return _by_side([(name, value) for name, value in given.slots])


def _in_json(given: Input) -> Pair | None:
    """A list of two records, an object that holds two, or an object of fields of either side."""
    found = _object(_only_text(given))
    if isinstance(found, dict) and len(found) == 2:
        found = list(found.values())
    if isinstance(found, list):
        texts = [one if isinstance(one, str) else json.dumps(one) for one in found]
        alike = len(found) == 2 and type(found[0]) is type(found[1])
        return _pair(*texts) if alike and isinstance(found[0], str | dict) else None
    return _by_side(list(_flat(found))) if isinstance(found, dict) else None


def _under_headings(given: Input) -> Pair | None:
    """ "Entity 1: … Entity 2: …", "Record A: … Record B: …", "Left: … Right: …"."""
    text = _only_text(given)
    first: re.Match[str] | None = None
    for marker in _MARKER.finditer(text):
        if first is None:
            first = None if _is_second(marker) else marker
        elif _is_second(marker) and _answers(first, marker):
            return _pair(text[first.end() : marker.start()], text[marker.end() :])
    return None


def _by_separator(given: Input) -> Pair | None:
    text = _only_text(given).strip()
    for separator in _SEPARATORS:
        parts = [part for part in text.split(separator) if part.strip()]
        if len(parts) == 2:
            return _pair(*parts)
    return None


_WAYS: dict[str, Callable[[Input], Pair | None]] = {
    "two slots": _two_slots,
    "slots by name": _slots_by_name,
    "json": _in_json,
    "headings": _under_headings,
    "separator": _by_separator,
}


def _only_text(given: Input) -> str:
    text = given.slots[0][1] if len(given.slots) == 1 else given.text
    return text[:_MOST_CHARACTERS]


def _pair(left: str, right: str) -> Pair | None:
    return (read_record(left), read_record(right)) if left.strip() and right.strip() else None


def _by_side(fields: Sequence[tuple[str, str]]) -> Pair | None:
    """Fields of one record whose names tell the side, none left over."""
    names = {name for name, _ in fields}
    left: dict[str, str] = {}
    right: dict[str, str] = {}
    for name, value in fields:
        base, side = _side_of(name, names)
        (right if side else left)[base] = value
    if len(fields) < 4 or left.keys() != right.keys() or 2 * len(left) != len(fields):
        return None
    if not any(value.strip() for value in left.values()):
        return None
    return Record(tuple(left.items())), Record(tuple((name, right[name]) for name in left))


def _side_of(name: str, names: set[str]) -> tuple[str, bool]:
    """The name without what tells the side, and whether it is the second one."""
    found = _SIDE.fullmatch(name)
    if found is None:
        return name, False
    base = found["of"] or found["base"]
    side = (found["before"] or found["after"]).lower()
    if side == "2" and base in names:  # "price" and "price_2"
        return base, True
    return base, side in _SECOND


def _is_second(marker: re.Match[str]) -> bool:
    return (marker["mark"] or marker["ordinal"]).lower() in _SECOND


def _answers(first: re.Match[str], second: re.Match[str]) -> bool:
    """Whether "Entity 2" follows an "Entity 1", or "right" a "left"."""
    if first["ordinal"] or second["ordinal"]:
        pair = (first["ordinal"] or "").lower(), (second["ordinal"] or "").lower()
        return pair in (("left", "right"), ("first", "second"))
    return bool(first["head"].lower() == second["head"].lower())


def _object(text: str) -> Any:
    """The JSON value, None if it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _flat(found: dict[str, Any], before: str = "") -> list[tuple[str, str]]:
    """(name, value) of an object, "a.b" for what is nested; a list is its items, by spaces."""
    fields: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict) and before.count(".") < _DEEPEST:
            fields += _flat(value, f"{before}{name}.")
        else:
            fields.append((before + name, _plain(value)))
    return fields


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(_plain(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
