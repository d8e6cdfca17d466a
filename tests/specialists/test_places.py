from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.places import locate
from shoal.tasks.contract import Field, Kind, Scalar, listed, written_list


def found_in(text: str, kind: Kind, value: Scalar) -> list[str]:
    """The parts of a text that state a value."""
    places: Mapping[str, tuple[tuple[int, int], ...]] = locate(
        text, [Field("key", kind)], {"key": value}
    )
    return [text[start:end] for start, end in places.get("key", ())]


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("my order AB-1 is late", "AB-1", "AB-1"),
        ("AB-12 and then AB-1.", "AB-1", "AB-1"),  # whole words first …
        ("only AB-12 here", "AB-1", "AB-1"),  # … part of a word if there is nothing else
        ("sent to new   york", "New York", "new   york"),
        ("The bank, then the Bank", "Bank", "Bank"),  # as written first
        ("it cost $1,234.50 or so", 1234.5, "1,234.50"),
        ("es kostet 1.234,50 Euro", 1234.5, "1.234,50"),
        ("seven of 7", 7.0, "seven"),
        ("it took two hundred days", 200.0, "two hundred"),
        ("it fell by -3 degrees", -3.0, "-3"),
    ],
)
def test_it_finds_where_a_value_is_stated(text: str, value: str | float, found: str) -> None:
    kind: Kind = "number" if isinstance(value, float) else "span"
    assert found_in(text, kind, value) == [found]


def test_whole_words_come_before_parts_of_words() -> None:
    places = locate("AB-12 and then AB-1.", [Field("key", "span")], {"key": "AB-1"})
    assert places == {"key": ((15, 19),)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("due on 11/30/2026", "11/30/2026"),
        ("from 1 May 2026 to the thirtieth of November 2026", "thirtieth of November 2026"),
        ("2026-11-30 or 30 Nov 2026", "2026-11-30"),
    ],
)
def test_it_finds_where_a_date_is_stated(text: str, found: str) -> None:
    assert found_in(text, "date", "2026-11-30") == [found]


def test_a_date_is_found_in_either_order() -> None:
    for value in ("2026-03-04", "2026-04-03"):
        assert found_in("due 03/04/2026", "date", value) == ["03/04/2026"]


def test_items_of_a_list_have_places_of_their_own() -> None:
    text = "an apple, a pear and another apple"
    assert found_in(text, "spans", written_list(["apple", "pear"])) == ["apple", "pear"]
    assert found_in(text, "spans", written_list(["pear", "apple"])) == ["apple", "pear"]
    places = locate(text, [Field("key", "spans")], {"key": written_list(["apple", "apple"])})
    assert places == {"key": ((3, 8), (29, 34))}
    assert found_in(text, "spans", written_list(["plum"])) == []


@pytest.mark.parametrize("value", ["absent", "", " ", None, True, 8.0])
def test_what_is_not_stated_has_no_place(value: str | float | bool | None) -> None:
    kind: Kind = "span" if isinstance(value, str) else "number"
    assert found_in("my order 7 is late, true", kind, value) == []


@given(st.text(max_size=40), st.integers(0, 40), st.integers(1, 20))
def test_any_part_of_a_text_is_found_in_it(text: str, start: int, size: int) -> None:
    value = text[start : start + size]
    if not value.strip():
        return
    assert found_in(text, "span", value)[0].split() == value.split()


@given(st.lists(st.sampled_from(["red", "a b", "c"]), max_size=4))
def test_the_places_of_a_list_are_its_items(items: list[str]) -> None:
    value = written_list(items)
    assert found_in(" and ".join(items), "spans", value) == listed(value)
