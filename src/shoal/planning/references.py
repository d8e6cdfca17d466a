"""Paths to earlier results: found in a plan's values, looked up, and written into text.

    ${order}   ${order.rows[0].price}   ${order["a key"]}   $${ stands for ${

A value that is one path and nothing else becomes what stands there; within a longer text a text is
written as it is, anything else as JSON. What was filled in is not looked at again.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec
from msgspec import Struct

from shoal.errors import MalformedRequest
from shoal.tools.plain import NotPlain, TooLarge, weigh
from shoal.tools.tool import Json

LONGEST = 4_000_000
"""Characters that one filled-in text may have."""
LARGEST = 32_000_000
"""Bytes, about, that the JSON of one filled-in value may have."""

_ANY = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_ROOT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEY = re.compile(r'\.([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,9})\]|\["([^"\\]*)"\]')
_SHOWN = 60
_KEPT = 10_000  # characters of a text up to which what was read of it is kept


class Path(Struct, frozen=True):
    """``root`` is a step, a loop's name or ``input``; ``keys`` lead on from it, numbers into
    lists."""

    root: str
    keys: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        told = (f"[{key}]" if isinstance(key, int) else _told(key) for key in self.keys)
        return self.root + "".join(told)


class Unresolved(MalformedRequest):
    """A path leads nowhere; says where it ends."""


def paths_in(value: Json) -> Iterator[Path]:
    """All paths that a value names.

    Raises:
        MalformedRequest: one of them is none.
    """
    match value:
        case str():
            yield from (part for part in _parts(value) if isinstance(part, Path))
        case list():
            for one in value:
                yield from paths_in(one)
        case dict():
            for one in value.values():
                yield from paths_in(one)


def only_path(value: Json) -> Path | None:
    """The path that a value is, if it is nothing but one."""
    if not isinstance(value, str):
        return None
    parts = _parts(value)
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Path) else None


def filled(value: Json, scope: Mapping[str, Json]) -> Json:
    """The value with what its paths lead to.

    Raises:
        Unresolved: one leads nowhere.
        MalformedRequest: one is no path, a text grows beyond ``LONGEST``, or the value beyond
            ``LARGEST`` or ``MOST_DEPTH``.
    """
    found = _filled(value, scope)
    if isinstance(found, list | dict):  # what holds a value twice, again and again, bursts
        try:
            weigh(found, LARGEST)
        except (NotPlain, TooLarge) as error:
            raise MalformedRequest(f"a value grew too large: {error}") from None
    return found


def _filled(value: Json, scope: Mapping[str, Json]) -> Json:
    match value:
        case str():
            return _filled_text(value, scope)
        case list():
            return [_filled(one, scope) for one in value]
        case dict():
            return {key: _filled(one, scope) for key, one in value.items()}
        case _:
            return value


def literal(value: Json) -> Json:
    """A value that names no path, as it will be: ``$${`` stands for ``${``."""
    match value:
        case str():
            return value.replace("$${", "${")
        case list():
            return [literal(one) for one in value]
        case dict():
            return {key: literal(one) for key, one in value.items()}
        case _:
            return value


def as_text(value: Json) -> str:
    """A value as it is written into text: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def look_up(path: Path, scope: Mapping[str, Json]) -> Json:
    """What stands there.

    Raises:
        Unresolved: nothing does.
    """
    if path.root not in scope:
        raise Unresolved(f"${{{path}}}: there is no result of {path.root!r}")
    found = scope[path.root]
    for at, key in enumerate(path.keys):
        match found:
            case list() if isinstance(key, int) and key < len(found):
                found = found[key]
            case dict() if isinstance(key, str) and key in found:
                found = found[key]
            case _:
                before = Path(path.root, path.keys[:at])
                raise Unresolved(f"${{{path}}}: {before} has no {key!r}, it is {_shown(found)}")
    return found


def _filled_text(text: str, scope: Mapping[str, Json]) -> Json:
    path = only_path(text)
    if path is not None:
        return look_up(path, scope)
    told, length = list[str](), 0
    for part in _parts(text):
        one = as_text(look_up(part, scope)) if isinstance(part, Path) else part
        told.append(one)
        length += len(one)
        if length > LONGEST:
            raise MalformedRequest(f"a text grew beyond {LONGEST:,} characters: {_shown(text)}")
    return "".join(told)


def _parts(text: str) -> tuple[str | Path, ...]:
    """A text, cut into what is written as it stands and paths; each run of text is one part."""
    return _kept_parts(text) if len(text) <= _KEPT else _cut(text)


@lru_cache(4_096)
def _kept_parts(text: str) -> tuple[str | Path, ...]:
    return _cut(text)


def _cut(text: str) -> tuple[str | Path, ...]:
    parts, plain, at = list[str | Path](), "", 0
    for found in _ANY.finditer(text):
        plain += text[at : found.start()]
        at = found.end()
        if found.group(1) is None:
            plain += "${"
            continue
        if plain:
            parts.append(plain)
        parts.append(_path(found.group(1)))
        plain = ""
    plain += text[at:]
    return (*parts, plain) if plain or not parts else tuple(parts)


def _path(text: str) -> Path:
    told = text.strip()
    root = _ROOT.match(told)
    keys, at = list[str | int](), root.end() if root else 0
    while root and at < len(told):
        key = _KEY.match(told, at)
        if key is None:
            break
        name, index, quoted = key.groups()
        keys.append(int(index) if index is not None else name if name is not None else quoted)
        at = key.end()
    if root is None or at < len(told):
        raise MalformedRequest(
            f"${{{text}}}: no path; expected a step's id and then keys, as in ${{order.rows[0].id}}"
        )
    return Path(root.group(), tuple(keys))


def _told(key: str) -> str:
    return f".{key}" if _ROOT.fullmatch(key) else f'["{key}"]'


def _shown(value: Json) -> str:
    told = as_text(value)
    return told if len(told) <= _SHOWN else told[:_SHOWN] + "…"
