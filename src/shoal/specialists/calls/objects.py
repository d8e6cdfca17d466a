"""Lists and objects for an argument, built of what a conversation's JSON holds.

An argument that takes objects with certain keys can often be had from a result that holds them
among others: the flights of a reservation, without their prices.
"""

from collections.abc import Iterable, Iterator

from shoal.formats.json_schema import Json
from shoal.specialists.calls.candidates import Candidate, Place
from shoal.specialists.calls.schema import Argument, canonical, type_of

MOST_BUILT = 200


def built(argument: Argument, stated: Iterable[Candidate]) -> list[Candidate]:
    """Candidates with the argument's keys: a whole list projected on them, a single object, or a
    list of one."""
    if not argument.items or argument.type not in ("array", "object", ""):
        return []
    found: dict[str, Candidate] = {}
    for candidate in stated:
        if candidate.type not in ("array", "object"):
            continue
        for value in _projections(argument, candidate.value):
            key = canonical(value)
            places = [
                Place(back, mention._replace(source=f"built {type_of(value)} of {mention.source}"))
                for back, mention in candidate.places
            ]
            known = found.get(key)
            if known is None:
                found[key] = Candidate.of(key, value, places)
            else:
                known.places.extend(places)
        if len(found) >= MOST_BUILT:
            break
    return list(found.values())


def _projections(argument: Argument, value: Json) -> Iterator[Json]:
    items = value if isinstance(value, list) else [value]
    rows = [_row(argument.items, item) for item in items]
    if not rows or not all(rows):
        return
    if argument.type == "object":
        if len(rows) == 1:
            yield rows[0]
        return
    yield rows


def _row(keys: Iterable[str], item: Json) -> dict[str, Json] | None:
    """The object's values of these keys, which may lie one level deeper; None if one is missing."""
    if not isinstance(item, dict):
        return None
    deeper = {
        key: value
        for part in item.values()
        if isinstance(part, dict)
        for key, value in part.items()
    }
    known = {**deeper, **item}
    row = {key: known[key] for key in keys if key in known}
    return row if len(row) == len(list(keys)) else None
