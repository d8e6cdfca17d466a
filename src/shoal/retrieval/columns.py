"""The attributes of all documents in columns, so that a filter looks at a million in about a ms.

A row is a document's number. The values of a key that few rows have lie in a dictionary. Those of
any other lie in arrays: numbers in float64 with NaN for none; text as codes into a dictionary, 0
for none; true and false in int8. One key may have all three. Everything is derived from the store
and lives in memory: 8 bytes a document for each common key and kind in use, and about 400 bytes for
each value of a rare key, so that documents with keys of their own do not multiply.

Not safe to change while another thread reads.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import reduce
from operator import eq, ge, gt, le, lt
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shoal.errors import MalformedRequest
from shoal.retrieval.documents import Value
from shoal.retrieval.filters import Comparison, Filter, comparisons

Mask = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)
_ORDER: dict[str, Callable[[Any, Any], Any]]
_ORDER = {"eq": eq, "gt": gt, "gte": ge, "lt": lt, "lte": le}
_KIND: dict[type, int] = {bool: 1, str: 2}  # anything else is a number
_FEW = 16  # values of an ``in`` that are quicker compared one by one
_RARE_ROWS = 500  # that a key may have, whatever share that is, before it gets arrays
_RARE_SHARE = 200  # and one row in so many: 5,000 of a million are looked through in 1 ms


class Columns:
    """The attributes of the documents that ``rows`` gives as (number, attributes), each number
    once; about 1 µs an attribute, a quarter of what ``add`` takes."""

    def __init__(self, rows: Iterable[tuple[int, Mapping[str, Value]]] = ()) -> None:
        self._alive: Mask = np.zeros(0, np.bool_)
        self._size = 0
        self._columns: dict[str, _Column] = {}
        self._rare: dict[str, dict[int, Value]] = {}
        self._rare_keys: dict[int, list[str]] = {}  # of each row that has any
        numbers: list[int] = []
        values: dict[str, dict[int, Value]] = {}
        for number, attributes in rows:
            numbers.append(number)
            for key, value in attributes.items():
                values.setdefault(key, {})[number] = value
        if numbers:
            self._size = max(numbers) + 1
            self._alive = _grown(self._alive, self._size)
            self._alive[numbers] = True
        for key, of_key in values.items():
            if len(of_key) > self._most_rare():
                column = _Column.of(of_key)
                if column.count:  # not all NaN
                    self._columns[key] = column
            else:
                for number, value in of_key.items():
                    self._put_rare(number, key, value)

    @property
    def size(self) -> int:
        """Length of what ``matching`` returns: the highest number there ever was, and one."""
        return self._size

    @property
    def keys(self) -> list[str]:
        """The attributes that any document has, sorted."""
        return sorted((*self._columns, *self._rare))

    def add(self, number: int, attributes: Mapping[str, Value]) -> None:
        """Take in a document, in place of what is known of that number."""
        self.remove(number)
        self._size = max(self._size, number + 1)
        self._alive = _grown(self._alive, number + 1)
        self._alive[number] = True
        for key, value in attributes.items():
            column = self._columns.get(key)
            if column is None:
                self._put_rare(number, key, value)
            else:
                column.put(number, value)

    def remove(self, number: int) -> None:
        """Forget a document; nothing happens if there is none of that number."""
        if number >= len(self._alive) or not self._alive[number]:
            return
        self._alive[number] = False
        for key in self._rare_keys.pop(number, ()):
            del self._rare[key][number]
            if not self._rare[key]:
                del self._rare[key]
        emptied = [key for key, column in self._columns.items() if column.clear(number)]
        for key in emptied:
            del self._columns[key]

    def matching(self, filter: Filter) -> Mask:
        """Which documents satisfy it, by number: (size,) bool, false where there is no document.

        Raises ``MalformedRequest`` if it names an attribute that no document has.
        """
        self._check(filter)
        return self._mask(filter) & self._alive[: self._size]

    def texts(self, filter: Filter) -> dict[str, list[str]]:
        """Of each attribute that a filter names, the texts it has or had, in order.

        Raises ``MalformedRequest`` if it names an attribute that no document has.
        """
        self._check(filter)
        return {
            part.key: self._texts(part.key) for part in comparisons(filter) if self._has(part.key)
        }

    def _texts(self, key: str) -> list[str]:
        if key in self._columns:
            return self._columns[key].texts()
        return sorted({value for value in self._rare[key].values() if isinstance(value, str)})

    def _has(self, key: str) -> bool:
        return key in self._columns or key in self._rare

    def _check(self, filter: Filter) -> None:
        if self._alive.any():
            for part in comparisons(filter):
                if not self._has(part.key):
                    raise _unknown(part.key, self.keys)

    def _mask(self, filter: Filter) -> Mask:
        if isinstance(filter, Comparison):
            column = self._columns.get(filter.key)
            if column is not None:
                return column.matching(filter, self._size)
            return _matching_rare(self._rare.get(filter.key, {}), filter, self._size)
        join = np.logical_and if filter.type == "and" else np.logical_or
        return reduce(join, map(self._mask, filter.filters))

    def _put_rare(self, number: int, key: str, value: Value) -> None:
        if not isinstance(value, str | bool):
            value = float(value)
            if value != value:  # NaN is none
                return
        of_key = self._rare.setdefault(key, {})
        of_key[number] = value
        self._rare_keys.setdefault(number, []).append(key)
        if len(of_key) > self._most_rare():
            self._make_common(key)

    def _most_rare(self) -> int:
        return max(_RARE_ROWS, self._size // _RARE_SHARE)

    def _make_common(self, key: str) -> None:
        of_key = self._rare.pop(key)
        self._columns[key] = _Column.of(of_key)
        for number in of_key:
            keys = self._rare_keys[number]
            keys.remove(key)
            if not keys:
                del self._rare_keys[number]


class _Column:
    """The values of one key."""

    def __init__(self) -> None:
        self.count = 0  # of documents that have any
        self._numbers: NDArray[np.float64] = np.zeros(0, np.float64)
        self._flags: NDArray[np.int8] = np.zeros(0, np.int8)  # 0 none, 1 false, 2 true
        self._codes: NDArray[np.intp] = np.zeros(0, np.intp)  # intp: what numpy looks up by
        self._code_of: dict[str, int] = {}
        self._sorted: tuple[list[str], NDArray[np.intp]] | None = None

    def put(self, number: int, value: Value) -> None:
        if isinstance(value, bool):
            self._flags = _grown(self._flags, number + 1)
            self._flags[number] = 1 + value
        elif isinstance(value, str):
            self._codes = _grown(self._codes, number + 1)
            code = self._code_of.get(value)
            if code is None:
                code = self._code_of[value] = len(self._code_of) + 1
                self._sorted = None
            self._codes[number] = code
        elif np.isnan(value):
            return
        else:
            self._numbers = _grown(self._numbers, number + 1, np.nan)
            self._numbers[number] = value
        self.count += 1

    @classmethod
    def of(cls, values: Mapping[int, Value]) -> "_Column":
        """As ``put`` for each row."""
        column = cls()
        column._fill(np.fromiter(values, np.int64, len(values)), list(values.values()))
        return column

    def _fill(self, at: NDArray[np.int64], values: list[Value]) -> None:
        size = int(at.max()) + 1
        kinds = np.array([_KIND.get(type(value), 0) for value in values], np.int8)
        for kind in np.unique(kinds):
            chosen = at[kinds == kind]
            ours = [value for value, of in zip(values, kinds.tolist(), strict=True) if of == kind]
            if kind == _KIND[bool]:
                self._flags = _grown(self._flags, size)
                self._flags[chosen] = 1 + np.array(ours, np.int8)
            elif kind == _KIND[str]:
                codes = self._code_of
                found = [codes.setdefault(str(value), len(codes) + 1) for value in ours]
                self._codes = _grown(self._codes, size)
                self._codes[chosen] = found
            else:
                numeric = np.array(ours, np.float64)
                self._numbers = _grown(self._numbers, size, np.nan)
                self._numbers[chosen] = numeric
                self.count -= int(np.isnan(numeric).sum())
        self.count += len(values)

    def clear(self, number: int) -> bool:
        """Forget a row's value; whether that was the last."""
        had = False
        if number < len(self._numbers) and not np.isnan(self._numbers[number]):
            self._numbers[number], had = np.nan, True
        for codes in (self._flags, self._codes):
            if number < len(codes) and codes[number]:
                codes[number], had = 0, True
        self.count -= had
        return had and not self.count

    def matching(self, filter: Comparison, size: int) -> Mask:
        """(size,) bool; dead rows hold no value, and so match only ``ne`` and ``nin``."""
        if isinstance(filter.value, tuple):
            found = self._among(filter.value, size)
        elif filter.type == "ne":
            found = self._one("eq", filter.value, size)
        else:
            found = self._one(filter.type, filter.value, size)
        return np.logical_not(found, out=found) if filter.type in ("ne", "nin") else found

    def _one(self, type: str, value: Value, size: int) -> Mask:
        if isinstance(value, bool):
            return _padded(self._flags[:size] == 1 + value, size)
        if isinstance(value, str):
            if type == "eq":
                code = self._code_of.get(value, -1)
                return _padded(self._codes[:size] == code, size)
            return self._looked_up(self._ordered(type, value), size)
        return _padded(_ORDER[type](self._numbers[:size], value), size)

    def _among(self, values: Sequence[Value], size: int) -> Mask:
        numbers = [v for v in values if not isinstance(v, str | bool)]
        texts = [self._code_of.get(v, 0) for v in values if isinstance(v, str)]
        found = np.zeros(size, np.bool_)
        for flag in {v for v in values if isinstance(v, bool)}:
            found |= self._one("eq", flag, size)
        if any(texts):
            table = np.zeros(len(self._code_of) + 1, np.bool_)
            table[texts] = True
            table[0] = False  # the code of what is not there
            found |= self._looked_up(table, size)
        if len(numbers) > _FEW:
            found |= _padded(np.isin(self._numbers[:size], numbers), size)
        else:
            for number in numbers:
                found |= self._one("eq", number, size)
        return found

    def _looked_up(self, table: Mask, size: int) -> Mask:
        return _padded(np.take(table, self._codes[:size]), size)

    def _ordered(self, type: str, value: str) -> Mask:
        """Which codes stand for text before or after ``value``: (codes + 1,) bool."""
        words, codes = self._in_order()
        at = (bisect_left if type in ("lt", "gte") else bisect_right)(words, value)
        table = np.zeros(len(words) + 1, np.bool_)
        table[codes[:at] if type in ("lt", "lte") else codes[at:]] = True
        return table

    def texts(self) -> list[str]:
        return self._in_order()[0]

    def _in_order(self) -> tuple[list[str], NDArray[np.intp]]:
        if self._sorted is None:
            words = sorted(self._code_of)
            self._sorted = words, np.array([self._code_of[word] for word in words], np.intp)
        return self._sorted


def _matching_rare(values: Mapping[int, Value], filter: Comparison, size: int) -> Mask:
    """As ``_Column.matching``, value by value."""
    wanted = filter.value if isinstance(filter.value, tuple) else (filter.value,)
    alike = dict[type, set[Value]]({bool: set(), str: set(), float: set()})
    for value in wanted:
        alike[_kind_of(value)].add(value)
    if filter.type in ("eq", "ne", "in", "nin"):
        either = set[Value]().union(*alike.values())  # in which 1 and true are the same
        rows = [n for n, known in values.items() if known in either and known in alike[type(known)]]
    else:
        kind, (value,), compare = _kind_of(wanted[0]), wanted, _ORDER[filter.type]
        rows = [n for n, known in values.items() if type(known) is kind and compare(known, value)]
    found = np.zeros(size, np.bool_)
    found[rows] = True
    return np.logical_not(found, out=found) if filter.type in ("ne", "nin") else found


def _kind_of(value: Value) -> type:
    return type(value) if isinstance(value, str | bool) else float


def _grown(array: NDArray[T], size: int, fill: float = 0) -> NDArray[T]:
    """At least ``size`` long: doubled, so that adding one by one stays cheap."""
    if size <= len(array):
        return array
    longer = np.full(max(size, 2 * len(array), 16), fill, array.dtype)
    longer[: len(array)] = array
    return longer


def _padded(mask: Mask, size: int) -> Mask:
    """A column ends at the last document that has a value."""
    if len(mask) == size:
        return mask
    longer = np.zeros(size, np.bool_)
    longer[: len(mask)] = mask
    return longer


def _unknown(key: str, known: list[str]) -> MalformedRequest:
    near = get_close_matches(key, known, n=3, cutoff=0.5) or known[:5]
    told = f"did you mean {', '.join(near)}?" if near else "no document has any attribute"
    return MalformedRequest(f"filters: no document has an attribute {key!r}; {told}", "filters")
