"""The catalogue as a planner reads it: a line of JSON an entry, within so many characters.

Of a catalogue that is larger, those entries are told that have most in common with the goal: by
words, and by meaning where there is an encoder. How many were left out is told as well. Entries
come in the catalogue's own order, so that equal catalogues give equal texts. Descriptions are other
people's words (a server's, a user's): they are JSON strings here, shortened, and told as such.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.planning.catalogue import Catalogue
from shoal.tools.tool import Json, ToolSpec

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""n texts -> unit rows (n, d)."""

_WORD = re.compile(r"[^\W_]+")
_DESCRIPTION, _SCHEMA = 400, 1_500  # characters of one entry


class _Entry(Struct, frozen=True):
    kind: str
    line: str
    words: str


def menu(catalogue: Catalogue, goal: str, characters: int, embed: Embed | None = None) -> str:
    """What there is to plan with, as text of at most about so many characters."""
    entries = list(_entries(catalogue))
    kept = _kept(entries, goal, characters, embed)
    parts = []
    for kind in dict.fromkeys(entry.kind for entry in entries):
        lines = [e.line for e, keep in zip(entries, kept, strict=True) if keep and e.kind == kind]
        total = sum(entry.kind == kind for entry in entries)
        left = f" ({total - len(lines)} more are not shown)" if len(lines) < total else ""
        parts.append("\n".join((f"{kind}{left}:", *lines)))
    return "\n\n".join(parts) or "Nothing is on offer: only approve and answer steps can be used."


def _entries(catalogue: Catalogue) -> Iterator[_Entry]:
    for task in catalogue.tasks.values():
        told: dict[str, Json] = {"task": task.name, "slots": list(task.slots)}
        yield _entry("Tasks", told, task.description, {"gives": dict(task.gives)})
    for model in catalogue.models.values():
        yield _entry("Models", {"model": model.name}, model.description)
    for tool in catalogue.tools.values():
        yield _entry("Tools", {"tool": tool.name}, tool.description, _tool(tool))
    for one in catalogue.collections.values():
        yield _entry("Collections", {"collection": one.name}, one.description)


def _entry(
    kind: str,
    told: dict[str, Json],
    description: str,
    more: Mapping[str, Json] | None = None,
) -> _Entry:
    about = " ".join(description.split())
    if len(about) > _DESCRIPTION:
        about = about[:_DESCRIPTION] + "…"
    told |= {"about": about} if about else {}
    line = msgspec.json.encode(told | dict(more or {})).decode()
    return _Entry(kind, line, " ".join(map(str, told.values())))


def _tool(tool: ToolSpec) -> dict[str, Json]:
    told: dict[str, Json] = {"arguments": _schema(tool.takes)}
    if tool.gives:
        told["gives"] = _schema(tool.gives)
    if tool.effects == "writes":
        told["writes"] = True
    return told


def _schema(text: str) -> Json:
    """A schema to be shown: with descriptions, without them, or names only, as space allows."""
    try:
        schema: Json = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    if len(text) <= _SCHEMA:
        return schema
    bare: Json = _undescribed(schema)
    if len(msgspec.json.encode(bare)) <= _SCHEMA or not isinstance(schema, dict):
        return bare
    names = schema.get("properties")
    inner = names if isinstance(names, dict) else {}
    required = schema.get("required")
    return {
        "type": "object",
        "properties": {name: {"type": _type(one)} for name, one in list(inner.items())[:60]},
        "required": required if isinstance(required, list) else [],
    }


def _type(schema: Any) -> Json:
    return schema.get("type", "any") if isinstance(schema, dict) else "any"


def _undescribed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_undescribed(one) for one in schema]
    if isinstance(schema, dict):
        return {
            key: _undescribed(one)
            for key, one in schema.items()
            if not (key in ("description", "title", "examples") and isinstance(one, str | list))
        }
    return schema


def _kept(entries: Sequence[_Entry], goal: str, characters: int, embed: Embed | None) -> list[bool]:
    sizes = [len(entry.line) + 1 for entry in entries]
    if sum(sizes) <= characters:
        return [True] * len(entries)
    scores = _relevance([entry.words for entry in entries], goal, embed)
    kept, used = [False] * len(entries), 0
    for at in sorted(range(len(entries)), key=lambda row: (-scores[row], row)):
        if used + sizes[at] <= characters:
            kept[at] = True
            used += sizes[at]
    return kept


def _relevance(texts: Sequence[str], goal: str, embed: Embed | None) -> NDArray[np.float64]:
    """Of each text (n,): the share of the goal's words it has, rare ones weighing more, and its
    cosine to the goal."""
    bags = [_stems(text) for text in texts]
    seen = Counter(word for bag in bags for word in bag)
    weights = {word: math.log(1 + len(texts) / seen[word]) for word in _stems(goal) if seen[word]}
    total = sum(weights.values()) or 1.0
    shares = [sum(weights.get(word, 0.0) for word in bag) / total for bag in bags]
    found = np.array(shares, dtype=np.float64)
    if embed is not None:
        rows = embed([goal, *texts])
        found += rows[1:] @ rows[0]
    return found


def _stems(text: str) -> frozenset[str]:
    """Words, caseless, without a plural's s: names like get_orders fall apart."""
    return frozenset(word.rstrip("s") or word for word in _WORD.findall(text.casefold()))
