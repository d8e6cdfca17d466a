"""Where in an input a value is stated."""

import re
from collections.abc import Iterator, Mapping, Sequence

from shoal.specialists.tagger import Places
from shoal.tasks.contract import Field, Scalar, listed
from shoal.tasks.dates import written_dates
from shoal.tasks.numerals import written_numbers

Place = tuple[int, int]

_WORD = re.compile(r"\w")


def locate(text: str, fields: Sequence[Field], values: Mapping[str, Scalar]) -> Places:
    """(start, end) characters of each value that the text states; others are left out."""
    places = {field.name: tuple(_places(text, field, values.get(field.name))) for field in fields}
    return {name: found for name, found in places.items() if found}


def _places(text: str, field: Field, value: Scalar) -> Iterator[Place]:
    match field.kind, value:
        case "number", int() | float() if not isinstance(value, bool):
            yield from _number_place(text, value)
        case "date", str():
            yield from _date_place(text, value)
        case "span", str():
            yield from _span_place(text, value, ())
        case "spans", str():
            taken: list[Place] = []
            for item in listed(value):
                taken += _span_place(text, item, taken)
            yield from sorted(taken)


def _span_place(text: str, value: str, taken: Sequence[Place]) -> Iterator[Place]:
    """The first occurrence that is made of whole words, else the first; case only if need be; none
    that overlaps what is taken."""
    if not value.strip():
        return
    needle = r"\s+".join(map(re.escape, value.split()))
    for flags in (re.NOFLAG, re.IGNORECASE):
        found = [
            match
            for match in re.finditer(needle, text, flags)
            if all(match.end() <= start or match.start() >= end for start, end in taken)
        ]
        whole = [match for match in found if _stands_alone(text, match)]
        if found:
            yield (whole or found)[0].span()
            return


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    before = text[match.start() - 1 : match.start()] if match.start() else ""
    after = text[match.end() : match.end() + 1]
    return not (_WORD.match(before) or _WORD.match(after))


def _number_place(text: str, value: float) -> Iterator[Place]:
    """The first number that is the value, with the point as decimal sign or else the comma."""
    for comma in (False, True):
        for found in written_numbers(text, comma):
            if found.value == value:
                yield found.start, found.end
                return


def _date_place(text: str, value: str) -> Iterator[Place]:
    """The first date that may be the value."""
    for found in written_dates(text):
        if value in (found.day_first, found.month_first):
            yield found.start, found.end
            return
