"""Is this a closed set of labels? Judged from the values seen and the lists in the prompt.

A set counts as closed when the values are short, few of them were seen only once (Good-Turing: the
share of singletons estimates the chance that the next value is a new one), and there are few of
them for their number. Labels that the prompt lists are known even before they are seen.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from msgspec import Struct

from shoal.tasks.wording import bare, simplified

MAX_LABEL_CHARS = 80
MAX_LABEL_WORDS = 8
MAX_UNSEEN = 0.05
"""Largest Good-Turing estimate of the share of values that are new."""
MAX_DISTINCT = 0.2
"""Largest ratio of distinct unlisted labels to values, two labels always allowed."""
MIN_LISTED = 0.9
"""Share of the values that a list in the prompt must hold to be the list of labels."""
RARE = 0.01
"""An unlisted label beside a list, or a wordy one, needs this share of the values."""

_SPLIT = re.compile(r"\s*[,;|/]\s*(?:or\s+|and\s+)?|\s+(?:or|and|oder|und|ou|et|o|y)\s+")
_QUOTED = re.compile(r'"([^"\n]{1,80})"|`([^`\n]{1,80})`|\'([^\'\n]{1,80})\'')
_FORBIDDING = re.compile(
    r"(?:and )?(?:nothing (?:else|more)|no (?:other|further) \w+|no explanations?|sonst nichts)",
    re.I,
)
"""What stands behind a list of labels, as if it were one more."""
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\w{1,3}[.)])\s+")
_HEAD = re.compile(r"^(.{1,60}?)\s*(?::| - | – | — |\()")


class Spellings(Struct, frozen=True):
    """How often each label was seen (by its simplified key), and its most common spelling."""

    counts: Counter[str]
    spelling: dict[str, str]

    @property
    def total(self) -> int:
        """Number of values."""
        return self.counts.total()


def count_spellings(values: Iterable[str]) -> Spellings:
    """Count values that differ only in case, quotes or a closing period as one."""
    raw = Counter(value.strip() for value in values)
    counts: Counter[str] = Counter()
    spelling: dict[str, str] = {}
    for value, number in sorted(raw.items(), key=lambda item: (-item[1], item[0])):
        key = simplified(value)
        counts[key] += number
        spelling.setdefault(key, value)
    return Spellings(counts, spelling)


def closed_labels(values: Sequence[str], literals: str = "") -> tuple[str, ...] | None:
    """The labels if the values come from a closed set, else None.

    In the order of the prompt's list if there is one, then alphabetical. A few percent of odd
    values (long, or seen once and not listed) are left out.
    """
    seen = count_spellings(values)
    if not seen.total:
        return None
    listed = {simplified(item): item for item in listed_labels(seen, literals)}
    kept = [key for key in seen.counts if key in listed or _is_label(seen, key, bool(listed))]
    unlisted = [key for key in kept if key not in listed]
    covered = sum(seen.counts[key] for key in kept)
    if covered < (1 - MAX_UNSEEN) * seen.total:
        return None
    if len(unlisted) > max(2, MAX_DISTINCT * seen.total):
        return None
    return (
        *(seen.spelling.get(key, item) for key, item in listed.items()),
        *(seen.spelling[key] for key in sorted(unlisted)),
    )


def _is_label(seen: Spellings, key: str, beside_list: bool) -> bool:
    """Whether a value that no list holds passes for a label."""
    text, count = seen.spelling[key], seen.counts[key]
    words = len(text.split())
    if not key or "\n" in text or len(text) > MAX_LABEL_CHARS or words > MAX_LABEL_WORDS:
        return False
    needed = RARE * seen.total if beside_list or words > MAX_LABEL_WORDS / 2 else 0
    return count >= max(2, needed)


def listed_labels(seen: Spellings, literals: str) -> tuple[str, ...]:
    """The items of the prompt's list that holds most of the values seen; () if none does."""
    best: tuple[str, ...] = ()
    best_rank = (MIN_LISTED * seen.total, 0)
    for items in _lists(literals, seen):
        keys = {simplified(item): item for item in items}
        hits = [key for key in keys if key in seen.counts]
        rank = (sum(seen.counts[key] for key in hits), -len(keys))
        if rank > best_rank and len(hits) >= min(2, len(seen.counts)) and len(keys) > 1:
            best, best_rank = tuple(keys.values()), rank
    return best


def _lists(literals: str, seen: Spellings) -> Iterable[list[str]]:
    """Everything in the text that could be a list: lines, heads of lines, commas, quotes."""
    for paragraph in re.split(r"\n\n+", re.sub(r"[ \t]+", " ", literals)):
        lines = [line for line in paragraph.split("\n") if line.strip()]
        plain = [_BULLET.sub("", line) for line in lines]
        heads = [match[1] if (match := _HEAD.match(line)) else line for line in plain]
        bulleted = [head for head, line in zip(heads, lines, strict=True) if _BULLET.match(line)]
        yield from (_items(plain), _items(heads), _items(bulleted))
        yield _items(_quoted(paragraph))
        for line in lines:
            yield _items(_quoted(line))
            for part in re.split(r"[:.?!]\s|[()\[\]{}]", line + " "):
                yield _items(_separated(part, seen))


def _quoted(text: str) -> list[str]:
    return [a or b or c for a, b, c in _QUOTED.findall(text)]


def _separated(text: str, seen: Spellings) -> list[str]:
    """Items between commas, bars, slashes or "or"; the words before the first item cut off."""
    items = [bare(item) for item in _SPLIT.split(text)]
    items = [item for item in items if not _FORBIDDING.fullmatch(item)] or items
    words = items[0].split()
    if len(items) < 2 or len(words) < 2 or simplified(items[0]) in seen.counts:
        return items
    tails = [" ".join(words[start:]) for start in range(1, len(words))]
    usual = max(1, int(median(len(item.split()) for item in items[1:])))
    known = (tail for tail in tails if simplified(tail) in seen.counts)
    return [next(known, " ".join(words[-usual:])), *items[1:]]


def _items(texts: Iterable[str]) -> list[str]:
    """Cleaned of quotes and periods, too long ones left out."""
    cleaned = (bare(text) for text in texts)
    return [
        text
        for text in cleaned
        if text and len(text) <= MAX_LABEL_CHARS and len(text.split()) <= MAX_LABEL_WORDS
    ]
