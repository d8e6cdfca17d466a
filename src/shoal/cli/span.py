"""Spans of time, and days counted back from now, as people type them."""

import re
import time

import typer
from msgspec import Struct

_SPAN = re.compile(r"(\d{1,6})([hdw])")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SECONDS = {"h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}


class Span(Struct, frozen=True):
    """A span of time."""

    seconds: float


def read_span(text: str) -> Span:
    """A span like 12h, 30d or 2w.

    >>> read_span("2w").seconds
    1209600.0

    Raises:
        typer.BadParameter: it is none.
    """
    found = _SPAN.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise typer.BadParameter(
            f"expected hours, days or weeks, like 12h, 30d or 2w, not {text!r}"
        )
    return Span(int(found[1]) * _SECONDS[found[2]])


def read_day(text: str) -> str:
    """A day in UTC: itself, like 2025-01-31, or so long ago, like 7d.

    Raises:
        typer.BadParameter: it is none.
    """
    if _DAY.fullmatch(text):
        try:
            time.strptime(text, "%Y-%m-%d")
        except ValueError:
            raise typer.BadParameter(f"there is no day {text}") from None
        return text
    then = time.time() - read_span(text).seconds
    return time.strftime("%Y-%m-%d", time.gmtime(then))
