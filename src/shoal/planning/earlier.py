"""What a run came to before it was planned anew: results to build on, and what went wrong.

A new plan names the results by paths under one more root, ``${done.order.rows}``; their exact
shapes are known, so its paths into them are checked like all others.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from shoal.encoder.encoder import SURROGATE
from shoal.planning.schemas import ANY, TEXT, Schema, array_of, scalar
from shoal.tools.tool import Json

DONE = "done"
"""The root of paths into results of the plan before."""

_DEPTH = 8


class Done(Struct, frozen=True):
    """A step that was done: its id, what it did in a few words ("tool orders"), its result."""

    id: str
    did: str
    value: Json


class Earlier(Struct, frozen=True):
    """What was ``done``, and why it did not go on: the step that ``failed`` ("" if it is the plan
    as a whole), its ``error``, and a ``hint`` what to do about it."""

    done: tuple[Done, ...] = ()
    failed: str = ""
    error: str = ""
    hint: str = ""

    @property
    def results(self) -> dict[str, Json]:
        """The results by id: what stands under ``done``."""
        return {one.id: one.value for one in self.done}

    def known(self) -> dict[str, Schema]:
        """The root ``done`` as the checker takes it."""
        return {DONE: schema_of(self.results)}


def schema_of(value: Json, depth: int = _DEPTH) -> Schema:
    """The schema of a value that is there. Its texts are data: no path is looked for in them."""
    match value:
        case dict() if depth:
            inner: dict[str, Json] = {
                key: dict(schema_of(one, depth - 1)) for key, one in value.items()
            }
            return {"type": "object", "properties": inner, "additionalProperties": False}
        case list() if depth:
            return array_of([schema_of(one, depth - 1) for one in value])
        case dict() | list():
            return ANY
        case str():
            return TEXT
        case _:
            return scalar(value)


def schemas_of(given: Mapping[str, Json]) -> Schema:
    """The schema of what a run is given."""
    return schema_of(dict(given))


def shortened(value: Json, characters: int) -> Json:
    """A value to be shown: its JSON has at most about so many characters; what was left out is
    said in its place. Halves of characters, which no UTF-8 can say, are replaced."""
    for text, items in ((2_000, 50), (600, 10), (200, 5), (80, 3), (30, 1)):
        found = _cut(value, text, items, _DEPTH)
        if len(msgspec.json.encode(found)) <= characters:
            return found
    whole = msgspec.json.encode(_cut(value, 30, 1, 3)).decode()
    return whole[: max(0, characters)] + "…"


def _cut(value: Json, text: int, items: int, depth: int) -> Json:
    match value:
        case str():
            whole = SURROGATE.sub("\ufffd", value[:text])
            return whole if len(value) <= text else f"{whole}… ({len(value):,} characters)"
        case list() | dict() if not depth:
            return f"… ({len(value):,} inside)"
        case list():
            found = [_cut(one, text, items, depth - 1) for one in value[:items]]
            return [*found, f"… and {len(value) - items:,} more"] if len(value) > items else found
        case dict():
            most = items * 4
            shown = {
                _cut_key(key, text): _cut(one, text, items, depth - 1)
                for key, one in list(value.items())[:most]
            }
            return shown | {"…": f"and {len(value) - most:,} more"} if len(value) > most else shown
        case _:
            return value


def _cut_key(key: str, most: int) -> str:
    whole = SURROGATE.sub("\ufffd", key[:most])
    return whole if len(key) <= most else whole + "…"
