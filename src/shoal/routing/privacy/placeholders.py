r"""Placeholders such as ``[EMAIL_1]``, and the forms in which language models give them back.

Case, blanks or nothing for the underscore, blanks inside the brackets, and the escapes of Markdown
(``\[EMAIL\_1\]``) are taken for the same placeholder. All forms end with "]", so that a stream can
tell at every point what may still become one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from shoal.routing.privacy.kinds import KINDS, Kind, label

LONGEST = 80  # characters of a placeholder in its longest form
_MOST_DIGITS = 6
_NOT_IN_KEY = re.compile(r"[^A-Z0-9]")


def key_of(form: str) -> str:
    """What all forms of one placeholder have in common: ``EMAIL1``."""
    return _NOT_IN_KEY.sub("", form.upper())


def _steps(kind: Kind, backslash: str, escaped: bool) -> list[str]:
    """The pattern of one kind's placeholders, a character a step."""
    optional = [backslash[:2] + "?"] * (len(backslash) // 2)
    between = [*optional, "[_ -]?"]
    steps = [r"\[", " ?"]
    for word in label(kind).split("_"):
        steps += [*word, *between]
    steps += ["[0-9]", *["[0-9]?"] * (_MOST_DIGITS - 1), " ?"]
    if escaped:  # both brackets or none: a lone backslash before a bracket belongs to the text
        always = [backslash[:2], *optional[1:]]
        return [*always, *steps, *always, r"\]"]
    return [*steps, *optional, r"\]"]


def _any_beginning(steps: list[str]) -> str:
    if not steps:
        return ""
    rest = _any_beginning(steps[1:])
    return f"{steps[0]}(?:{rest})?" if rest else steps[0]


class Forms:
    """Patterns of whole placeholders, and of beginnings at the end of a text. In JSON texts a
    backslash stands as two."""

    def __init__(self, backslash: str) -> None:
        steps = [_steps(kind, backslash, escaped) for escaped in (True, False) for kind in KINDS]
        flags = re.IGNORECASE | re.ASCII
        self.whole = re.compile("|".join("".join(one) for one in steps), flags)
        self.begun = re.compile(rf"(?:{'|'.join(map(_any_beginning, steps))})\Z", flags)


IN_TEXT, IN_JSON = Forms(r"\\"), Forms(r"\\\\")


def numbered(values: Mapping[str, Kind], taken: Iterable[str]) -> dict[str, str]:
    """A placeholder for each value; none whose key is in ``taken``."""
    numbers: dict[Kind, Iterator[int]] = {}
    reserved = frozenset(taken)
    found = {}
    for value, kind in values.items():
        for number in numbers.setdefault(kind, count(1)):
            placeholder = f"[{label(kind)}_{number}]"
            if key_of(placeholder) not in reserved:
                found[value] = placeholder
                break
    return found


def standing(text: str) -> Iterator[str]:
    """Keys of placeholders that already stand in a text."""
    if "[" in text:
        for form in IN_JSON.whole.findall(text):
            yield key_of(form)
