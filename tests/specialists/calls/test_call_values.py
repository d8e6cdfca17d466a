import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.calls.values import values_in


def stated(text: str, year: int = 2024) -> list[object]:
    return [value for _, _, value in values_in(text, year)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("my ID is mia_li_3668.", "mia_li_3668"),
        ("reservation H8Q05L, please", "H8Q05L"),
        ("order #W4923227", "#W4923227"),
        ("order #W4923227", "W4923227"),
        ("mail ann.lee@example.com now", "ann.lee@example.com"),
        ("on May 20th", "2024-05-20"),
        ("on the 3rd of January, 1999", "1999-01-03"),
        ("born 1990-04-05", "1990-04-05"),
        ("by 5/6/2023", "2023-05-06"),
        ("on May 20th", "May 20th"),
        ("pay 1,234.50 dollars", 1234.5),
        ("pay $12", 12),
        ("it fell by -3", -3),
        ("a rate of 5%", 0.05),
        ("a rate of 5%", 5),
        ("100 million shares", 100_000_000),
        ("three bags", 3),
        ("by Taylor Swift and others", "Taylor Swift"),
        ("from Paris, France", "Paris, France"),
        ("call it 'Big Meeting' today", "Big Meeting"),
        ("is that true?", True),
        ("sides 3, 4 and 5", [3, 4, 5]),
        ("with 'Age', 'Income' and 'Job'", ["Age", "Income", "Job"]),
        ("in Rome and Oslo", ["Rome", "Oslo"]),
        ("a vegan recipe", "vegan"),
        ("a tennis court", "tennis court"),
        ("**Flight HAT136** leaves", "HAT136"),
    ],
)
def test_values_are_found(text: str, value: object) -> None:
    found = stated(text)
    assert any(type(each) is type(value) and each == value for each in found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("version 1.2.3", 3),
        ("room B12", 12),
        ("on February 30th", "2024-02-30"),
        ("find the way", "the"),
    ],
)
def test_what_is_no_value_of_its_own_is_not(text: str, value: object) -> None:
    assert value not in stated(text)


def test_dates_without_a_year_need_one_to_be_given() -> None:
    assert "2024-05-20" not in stated("on May 20th", 0)
    assert "2021-05-20" in stated("on May 20th, 2021", 0)


@given(st.text())
def test_every_value_has_its_place(text: str) -> None:
    for start, end, _ in values_in(text, 2024):
        assert 0 <= start < end <= len(text)


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "a",
        "A",
        "'",
        "1, ",
        "A, ",
        "A ",
        "Ab",
        "A-",
        "a.",
        "May ",
        "1,",
        "#",
        "*",
        "the ",
        "'a', ",
    ],
)
def test_long_texts_take_no_time_of_their_own_kind(text: str) -> None:
    began = time.process_time()
    list(values_in(text * (20_000 // len(text)), 2024))
    assert time.process_time() - began < 2  # where it is quadratic, it takes ten times as long
