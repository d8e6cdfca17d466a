"""Paths into results."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import MalformedRequest
from shoal.planning.references import Path, Unresolved, filled, only_path, paths_in

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_a_value_that_is_one_path_keeps_its_type() -> None:
    scope = {"order": {"rows": [{"price": 7.5}]}}
    assert filled("${order.rows[0].price}", scope) == 7.5
    assert filled({"a": ["${order.rows}"]}, scope) == {"a": [[{"price": 7.5}]]}


def test_within_a_text_values_are_written_as_json_and_texts_as_they_are() -> None:
    scope = {"a": {"b": "it's"}, "n": [1, None]}
    assert filled("say ${a.b}: ${n}", scope) == "say it's: [1,null]"


def test_a_doubled_sign_writes_the_sign() -> None:
    assert filled("$${a} and ${a}", {"a": 1}) == "${a} and 1"
    assert list(paths_in("$${a}")) == []


@given(JSON)
def test_what_was_filled_in_is_not_looked_at_again(value: object) -> None:
    hostile = {"x": value, "t": "${secret}", "secret": "no"}
    assert filled("${x}", hostile) == value
    assert filled("${t}", hostile) == "${secret}"
    assert filled("_${t}", hostile) == "_${secret}"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        named = list(paths_in(text))
    except MalformedRequest:
        return
    if not named:
        assert filled(text, {}) == text.replace("$${", "${")


@given(
    st.lists(st.integers(0, 10**8) | st.text(st.characters(exclude_characters='"\\{}'), max_size=8))
)
def test_a_path_reads_back_as_it_is_written(keys: list[int | str]) -> None:
    path = Path("root", tuple(keys))
    assert only_path(f"${{{path}}}") == path


@pytest.mark.parametrize(
    "text", ["${}", "${a b}", "${a.}", "${a[x]}", "${__import__('os')}", "${1a}"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest, match="no path"):
        list(paths_in(text))


def test_a_path_that_leads_nowhere_says_where_it_ends() -> None:
    with pytest.raises(Unresolved, match=r"order\.rows has no 3, it is \[1\]"):
        filled("${order.rows[3]}", {"order": {"rows": [1]}})


def test_a_text_that_doubles_each_time_is_stopped() -> None:
    text = "x" * 1_000_000
    with pytest.raises(MalformedRequest, match="grew beyond"):
        filled("${a}" * 5, {"a": text})


def test_long_texts_are_read_in_time_linear_in_them() -> None:
    assert json.dumps(filled("${" * 50_000, {})) == json.dumps("${" * 50_000)
