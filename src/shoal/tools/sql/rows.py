"""Rows of a cursor as JSON, as many as are wanted."""

import datetime
import decimal
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from shoal.tools.tool import Json

GIVES: dict[str, Json] = {
    "columns": {"type": "array", "items": {"type": "string"}},
    "rows": {"type": "array", "items": {"type": "array"}},
    "more": {"type": "boolean", "description": "whether there are more rows than these"},
    "changed": {"type": "integer", "description": "how many rows a writing statement changed"},
}
"""The properties of what ``gathered`` gives, as JSON Schema."""

_AT_ONCE = 100
_LARGEST = 2**63


class SqlLimits(Struct, frozen=True):
    """At most so many rows, bytes of JSON, and rows that one statement may change."""

    rows: int = 1_000
    bytes: int = 500_000
    changes: int = 1_000


class RowsTrouble(ValueError):
    """What came cannot be given; the message says why and what to do."""


class Cursor(Protocol):
    """What is used of DB-API's."""

    @property
    def description(self) -> Sequence[Sequence[Any]] | None: ...

    @property
    def rowcount(self) -> int: ...

    def fetchmany(self, size: int) -> Sequence[Sequence[Any]]: ...


def gathered(cursor: Cursor, limits: SqlLimits, writes: bool) -> dict[str, Json]:
    """``columns`` (n), ``rows`` (m, n), whether there is ``more``, and what was ``changed``. Of a
    writing statement all rows are read, as some databases change no more than is read.

    Raises:
        RowsTrouble: one row is over the limit, or more was changed than may be.
    """
    columns = [str(each[0]) for each in cursor.description or ()]
    rows: list[Json] = []
    size, more = 0, False
    while columns and (some := cursor.fetchmany(_AT_ONCE)):
        for row in some:
            if more:
                break
            values = [json_of(value) for value in row]
            size += len(msgspec.json.encode(values)) + 1
            if more := len(rows) >= limits.rows or size > limits.bytes:
                if not rows:
                    raise RowsTrouble(
                        f"one row has over {limits.bytes:,} bytes: name fewer columns, or cut them "
                        f"with substr()"
                    )
                break
            rows.append(values)
        if more and not writes:
            break
    found: dict[str, Json] = {"columns": list(columns), "rows": rows, "more": more}
    if writes:
        changed = max(cursor.rowcount, 0)
        if changed > limits.changes:
            raise RowsTrouble(
                f"this would change {changed:,} rows, at most {limits.changes:,} may be; nothing "
                f"was changed: narrow the WHERE"
            )
        found["changed"] = changed
    return found


def json_of(value: Any) -> Json:
    """A value of a database as JSON. Decimals are numbers where a float holds them exactly, else
    texts, as are days, times and ids; of binary data only the length is told."""
    if value is None or isinstance(value, bool | str):
        return _whole_text(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return value if -_LARGEST <= value < _LARGEST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return _number(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value):,} bytes)"
    if isinstance(value, Mapping):
        return {str(key): json_of(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_of(each) for each in value]
    return _whole_text(str(value))


def _number(value: decimal.Decimal) -> Json:
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and abs(value) < _LARGEST:
        return int(value)
    near = float(value)
    return near if decimal.Decimal(str(near)) == value else str(value)


def _whole_text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
