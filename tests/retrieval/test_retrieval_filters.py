"""Filters: what they mean (against a plain loop), how they are written, and what is refused."""

import operator
import re
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import MalformedRequest
from shoal.retrieval import columns as parts
from shoal.retrieval.columns import Columns
from shoal.retrieval.documents import Value
from shoal.retrieval.filter_text import filter_from_text
from shoal.retrieval.filters import (
    Comparison,
    Compound,
    Filter,
    Operator,
    comparisons,
    filter_from_json,
)

DOCUMENTS: dict[int, dict[str, Value]] = {
    1: {"year": 2019.0, "lang": "en", "draft": False},
    2: {"year": 2021.0, "lang": "de", "draft": True},
    4: {"year": "2021", "lang": "EN"},
    5: {},
    7: {"year": 2025.0, "lang": "fr", "date": "2025-01-31"},
}


def matches(text: str) -> list[int]:
    found = Columns(DOCUMENTS.items()).matching(filter_from_text(text))
    return [int(number) for number in np.flatnonzero(found)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year = 2021", [2]),
        ("year != 2021", [1, 4, 5, 7]),
        ("year > 2019", [2, 7]),
        ("year >= 2019", [1, 2, 7]),
        ("year < 2021.5", [1, 2]),
        ("year <= -1e3", []),
        ('year = "2021"', [4]),
        ('year >= "2"', [4]),
        ("year in (2019, 2025, 7)", [1, 7]),
        ('year in (2019, "2021")', [1, 4]),
        ("year not in (2019, 2025)", [2, 4, 5]),
        ('lang = "en"', [1]),
        ("lang > 'de'", [1, 7]),
        ("lang >= 'de'", [1, 2, 7]),
        ("lang < 'de'", [4]),
        ("lang <= 'dz'", [2, 4]),
        ('date >= "2025-01-01" and date < "2025-02-01"', [7]),
        ("draft = true", [2]),
        ("draft != true", [1, 4, 5, 7]),
        ("draft = false", [1]),
        ("draft in (true, false)", [1, 2]),
        ("draft = 1", []),
        ("year = 2019 or year = 2021 and lang = 'fr'", [1]),
        ("(year = 2019 or year = 2025) and lang = 'fr'", [7]),
        ('"year" = 2021', [2]),
        ("lang <> 'en' AND year == 2021", [2]),
    ],
)
def test_what_a_filter_means(text: str, expected: list[int]) -> None:
    assert matches(text) == expected


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def satisfies(attributes: dict[str, Value], filter: Filter) -> bool:
    """The meaning, in the plainest words."""
    if isinstance(filter, Compound):
        parts = (satisfies(attributes, part) for part in filter.filters)
        return all(parts) if filter.type == "and" else any(parts)
    if filter.type in ("in", "nin", "ne"):
        values = filter.value if isinstance(filter.value, tuple) else (filter.value,)
        any_equal = any(
            satisfies(attributes, Comparison("eq", filter.key, value)) for value in values
        )
        return any_equal == (filter.type == "in")
    found = attributes.get(filter.key)
    return type(found) is type(filter.value) and COMPARED[filter.type](found, filter.value)


words = st.sampled_from(["", "a", "b", "ab", "B", "é", "zz"])
values = st.one_of(st.sampled_from([-1.5, 0.0, 1.0, 2.0, 1e300]), words, st.booleans())
keys = st.sampled_from(["k", "m"])
compared = st.one_of(
    st.builds(Comparison, st.sampled_from(["eq", "ne"]), keys, values),
    st.builds(
        Comparison,
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        keys,
        values.filter(lambda value: not isinstance(value, bool)),
    ),
    st.builds(
        Comparison, st.sampled_from(["in", "nin"]), keys, st.lists(values, max_size=40).map(tuple)
    ),
)
filters = st.recursive(
    compared,
    lambda inner: st.builds(
        Compound,
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=6,
)
rare = st.sampled_from([0, 2, 500])  # rows that a key may have before it gets arrays
changes = st.lists(
    st.tuples(st.integers(0, 30), st.none() | st.dictionaries(keys, values)), max_size=60
)


@given(changes, filters, rare)
@settings(max_examples=200, deadline=None)
def test_columns_answer_as_a_loop_over_documents_does(
    changed: list[tuple[int, dict[str, Value] | None]], filter: Filter, rare: int
) -> None:
    """After any adding, replacing and removing."""
    there: dict[int, dict[str, Value]] = {99: {"k": "", "m": ""}}
    with patch.object(parts, "_RARE_ROWS", rare):
        columns = Columns(there.items())
        for number, attributes in changed:
            if attributes is None:
                columns.remove(number)
                there.pop(number, None)
            else:
                columns.add(number, attributes)
                there[number] = attributes
    assert columns.keys == sorted({key for attributes in there.values() for key in attributes})
    expected = [number for number in sorted(there) if satisfies(there[number], filter)]
    assert np.flatnonzero(columns.matching(filter)).tolist() == expected
    assert columns.matching(filter).shape == (columns.size,) == (100,)


@given(filters)
@settings(max_examples=80, deadline=None)
def test_json_comes_back_as_it_was(filter: Filter) -> None:
    assert filter_from_json(msgspec.json.encode(filter)) == filter
    assert filter_from_json(msgspec.to_builtins(filter)) == filter


def written(filter: Filter) -> str:
    """A filter as a line of text."""
    if isinstance(filter, Compound):
        return f" {filter.type} ".join(f"({written(part)})" for part in filter.filters)
    signs = {"eq": "=", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    signs |= {"in": "in", "nin": "not in"}
    if isinstance(filter.value, tuple):
        value = f"({', '.join(map(word, filter.value))})"
    else:
        value = word(filter.value)
    return f"{filter.key} {signs[filter.type]} {value}"


def word(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    quoted = re.sub(r'(["\\])', r"\\\1", value) if isinstance(value, str) else ""
    return f'"{quoted}"' if isinstance(value, str) else repr(value)


def flat(filter: Filter) -> Filter:
    """Without compounds of one, which text does not keep."""
    if isinstance(filter, Comparison):
        return filter
    parts = tuple(map(flat, filter.filters))
    return parts[0] if len(parts) == 1 else Compound(filter.type, parts)


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(filters.filter(lambda f: "()" not in written(f)))
@settings(max_examples=80, deadline=None)
def test_text_comes_back_as_it_was(filter: Filter) -> None:
    assert filter_from_text(written(filter)) == flat(filter)


@given(texts)
def test_any_text_can_be_quoted(text: str) -> None:
    assert filter_from_text(f"k = {word(text)}") == Comparison("eq", "k", text)


@given(texts)
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    with suppress(MalformedRequest):
        assert list(comparisons(filter_from_text(text)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1: expected the name of an attribute or '\\(', the text ends there"),
        ("year", "character 5: expected one of = != > >= < <= in, or not in"),
        ("year >=", "character 8: expected a number, true, false, or text in quotes"),
        ("lang = en", "character 8: expected a number, true, false, or text in quotes, found en"),
        ("d = 2025-01-31", "character 5: '2025-01-31' is neither a name, a number nor a sign"),
        ('lang = "en', 'character 8: the quote " is never closed'),
        ("(a = 1", "character 7: expected '\\)', the text ends there"),
        ("a = 1 b = 2", "character 7: expected 'and', 'or' or the end, found b"),
        ("a not 3", "character 7: expected 'in', found 3"),
        ("a in 3", "character 6: expected '\\(', found 3"),
        ("a in (1 2)", "character 9: expected '\\)', found 2"),
        ("x = 1 and a > true", "character 11: a.value: true and false have no order"),
        ("a ~ 1", "character 3: '~' is neither"),
        ("a = 1 and", "character 10: expected the name of an attribute"),
        ('"" = 1', "character 1: a name has 1 to 256 characters"),
        ("(" * 40 + "a = 1" + ")" * 40, "character 16: nested deeper than 16 levels"),
        ("a = 1" + " or a = 1" * 300, "301 comparisons; at most 256"),
        ("a" * 30_000, "30,000 characters; at most 20,000"),
    ],
)
def test_an_error_in_text_says_where(text: str, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message):
        filter_from_text(text)


def deep(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "eq", "key": "k", "value": 1}
    for _ in range(levels):
        node = {"type": "and", "filters": [node]}
    return node


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "Input data was truncated"),
        (b"\xff", "filters: "),
        (3, "Expected `object`, got `int`"),
        ({}, "missing required field `type`"),
        ({"type": "like", "key": "k", "value": "a"}, "Invalid enum value 'like' - at `\\$.type`"),
        ({"type": "eq", "key": "k"}, "filters.value: 'eq' needs a value"),
        ({"type": "eq", "value": 1}, "filters.key: 'eq' needs a key"),
        ({"type": "eq", "key": "", "value": 1}, "length >= 1 - at `\\$.key`"),
        ({"type": "eq", "key": "k", "value": None}, "got `null` - at `\\$.value`"),
        ({"type": "eq", "key": "k", "value": [1]}, "eq takes one value, found a list"),
        ({"type": "in", "key": "k", "value": "a"}, "in takes a list of values, found text"),
        ({"type": "in", "key": "k", "value": [[1]]}, "got `array` - at `\\$.value"),
        ({"type": "gt", "key": "k", "value": True}, "no order for gt"),
        ({"type": "eq", "key": "k", "value": 10**400}, "out of range"),
        ({"type": "eq", "key": "k", "value": float("nan")}, "found nan"),
        ({"type": "eq", "key": "k", "value": 1, "valeu": 2}, "unknown field `valeu`"),
        ({"type": "and", "filters": []}, "filters.filters: 'and' takes at least one filter"),
        ({"type": "or"}, "'or' takes at least one filter"),
        ({"type": "or", "key": "k", "filters": [deep(0)]}, "neither key nor value"),
        ({"type": "eq", "key": "k", "value": 1, "filters": []}, "and no filters"),
        (
            {"type": "and", "filters": [deep(0), {"type": "ne", "key": "k"}]},
            "filters.filters\\[1\\].value: 'ne' needs a value",
        ),
        (deep(16), "nested deeper than 16 levels"),
        (deep(5000), "nested deeper than 16 levels"),
        (b'{"type":"and","filters":[' * 5000, "nested deeper than 16 levels"),
        ({"type": "or", "filters": [deep(0)] * 257}, "257 comparisons; at most 256"),
        ({"type": "in", "key": "k", "value": [1] * 10_001}, "length <= 10000"),
        ({"type": "eq", "key": "k" * 257, "value": 1}, "length <= 256"),
        ({"type": "eq", "key": "k", "value": "x" * 5000}, "length <= 4096"),
    ],
)
def test_what_is_no_filter_is_refused(data: object, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message):
        filter_from_json(data)


def test_the_deepest_filter_that_is_allowed_is_taken() -> None:
    assert filter_from_json(deep(15)) == filter_from_json(msgspec.json.encode(deep(15)))


def test_an_unknown_attribute_is_told_with_the_nearest() -> None:
    columns = Columns(DOCUMENTS.items())
    with pytest.raises(MalformedRequest, match=r"no document has an attribute 'yaer'.*mean year"):
        columns.matching(filter_from_text("lang = 'en' and yaer = 2"))
    with pytest.raises(MalformedRequest, match="date, draft, lang, year"):
        columns.matching(filter_from_text("quux = 2"))
    with pytest.raises(MalformedRequest, match="no document has any attribute"):
        Columns([(1, {})]).matching(filter_from_text("quux = 2"))


def test_an_attribute_is_known_as_long_as_a_document_has_it() -> None:
    columns = Columns(DOCUMENTS.items())
    assert columns.keys == ["date", "draft", "lang", "year"]
    columns.remove(7)
    assert columns.keys == ["draft", "lang", "year"]
    columns.remove(7)
    columns.remove(10**9)
    columns.add(1, {"year": float("nan")})
    assert columns.keys == ["draft", "lang", "year"]
    columns.add(2, {})
    assert columns.keys == ["lang", "year"]


several = st.dictionaries(st.integers(0, 40), st.dictionaries(keys, values | st.just(np.nan)))


@given(several, filters, rare)
@settings(max_examples=100, deadline=None)
def test_columns_filled_at_once_are_those_filled_one_by_one(
    there: dict[int, dict[str, Value]], filter: Filter, rare: int
) -> None:
    with patch.object(parts, "_RARE_ROWS", rare):
        at_once = Columns(there.items())
    one_by_one = Columns()
    for number, attributes in there.items():
        one_by_one.add(number, attributes)
    assert at_once.keys == one_by_one.keys
    for part in comparisons(filter):
        for columns in (at_once, one_by_one):
            columns.add(50, {part.key: "there is one"} | {"k": "", "m": ""})
    assert at_once.matching(filter).tolist() == one_by_one.matching(filter).tolist()


def test_keys_of_their_own_do_not_multiply() -> None:
    """Neither in memory nor in what a change costs: an array for each would be 24 KB."""
    tracemalloc.start()
    columns = Columns(
        (number, {f"{number}.{key}": float(key) for key in range(8)}) for number in range(3_000)
    )
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 24_000 * 800
    assert len(columns.keys) == 24_000
    assert np.flatnonzero(columns.matching(Comparison("gt", "7.3", 2.0))).tolist() == [7]
    began = time.process_time()
    for number in range(200):
        columns.add(number, {"shared": True})
    assert time.process_time() - began < 1.0  # 3 ms; 7 s where each change looks at all keys
    assert len(columns.keys) == 24_000 - 200 * 8 + 1


def test_a_rare_key_becomes_common_and_goes() -> None:
    rows = {number: {"k": float(number), "own": "x"} for number in range(600)}
    columns = Columns()
    for number, attributes in rows.items():
        columns.add(number, {"own": "x"} if number % 2 else attributes)
    assert columns.matching(Comparison("gt", "k", 300.0)).sum() == 149
    for number, attributes in rows.items():
        columns.add(number, attributes)
    assert columns.matching(Comparison("gt", "k", 300.0)).sum() == 299
    for number in rows:
        columns.remove(number)
    assert columns.keys == []


def test_nothing_matches_where_there_is_nothing() -> None:
    assert Columns().matching(filter_from_text("year = 1")).shape == (0,)
    columns = Columns([(3, {"year": 1.0})])
    columns.remove(3)
    assert columns.matching(filter_from_text("year != 1")).tolist() == [False] * 4


@pytest.mark.parametrize("type", ["eq", "ne", "gt", "gte", "lt", "lte"])
def test_order_of_text_does_not_depend_on_when_it_came(type: str) -> None:
    """The dictionary grows after it was sorted for a comparison."""
    columns = Columns([(1, {"k": "m"}), (2, {"k": "c"})])
    filter = Comparison(cast(Operator, type), "k", "f")
    columns.matching(filter)
    columns.add(3, {"k": "a"})
    columns.add(4, {"k": "z"})
    columns.add(5, {"k": "f"})
    there = {1: "m", 2: "c", 3: "a", 4: "z", 5: "f"}
    expected = [number for number, text in there.items() if satisfies({"k": text}, filter)]
    assert np.flatnonzero(columns.matching(filter)).tolist() == expected
