"""What a span of a passage says for or against its being the answer to a question.

Where it stands (is its sentence about the question, are the question's words near), what it looks
like (a number, a year, a name …) against what is asked for (how many, when, who …), and how cleanly
it is cut from its sentence.
"""

import re
from collections import Counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.retrieval.span_words import Words, content_keys, shares

Array = NDArray[np.float64]

KINDS = (  # what is asked for, the first that matches
    r" how (many|much|old|long|far|often|large|big|tall|high|few)"
    r" | what (percent|percentage|number|amount|proportion)",
    r" when | what (date|day|month|time)| (which|what) (year|century|decade)"
    r"| how (early|recently) ",
    r" who | whose | whom ",
    r" where "
    r"| (what|which) (city|country|state|place|town|region|area|location|continent|river|county)",
    r" why | how ",
)
_PREPOSITIONS = frozenset(
    (
        "in",
        "on",
        "at",
        "by",
        "to",
        "of",
        "from",
        "as",
        "for",
        "with",
        "during",
        "since",
        "until",
        "between",
        "into",
    )
)
_BEFORE = ("in", "by", "the", "of", "to", "and", "as", "is", "was", "a")
_AFTER = ("and", "of", "in", "is", "was", "to")
_COVERAGE = 0.7  # the weight of words beside the cosine where the best sentence is told


def asked_for(question: str) -> int:
    """The number of the kind in ``KINDS`` that the question asks for; ``len(KINDS)`` if none."""
    padded = f" {question.lower()} "
    return next((at for at, kind in enumerate(KINDS) if re.search(kind, padded)), len(KINDS))


def features(question: str, words: Words, cosines: ArrayLike) -> dict[str, Array]:
    """For each of the s candidates (``words.candidates``) its features (s,), by name.

    ``cosines`` are those of the question and each of ``words.spans``, encoded alone.
    """
    first, last = words.candidates()
    found = _shapes(words, first, last)
    found["loose end"] = _one(
        words.number[last] & (words.gap_after[last] == 0) & ~_after(words.stop)[last + 1]
    )
    kind = asked_for(question)
    crossed = {
        f"{name}@{at}": value * (kind == at)
        for name, value in found.items()
        for at in range(len(KINDS))
    }
    return {
        **_sentence(question, words, first, np.asarray(cosines, np.float64)),
        **_near(question, words, first, last),
        **found,
        **crossed,
        **_edges(words, first, last),
    }


def _sentence(
    question: str, words: Words, first: NDArray[np.int64], cosines: Array
) -> dict[str, Array]:
    keys = content_keys(question)
    covered = np.array([shares(keys, content_keys(words.text[a:b])) for a, b in words.spans])
    both = cosines + _COVERAGE * covered
    mine = words.sentence[first]
    return {
        "covered": covered[mine],
        "covered, to the best": covered[mine] - covered.max(),
        "cosine, to the best": cosines[mine] - cosines.max(),
        "both, to the best": both[mine] - both.max(),
        "best sentence": _one(both[mine] == both.max()),
        "place": mine / len(words.spans),
    }


def _near(
    question: str, words: Words, first: NDArray[np.int64], last: NDArray[np.int64]
) -> dict[str, Array]:
    """The question's words in the span, and left and right of it, less the further away."""
    asked = set(content_keys(question))
    count = Counter(words.keys)
    shared = np.array([k in asked for k in words.keys]) & ~words.stop
    weight = np.array([1 / np.sqrt(count[k]) for k in words.keys]) * shared
    size = last - first + 1
    inside = _within(shared, first, last)
    found = {"asked": inside / size, "any asked": _one(inside > 0)}
    for reach in (2, 6):
        left = _faded(weight, words.sentence, reach)
        right = _faded(weight[::-1], words.sentence[::-1], reach)[::-1]
        found[f"left {reach}"] = left[first]
        found[f"right {reach}"] = right[last]
    return found


def _faded(weight: Array, sentence: NDArray[np.int64], reach: int) -> Array:
    """What stands before each word in its sentence, times exp(-distance / reach)."""
    fade = np.exp(-1 / reach)
    total = np.zeros(len(weight))
    for at in range(1, len(weight)):
        if sentence[at] == sentence[at - 1]:
            total[at] = total[at - 1] * fade + weight[at - 1]
    return total


def _shapes(words: Words, first: NDArray[np.int64], last: NDArray[np.int64]) -> dict[str, Array]:
    size = last - first + 1
    numbers = _within(words.number, first, last)
    names = _within(words.capital | words.stop, first, last) == size
    length = np.log(size)
    return {
        "number": _one(numbers > 0),
        "numbers": numbers / size,
        "year": _one(_within(words.year, first, last) > 0),
        "calendar": _one(_within(words.calendar, first, last) > 0),
        "name": _one(names & words.capital[first] & words.capital[last]),
        "capital": _one(_within(words.capital, first, last) > 0),
        "money": _one(_within(words.money, first, last) > 0),
        "plain": _one(_within(words.capital | words.number, first, last) == 0),
        "length": length,
        "length²": length**2,
    }


def _edges(words: Words, first: NDArray[np.int64], last: NDArray[np.int64]) -> dict[str, Array]:
    before = np.array(["", *words.lower])[first]
    after = np.array([*words.lower, ""])[last + 1]
    gap, gap_after = words.gap_before[first], words.gap_after[last]
    clean = (gap > 0) | _before(words.stop)[first]
    clean_after = (gap_after > 0) | _after(words.stop)[last + 1]
    opening = np.array(words.lower)[first]
    found = {
        "space before": gap == 0,
        "comma before": gap == 1,
        "space after": gap_after == 0,
        "comma after": gap_after == 1,
        "clean before": clean,
        "clean after": clean_after,
        "clean": clean & clean_after,
        "preposition before": np.isin(before, list(_PREPOSITIONS)),
        "preposition after": np.isin(after, list(_PREPOSITIONS)),
        "the": opening == "the",
        "a": opening == "a",
        "article, clean after": np.isin(opening, ["the", "a"]) & clean_after,
        "name cut before": words.capital[first] & _before(words.capital, False)[first] & (gap == 0),
        "name cut after": words.capital[last]
        & _after(words.capital, False)[last + 1]
        & (gap_after == 0),
        "number cut before": words.number[first] & _before(words.number, False)[first] & (gap == 0),
        "number cut after": words.number[last]
        & _after(words.number, False)[last + 1]
        & (gap_after == 0),
        "quoted": words.quote_before[first] & words.quote_after[last],
    }
    found |= {f"{word} before": before == word for word in _BEFORE}
    found |= {f"{word} after": after == word for word in _AFTER}
    size = last - first + 1
    return {name: _one(flags) for name, flags in found.items()} | {
        "stop words": _within(words.stop, first, last) / size,
        "commas": _within(words.gap_before == 1, first + 1, last),
        "marks": _within(words.gap_before == 2, first + 1, last),
    }


def _one(flags: ArrayLike) -> Array:
    return np.asarray(flags, np.float64)


def _before(flags: NDArray[np.bool_], outside: bool = True) -> NDArray[np.bool_]:
    return np.array([outside, *flags])


def _after(flags: NDArray[np.bool_], outside: bool = True) -> NDArray[np.bool_]:
    return np.array([*flags, outside])


def _within(flags: NDArray[np.bool_], first: NDArray[np.int64], last: NDArray[np.int64]) -> Array:
    """How many of the words from first to last have the flag."""
    total = np.array([0, *np.cumsum(flags)], np.float64)
    return np.asarray(total[last + 1] - total[first])
