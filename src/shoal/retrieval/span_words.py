"""A text as words that a span of an answer may begin and end at, and what each word looks like."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.retrieval.parts import sentences

MOST_WORDS = 12  # of a span; 90 % of XQuAD's answers are among the candidates


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


STOP_WORDS = _set(
    "a an the of to in on at by for with from and or but nor as is are was were be been being am do"
    " does did has have had will would can could may might must should shall that this these those"
    " it its they them their he him his she her who whom whose which what when where why how there"
    " than then so such not no if while during after before into onto over under about between"
    " through also i we you our your my me us up out off many much"
)
_NUMBERS = _set(
    "one two three four five six seven eight nine ten eleven twelve hundred hundreds thousand"
    " thousands million millions billion billions trillion dozen half quarter third first second"
    " fourth fifth percent percentage twice"
)
_CALENDAR = _set(
    "january february march april may june july august september october november december monday"
    " tuesday wednesday thursday friday saturday sunday"
)
_ARTICLES = ("the", "a", "an")
_WORD = re.compile(r"[$€£]?\d[\d,.]*\d%?|[$€£]?\d%?|\w+(?:[-'’]\w+)*")
_YEAR = re.compile(r"1\d{3}s?|20\d{2}s?")

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


def key(word: str) -> str:
    """What equal words share: the first five letters, in lower case."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    return word[:5] if word.isalpha() else word


def content_keys(text: str) -> list[str]:
    """Keys of the words of ``text`` that are no stop words."""
    words = [word for word in _WORD.findall(text) if word.lower() not in STOP_WORDS]
    return [key(word) for word in words]


class Words:
    """The n words of a text, n at least 1: ``words``, ``places`` (start, end) in ``text``, and per
    word its sentence, kind and gaps. ``gap_before`` is 0 for a space, 1 a comma, 2 anything else or
    an end of the text."""

    def __init__(self, text: str) -> None:
        found = [match.span() for match in _WORD.finditer(text)]
        self.text = text
        self.places = found or [(0, len(text))]
        self.words = [text[start:end] for start, end in self.places]
        self.lower = [word.lower() for word in self.words]
        self.keys = [key(word) for word in self.words]
        self.spans = sentences(text) or [(0, len(text))]
        starts = [start for start, _ in self.places]
        ends = [end for _, end in self.spans]
        within = np.searchsorted(ends, starts, side="right")
        self.sentence: Numbers = np.minimum(within, len(ends) - 1).astype(np.int64)
        self.stop = _flags(word in STOP_WORDS for word in self.lower)
        self.capital = _flags(word[:1].isupper() for word in self.words)
        self.number = _flags(
            any(sign.isdigit() for sign in word) or word in _NUMBERS for word in self.lower
        )
        self.year = _flags(bool(_YEAR.fullmatch(word)) for word in self.words)
        self.calendar = self.capital & _flags(word in _CALENDAR for word in self.lower)
        self.money = _flags(
            word[:1] in ("$", "€", "£") or word.endswith("%") or word == "percent"
            for word in self.lower
        )
        gaps = [
            text[left[1] : right[0]]
            for left, right in zip(self.places, self.places[1:], strict=False)
        ]
        sizes = [_gap(gap) for gap in gaps]
        self.gap_before: Numbers = np.array([2, *sizes], np.int64)
        self.gap_after: Numbers = np.array([*sizes, 2], np.int64)
        self.quote_before = _flags([False, *(bool(re.search(r"[\"“'(]", gap)) for gap in gaps)])
        self.quote_after = _flags([*(bool(re.search(r"[\"”')]", gap)) for gap in gaps), False])

    def candidates(self) -> tuple[Numbers, Numbers]:
        """First and last words (s,) of all spans: within a sentence, up to ``MOST_WORDS``, over at
        most one strong mark, and neither begun (but by an article) nor ended by a stop word."""
        strong = np.cumsum(self.gap_before == 2)
        pairs = [
            (first, last)
            for first in range(len(self.words))
            if not self.stop[first] or self.lower[first] in _ARTICLES
            for last in range(first, min(first + MOST_WORDS, len(self.words)))
            if not self.stop[last]
            and self.sentence[last] == self.sentence[first]
            and strong[last] - strong[first] <= 1
        ]
        both = np.array(pairs or [(0, len(self.words) - 1)], np.int64)
        return both[:, 0], both[:, 1]


def _flags(values: Iterable[bool]) -> Flags:
    return np.array(list(values), bool)


def _gap(between: str) -> int:
    bare = between.strip()
    return 0 if bare in ("", "-", "–", "/") else 1 if bare == "," else 2


def shares(of: Sequence[str], among: Sequence[str]) -> float:
    """Which share of the different ``of`` is ``among``; 0 if there are none."""
    wanted = set(of)
    return len(wanted & set(among)) / len(wanted) if wanted else 0.0
