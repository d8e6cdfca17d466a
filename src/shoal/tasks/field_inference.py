"""The fields of a task whose answers are JSON objects.

For each key, over the values that are there (not absent, null or ""): at least 98 % booleans or
numbers make that kind; strings are labels if the prompt lists them, dates if all are days as
"2026-11-30" and the input writes at least 95 % of them in some way, spans if at least 95 % occur in
it (case and whitespace folded), labels if they form a closed set, else text; lists of strings are
lists of spans by the same rule; anything else is JSON of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from shoal.tasks.closed_sets import closed_labels, count_spellings, listed_labels
from shoal.tasks.contract import Field, Kind, Missing
from shoal.tasks.dates import is_iso_date, written_dates
from shoal.tasks.wording import flattened

SAME_TYPE = 0.98
VERBATIM = 0.95
MAX_KEYS = 64
MAX_ODD_KEYS = 0.02
"""Largest share of key occurrences whose key was seen once and is not in the prompt; one may be."""

Objects = Sequence[tuple[str, dict[str, object]]]


def infer_fields(objects: Objects, literals: str = "") -> tuple[Field, ...] | None:
    """The fields of these (input text, object) pairs in their usual order.

    None if the keys are no fixed set: too many, or ever new ones.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for _, found in objects:
        for place, key in enumerate(found):
            places[key].append(place)
    keys = [key for key, seen in places.items() if len(seen) > 1 or key in literals]
    odd = len(places) - len(keys)
    allowed = max(1.0, MAX_ODD_KEYS * sum(map(len, places.values())))
    if not keys or len(keys) > MAX_KEYS or odd > allowed:
        return None
    keys.sort(key=lambda key: (sum(places[key]) / len(places[key]), key))
    inputs = [flattened(given) for given, _ in objects]
    rows = [found for _, found in objects]
    return tuple(_field(key, inputs, rows, literals) for key in keys)


def _field(
    key: str, inputs: Sequence[str], rows: Sequence[dict[str, object]], literals: str
) -> Field:
    pairs = [
        (given, row[key])
        for given, row in zip(inputs, rows, strict=True)
        if row.get(key) not in (None, "")
    ]
    kind, labels = _kind(pairs, literals)
    ways: Counter[Missing] = Counter()
    ways["absent"] = sum(key not in row for row in rows)
    ways["null"] = sum(key in row and row[key] is None for row in rows)
    ways["blank"] = sum(row.get(key) == "" for row in rows)
    return Field(
        key,
        kind,
        labels,
        optional=ways["absent"] > 0,
        nullable=ways["null"] + ways["blank"] > 0,
        missing=max(ways, key=lambda way: ways[way]),
    )


def _kind(pairs: Sequence[tuple[str, object]], literals: str) -> tuple[Kind, tuple[str, ...]]:
    if not pairs:
        return "label", ()
    most = SAME_TYPE * len(pairs)
    strings = [(given, value) for given, value in pairs if isinstance(value, str)]
    if len(strings) >= most:
        return _string_kind(strings, literals)
    lists = [(given, value) for given, value in pairs if _is_list_of_strings(value)]
    if len(lists) >= most:
        return ("spans" if _are_spans(_items(lists)) else "json"), ()
    booleans = sum(isinstance(value, bool) for _, value in pairs)
    if booleans >= most:
        return "boolean", ()
    numbers = sum(isinstance(value, int | float) for _, value in pairs) - booleans
    return ("number", ()) if numbers >= most else ("json", ())


def _string_kind(strings: Sequence[tuple[str, str]], literals: str) -> tuple[Kind, tuple[str, ...]]:
    values = [value for _, value in strings]
    labels = closed_labels(values, literals)
    if labels and listed_labels(count_spellings(values), literals):
        return "label", labels
    if all(map(is_iso_date, values)) and _are_written(strings):
        return "date", ()
    if _are_spans(strings):
        return "span", ()
    return ("label", labels) if labels else ("text", ())


def _are_spans(strings: Sequence[tuple[str, str]]) -> bool:
    verbatim = sum(flattened(value) in given for given, value in strings)
    return verbatim >= VERBATIM * len(strings) > 0


def _are_written(dates: Sequence[tuple[str, str]]) -> bool:
    """Whether the inputs write the days out, in whatever order of day and month."""
    written = sum(
        any(value in (found.day_first, found.month_first) for found in written_dates(given))
        for given, value in dates
    )
    return written >= VERBATIM * len(dates)


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _items(lists: Sequence[tuple[str, object]]) -> list[tuple[str, str]]:
    return [(given, str(item)) for given, items in lists for item in _listed(items)]


def _listed(items: object) -> list[object]:
    return items if isinstance(items, list) else []
