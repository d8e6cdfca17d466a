"""Laws of written values: whatever way a date or a number is written, reading gives it back."""

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.notation import read_date, read_number
from shoal.tasks.dates import MONTHS, ORDINALS, is_iso_date, written_dates
from shoal.tasks.numerals import SCALES, SMALL, written_numbers

days = st.dates(date(1000, 1, 1), date(9999, 12, 31))
recent = st.dates(date(1969, 1, 1), date(2068, 12, 31))
around = st.sampled_from([("", ""), ("due ", "."), ("(", ")"), ("on ", ", at 5 pm"), ("x: ", " y")])


def suffix(day: int) -> str:
    """1st, 2nd, 3rd, 4th …"""
    if day in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def month(day: date) -> str:
    return MONTHS[day.month - 1].capitalize()


STYLES: dict[str, Callable[[date], str]] = {
    "iso": lambda d: d.isoformat(),
    "iso with a time": lambda d: f"{d.isoformat()}T10:00",
    "year first": lambda d: f"{d.year:04}/{d.month}/{d.day}",
    "year first, points": lambda d: f"{d.year:04}.{d.month:02}.{d.day:02}",
    "day month year": lambda d: f"{d.day} {month(d)} {d.year:04}",
    "short month": lambda d: f"{d.day:02} {month(d)[:3]} {d.year:04}",
    "short month, points": lambda d: f"{d.day}. {month(d)[:3]}. {d.year:04}",
    "hyphens": lambda d: f"{d.day}-{month(d)[:3].upper()}-{d.year:04}",
    "ordinal": lambda d: f"{d.day}{suffix(d.day)} of {month(d)}, {d.year:04}",
    "month first": lambda d: f"{month(d)} {d.day}, {d.year:04}",
    "month first, ordinal": lambda d: f"{month(d)[:3]} {d.day}{suffix(d.day)} {d.year:04}",
    "four letters": lambda d: f"{month(d)[:4]}. {d.day}, {d.year:04}",
    "in words": lambda d: f"the {ORDINALS[d.day - 1]} of {month(d)} {d.year:04}",
    "in words, month first": lambda d: f"{month(d)} the {ORDINALS[d.day - 1]}, {d.year:04}",
    "year and month name": lambda d: f"{d.year:04} {month(d)} {d.day}",
}
FIGURES: dict[str, Callable[[int, int, date], str]] = {
    "slashes": lambda a, b, d: f"{a}/{b}/{d.year:04}",
    "points": lambda a, b, d: f"{a:02}.{b:02}.{d.year:04}",
    "hyphens": lambda a, b, d: f"{a:02}-{b:02}-{d.year:04}",
}


@pytest.mark.parametrize("style", STYLES)
@given(days, around)
def test_a_written_date_is_read_back(style: str, day: date, sides: tuple[str, str]) -> None:
    text = STYLES[style](day).join(sides)
    assert read_date(text, None) == day.isoformat()
    found = written_dates(text)
    assert len(found) == 1
    assert text[: found[0].start].strip() in (sides[0].strip(), f"{sides[0]}the".strip())


@pytest.mark.parametrize("style", FIGURES)
@given(days, st.booleans(), around)
def test_figures_are_read_back_in_the_order_they_are_written(
    style: str, day: date, day_first: bool, sides: tuple[str, str]
) -> None:
    order = (day.day, day.month) if day_first else (day.month, day.day)
    text = FIGURES[style](*order, day).join(sides)
    assert read_date(text, day_first) == day.isoformat()
    surely = day.day > 12 or day.day == day.month
    assert read_date(text, None) == (day.isoformat() if surely else None)
    assert (read_date(text, not day_first) == day.isoformat()) == surely


@given(recent, st.booleans())
def test_years_of_two_figures_are_those_nearest(day: date, quoted: bool) -> None:
    short = f"{day.year % 100:02}"
    assert read_date(f"{day.day}/{day.month}/{short}", True) == day.isoformat()
    text = f"{day.day} {month(day)[:3]} {chr(39) * quoted}{short}"
    assert read_date(text, None) == day.isoformat()


@given(
    st.text(max_size=60) | st.from_regex(r"([0-9]{1,4}[-/. ,]|[a-z]{3}[ ,]){1,8}", fullmatch=True)
)
def test_whatever_is_read_is_a_day_and_stands_there(text: str) -> None:
    end = 0
    for found in written_dates(text):
        assert end <= found.start < found.end <= len(text)
        end = found.end
        readings = {found.day_first, found.month_first} - {None}
        assert readings
        assert all(reading and is_iso_date(reading) for reading in readings)


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "30 November",
        "next Friday",
        "11/2026",
        "31/11/2026",
        "2026-02-30",
        "10.20.30.40",
    ],
)
def test_what_is_no_day_of_a_year_is_not_read(text: str) -> None:
    assert written_dates(text) == []


def in_words(number: int, joined: bool, tens: str) -> str:
    """A number below 10^15 in English words; ``joined`` with "and" after hundreds."""
    words = {value: word for word, value in SMALL.items()}
    for word, scale in reversed(SCALES.items()):
        if number >= scale:
            rest = number % scale
            head = f"{in_words(number // scale, joined, tens)} {word}"
            between = " and " if joined and 0 < rest < 100 else " "
            return head + (between + in_words(rest, joined, tens) if rest else "")
    if number >= 100:
        rest = number % 100
        between = " and " if joined else " "
        return f"{words[number // 100]} hundred" + (
            between + in_words(rest, joined, tens) if rest else ""
        )
    if number in words:
        return words[number]
    return f"{words[number // 10 * 10]}{tens}{words[number % 10]}" if number else "zero"


@given(st.integers(0, 10**15 - 1), st.booleans(), st.sampled_from(["-", " "]), around)
def test_number_words_are_read_back(
    number: int, joined: bool, tens: str, sides: tuple[str, str]
) -> None:
    words = in_words(number, joined, tens)
    text = words.capitalize().join(sides)
    found = written_numbers(text)[0]
    assert found.value == number
    assert text[found.start : found.end].lower() == words


@given(st.integers(-(10**9), 10**9), st.integers(0, 99), st.booleans(), st.booleans())
def test_figures_are_read_back_with_either_decimal_sign(
    whole: int, cents: int, grouped: bool, comma: bool
) -> None:
    text = f"{whole:,}.{cents:02}" if grouped else f"{whole}.{cents:02}"
    value = float(f"{whole}.{cents:02}")
    if comma:
        text = text.translate(str.maketrans(",.", ".,"))
    assert read_number(f"it was {text} euros", comma) == value


@given(st.text(max_size=60), st.booleans())
def test_numbers_stand_where_they_are_said_to(text: str, comma: bool) -> None:
    end = 0
    for found in written_numbers(text, comma):
        assert end <= found.start < found.end <= len(text)
        end = found.end
