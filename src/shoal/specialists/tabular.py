"""Inputs that are a table's rows in disguise -> rows of numbers.

A row is a JSON object, or lines or pieces of "name: value" or "name=value", or a template's slots.
Values are numbers (with a currency or unit, with thousands separators, in percent), dates, truth
values or words. Columns and categories are learned from training rows; a value that is absent,
unreadable, of another unit or never seen is missing (NaN), which trees can handle.
"""

import datetime
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.tasks.input import Input
from shoal.tasks.json_style import read_object

Floats = NDArray[np.float64]
Cell = float | str | bool | None
Row = dict[str, Cell]

MOST_COLUMNS = 300
MOST_CATEGORIES = 200
_NUMERIC = 0.9
"""A column of which so many values are numbers of one unit holds numbers."""
_REPEATED = 0.5
"""A column of words of which fewer values than this occurred before holds text, and is left out."""
_LEAST_WORDS = 20  # a column with so few different words is one of categories in any case
_DEPTH = 4
_LONGEST = 10_000  # characters of a line that is taken apart
_NAME = r"[^\W\d][\w .()/%#-]{0,60}"
_PAIR = re.compile(rf"(?:[-*•|]\s{{0,9}})?[\"']?({_NAME}?)[\"']?\s{{0,9}}[:=|](.*)")
_PIECES = re.compile(rf"[;,]\s{{1,9}}(?={_NAME}[:=])|\s{{1,9}}(?=[^\W\d]\w*=)")
_NUMBER = re.compile(
    r"(?P<before>[^\w\s.+−-]{0,3}|[A-Z]{3} ) ?(?P<sign>[-+−]?)(?P<symbol>[$€£¥]?)"
    r"(?P<digits>\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?|\d*\.?\d+(?:[eE][-+]?\d{1,3})?)"
    r"(?P<scale>[kKM]|mn|bn)?(?: ?(?P<after>[^\d\s]{1,12}(?: [^\d\s]{1,12})?))?"
)
_SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "mn": 1e6, "bn": 1e9}
_DATE = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_ABSENT = frozenset({"", "-", "n/a", "na", "none", "null", "nan", "unknown", "missing", "?"})


class Column(Struct, frozen=True):
    """One column. ``unit`` stands around its numbers ("$", "kg"); ``categories`` are its words,
    code 0, 1, 2 …, the commonest first."""

    name: str
    kind: Literal["number", "date", "category"]
    unit: str = ""
    categories: tuple[str, ...] = ()


class Table(Struct, frozen=True):
    """The columns that training rows had, in the order in which they came."""

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, rows: Sequence[Row]) -> "Table":
        """Learn the columns of ``rows``; those that hold text, or one value only, are left out."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        found = [_column(name, [row.get(name) for row in rows]) for name in names]
        return cls(tuple(column for column in found if column is not None)[:MOST_COLUMNS])

    def numbers(self, rows: Sequence[Row]) -> Floats:
        """Rows -> (n, d), NaN where a value is missing."""
        table = np.full((len(rows), len(self.columns)), np.nan)
        for at, column in enumerate(self.columns):
            code = {word: float(i) for i, word in enumerate(column.categories)}
            for row, cells in enumerate(rows):
                value = _number_of(column, code, cells.get(column.name))
                if value is not None:
                    table[row, at] = value
        return table

    @property
    def categorical(self) -> tuple[int, ...]:
        """The columns that hold codes."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "category")


def row_of(given: Input) -> Row | None:
    """The row that an input is; None if it is none."""
    found = _object_row(given.text) or _pairs_row(given.text)
    if len(given.slots) > 1:
        slots: Row = {}
        for name, value in given.slots:
            inner = _object_row(value) or (_pairs_row(value) if "\n" in value.strip() else None)
            if inner:
                slots |= {f"{name}.{key}": cell for key, cell in inner.items()}
            else:
                slots[name] = value
        return slots
    return found or None


def why_no_table(inputs: Sequence[Input]) -> str:
    """Why inputs are no table's rows, in plain words; "" if they are: nearly all can be read, and
    at least two columns are in most of them."""
    rows = [row_of(given) for given in inputs]
    read = [row for row in rows if row]
    if len(read) < 0.95 * len(rows):
        return (
            f"its inputs are no table: only {len(read)} of {len(rows)} are a JSON object or lines "
            "of the form 'name: value'"
        )
    counts = Counter(name for row in read for name in row)
    if sum(2 * n >= len(read) for n in counts.values()) < 2:
        return "its inputs are no table: fewer than two names of values recur in most of them"
    if len(Table.fit(read).columns) < 2:
        return "its inputs are no table: what recurs in them is text, not numbers and categories"
    return ""


def _object_row(text: str) -> Row | None:
    found = read_object(text)
    if found is None:
        return None
    row: Row = {}
    _flatten(found, "", row, 0)
    return row or None


def _flatten(value: object, name: str, row: Row, depth: int) -> None:
    """Nested objects by dotted names; of a list its length, and its words or the sum of numbers."""
    match value:
        case dict() if depth < _DEPTH:
            for key, inner in value.items():
                _flatten(inner, f"{name}.{key}" if name else str(key), row, depth + 1)
        case list():
            row[f"{name} (number of)"] = float(len(value))
            numbers = [v for v in value if isinstance(v, int | float) and not isinstance(v, bool)]
            if numbers and len(numbers) == len(value):
                row[f"{name} (sum)"] = float(math.fsum(numbers))
        case bool() | str() | None:
            row[name] = value
        case int() | float():
            row[name] = float(value)


def _pairs_row(text: str) -> Row | None:
    """Of "name: value" lines, or of pieces between commas or semicolons."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) == 1:
        lines = _PIECES.split(lines[0][:_LONGEST])
    matches = [_PAIR.fullmatch(line.strip()) for line in lines[:MOST_COLUMNS]]
    pairs = [match for match in matches if match]
    if len(pairs) < 2 or len(pairs) < 0.8 * len(lines):
        return None
    return {match[1].strip(): match[2].strip(" \t|\"'") for match in pairs}


def _column(name: str, cells: Sequence[Cell]) -> Column | None:
    present = [cell for cell in cells if not _is_absent(cell)]
    if not present:
        return None
    numbers = [found for cell in present if (found := _read_number(cell)) is not None]
    if len(numbers) >= _NUMERIC * len(present):
        unit, count = Counter(unit for _, unit in numbers).most_common(1)[0]
        if count >= _NUMERIC * len(present):
            values = {value for value, own in numbers if own == unit}
            return Column(name, "number", unit) if len(values) > 1 or count < len(cells) else None
    if sum(_read_date(cell) is not None for cell in present) >= _NUMERIC * len(present):
        return Column(name, "date")
    words = Counter(_word(cell) for cell in present)
    if len(words) > _LEAST_WORDS and 1 - len(words) / len(present) < _REPEATED:
        return None
    if len(words) < 2 and len(present) == len(cells):
        return None
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return Column(name, "category", "", tuple(word for word, _ in ranked[:MOST_CATEGORIES]))


def _number_of(column: Column, code: Mapping[str, float], cell: Cell) -> float | None:
    if _is_absent(cell):
        return None
    match column.kind:
        case "number":
            found = _read_number(cell)
            return found[0] if found and found[1] == column.unit else None
        case "date":
            return _read_date(cell)
        case _:
            return code.get(_word(cell))


def _is_absent(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _ABSENT)


def _word(cell: Cell) -> str:
    if isinstance(cell, str):
        return " ".join(cell.casefold().split())
    return str(cell).lower() if isinstance(cell, bool) else repr(cell)


def _read_number(cell: Cell) -> tuple[float, str] | None:
    """(number, unit) that is all of a cell, None of any other text. Truth values are no numbers."""
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, float):
        return (cell, "") if math.isfinite(cell) else None
    match = _NUMBER.fullmatch(cell.strip()) if len(cell) <= 60 else None
    if not match:
        return None
    number = float(re.sub(r"[,' ]", "", match["digits"])) * _SCALES.get(match["scale"], 1)
    if not math.isfinite(number):
        return None
    unit = (match["before"] + match["symbol"]).strip() or match["after"] or ""
    unit = unit.casefold()
    return (-number if match["sign"] in ("-", "−") else number), unit


def _read_date(cell: Cell) -> float | None:
    """Days since 1970, with the time of day as a fraction."""
    match = _DATE.fullmatch(cell.strip()) if isinstance(cell, str) and len(cell) < 40 else None
    if not match:
        return None
    try:
        day = datetime.date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return (day - datetime.date(1970, 1, 1)).days + (
        (int(match[4]) * 60 + int(match[5])) / 1440 if match[4] else 0.0
    )
