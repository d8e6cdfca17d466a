"""Groups of texts that were made from the same template, found by the clauses they share.

Clauses that occur in exactly the same texts belong to the same template: its constant parts. The
texts are divided top down. Within a group, clauses with enough support that not all share are
gathered into classes of equal occurrence; classes that do not overlap are taken, the best supported
first. If the classes taken cover nearly all of a group, it divides into them; if they do not, what
they share is content of the group's slots (an opening, a signature, a repeated passage) and the
group stays whole. Only a group without constant words of its own always divides.

Nothing here depends on the order of the texts. Cost: linear in the clauses, times the depth of the
division.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from shoal.tasks.units import EDGE, clauses, edges, is_persona, masked, word_count

COVER = 0.85
"""Share of a group that its parts must cover for it to divide."""
STRONG_WORDS = 6
"""Words that make a class of clauses more than a turn of phrase."""
MIN_WORDS = 2
MAX_OVERLAP = 0.05
MANY_PARTS = 8
"""More parts than this with outputs of one form are the values of a slot."""

Document = tuple[str, ...]
"""The texts of the messages of one request."""
Parts = list[list[int]]


class _Class(Struct, frozen=True):
    """Clauses that occur in the same documents."""

    members: frozenset[int]
    words: int
    weak: bool
    name: str

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        """Strong classes first, then the best supported, the wordiest, the alphabet."""
        return self.weak, -len(self.members), -self.words, self.name


class Grouper:
    """Divides documents into groups of one template each.

    ``differ`` tells whether the outputs of parts differ in form. ``min_size`` is in documents.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        min_size: int,
        differ: Callable[[Parts], bool],
    ) -> None:
        self.documents = documents
        self.min_size = min_size
        self.differ = differ
        self.clauses = _Clauses(documents, min_size)
        bits = random.Random(len(documents))
        self.marks = [bits.getrandbits(61) for _ in documents]

    def groups(self) -> Parts:
        """Indices of the documents of each group, in the order of the documents."""
        return sorted(self._divide(list(range(len(self.documents)))))

    def _divide(self, members: list[int]) -> Parts:
        if len(members) < self.min_size:
            return []
        counts, marks = self._occurrences(members)
        parts = self._parts(members, counts, marks)
        shared = [unit for unit, count in counts.items() if count == len(members)]
        specific = self.clauses.words(shared) >= STRONG_WORDS
        if specific and not self._divides(members, parts):
            return [members]
        taken = {index for part in parts for index in part}
        rest = [index for index in members if index not in taken]
        divided = [group for part in parts for group in self._divide(part)]
        return [*divided, rest] if len(rest) >= self.min_size else divided or [members]

    def _divides(self, members: list[int], parts: Parts) -> bool:
        if sum(map(len, parts)) < COVER * len(members):
            return False
        return len(parts) <= MANY_PARTS or self.differ(parts)

    def _occurrences(self, members: list[int]) -> tuple[Counter[int], dict[int, int]]:
        """For each clause the number of members that hold it, and the sum of their marks."""
        texts: Counter[int] = Counter()
        marks: dict[int, int] = defaultdict(int)
        for index in members:
            for text in self.clauses.of_document[index]:
                texts[text] += 1
                marks[text] += self.marks[index]
        counts: Counter[int] = Counter()
        sums: dict[int, int] = defaultdict(int)
        for text, number in texts.items():
            for unit in self.clauses.of_text[text]:
                counts[unit] += number
                sums[unit] += marks[text]
        return counts, sums

    def _parts(self, members: list[int], counts: Counter[int], marks: dict[int, int]) -> Parts:
        """Parts that do not overlap, best first; may not cover the members."""
        taken: set[int] = set()
        parts: Parts = []
        for found in sorted(self._classes(members, counts, marks), key=lambda c: c.rank):
            new = found.members - taken
            overlap = len(found.members) - len(new)
            if len(new) >= self.min_size and overlap <= MAX_OVERLAP * len(found.members):
                parts.append(sorted(new))
                taken |= new
        return parts

    def _classes(
        self, members: list[int], counts: Counter[int], marks: dict[int, int]
    ) -> Iterable[_Class]:
        """Clauses with support, but not shared by all, gathered by where they occur."""
        classes: dict[tuple[int, int], list[int]] = defaultdict(list)
        for unit, count in counts.items():
            if self.min_size <= count < len(members):
                classes[count, marks[unit]].append(unit)
        worthy = {
            units[0]: units for units in classes.values() if self.clauses.weight(units) >= MIN_WORDS
        }
        places: dict[int, list[int]] = {unit: [] for unit in worthy}
        for index in members:
            for text in self.clauses.of_document[index]:
                for unit in self.clauses.of_text[text]:
                    if unit in places:
                        places[unit].append(index)
        for unit, units in worthy.items():
            yield _Class(
                frozenset(places[unit]),
                self.clauses.weight(units),
                self.clauses.words(units) < STRONG_WORDS,
                min(self.clauses.names[u][1] for u in units),
            )


class _Clauses:
    """The clauses of all documents as numbers, those without support left out."""

    def __init__(self, documents: Sequence[Document], min_size: int) -> None:
        self.names: list[tuple[int, str]] = []
        self._numbers: dict[tuple[int, str], int] = {}
        self._raw: dict[tuple[int, str], int] = {}
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
        self._words = [word_count(name) for _, name in self.names]
        self._persona = [is_persona(name) for _, name in self.names]

    def words(self, units: Iterable[int]) -> int:
        """Words of these clauses, edges and sentences that only say who the model is left out."""
        return sum(self._words[u] for u in units if not (self.is_edge(u) or self._persona[u]))

    def weight(self, units: Iterable[int]) -> int:
        """Words of these clauses; edges count only if nothing else does."""
        found = list(units)
        whole = sum(self._words[u] for u in found if not self.is_edge(u))
        return whole or max((self._words[u] for u in found), default=0)

    def is_edge(self, unit: int) -> bool:
        """Whether it is the first or the last words of a message."""
        return EDGE in self.names[unit][1]

    def _units(self, place: int, text: str) -> tuple[int, ...]:
        found = clauses(text)
        numbers = {self._number(place, clause) for clause in found}
        for edge in edges(text) or ():
            numbers.add(self._number(place, edge))
        return tuple(numbers)

    def _number(self, place: int, clause: str) -> int:
        key = (place, clause)
        number = self._raw.get(key)
        if number is None:
            name = (place, masked(clause))
            number = self._numbers.setdefault(name, len(self.names))
            if number == len(self.names):
                self.names.append(name)
            self._raw[key] = number
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
        self._raw.clear()
