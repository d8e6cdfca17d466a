"""Numbers as people write them: figures with either decimal sign, and English number words.

What it does not know: which decimal sign a text uses, which the reader must bring along; fractions
("half"), ordinals, and abbreviations ("5k").
"""

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from shoal.tasks.wording import number_in

_POINT = re.compile(r"[-+−]?\d[\d,]*(?:\.\d+)?")
_COMMA = re.compile(r"[-+−]?\d[\d.]*(?:,\d+)?")
_SWAPPED = str.maketrans(",.", ".,")

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SMALL = {word: i for i, word in enumerate((*_ONES, *_TEENS), 1)} | {
    word: 10 * i for i, word in enumerate(_TENS, 2)
}
"""Number words below a hundred, without zero and without hyphens."""
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_WORD = re.compile(r"[A-Za-z]+")
_JOINED = re.compile(r"\s{1,3}|-")
_KNOWN = {*SMALL, *SCALES, "hundred", "zero", "and", "a", "an"}


class WrittenNumber(NamedTuple):
    """A number from character ``start`` to ``end``; ``value`` None if the figures are none
    ("1,2,3"), or one beyond the range of a float, which JSON could not hold."""

    start: int
    end: int
    value: float | None


def written_numbers(text: str, comma: bool = False) -> list[WrittenNumber]:
    """The numbers in a text by where they start; ``comma``: that is the decimal sign."""
    return sorted([*_figures(text, comma), *_in_words(text)], key=lambda each: each.start)


def _figures(text: str, comma: bool) -> Iterator[WrittenNumber]:
    for match in (_COMMA if comma else _POINT).finditer(text):
        value = number_in(match[0].translate(_SWAPPED) if comma else match[0])
        finite = value is not None and math.isfinite(value)
        yield WrittenNumber(*match.span(), value if finite else None)


def _in_words(text: str) -> Iterator[WrittenNumber]:
    phrase: list[re.Match[str]] = []
    for match in _WORD.finditer(text):
        if match[0].lower() not in _KNOWN:
            yield from _phrase(phrase)
            phrase = []
        elif phrase and _JOINED.fullmatch(text, phrase[-1].end(), match.start()):
            phrase.append(match)
        else:
            yield from _phrase(phrase)
            phrase = [match]
    yield from _phrase(phrase)


def _phrase(words: list[re.Match[str]]) -> Iterator[WrittenNumber]:
    """The numbers in a run of number words: each as long as it can be ("one two" is two)."""
    at = 0
    while at < len(words):
        value, length = _longest([word[0].lower() for word in words[at:]])
        if length:
            yield WrittenNumber(words[at].start(), words[at + length - 1].end(), float(value))
        at += max(1, length)


def _longest(words: list[str]) -> tuple[int, int]:
    """Value and number of words of the longest number that begins the words; (0, 0) if none."""
    if words[0] == "zero":
        return 0, 1
    total, group, last_scale, before = 0, 0, 10**15, ""
    best = 0, 0
    for count, (word, following) in enumerate(pairwise([*words, ""]), 1):
        if word in SMALL and _may_follow(SMALL[word], group, before):
            group += SMALL[word]
        elif word in ("a", "an") and not before and (following == "hundred" or following in SCALES):
            group = 1
        elif word == "hundred" and 0 < group < 100 and before != "and":
            group *= 100
        elif word in SCALES and group > 0 and SCALES[word] < last_scale and before != "and":
            total, group, last_scale = total + group * SCALES[word], 0, SCALES[word]
        elif not (word == "and" and (before == "hundred" or before in SCALES)):
            break
        before = word
        if word not in ("and", "a", "an"):
            best = total + group, count
    return best


def _may_follow(value: int, group: int, before: str) -> bool:
    """Whether a word for 1 to 90 may follow what the group of three figures has so far."""
    if before in ("", "hundred", "and") or before in SCALES:
        return group % 100 == 0
    return value < 10 and before in SMALL and SMALL[before] >= 20
