"""Dates as people write them in English, and what they may mean.

Read are a day, a month and a year: as figures in any usual order ("2026-11-30", "30.11.2026",
"11/30/26"), or with the month as a word ("30 Nov 2026", "November 30th, 2026", "the thirtieth of
November 2026"). Years of two figures are 1969 to 2068, as POSIX has them. What it does not know:
the day and month order of figures, which the reader must bring along, and whatever takes a clock
to resolve ("tomorrow", "next Friday", "30 November").
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth", "twenty-first", "twenty-second", "twenty-third",
    "twenty-fourth", "twenty-fifth", "twenty-sixth", "twenty-seventh", "twenty-eighth",
    "twenty-ninth", "thirtieth", "thirty-first",
)  # fmt: skip

_FIRST_YEAR = 69  # of two figures: 69 is 1969, 68 is 2068
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_MONTH = "(?P<month>" + "|".join(sorted({f"{m}|{m[:4]}|{m[:3]}" for m in MONTHS})) + r")\.?"
_DAY = (
    "(?P<day>[0-9]{1,2}(?:st|nd|rd|th|[.])?|"
    + "|".join(sorted((o.replace("-", "[- ]") for o in ORDINALS), key=len, reverse=True))
    + ")"
)
_YEAR = "(?P<year>[0-9]{4}|'?[0-9]{2})"
_GAP = r"[\s,-]{1,3}"
_ENDS = r"(?!(?!T[0-9])\w)(?![-/.][0-9])"  # a time may follow
_STARTS = r"(?<![\w])(?<![0-9][-/.])"
_FORMS = tuple(
    re.compile(_STARTS + form + _ENDS, re.IGNORECASE)
    for form in (
        r"(?P<year>[0-9]{4})(?P<sign>[-/.])(?P<month>[0-9]{1,2})(?P=sign)(?P<day>[0-9]{1,2})",
        r"(?P<one>[0-9]{1,2})(?P<sign>[-/.])(?P<two>[0-9]{1,2})(?P=sign)" + _YEAR,
        rf"{_DAY}(?:{_GAP}of)?{_GAP}{_MONTH}(?:{_GAP}of)?{_GAP}{_YEAR}",
        rf"{_MONTH}(?:{_GAP}the)?{_GAP}{_DAY}(?:{_GAP}of)?{_GAP}{_YEAR}",
        rf"(?P<year>[0-9]{{4}}){_GAP}{_MONTH}{_GAP}{_DAY}",
    )
)


class WrittenDate(NamedTuple):
    """A date from character ``start`` to ``end``: what it is if the day comes before the month, and
    if it comes after; None if it cannot be, equal if there is no choice."""

    start: int
    end: int
    day_first: str | None
    month_first: str | None


def is_iso_date(text: str) -> bool:
    """Whether the text is a day of the calendar as "2026-11-30"."""
    if not _ISO.fullmatch(text):
        return False
    return _iso(*map(int, text.split("-"))) is not None


def written_dates(text: str) -> list[WrittenDate]:
    """The dates in a text, by where they start; of two that overlap the longer."""
    found = sorted(_every(text), key=lambda each: (each.start - each.end, each.start))
    kept: list[WrittenDate] = []
    for each in found:
        if all(each.end <= other.start or each.start >= other.end for other in kept):
            kept.append(each)
    return sorted(kept)


def _every(text: str) -> Iterator[WrittenDate]:
    for form in _FORMS:
        for match in form.finditer(text):
            parts = match.groupdict()
            year = _year(parts["year"])
            if "one" in parts:
                one, two = int(parts["one"]), int(parts["two"])
                readings = _iso(year, two, one), _iso(year, one, two)
            else:
                readings = (_iso(year, _month(parts["month"]), _day(parts["day"])),) * 2
            if readings != (None, None):
                yield WrittenDate(*match.span(), *readings)


def _iso(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _year(text: str) -> int:
    year = int(text.lstrip("'"))
    if len(text.lstrip("'")) == 4:
        return year
    return 1900 + year if year >= _FIRST_YEAR else 2000 + year


def _month(text: str) -> int:
    if text.isdecimal():
        return int(text)
    return next(i for i, name in enumerate(MONTHS, 1) if name.startswith(text[:3].lower()))


def _day(text: str) -> int:
    figures = text.rstrip("stndrhSTNDRH.")
    if figures.isdecimal():
        return int(figures)
    return ORDINALS.index(text.lower().replace(" ", "-")) + 1
