"""Names for tasks, from what they ask for: a schema's name, JSON keys, the telling words.

Readable and deterministic, not clever: a person may rename a task at any time.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator

from shoal.tasks.contract import (
    CallContract,
    Contract,
    FieldsContract,
    LabelContract,
    TextContract,
)
from shoal.tasks.template import Template
from shoal.tasks.vocabulary import ASKED_FOR, PLAIN, WRITTEN
from shoal.tasks.wording import simplified

MAX_KEYS = 3
MAX_CHARS = 40
_WORD = re.compile(r"[A-Za-z][\w'’-]+")
_SCHEMA = re.compile(r'"json_schema"\s*:\s*\{[^{}]*?"name"\s*:\s*"([\w-]+)"')
_ABOUT = re.compile(
    r"\b(?:about|mentions?|concerns?|contains?|before|after)\s+(?:an?\s+|the\s+)?([\w-]+)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"([A-Z][\w ]{1,30}):\s*\Z")
_FORM = re.compile(
    r"\b(?:answer|reply|respond|return|output)\s+(?:(?:only|just)\s+)?"
    r"(?:with|in|as|using)\s+(?:json|an?\s|one\s|exactly\s|yes\b)[^.\n]*",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^[ \t]*(?:[-*•]|\(?\w{1,3}[.)])\s+[^\n]*$", re.MULTILINE)
_BINARY = frozenset({"yes", "no", "true", "false", "ja", "nein"})


def name_task(template: Template, contract: Contract, context: str, taken: Collection[str]) -> str:
    """The most telling name, numbered if taken; ``context``: constant text, response format."""
    first = next(filter(None, _proposals(template, contract, context)), "task")
    numbered = (f"{first}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (first, *numbered) if name not in taken)


def _proposals(template: Template, contract: Contract, context: str) -> Iterator[str]:
    """Names from the most to the least telling source."""
    schema = _SCHEMA.search(context)
    asked = _FORM.sub(" ", _ITEM.sub(" ", template.literal_text))
    words = _telling(asked, contract)
    yield _slug(schema[1]) if schema else ""
    match contract:
        case FieldsContract(fields=fields):
            yield "-".join(_slug(field.name) for field in fields[:MAX_KEYS])
        case CallContract(tools=tools):
            yield "-".join(map(_slug, tools[:MAX_KEYS]))
        case TextContract():
            yield from _known(asked, WRITTEN)
        case LabelContract(prefix=prefix) if prefix:
            yield _slug(prefix.rstrip(": "))
        case LabelContract(labels=labels) if set(map(simplified, labels)) <= _BINARY:
            yield from _subjects(asked, words)
    if not isinstance(contract, TextContract):
        yield from _known(asked, ASKED_FOR)
        yield from _known(_ITEM.sub(" ", template.literal_text), ASKED_FOR)
        yield _label_at_end(template)
    yield from words


def _known(text: str, names: dict[str, str]) -> Iterator[str]:
    """What the usual words in the text stand for, in their order."""
    for word in _WORD.findall(text):
        name = names.get(word.lower())
        if name:
            yield name


def _subjects(text: str, telling: list[str]) -> Iterator[str]:
    """What a yes-or-no question is about: "about money", "before a purchase"."""
    for match in _ABOUT.finditer(text):
        if _slug(match[1]) in telling:
            yield _slug(match[1])


def _telling(text: str, contract: Contract) -> list[str]:
    """Words by how often they come, then by place; labels and plain words left out."""
    labels = contract.labels if isinstance(contract, LabelContract) else ()
    listed = {word for label in labels for word in (simplified(label), *simplified(label).split())}
    words = [word.lower() for word in _WORD.findall(text)]
    telling = [w for w in words if len(w) > 2 and w.isalnum() and w not in PLAIN | listed]
    counts = Counter(telling)
    ranked = sorted(counts, key=lambda word: (-counts[word], telling.index(word)))
    return [_slug(word) for word in ranked[:8]]


def _label_at_end(template: Template) -> str:
    """The label at the very end of the prompt, which the answer completes ("Sentiment:")."""
    found = _LABEL.search(template.patterns[-1].literals[-1]) if template.patterns else None
    name = _slug(found[1]) if found else ""
    return "" if name in PLAIN or len(name) < 3 else name


def _slug(text: str) -> str:
    """Lower-case words joined by hyphens."""
    return "-".join(re.findall(r"[^\W_]+", text.lower()))[:MAX_CHARS].strip("-")
