import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.tabular import Row, Table, row_of, why_no_table
from shoal.tasks import Input

ROW = {"amount": "12", "country": "DE", "age": "5"}


@pytest.mark.parametrize(
    "text",
    [
        "amount: 12\ncountry: DE\nage: 5",
        "amount = 12\n\ncountry = DE\nage = 5\n",
        "amount=12, country=DE, age=5",
        "amount=12 country=DE age=5",
        "amount: 12; country: DE; age: 5",
        '- amount: 12\n- country: "DE"\n- age: 5',
        "| amount | 12 |\n| country | DE |\n| age | 5 |",
    ],
)
def test_pairs_are_read_however_they_are_written(text: str) -> None:
    assert row_of(Input(text)) == ROW


def test_objects_are_read_with_what_is_in_them() -> None:
    text = '```json\n{"a": 1, "b": {"c": "x"}, "d": [1, 2.5], "e": true, "f": null}\n```'
    assert row_of(Input(text)) == {
        "a": 1.0,
        "b.c": "x",
        "d (number of)": 2.0,
        "d (sum)": 3.5,
        "e": True,
        "f": None,
    }


def test_slots_are_columns_and_what_is_in_them_too() -> None:
    slots = (("who", "Ann"), ("what", '{"a": 1}'), ("when", "x: 2\ny: 3"))
    assert row_of(Input("whatever", slots)) == {
        "who": "Ann",
        "what.a": 1.0,
        "when.x": "2",
        "when.y": "3",
    }


@pytest.mark.parametrize(
    "text", ["", "hello", "Note: I am late", "[1, 2]", "{}", "Dear all,\nnote: it is late\nbye now"]
)
def test_prose_is_no_row(text: str) -> None:
    assert row_of(Input(text)) is None


def column(*cells: object) -> list[float]:
    """What a column of these cells becomes."""
    rows: list[Row] = [{"x": cell} for cell in cells]  # type: ignore[dict-item]
    return Table.fit(rows).numbers(rows)[:, 0].tolist()


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (("$1,234.50", "$2"), [1234.5, 2]),
        (("12 kg", "−3.5 kg"), [12, -3.5]),
        (("5%", "5.5 %"), [5, 5.5]),
        (("USD 5", "USD 1 000"), [5, 1000]),
        (("1.5k", "2M"), [1500, 2_000_000]),
        ((1.0, "2", "1e3"), [1, 2, 1000]),
        (("1970-01-02", "1970-01-03T12:00:00Z"), [1, 2.5]),
        (("yes", "no", "YES "), [0, 1, 0]),
        ((True, False, True), [0, 1, 0]),
    ],
)
def test_cells_are_read_as_numbers(cells: tuple[object, ...], numbers: list[float]) -> None:
    """Categories as codes, the commonest is 0."""
    assert column(*cells) == numbers


def test_what_is_absent_of_another_unit_or_new_is_missing() -> None:
    rows: list[Row] = [{"kg": f"{i} kg", "place": "ab"[i % 2]} for i in range(20)]
    table = Table.fit(rows)
    odd: list[Row] = [
        {"kg": "3 lb", "place": "c"},
        {"kg": "heavy"},
        {"kg": "n/a", "place": None},
        {"kg": math.inf, "place": True},
    ]
    assert np.isnan(table.numbers(odd)).all()


def test_columns_of_text_and_of_one_value_are_left_out() -> None:
    rows: list[Row] = [
        {
            "id": f"customer {i} wrote",
            "same": "x",
            "n": float(i),
            "sometimes": "y" if i % 2 else None,
        }
        for i in range(50)
    ]
    assert [column.name for column in Table.fit(rows).columns] == ["n", "sometimes"]


def test_why_inputs_are_no_table() -> None:
    rows = [Input(json.dumps({"a": i, "b": "xy"[i % 2]})) for i in range(40)]
    assert why_no_table(rows) == ""
    assert why_no_table([*rows, Input("hello"), Input("hi")]) == ""
    assert "only 40 of 60" in why_no_table([*rows, *[Input("hello")] * 20])
    strangers = [Input(json.dumps({f"a{i}": 1, f"b{i}": 2})) for i in range(20)]
    assert "fewer than two names" in why_no_table(strangers)
    letters = [Input(json.dumps({"a": f"text {i} of its own", "b": f"and {i}"})) for i in range(60)]
    assert "text, not numbers" in why_no_table(letters)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=5), st.text())
def test_nothing_breaks_it(objects: list[dict[str, object]], text: str) -> None:
    inputs = [Input(json.dumps(each)) for each in objects] + [
        Input(text),
        Input(f"a: {text}\nb: 1"),
    ]
    rows = [row for given_ in inputs if (row := row_of(given_)) is not None]
    table = Table.fit(rows)
    assert table.numbers(rows).shape == (len(rows), len(table.columns))
    assert not np.isinf(table.numbers(rows)).any()
    why_no_table(inputs)
