import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.places import as_number, locate


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("my order AB-1 is late", "AB-1", "AB-1"),
        ("AB-12 and then AB-1.", "AB-1", "AB-1"),  # whole words first …
        ("only AB-12 here", "AB-1", "AB-1"),  # … part of a word if there is nothing else
        ("sent to new   york", "New York", "new   york"),
        ("The bank, then the Bank", "Bank", "Bank"),  # as written first
        ("it cost $1,234.50 or so", 1234.5, "1,234.50"),
        ("seven of 7", 7.0, "7"),
        ("it fell by -3 degrees", -3.0, "-3"),
    ],
)
def test_it_finds_where_a_value_is_stated(text: str, value: str | float, found: str) -> None:
    start, end = locate(text, {"key": value})["key"]
    assert text[start:end] == found


def test_whole_words_come_before_parts_of_words() -> None:
    assert locate("AB-12 and then AB-1.", {"key": "AB-1"})["key"] == (15, 19)


@pytest.mark.parametrize("value", ["absent", "", " ", None, True, 8.0])
def test_what_is_not_stated_has_no_place(value: str | float | bool | None) -> None:
    assert locate("my order 7 is late, true", {"key": value}) == {}


@given(st.text(max_size=40), st.integers(0, 40), st.integers(1, 20))
def test_any_part_of_a_text_is_found_in_it(text: str, start: int, size: int) -> None:
    value = text[start : start + size]
    if not value.strip():
        return
    begin, end = locate(text, {"key": value})["key"]
    assert text[begin:end].split() == value.split()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("45", 45.0),
        ("€ 1,234.50", 1234.5),
        ("45 euros", 45.0),
        ("−3", -3.0),
        ("none", None),
        ("1,2", None),
        ("9" * 400, None),
    ],
)
def test_the_number_that_a_span_states(text: str, number: float | None) -> None:
    assert as_number(text) == number
