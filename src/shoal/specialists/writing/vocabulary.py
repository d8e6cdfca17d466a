"""The units that a writer writes: pieces that its outputs have in common, and merges of these.

Values that outputs copy from their inputs (a city, an order number) are no units: they are copied
or, if they cannot be, spelled sign by sign. What is often written in a row becomes one unit,
as in byte-pair encoding (Sennrich et al. 2016), so that SQL of 150 pieces takes some 15 steps.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from shoal.specialists.writing.pieces import Source, split

START, END = 0, 1
_MOST_UNITS = 6_000
_MOST_MERGES = 600
_MOST_LEARNED = 300_000  # pieces from which merges are learned: enough to count on
_COPIED = 0.9  # of a piece's occurrences: then it is copied, and no unit
_LEAST_COUNTED = 4.0  # occurrences of a pair: fewer are chance
_AT_TIMES = 0.5  # then it stays a unit by itself
_LIFT = 3.0  # times as usual in an output whose input has it: else it is there by chance


class Unit(NamedTuple):
    """One unit of an output: its id, -1 if it can only be copied, and its text."""

    id: int
    text: str


class Vocabulary:
    """``units`` by id, the first two START and END; ``merges`` pairs of ids, the first learned
    first, each making the next of the last ``len(merges)`` units."""

    def __init__(self, units: Sequence[str], merges: Sequence[tuple[int, int]]) -> None:
        self.units, self.merges = tuple(units), tuple((int(a), int(b)) for a, b in merges)
        base = len(self.units) - len(self.merges)
        self._ids = {unit: at for at, unit in enumerate(self.units[:base]) if at > END}
        self._made = {pair: base + at for at, pair in enumerate(self.merges)}

    def __len__(self) -> int:
        return len(self.units)

    @property
    def pieces(self) -> dict[str, int]:
        """The ids of the units that are no merges, by text."""
        return self._ids

    @classmethod
    def learn(
        cls, sources: Sequence[Source], outputs: Sequence[str], least: int = 12
    ) -> "Vocabulary":
        """From the inputs (n,) and outputs (n,). Pairs that occur in a row ``least`` times, or in
        a twentieth of the outputs if that is less, are merged."""
        pieces = [split(output) for output in outputs]
        counts = _Counts.of(sources, pieces)
        ranked = counts.written.most_common()
        kept = [p for p, _ in ranked if not counts.copied_in(p, _COPIED)][:_MOST_UNITS]
        signs = sorted({sign for each in outputs for sign in each} | {" "})
        units = ["", "", *kept, *(sign for sign in signs if sign not in set(kept))]
        ids = {unit: at for at, unit in enumerate(units) if at > END}
        loose = {ids[p] for p in kept if counts.copied_in(p, _AT_TIMES)}
        rows = [[ids.get(p, -1) for p in each] for each in pieces]
        merges = _merged(rows, units, loose, min(float(least), len(outputs) / 20))
        return cls(units, merges)

    def encode(self, source: Source, output: str) -> list[Unit] | None:
        """The units of an output, without START and END; None if it has a sign that can neither be
        written nor copied."""
        found: list[Unit] = []
        for piece in split(output):
            if piece in self._ids or piece in source.places:
                found.append(Unit(self._ids.get(piece, -1), piece))
                continue
            if any(sign not in self._ids for sign in piece):
                return None
            found += [Unit(self._ids[sign], sign) for sign in piece]
        return self._joined(found)

    def _joined(self, row: list[Unit]) -> list[Unit]:
        while len(row) > 1:
            pairs = [(a.id, b.id) for a, b in pairwise(row)]
            made = min((self._made[pair] for pair in pairs if pair in self._made), default=None)
            if made is None:
                break
            joined, at = list[Unit](), 0
            while at < len(row):
                if at < len(pairs) and self._made.get(pairs[at]) == made:
                    joined.append(Unit(made, self.units[made]))
                    at += 2
                else:
                    joined.append(row[at])
                    at += 1
            row = joined
        return row


class _Counts(NamedTuple):
    """Of each piece: how often it is written, and how often it could have been copied then; in how
    many inputs it is offered, in how many outputs written, and in how many examples both."""

    written: Counter[str]
    copied: Counter[str]
    offering: Counter[str]
    writing: Counter[str]
    both: Counter[str]
    examples: int

    @classmethod
    def of(cls, sources: Sequence[Source], pieces: Sequence[Sequence[str]]) -> "_Counts":
        found = cls(Counter(), Counter(), Counter(), Counter(), Counter(), len(pieces))
        for source, each in zip(sources, pieces, strict=True):
            found.written.update(each)
            found.copied.update(piece for piece in each if piece in source.places)
            found.offering.update(source.places.keys())
            found.writing.update(set(each))
            found.both.update(set(each) & source.places.keys())
        return found

    def copied_in(self, piece: str, share: float) -> bool:
        """Whether that share of its occurrences is there because the input has it. Of mere signs,
        and of a word that most inputs and most outputs have, that cannot be said."""
        if not piece.strip().isalnum() or self.copied[piece] < share * self.written[piece]:
            return False
        given = self.both[piece] / max(1, self.offering[piece])
        usual = self.writing[piece] / max(1, self.examples)
        return usual <= 1 / 2 and given >= min(1.0, _LIFT * usual)


def _merged(
    rows: Sequence[Sequence[int]], units: list[str], loose: set[int], least: float
) -> list[tuple[int, int]]:
    """The merges, whose texts are added to ``units``."""
    total = sum(map(len, rows))
    stride = -(-total // _MOST_LEARNED) if total else 1
    line: list[int] = []
    for row in rows[::stride]:  # of the whole, not of what came first
        line += (-1 if unit in loose else unit for unit in row)
        line.append(-1)
    least = max(_LEAST_COUNTED, least / stride)
    now, merges = np.array(line, np.int64), list[tuple[int, int]]()
    while len(merges) < _MOST_MERGES and len(now) > 1:
        codes = np.where((now[:-1] < 0) | (now[1:] < 0), -1, (now[:-1] << 32) + now[1:])
        pairs, counts = np.unique(codes[codes >= 0], return_counts=True)
        if not len(counts) or counts.max() < least:
            break
        best = int(pairs[counts.argmax()])
        first, second = best >> 32, best & 0xFFFFFFFF
        at = np.flatnonzero(codes == best)
        if first == second:  # of three in a row the first two
            at = _apart(at)
        units.append(units[first] + units[second])
        merges.append((first, second))
        now[at] = len(units) - 1
        now = np.delete(now, at + 1)
    return merges


def _apart(places: np.ndarray) -> np.ndarray:
    """Those that do not follow the one kept before at once."""
    kept: list[int] = []
    for place in places.tolist():
        if not kept or place > kept[-1] + 1:
            kept.append(place)
    return np.array(kept)
