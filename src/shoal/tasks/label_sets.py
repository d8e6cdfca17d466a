"""Answers that are sets of labels: a JSON array of them, or a list with a sign between.

A list counts as one when its items come from a closed set (``closed_sets``) that is smaller than
the set of whole answers: three topics make seven combinations, and "Bosnia, Herzegovina" makes none
beside itself.
"""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from shoal.tasks.closed_sets import closed_labels
from shoal.tasks.json_style import JsonStyle, unfenced
from shoal.tasks.wording import bare, simplified

SEVERAL = 0.05
"""Share of the answers that must hold several labels for all to count as lists."""

SAME_FORM = 0.98

_SIGNS = (",", ";", "|", "\n")
_NONE = frozenset({"none", "n/a", "no label", "no labels", "nothing", "-", "none of them"})


class LabelSet(Struct, frozen=True):
    """The labels, what stands between them ("": a JSON array) and what for none of them."""

    labels: tuple[str, ...]
    separator: str = ""
    none: str = ""


def split_labels(text: str, separator: str) -> list[str] | None:
    """The items of an answer, a JSON array of strings if ``separator`` is ""; None if it is no such
    list."""
    if not separator:
        return read_strings(text)
    sign = separator.strip() or separator[:1]
    items = [bare(item) for item in text.strip().split(sign)]
    return None if "" in items else items


def read_strings(text: str) -> list[str] | None:
    """The JSON array of strings that is all of the text (a code fence aside), else None."""
    try:
        return msgspec.json.decode(unfenced(text)[1].strip(), type=list[str])
    except (msgspec.DecodeError, RecursionError):
        return None


def array_labels(texts: Sequence[str], literals: str = "") -> LabelSet | None:
    """The closed set that JSON arrays of strings draw from; None if they are not or do not."""
    arrays = [found for text in texts if (found := read_strings(text)) is not None]
    if len(arrays) < SAME_FORM * len(texts):
        return None
    labels = closed_labels([item for items in arrays for item in items], literals)
    return LabelSet(labels) if labels else None


def separated_labels(texts: Sequence[str], literals: str = "") -> LabelSet | None:
    """The closed set that lists with a sign between draw from; None if there are no such lists."""
    for sign in _SIGNS:
        if sum(sign in text.strip() for text in texts) < SEVERAL * len(texts):
            continue
        found = _separated(texts, sign, literals)
        if found is not None:
            return found
    return None


def list_style(text: str) -> JsonStyle:
    """The style in which an array of strings is written."""
    fence, inner = unfenced(text)
    indented = re.match(r"\[\n( +)", inner.strip())
    tight = not indented and re.search(r'",\S', inner) is not None
    indent = len(indented[1]) if indented else 0
    return JsonStyle("," if tight or indented else ", ", indent=indent, fence=fence)


def _separated(texts: Sequence[str], sign: str, literals: str) -> LabelSet | None:
    lists = [text for text in texts if simplified(text) not in _NONE]
    split = [split_labels(text, sign) for text in lists]
    items = [item for found in split if found is not None for item in found]
    whole = {tuple(map(simplified, found)) for found in split if found is not None}
    if None in split or len({simplified(item) for item in items}) >= len(whole):
        return None
    labels = closed_labels(items, literals)
    if not labels:
        return None
    said = Counter(text.strip() for text in texts if simplified(text) in _NONE)
    after = Counter(re.findall(re.escape(sign) + r"[ \t]*", "".join(t.strip() for t in lists)))
    return LabelSet(labels, _commonest(after), _commonest(said) if said else "")


def _commonest(counts: Counter[str]) -> str:
    return min(counts, key=lambda text: (-counts[text], text))
