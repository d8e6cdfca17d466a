"""How often values of a source, of a shape, after a word … were right for an argument.

Rates are kept for a slot (an argument of a tool) and for an argument's name in any tool; a slot's
are drawn towards its name's.
"""

from collections.abc import Iterable, Mapping, Sequence

from shoal.specialists.calls.candidates import Candidate
from shoal.specialists.calls.rates import Rates
from shoal.specialists.calls.situation import Situation, Slot

_PRIOR = 0.05
_WEIGHT = 2.0


class Evidence:
    """How often values of a source, of a shape, after a word … were right for a slot."""

    def __init__(self, counts: Mapping[str, tuple[int, int]] | None = None) -> None:
        self._rates = Rates(counts)
        self._right: dict[tuple[str, int | None], tuple[set[str], set[str]]] = {}

    def add(
        self, slot: Slot, situation: Situation, candidates: Sequence[Candidate], gold: str
    ) -> None:
        """Count what was to choose from, and what was right."""
        of_gold: set[str] = set()
        present: set[str] = set()
        for candidate in candidates:
            right = candidate.key == gold
            sources = sources_of(candidate)
            present |= sources
            if right:
                of_gold = sources
            self._rates.add(situation.fold, _names(slot, candidate, sources), right)
        for source in present:
            shares = [f"share {slot.key} {source}", f"share {slot.argument.name} {source}"]
            self._rates.add(situation.fold, shares, source in of_gold)
        self._rates.add(situation.fold, [f"absent {slot.key}"], not gold)

    def settle(self) -> None:
        """Forget the folds, and what was seen once."""
        self._rates.settle()
        self._right.clear()

    def counts(self) -> dict[str, tuple[int, int]]:
        """For a file."""
        return self._rates.counts()

    def features(self, slot: Slot, candidate: Candidate, fold: int | None) -> list[float]:
        """The first columns of a candidate's row."""
        rate, name = self._rates.rate, slot.argument.name
        sources, before = sources_of(candidate), _words_before(candidate)
        by_name = {s: rate(f"source {name} {s}", _PRIOR, _WEIGHT, fold) for s in sources}
        by_slot = [
            rate(f"source {slot.key} {s}", prior, _WEIGHT, fold) for s, prior in by_name.items()
        ]
        share_by_name = {s: rate(f"share {name} {s}", 0.1, _WEIGHT, fold) for s in sources}
        share = [
            rate(f"share {slot.key} {s}", prior, _WEIGHT, fold)
            for s, prior in share_by_name.items()
        ]
        word = [rate(f"word {name} {b[-1]}", _PRIOR, _WEIGHT, fold) for b in before if b]
        words = [
            rate(f"words {name} {' '.join(b[-2:])}", _PRIOR, _WEIGHT, fold) for b in before if b
        ]
        looks = candidate.shape
        shape_by_name = rate(f"shape {name} {looks}", _PRIOR, _WEIGHT, fold)
        shape = rate(f"shape {slot.key} {looks}", shape_by_name, _WEIGHT, fold)
        return [
            max(by_slot, default=0.0),
            max(by_name.values(), default=0.0),
            max(share, default=0.0),
            max(share_by_name.values(), default=0.0),
            shape if candidate.key else 0.0,
            shape_by_name if candidate.key else 0.0,
            max(word, default=0.0),
            max(words, default=0.0),
        ]

    def plausible(
        self, slot: Slot, stated: Iterable[Candidate], fold: int | None
    ) -> list[Candidate]:
        """Candidates of a shape and from a source that were right for an argument of that name."""
        name = slot.argument.name
        if (name, fold) not in self._right:
            self._right[name, fold] = self._right_ones(name, fold)
        shapes, sources = self._right[name, fold]
        return [
            candidate
            for candidate in stated
            if candidate.shape in shapes and not sources.isdisjoint(sources_of(candidate))
        ]

    def _right_ones(self, name: str, fold: int | None) -> tuple[set[str], set[str]]:
        """The shapes and the sources of values that were right."""
        found: tuple[set[str], set[str]] = set(), set()
        for kept, start in zip(found, (f"shape {name} ", f"source {name} "), strict=True):
            for key in self._rates.starting(start):
                if self._rates.hits(key, fold):
                    kept.add(key.removeprefix(start))
        return found

    def absence(self, slot: Slot, fold: int | None) -> float:
        """How often the argument was left out."""
        return self._rates.rate(f"absent {slot.key}", 0.5, 1.0, fold)


def sources_of(candidate: Candidate) -> set[str]:
    """Where in general a value stands."""
    return {place.mention.source for place in candidate.places}


def _words_before(candidate: Candidate) -> set[tuple[str, ...]]:
    return {p.mention.before for p in candidate.places if p.mention.role in ("user", "assistant")}


def _names(slot: Slot, candidate: Candidate, sources: set[str]) -> set[str]:
    """What is counted of a candidate."""
    name = slot.argument.name
    looks = candidate.shape
    found = {f"shape {slot.key} {looks}", f"shape {name} {looks}"} if candidate.key else set()
    for source in sources:
        found |= {f"source {slot.key} {source}", f"source {name} {source}"}
    for before in _words_before(candidate):
        if before:
            found |= {f"word {name} {before[-1]}", f"words {name} {' '.join(before[-2:])}"}
    return found
