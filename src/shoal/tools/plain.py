"""Whether a Python value is plain JSON, and how large it is as such.

Serialisers are too kind for this: they write NaN as null and bytes as base64, and what comes from a
tool must not change its meaning on the way.
"""

import math

MOST_DEPTH = 100
"""How deep lists and objects may be nested: as deep as those go who validate and parse them."""

_LEAST, _MOST = -(2**63), 2**64 - 1


class NotPlain(ValueError):
    """The value cannot be said in JSON; the message says where and why."""


class TooLarge(ValueError):
    """It is longer than it may be."""


def size_of(value: object, most: int) -> int:
    """About how many bytes of JSON a value takes. Stops counting at ``most``.

    Raises:
        NotPlain: it holds what JSON cannot say: NaN, bytes, an object of some class, half of a
            surrogate pair, a number of more than 64 bits, too deep a nesting (or a cycle).
        TooLarge: it takes more than ``most`` bytes.
    """
    size, waiting = 0, [(value, "", 0)]
    while waiting:
        each, place, depth = waiting.pop()
        size += _own_size(each, place)
        if isinstance(each, list | dict) and depth >= MOST_DEPTH:
            raise NotPlain(f"it is nested more than {MOST_DEPTH} deep")
        if size > most:
            raise TooLarge(f"it is over {most:,} bytes")
        if isinstance(each, list):
            size += len(each)
            if size > most:  # before a line is queued for each of a billion items
                raise TooLarge(f"it is over {most:,} bytes")
            waiting += [(item, f"{place}[{n}]", depth + 1) for n, item in enumerate(each)]
        elif isinstance(each, dict):
            for key, item in each.items():
                if not isinstance(key, str):
                    raise NotPlain(f"{place or 'it'}: a key is no text")
                size += _text_size(key, place) + 2
                waiting.append((item, f"{place}.{key[:40]}" if place else key[:40], depth + 1))
    return size


def weigh(value: object, most: int) -> int:
    """About as ``size_of``, of what is plain, in time that grows with what is held in memory: a
    list that stands in many places is looked at once and counted each time.

    Raises:
        NotPlain: it is nested too deeply.
        TooLarge: it takes more than ``most`` bytes.
    """
    size, height = _weighed(value, {}, 0)
    if height > MOST_DEPTH:
        raise NotPlain(f"it is nested more than {MOST_DEPTH} deep")
    if size > most:
        raise TooLarge(f"it is over {most:,} bytes")
    return size


def _weighed(value: object, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Size and height; ``known`` are those of lists and objects by identity."""
    if isinstance(value, str):
        return len(value) + 2, 0
    if not isinstance(value, list | dict):
        return 8, 0
    found = known.get(id(value))
    if found is None:
        if depth > MOST_DEPTH:
            raise NotPlain(f"it is nested more than {MOST_DEPTH} deep")
        size, height = 2, 0
        if isinstance(value, dict):
            size += sum(len(key) + 3 for key in value)
        for one in value.values() if isinstance(value, dict) else value:
            own, below = _weighed(one, known, depth + 1)
            size, height = size + own, max(height, below)
        found = known[id(value)] = size, height + 1
    return found


def _own_size(value: object, place: str) -> int:
    """Of one value, what it holds aside."""
    if value is None or isinstance(value, bool):
        return 4
    if isinstance(value, str):
        return _text_size(value, place)
    if isinstance(value, int):
        if not _LEAST <= value <= _MOST:
            raise NotPlain(f"{place or 'it'}: a whole number of more than 64 bits")
        return 8
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotPlain(f"{place or 'it'}: {value} is no number in JSON")
        return 8
    if isinstance(value, list | dict):
        return 2
    raise NotPlain(f"{place or 'it'}: {type(value).__name__} is nothing that JSON can say")


def _text_size(text: str, place: str) -> int:
    if text.isascii():
        return len(text) + 2
    try:
        return len(text.encode()) + 2
    except UnicodeEncodeError:
        raise NotPlain(f"{place or 'it'}: text with half of a surrogate pair") from None
