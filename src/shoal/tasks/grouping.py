"""Groups of texts that were made from the same template, found by the clauses they share.

Clauses that occur in exactly the same texts belong to the same template: its constant parts. The
texts are divided top down. Within a group, clauses with enough support that not all share are
gathered into classes of equal occurrence; classes that do not overlap are taken as parts, the most
text first. What decides is whether the parts make up the group:

- A group without constant words of its own divides into its parts, and what is left is divided
  again. Framing ("You are helpful.", "Let's think step by step.") counts as no words.
- A group with an instruction in common divides only if its parts cover nearly all of it. If they
  do not, what they share is content of the group's slots (an opening, a signature, a repeated
  passage), and the group stays whole. The same goes for parts that are the values of a labelled
  slot ("Context:", "Options:"), of data in JSON, or many, unless their outputs differ in form.

Two neighbouring clauses count as a unit too, so that a template that lacks a sentence of another is
told apart by the clauses that meet where the sentence would be. So does how often a clause has come
before (a question behind three examples is another than one without), and the words that a clause
begins and ends with, which a slot within it leaves alone.

Nothing here depends on the order of the texts. Cost: linear in the clauses, times the depth of the
division.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from shoal.tasks.clause_index import ClauseIndex, Document, Edge
from shoal.tasks.units import AGAIN, is_framing, numbered, without_rows

COVER = 0.85
"""Share of a group that its parts must cover for it to divide."""
SPECIFIC_WORDS = 4
"""Shared words that make a group one task unless its parts cover it."""
MIN_WORDS = 2
"""Words of a class of clauses that may be a part; one will do where nothing at all is shared."""
ENOUGH_WORDS = 12
MAX_OVERLAP = 0.05
MIN_PART = 3
PARTS_AT_MOST = 20
"""A small group is looked through for parts down to this fraction of it."""
MAX_ROUNDS = 3
"""How often what is left of a group is divided again."""
MANY_PARTS = 8
"""More parts than this with outputs of one form are values of a slot, if there is ..."""
INSTRUCTION_WORDS = 8
"""... an instruction of so many words in common."""

Parts = list[list[int]]

_VALUE_LABEL = re.compile(
    r"(?!.*\b(?:task|instructions?|goal|role|aufgabe)\b)[^\n]{1,40}:|<[\w-]+>", re.IGNORECASE
)


_ROW = "{}"
"""Stands for the label of what lies in a row of data."""


class _Class(Struct, frozen=True):
    """Clauses that occur in the same documents; ``edge``: mere beginnings and ends of messages."""

    members: frozenset[int]
    words: int
    edge: Edge
    units: tuple[int, ...]
    name: str

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Most text first, edges last."""
        text = len(self.members) * min(self.words, ENOUGH_WORDS)
        return self.edge != "none", -text, self.name

    def may_divide(self, bare: bool) -> bool:
        """Whether it is more than a turn of phrase, in a group that shares something or nothing."""
        return self.words > 0 if bare else self.words >= MIN_WORDS and self.edge != "short"

    def closes(self, left: set[int]) -> bool:
        """Whether all that is left shares these clauses."""
        return self.edge != "short" and left <= self.members


class _Part(Struct, frozen=True):
    members: list[int]
    units: frozenset[int]


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
        self.index = ClauseIndex(documents, MIN_PART)
        bits = random.Random(len(documents))
        self.marks = [bits.getrandbits(61) for _ in documents]

    def groups(self) -> Parts:
        """Indices of the documents of each group, in the order of the documents.

        Some may be smaller than ``min_size``: too little to go by yet.
        """
        return sorted(self._divide(list(range(len(self.documents))), MAX_ROUNDS))

    def _divide(self, members: list[int], rounds: int) -> Parts:
        if len(members) < self.min_size:
            return [members] if members else []
        counts, marks = self._occurrences(members)
        shared = {unit for unit, count in counts.items() if count == len(members)}
        specific = self.index.words(shared) >= SPECIFIC_WORDS
        bare = not shared - self._framing_units(members[0])
        classes = sorted(self._classes(members, counts, marks), key=lambda c: c.rank)
        parts = self._parts(members, classes, bare)
        if not parts or (specific and not self._make_up(members, parts, shared)):
            return [members]
        taken = {index for part in parts for index in part.members}
        rest = [index for index in members if index not in taken]
        divided = [group for part in parts for group in self._divide(part.members, MAX_ROUNDS)]
        if specific or not rounds:
            return [*divided, rest] if rest else divided
        return divided + self._divide(rest, rounds - 1)

    def _part_size(self, size: int) -> int:
        """Documents a part needs. A part may be too small for a task yet: its calls then wait,
        rather than pass for those of a wider task."""
        return min(self.min_size, max(MIN_PART, size // PARTS_AT_MOST))

    def _framing_units(self, document: int) -> set[int]:
        """Units of messages that are nothing but framing."""
        texts = zip(self.documents[document], self.index.of_document[document], strict=True)
        return {u for text, number in texts if is_framing(text) for u in self.index.of_text[number]}

    def _make_up(self, members: list[int], parts: Sequence[_Part], shared: set[int]) -> bool:
        """Whether a group with something in common is its parts rather than one task."""
        if sum(len(part.members) for part in parts) < COVER * len(members):
            return False
        many = len(parts) > MANY_PARTS and self.index.words(shared) >= INSTRUCTION_WORDS
        if not many and not all(self._is_value(part, shared) for part in parts):
            return True
        return self.differ([part.members for part in parts])

    def _is_value(self, part: _Part, shared: set[int]) -> bool:
        """Whether all that the part has in common stands in a slot's value: behind one label, or,
        where there is an instruction besides, in rows of data."""
        labels: list[str] = []
        instructed = self.index.words(shared) >= INSTRUCTION_WORDS
        for place, text in enumerate(self.documents[part.members[0]]):
            label, counted = "", False
            names = numbered(text)
            apart = set(numbered(without_rows(text))) if instructed else set(names)
            for name in names:
                unit = self.index.find(place, name)
                if unit in shared:
                    label, counted = name.partition(AGAIN)[0], False
                elif unit in part.units and is_framing(name):
                    return False
                elif unit in part.units and name not in apart:
                    labels.append(_ROW)
                elif unit in part.units and not counted:
                    labels.append(label)
                    counted = True
        if labels and set(labels) == {_ROW}:
            return True
        return len(labels) == 1 and bool(_VALUE_LABEL.fullmatch(labels[0]))

    def _occurrences(self, members: list[int]) -> tuple[Counter[int], dict[int, int]]:
        """For each clause the number of members that hold it, and the sum of their marks."""
        texts: Counter[int] = Counter()
        marks: dict[int, int] = defaultdict(int)
        for index in members:
            for text in self.index.of_document[index]:
                texts[text] += 1
                marks[text] += self.marks[index]
        counts: Counter[int] = Counter()
        sums: dict[int, int] = defaultdict(int)
        for text, number in texts.items():
            for unit in self.index.of_text[text]:
                counts[unit] += number
                sums[unit] += marks[text]
        return counts, sums

    def _parts(self, members: list[int], classes: Sequence[_Class], bare: bool) -> list[_Part]:
        """Parts that do not overlap, best first; may not cover the members.

        What is left after one is a part too if it has anything in common.
        """
        left = set(members)
        least = self._part_size(len(members))
        parts: list[_Part] = []
        for found in (c for c in classes if c.may_divide(bare)):
            new = found.members & left
            overlap = len(found.members) - len(new)
            if len(new) < least or overlap > MAX_OVERLAP * len(found.members):
                continue
            parts.append(_Part(sorted(new), frozenset(found.units)))
            left -= new
            closing = next((c for c in classes if c.closes(left)), None)
            if closing and len(left) >= least:
                return [*parts, _Part(sorted(left), frozenset(closing.units))]
        return parts

    def _classes(
        self, members: list[int], counts: Counter[int], marks: dict[int, int]
    ) -> Iterable[_Class]:
        """Clauses with support, but not shared by all, gathered by where they occur."""
        least = self._part_size(len(members))
        gathered: dict[tuple[int, int], list[int]] = defaultdict(list)
        for unit, count in counts.items():
            if least <= count < len(members):
                gathered[count, marks[unit]].append(unit)
        places: dict[int, list[int]] = {units[0]: [] for units in gathered.values()}
        for index in members:
            for text in self.index.of_document[index]:
                for unit in self.index.of_text[text]:
                    if unit in places:
                        places[unit].append(index)
        for units in gathered.values():
            yield _Class(
                frozenset(places[units[0]]),
                self.index.weight(units),
                self.index.edge(units),
                tuple(units),
                min(self.index.names[unit] for unit in units),
            )
