"""Changes JSON as JSON, so that what comes of it is read further than its first wrong byte."""

import json
import random
from copy import deepcopy

_ODD: tuple[object, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 2**53 + 1, 10**400, "", "x", "\u2028", "\ud83d", "🐟",
    "\0", [], {}, [[]], {"": None}, "text", "tool_use", "function", "assistant", "tool",
)  # fmt: skip
_KEYS = ("type", "content", "id", "index", "name", "x")
_MOST_CHANGES = 3
_DATA = b"data:"


def mutated(data: bytes, seed: int) -> bytes | None:
    """Some JSON in ``data`` changed, the whole or that of one event; None if there is none."""
    draw = random.Random(seed)
    changed = _changed(data, draw)
    if changed is not None:
        return changed
    lines = data.split(b"\n")
    places = [place for place, line in enumerate(lines) if line.startswith(_DATA)]
    if not places:
        return None
    place = draw.choice(places)
    if draw.random() < 0.2:  # once more, elsewhere, or not at all
        lines.insert(draw.choice(places), lines.pop(place) if draw.random() < 0.5 else lines[place])
        return b"\n".join(lines)
    changed = _changed(lines[place].removeprefix(_DATA), draw)
    if changed is None:
        return None
    lines[place] = _DATA + b" " + changed
    return b"\n".join(lines)


def _changed(text: bytes, draw: random.Random) -> bytes | None:
    try:
        tree: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(tree, dict | list) or not tree:
        return None
    for _ in range(draw.randint(1, _MOST_CHANGES)):
        _change(tree, draw)
    ascii_only = draw.random() < 0.5
    return json.dumps(tree, ensure_ascii=ascii_only).encode(errors="surrogatepass")


def _change(tree: dict[str, object] | list[object], draw: random.Random) -> None:
    """Change one value, however deep."""
    holder: object = tree
    while True:
        assert isinstance(holder, dict | list)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = draw.choice(keys)
        value = holder[key]  # type: ignore[index]
        if not isinstance(value, dict | list) or not value or draw.random() < 0.25:
            break
        holder = value
    _change_at(holder, key, draw)


def _change_at(holder: object, key: object, draw: random.Random) -> None:
    way, odd = draw.random(), deepcopy(draw.choice(_ODD))
    if way < 0.2:
        del holder[key]  # type: ignore[attr-defined]
    elif way < 0.3 and isinstance(holder, list):
        holder.append(deepcopy(holder[draw.randrange(len(holder))]))
    elif way < 0.4 and isinstance(holder, dict):
        holder[draw.choice(_KEYS)] = odd
    else:
        holder[key] = odd  # type: ignore[index]
