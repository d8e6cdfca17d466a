import pytest

from shoal.specialists.notation import finding, read_date, read_number, vote
from shoal.specialists.tagger import Span
from shoal.tasks.contract import Field, Scalar

DATE, NUMBER = Field("key", "date"), Field("key", "number")
SPANS = Field("key", "spans", optional=True)


@pytest.mark.parametrize(
    ("field", "text", "value", "expected"),
    [
        (DATE, "due 03/04/2026", "2026-04-03", 1),
        (DATE, "due 03/04/2026", "2026-03-04", -1),
        (DATE, "due 30/11/2026", "2026-11-30", 1),  # can be read in one order only, and tells it
        (DATE, "due 11/30/2026", "2026-11-30", -1),
        (DATE, "due 04/04/2026", "2026-04-04", 0),
        (DATE, "due 3 April 2026", "2026-04-03", 0),
        (DATE, "tomorrow", "2026-04-03", 0),
        (NUMBER, "it was 1.200", 1200.0, 1),
        (NUMBER, "it was 1.200", 1.2, -1),
        (NUMBER, "it was 7", 7.0, 0),
        (SPANS, "nothing", "[]", 1),
        (SPANS, "nothing", None, -1),
        (SPANS, "a pear", '["pear"]', 0),
        (Field("key", "span"), "a pear", "pear", 0),
    ],
)
def test_votes(field: Field, text: str, value: Scalar, expected: int) -> None:
    assert vote(field, text, value) == expected


@pytest.mark.parametrize(
    ("field", "values", "votes", "expected"),
    [
        (DATE, ("03/04/2026",), 2, "2026-04-03"),
        (DATE, ("03/04/2026",), -2, "2026-03-04"),
        (DATE, ("30 Nov 2026",), 0, "2026-11-30"),
        (DATE, (), 5, None),
        (NUMBER, ("€ 1.200,50",), 1, 1200.5),
        (NUMBER, ("€ 1,200.50",), 0, 1200.5),
        (NUMBER, ("two hundred",), 0, 200.0),
        (SPANS, ("a", "b"), 0, '["a", "b"]'),
        (SPANS, (), 1, "[]"),
        (SPANS, (), -1, None),
        (Field("key", "spans"), (), -1, "[]"),  # where nothing may miss, a list is empty
        (Field("key", "span"), ("x",), 0, "x"),
    ],
)
def test_findings(field: Field, values: tuple[str, ...], votes: int, expected: Scalar) -> None:
    found = finding(field, Span(values, 1.5), votes)
    assert (found.value, found.margin, found.unread) == (expected, 1.5, False)


@pytest.mark.parametrize(
    ("field", "value"),
    [(DATE, "tomorrow"), (DATE, "03/04/2026"), (NUMBER, "some"), (NUMBER, "1,2")],
)
def test_what_is_stated_but_cannot_be_read_is_no_missing_value(field: Field, value: str) -> None:
    assert finding(field, Span((value,), 1.0), 0).unread


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
    assert read_number(text) == number


def test_the_first_date_counts() -> None:
    assert read_date("1 May 2026 to 2 May 2026", None) == "2026-05-01"
