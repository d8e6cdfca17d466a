"""Two texts -> numbers that tell how alike they are, each with a name that people understand.

"left" and "right" are the two texts; rarity is by inverse document frequency. What is not known,
because one text has no number or no code, is NaN.
"""

import math
from collections.abc import Collection, Mapping
from difflib import SequenceMatcher
from functools import lru_cache

from msgspec import Struct

from shoal.specialists.profile import Profile, Rarity, is_number
from shoal.specialists.rivals import length

Features = dict[str, float]

_MOST_LEFTOVER = 25  # words compared with each other, the rarest
_MISSPELT = 0.75  # the least share of characters that stay
_MOST_EDITED = 120  # characters compared by edits


class Rarities(Struct, frozen=True):
    """How rare words, grams and joined grams are."""

    words: Rarity
    grams: Rarity
    joined: Rarity


class Sides(Struct, frozen=True):
    """Two profiles; ``alone``: those, of them and others, that were counted for the pair's group
    only, and so are taken out of the counts, or a training pair's words would look more widespread
    than a new pair's."""

    left: Profile
    right: Profile
    alone: tuple[Profile, ...] = ()


class Weights(Struct, frozen=True):
    """The weight of every word, gram and joined gram of two texts."""

    words: dict[str, float]
    grams: dict[str, float]
    joined: dict[str, float]


def weigh(sides: Sides, rarities: Rarities) -> Weights:
    """Look up how rare the terms of both are."""
    left, right, alone = sides.left, sides.right, sides.alone
    return Weights(
        rarities.words.weights(left.distinct | right.distinct, [p.distinct for p in alone]),
        rarities.grams.weights(left.grams | right.grams, [p.grams for p in alone]),
        rarities.joined.weights(left.joined | right.joined, [p.joined for p in alone]),
    )


def compare(left: Profile, right: Profile, weights: Weights) -> Features:
    """All features of two texts, in an order that is always the same."""
    words = weights.words
    return (
        {
            "cosine of words": cosine(left.distinct, right.distinct, words),
            "cosine of letters": cosine(left.grams, right.grams, weights.grams),
            "cosine of letters across words": cosine(left.joined, right.joined, weights.joined),
        }
        | _overlap(left, right, words)
        | _leftovers(left, right, words)
        | _numbers(left, right, words)
        | _codes(left, right)
        | _form(left, right)
    )


def cosine(left: Collection[str], right: Collection[str], weights: Mapping[str, float]) -> float:
    """Of two sets of terms; NaN if one is empty."""
    norms = length([weights[t] for t in left]) * length([weights[t] for t in right])
    shared = math.fsum(weights[t] ** 2 for t in left if t in right)
    return shared / norms if norms else math.nan


def _overlap(left: Profile, right: Profile, words: Mapping[str, float]) -> Features:
    shared = left.distinct & right.distinct
    only_left, only_right = left.distinct - right.distinct, right.distinct - left.distinct
    both = _total(shared, words)
    in_left, in_right = both + _total(only_left, words), both + _total(only_right, words)
    return {
        "share of left's words in right": _ratio(both, in_left),
        "share of right's words in left": _ratio(both, in_right),
        "share of all words in both": _ratio(both, in_left + in_right - both),
        "words in both": len(shared),
        "words in left only": len(only_left),
        "words in right only": len(only_right),
        "rarest word in both": _rarest(shared, words),
        "rarest word in left only": _rarest(only_left, words),
        "rarest word in right only": _rarest(only_right, words),
    }


def _leftovers(left: Profile, right: Profile, words: Mapping[str, float]) -> Features:
    """What of either has nothing like it in the other: no prefix, abbreviation or misspelling."""
    only_left, only_right = left.distinct - right.distinct, right.distinct - left.distinct
    rest_left = _unlike(only_left, only_right, right.flat, words)
    rest_right = _unlike(only_right, only_left, left.flat, words)
    return {
        "share of left with a like": 1 - _ratio(sum(rest_left), _total(left.distinct, words)),
        "share of right with a like": 1 - _ratio(sum(rest_right), _total(right.distinct, words)),
        "left without a like": sum(rest_left),
        "right without a like": sum(rest_right),
        "rarest of left without a like": max(rest_left, default=0.0),
        "rarest of right without a like": max(rest_right, default=0.0),
    }


def _unlike(
    words: Collection[str], others: Collection[str], flat: str, weights: Mapping[str, float]
) -> list[float]:
    """The weight of each word, less by how like it is to the most alike of ``others``."""
    rarest = sorted(words, key=lambda word: (-weights[word], word))
    plain = [word for word in sorted(others) if not is_number(word)][:_MOST_LEFTOVER]
    rest = []
    for at, word in enumerate(rarest):
        like = 0.0
        if at < _MOST_LEFTOVER and not is_number(word):
            like = max((_likeness(word, other) for other in plain), default=0.0)
            if len(word) >= 4 and word in flat:  # "after effects" and "aftereffects"
                like = max(like, 0.95)
        rest.append(weights[word] * (1 - like))
    return rest


@lru_cache(maxsize=20_000)  # the same words meet again and again
def _likeness(a: str, b: str) -> float:
    """0 to 1, of two different words without digits."""
    if min(len(a), len(b)) < 3 or a[0] != b[0]:
        return 0.0
    if a.startswith(b) or b.startswith(a):
        return 0.9
    short, long = sorted((a, b), key=len)
    if 2 * len(short) >= _MISSPELT * (len(a) + len(b)):  # else it cannot be reached
        ratio = _edited(a, b)
        if ratio >= _MISSPELT:
            return ratio
    letters = iter(long)
    return 0.7 if all(letter in letters for letter in short) else 0.0  # "qckbks", "quickbooks"


def _numbers(left: Profile, right: Profile, words: Mapping[str, float]) -> Features:
    shared = left.numbers & right.numbers
    only_left, only_right = left.numbers - right.numbers, right.numbers - left.numbers
    known = bool(left.numbers and right.numbers)
    return {
        "numbers in both": len(shared),
        "numbers in left only": len(only_left),
        "numbers in right only": len(only_right),
        "no number in both": float(not shared) if known else math.nan,
        "rarest number in both": _rarest(shared, words),
        "rarest number in left only": _rarest(only_left, words),
        "rarest number in right only": _rarest(only_right, words),
        "short numbers in left only": sum(len(number) <= 4 for number in only_left),
        "short numbers in right only": sum(len(number) <= 4 for number in only_right),
    }


def _codes(left: Profile, right: Profile) -> Features:
    """Model numbers and the like."""
    pairs = [(a, b) for a in left.codes for b in right.codes]
    return {
        "a code in both": float(any(a == b for a, b in pairs)) if pairs else math.nan,
        "longest code of left in right": _longest_inside(left.codes, right.flat),
        "longest code of right in left": _longest_inside(right.codes, left.flat),
        "most alike codes": max((_edited(a, b) for a, b in pairs), default=math.nan),
        "codes that begin alike": max((_prefix(a, b) for a, b in pairs), default=math.nan),
        "codes in left": len(left.codes),
        "codes in right": len(right.codes),
    }


def _form(left: Profile, right: Profile) -> Features:
    first_left, first_right = left.words[:1], right.words[:1]
    inside = left.flat in right.flat or right.flat in left.flat
    return {
        "first words equal": float(first_left == first_right),
        "left's first word in right": float(right.distinct.issuperset(first_left)),
        "right's first word in left": float(left.distinct.issuperset(first_right)),
        "alike by edits": _edited(left.text[:_MOST_EDITED], right.text[:_MOST_EDITED]),
        "length of left": len(left.words),
        "length of right": len(right.words),
        "one inside the other": float(inside),
    }


def _longest_inside(codes: Collection[str], flat: str) -> float:
    if not codes:
        return math.nan
    return max((len(code) for code in codes if code in flat), default=0)


def _prefix(a: str, b: str) -> float:
    """Length of the common beginning, by that of the longer one."""
    equal = 0
    for one, other in zip(a, b, strict=False):
        if one != other:
            break
        equal += 1
    return equal / max(len(a), len(b))


def _edited(a: str, b: str) -> float:
    """Share of characters that stay (Ratcliff & Metzener 1988), 0 to 1."""
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def _rarest(words: Collection[str], weights: Mapping[str, float]) -> float:
    return max((weights[word] for word in words), default=0.0)


def _total(words: Collection[str], weights: Mapping[str, float]) -> float:
    return math.fsum(weights[word] for word in words)  # the same in whatever order


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
