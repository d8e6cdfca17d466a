"""Tables in text: a record a line, its fields parted by a comma or another sign."""

import csv
import io
from collections.abc import Iterator
from statistics import median

from shoal.retrieval.documents import Block, Content
from shoal.retrieval.readers.text import row

_SIGNS = ",;\t|"
_SEEN = 20  # lines by which the sign is chosen


def read_rows(text: str, kind: str) -> Content:
    """One table; the fields of a record are parted by " | ", so each stays on a line."""
    lines = [line for cells in _records(text, kind) if (line := row(cells)).strip("| ")]
    return Content(kind, (Block("table", "\n".join(lines)),) if lines else ())


def _records(text: str, kind: str) -> Iterator[list[str]]:
    sign = "\t" if kind == "tsv" else _sign(text)
    try:
        # All of them first: a quote that is never closed is found out at the end.
        yield from list(csv.reader(io.StringIO(text, newline=""), delimiter=sign))
    except csv.Error:  # a field over 128 KB: most likely such a quote
        yield from (line.split(sign) for line in text.split("\n"))


def _sign(text: str) -> str:
    """That which is found most often in the middle one of the first lines."""
    lines = [line for line in text[:100_000].split("\n")[:_SEEN] if line.strip()]

    def found(sign: str) -> tuple[float, int]:
        counts = [line.count(sign) for line in lines]
        return median(counts or [0]), -_SIGNS.index(sign)

    return max(_SIGNS, key=found)
