"""How a task's inputs write a field's values, learned from examples by votes, and reading by it.

Each distinct input has a vote: whether the day comes before the month in a date that could be read
either way, whether the comma is a number's decimal sign, whether a list without spans is ``[]`` and
not missing. The sum of the votes decides; an example's own are taken off for its left-out
prediction.
"""

from typing import NamedTuple

from shoal.specialists.tagger import Span
from shoal.tasks.contract import Field, Scalar, written_list
from shoal.tasks.dates import written_dates
from shoal.tasks.numerals import written_numbers

_NO_SPANS = written_list(())


class Finding(NamedTuple):
    """A field's value, None if it has none, and how clearly; ``unread``: the input states a value
    that cannot be read, so nothing can be said."""

    value: Scalar
    margin: float
    unread: bool = False


def vote(field: Field, text: str, value: Scalar) -> int:
    """1 if a text with this reference speaks for day first, the comma or ``[]``, -1 if against."""
    match field.kind, value:
        case "date", str():
            return _date_vote(text, value)
        case "number", int() | float() if not isinstance(value, bool):
            as_point, as_comma = (
                any(found.value == value for found in written_numbers(text, comma))
                for comma in (False, True)
            )
            return int(as_comma) - int(as_point)
        case "spans", _:
            return (value == _NO_SPANS) - (value is None)
        case _:
            return 0


def finding(field: Field, span: Span, votes: int) -> Finding:
    """What a span says of a field, read by the sum of the votes."""
    if field.kind == "spans":
        nothing = None if field.may_miss and votes <= 0 else _NO_SPANS
        return Finding(written_list(span.values) if span.values else nothing, span.margin)
    if span.value is None:
        return Finding(None, span.margin)
    value: Scalar = span.value
    if field.kind == "number":
        value = read_number(span.value, comma=votes > 0)
    elif field.kind == "date":
        value = read_date(span.value, day_first=None if votes == 0 else votes > 0)
    return Finding(value, span.margin, unread=value is None)


def read_number(text: str, comma: bool = False) -> float | None:
    """The first number that a span states, with a currency or unit around it or not; None if it
    states none. ``comma``: it is the decimal sign, not the point."""
    found = written_numbers(text, comma)
    return found[0].value if found else None


def read_date(text: str, day_first: bool | None) -> str | None:
    """The first date that a span states, as "2026-11-30"; None if it states none, or one that needs
    an order of day and month where none is known (``day_first`` None)."""
    found = written_dates(text)
    if not found:
        return None
    by_day, by_month = found[0].day_first, found[0].month_first
    if by_day is None or by_month is None or by_day == by_month:
        return by_day or by_month
    return None if day_first is None else (by_day if day_first else by_month)


def _date_vote(text: str, value: str) -> int:
    """Of the first date that is the value, and could have been another."""
    for found in written_dates(text):
        if value in (found.day_first, found.month_first):
            return (found.day_first == value) - (found.month_first == value)
    return 0
