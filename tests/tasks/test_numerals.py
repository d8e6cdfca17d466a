import pytest

from shoal.tasks.numerals import written_numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two hundred and five euros", {"two hundred and five": 205}),
        ("a hundred of them", {"a hundred": 100}),
        ("a man and an hour", {}),
        ("nineteen hundred eighty-four", {"nineteen hundred eighty-four": 1984}),
        ("one two", {"one": 1, "two": 2}),
        ("sixty six seventy", {"sixty six": 66, "seventy": 70}),
        ("thirteen twelve", {"thirteen": 13, "twelve": 12}),
        ("two hundred and", {"two hundred": 200}),
        ("five and six", {"five": 5, "six": 6}),
        ("two thousand three million", {"two thousand three": 2003}),
        ("Twenty\nOne", {"Twenty\nOne": 21}),
        ("1,2", {"1,2": None}),
        ("9" * 400, {"9" * 400: None}),
        ("-3.5 or seven", {"-3.5": -3.5, "seven": 7}),
        ("thousand", {}),
    ],
)
def test_numbers_in_a_text(text: str, expected: dict[str, float | None]) -> None:
    found = {text[start:end]: value for start, end, value in written_numbers(text)}
    assert found == expected


def test_the_comma_may_be_the_decimal_sign() -> None:
    text = "1.234,50 and 12,5 and 7"
    assert [found.value for found in written_numbers(text, comma=True)] == [1234.5, 12.5, 7.0]
