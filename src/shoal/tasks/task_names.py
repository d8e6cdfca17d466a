"""Names for tasks, from what they ask for: JSON keys, a schema's name, the telling words.

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
from shoal.tasks.wording import simplified

MAX_KEYS = 3
_SCHEMA = re.compile(r'"json_schema"\s*:\s*\{[^{}]*?"name"\s*:\s*"([\w-]+)"')
_ABOUT = re.compile(r"\b(?:about|mentions?|concerns?|contains?)\s+(?:an?\s+|the\s+)?([\w-]+)", re.I)
_NOUN_OF = re.compile(
    r"\b(?:the|its|their|an?|which|what|one)\s+(?:\w+\s+){0,1}?([a-z][\w-]+)\s+(?:of|for|in|is|does|behind|expressed)\b",
    re.I,
)
_LABEL = re.compile(r"([A-Z][\w ]{1,30}):\s*\Z")
_WORD = re.compile(r"[A-Za-z][\w'-]+")
_VERBS = frozenset(
    _WORD.findall(
        """
    summarise summarize summary translate translation rewrite paraphrase reply respond answer
    classify extract explain generate draft write review correct fix plan describe rank
    compare
        """
    )
)
_PLAIN = frozenset(
    _WORD.findall(
        """
    a about above after all also always an and any answer are as at be before below best but
    by can category choose class classes classify classification customer customers do does
    each either else email exactly extra following for format from give given have help
    helpful how i if in input into is it its json just keys label labels language line list
    message messages model no none not nothing object of on one only options or other output
    please possible question read reply respond response return same say says select sentence
    should so some state support tell text that the their them then there these they this
    ticket to use user was we what when where whether which who will with without word words
    write writes wrote yes you your assistant answer single shop desk step work name names
        """
    )
)


def name_task(template: Template, contract: Contract, context: str, taken: Collection[str]) -> str:
    """A name that none of ``taken`` has; ``context`` is constant text and response format."""
    for name in _proposals(template, contract, context):
        if name and name not in taken:
            return name
    first = next(filter(None, _proposals(template, contract, context)), "task")
    number = 2
    while f"{first}-{number}" in taken:
        number += 1
    return f"{first}-{number}"


def _proposals(template: Template, contract: Contract, context: str) -> Iterator[str]:
    """Names from the most to the least telling source."""
    schema = _SCHEMA.search(context)
    if schema:
        yield _slug(schema[1])
    if isinstance(contract, FieldsContract):
        keys = [_slug(field.name) for field in contract.fields]
        yield "-".join(keys[:MAX_KEYS])
    if isinstance(contract, CallContract):
        yield "-".join(map(_slug, contract.tools[:MAX_KEYS]))
    if isinstance(contract, LabelContract):
        yield _slug(contract.prefix.rstrip(": "))
    asked = _asked(template, contract)
    words = _telling(asked, contract)
    if isinstance(contract, TextContract):
        yield _verb(asked)
    else:
        yield _label_at_end(template)
        yield from _nouns(asked, words)
    yield from words
    if len(words) > 1:
        yield "-".join(words[:2])


def _asked(template: Template, contract: Contract) -> str:
    """The constant text without sentences about the form of the answer."""
    text = template.literal_text
    form = re.compile(
        r"\b(?:answer|reply|respond|return|output|write)\s+(?:only|with|in|as|exactly|just|yes)\b"
        r"[^.\n]*",
        re.I,
    )
    return form.sub(" ", text)


def _telling(text: str, contract: Contract) -> list[str]:
    """Words by how often they come, then by place; labels and plain words left out."""
    labels = contract.labels if isinstance(contract, LabelContract) else ()
    listed = {word for label in labels for word in (simplified(label), *simplified(label).split())}
    words = [word.lower().strip("'-") for word in _WORD.findall(text)]
    telling = [
        w for w in words if w not in _PLAIN and w not in listed and len(w) > 2 and "'" not in w
    ]
    counts = Counter(telling)
    order = {word: -place for place, word in enumerate(reversed(telling))}
    ranked = sorted(counts, key=lambda word: (-counts[word], -order[word]))
    return [_slug(word) for word in ranked[:8]]


def _nouns(text: str, telling: list[str]) -> Iterator[str]:
    """What is asked for: "the intent of", "about money"."""
    for expression in (_ABOUT, _NOUN_OF):
        for match in expression.finditer(text):
            if _slug(match[1]) in telling:
                yield _slug(match[1])


def _verb(text: str) -> str:
    words = [word.lower() for word in _WORD.findall(text)]
    return next((word for word in words if word in _VERBS), "")


def _label_at_end(template: Template) -> str:
    """The label at the very end of the prompt, which the answer completes ("Sentiment:")."""
    found = _LABEL.search(template.patterns[-1].literals[-1]) if template.patterns else None
    name = _slug(found[1]) if found else ""
    return "" if name in _PLAIN or len(name) < 3 else name


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:40]
