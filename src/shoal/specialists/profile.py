"""What is computed of one text before it is compared with another, and how rare its terms are."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from msgspec import Struct

_WORD = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")
_CHUNK = re.compile(r"\w[\w\-/.+]*")
_SPACED_POINT = re.compile(r"(?<=\d)\s+\.\s*(?=\d)")  # "10 .0", as some tokenisers leave it
_NO_LETTER = re.compile(r"[\W_]+")
_MOST_CHARACTERS, _MOST_WORDS, _MOST_CODES = 4_000, 250, 6
_SHORTEST_CODE, _SHORTEST_NUMBER_CODE = 4, 5


class Profile(Struct, frozen=True):
    """A text taken apart.

    ``words`` in order, numbers written alike ("3.0" is "3") and split from letters ("cs3" is "cs",
    "3"); ``codes`` such as model numbers, without their punctuation; ``flat`` the letters and
    digits alone; ``grams`` 3 to 4 characters within a word, ``joined`` 3 across words.
    """

    text: str
    words: tuple[str, ...]
    distinct: frozenset[str]
    numbers: frozenset[str]
    codes: tuple[str, ...]
    flat: str
    grams: frozenset[str]
    joined: frozenset[str]


def profile_of(text: str) -> Profile:
    """Take a text apart; of a very long one its beginning. About 0.1 ms a line of text."""
    text = _SPACED_POINT.sub(".", _folded(text[:_MOST_CHARACTERS]))
    words = tuple(_alike(found[0]) for found in islice(_WORD.finditer(text), _MOST_WORDS))
    flat = _NO_LETTER.sub("", text)
    distinct = frozenset(words)
    return Profile(
        text=text,
        words=words,
        distinct=distinct,
        numbers=frozenset(word for word in distinct if is_number(word)),
        codes=tuple(islice(dict.fromkeys(_codes(text)), _MOST_CODES)),
        flat=flat,
        grams=frozenset(gram for word in distinct for gram in _grams(f" {word[:40]} ")),
        joined=frozenset(flat[i : i + 3] for i in range(len(flat) - 2)),
    )


def is_number(word: str) -> bool:
    """Whether a word of a profile is a number."""
    return word[0].isdigit()


def _folded(text: str) -> str:
    """Lower case, without accents."""
    spread = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in spread if not unicodedata.combining(letter))


def _alike(word: str) -> str:
    """A number without thousands separators and trailing zeros."""
    if not is_number(word):
        return word
    plain = word.replace(",", "")
    if plain.count(".") != 1:
        return plain
    return plain.rstrip("0").rstrip(".") or "0"


def _codes(text: str) -> Iterable[str]:
    for chunk in _CHUNK.finditer(text):
        code = _NO_LETTER.sub("", chunk[0])
        if any(letter.isdigit() for letter in code) and len(code) >= _SHORTEST_CODE:
            mixed = any(letter.isalpha() for letter in code)
            if mixed or len(code) >= _SHORTEST_NUMBER_CODE:
                yield code


def _grams(padded: str) -> Iterable[str]:
    for size in (3, 4):
        for start in range(len(padded) - size + 1):
            yield padded[start : start + size]


class Rarity:
    """Inverse document frequencies, learned from a number of texts.

    A term of one text weighs as much as one of no text: what stands in a new text alone is as rare
    as what stood in one training text alone.
    """

    def __init__(self, texts: int, counts: Mapping[str, int]) -> None:
        """``counts``: in how many of the ``texts`` a term stands, if in more than one."""
        self.texts, self.counts = texts, counts
        self._weight = [math.log((1 + texts) / (1 + max(1, n))) + 1 for n in range(texts + 1)]
        self._known = {term: self._weight[n] for term, n in counts.items()}

    @classmethod
    def fit(cls, texts: Iterable[Collection[str]]) -> "Rarity":
        """Count in how many texts each term stands."""
        counts: Counter[str] = Counter()
        number = 0
        for number, terms in enumerate(texts, 1):  # noqa: B007
            counts.update(dict.fromkeys(terms, 1))
        return cls(number, {term: n for term, n in sorted(counts.items()) if n > 1})

    def weights(
        self, terms: Collection[str], less: Collection[Collection[str]] = ()
    ) -> dict[str, float]:
        """The weight of each of ``terms``, as if the texts ``less`` had not been counted."""
        counts, weight = self.counts, self._weight
        if not less:
            known, rare = self._known, self._weight[0]
            return {term: known.get(term, rare) for term in terms}
        return {
            term: weight[max(0, counts.get(term, 0) - sum(term in text for text in less))]
            for term in terms
        }
