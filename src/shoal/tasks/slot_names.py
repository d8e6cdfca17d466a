"""Names for slots, from the labels that stand before them."""

import re
from collections import Counter
from collections.abc import Sequence

from shoal.tasks.template import CONVERSATION, Pattern

_TAG = re.compile(r"<([A-Za-z][\w-]*)>\s*[\"'`]*\Z")
_KEY = re.compile(r"[\"']([A-Za-z][\w -]*)[\"']\s*[:=]\s*[\"'`]?\Z")
_LABEL = re.compile(r"([^\W\d_][\w '-]{0,39})\s*[:=：]\s*[\"'`]*\s*\Z")
_HEADING = re.compile(r"^#+\s*([^\n#]{2,40}?)\s*#*\n\s*\Z", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{1,2}:\d\d|[A-Z][a-z]+ \d")
_SHORT = {"q": "question", "a": "answer"}
_ROLE = {"user": "message", "tool": "result", "assistant": "answer"}
_ARTICLES = frozenset(re.findall(r"\w+", "a an the this that these your my following here is are"))
MAX_WORDS = 3


def name_slots(
    patterns: Sequence[Pattern], samples: Sequence[Sequence[str]], *, continues: bool = False
) -> tuple[str, ...]:
    """One name for each slot, unique: the label, tag, key or heading before it, else the role.

    ``samples`` are values of each slot in order, to tell dates and numbers.
    """
    names: list[str] = []
    for pattern in patterns:
        for literal in pattern.literals[:-1]:
            values = samples[len(names)] if len(names) < len(samples) else ()
            names.append(_label(literal) or _looks(values) or _ROLE.get(pattern.role, pattern.role))
    return _unique([*names, CONVERSATION] if continues else names)


def _label(literal: str) -> str:
    tail = literal[-200:]
    for expression in (_TAG, _KEY, _HEADING, _LABEL):
        found = expression.search(tail)
        if found:
            return _identifier(found[1])
    return ""


def _identifier(text: str) -> str:
    """At most three last words without articles, lower case, joined by underscores."""
    words = [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in _ARTICLES]
    name = "_".join(words[-MAX_WORDS:])
    return _SHORT.get(name, name)


def _looks(values: Sequence[str]) -> str:
    if values and all(_DATE.search(value) and len(value) <= 40 for value in values):
        return "date"
    numeric = values and all(re.fullmatch(r"[\d.,]+", value.strip()) for value in values)
    return "number" if numeric else ""


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Repeated names numbered from 2 on."""
    taken = set(names)
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        number = seen[name]
        candidate = name if number == 1 else f"{name}_{number}"
        while number > 1 and candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        unique.append(candidate)
    return tuple(unique)
