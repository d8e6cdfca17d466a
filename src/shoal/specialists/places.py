"""Where in an input a value is stated."""

import math
import re
from collections.abc import Mapping

from shoal.tasks.contract import Scalar
from shoal.tasks.wording import number_in

_NUMBERS = re.compile(r"[-+−]?\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(r"\w")


def locate(text: str, values: Mapping[str, Scalar]) -> dict[str, tuple[int, int]]:
    """(start, end) characters of each value that the text states; others are left out."""
    places = {}
    for key, value in values.items():
        place = _number_place(text, value) if isinstance(value, float) else _place(text, value)
        if place is not None:
            places[key] = place
    return places


def as_number(text: str) -> float | None:
    """The number that a span states, with a currency or unit around it or not; None if it states
    none, or one beyond the range of a float, which JSON could not hold."""
    found = _NUMBERS.search(text)
    number = number_in(found.group()) if found else None
    return number if number is not None and math.isfinite(number) else None


def _place(text: str, value: Scalar) -> tuple[int, int] | None:
    """The first occurrence that is made of whole words, else the first; case only if need be."""
    if not isinstance(value, str) or not value.strip():
        return None
    needle = r"\s+".join(map(re.escape, value.split()))
    for flags in (re.NOFLAG, re.IGNORECASE):
        found = list(re.finditer(needle, text, flags))
        whole = [match for match in found if _stands_alone(text, match)]
        if found:
            return (whole or found)[0].span()
    return None


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    before = text[match.start() - 1 : match.start()] if match.start() else ""
    after = text[match.end() : match.end() + 1]
    return not (_WORD.match(before) or _WORD.match(after))


def _number_place(text: str, value: float) -> tuple[int, int] | None:
    spans = (m.span() for m in _NUMBERS.finditer(text) if number_in(m.group()) == value)
    return next(spans, None)
