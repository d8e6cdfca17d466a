"""The clauses of many documents as numbers, so that groups of them can be counted quickly."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

from shoal.tasks.units import EDGE, PAIR, edges, frame, is_framing, masked, numbered, word_count

Document = tuple[str, ...]
"""The texts of the messages of one request."""

Edge = Literal["none", "short", "long"]


class ClauseIndex:
    """Which units each document holds: clauses, neighbouring clauses, edges of messages.

    Units are numbers, the same clause in two messages being two units. ``of_document`` gives the
    numbers of a document's texts, ``of_text`` the units of a text; units in fewer than ``min_size``
    documents are left out. ``names`` spells the units out (masked).
    """

    def __init__(self, documents: Sequence[Document], min_size: int) -> None:
        self.names: list[str] = []
        self._numbers: dict[tuple[int, str], int] = {}
        self._pairs: dict[tuple[int, int], int] = {}
        texts: dict[tuple[int, str], int] = {}
        self.of_text: list[tuple[int, ...]] = []
        self.of_document: list[tuple[int, ...]] = []
        for document in documents:
            for place, text in enumerate(document):
                if (place, text) not in texts:
                    texts[place, text] = len(texts)
                    self.of_text.append(self._units(place, text))
            self.of_document.append(tuple(texts[key] for key in enumerate(document)))
        self._drop_rare(min_size)
        self._pairs.clear()
        self._words: dict[int, int] = {}

    def find(self, place: int, name: str) -> int | None:
        """The unit of this name in the message at a place."""
        return self._numbers.get((place, name))

    def words(self, units: Iterable[int]) -> int:
        """Words of these clauses; edges and mere framing are left out."""
        whole = (u for u in units if not (self.is_edge(u) or is_framing(self.names[u])))
        return sum(map(self._count, whole))

    def weight(self, units: Iterable[int]) -> int:
        """Words of these clauses; edges count only if nothing else does."""
        found = list(units)
        whole = sum(self._count(unit) for unit in found if not self.is_edge(unit))
        return whole or max(map(self._count, found), default=0)

    def is_edge(self, unit: int) -> bool:
        """Whether it is the first or the last words of a message."""
        return EDGE in self.names[unit]

    def edge(self, units: Sequence[int]) -> Edge:
        """Whether these are nothing but edges of messages, and if so, the longest kind."""
        if not all(map(self.is_edge, units)):
            return "none"
        return "long" if any(EDGE + EDGE in self.names[unit] for unit in units) else "short"

    def _count(self, unit: int) -> int:
        if unit not in self._words:
            name = self.names[unit]
            self._words[unit] = 0 if PAIR in name else word_count(name)
        return self._words[unit]

    def _units(self, place: int, text: str) -> tuple[int, ...]:
        names = numbered(text)
        found = [self._number(place, name) for name in names]
        numbers = set(found)
        numbers.update(self._number(place, name) for name in map(frame, names) if name)
        numbers.update(self._pair(a, b) for a, b in pairwise(found))
        numbers.update(self._number(place, masked(edge)) for edge in edges(text))
        return tuple(numbers)

    def _number(self, place: int, name: str) -> int:
        number = self._numbers.setdefault((place, name), len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number

    def _pair(self, first: int, second: int) -> int:
        number = self._pairs.setdefault((first, second), len(self.names))
        if number == len(self.names):
            self.names.append(f"{PAIR}{first} {second}")
        return number

    def _drop_rare(self, min_size: int) -> None:
        texts = Counter(text for document in self.of_document for text in document)
        support: Counter[int] = Counter()
        for text, number in texts.items():
            for unit in self.of_text[text]:
                support[unit] += number
        self.of_text = [
            tuple(unit for unit in units if support[unit] >= min_size) for units in self.of_text
        ]
