"""How often something has been right: counts by name, with any fold left out.

A value's source, shape or neighbour words say much about whether it is the argument that is
wanted. In training every rate is taken without the fold of the example that it is a feature of;
otherwise each right value would vouch for itself, and nothing would hold on new conversations.
Folds hold many conversations each: a rate without a single one would be a little less wherever that
one had a hit, and trees find that out (target encoding; Micci-Barreca 2001).
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping

Counts = dict[str, tuple[int, int]]


class Rates:
    """Smoothed shares of hits by key."""

    def __init__(self, counts: Mapping[str, tuple[int, int]] | None = None) -> None:
        """``counts`` are (hits, seen) by key."""
        self._hits: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._own: dict[int | None, Counter[tuple[str, bool]]] = defaultdict(Counter)
        for key, (hits, seen) in (counts or {}).items():
            self._hits[key], self._seen[key] = hits, seen

    def add(self, fold: int | None, keys: Iterable[str], hit: bool) -> None:
        """Count one observation of each key, in a conversation."""
        own = self._own[fold]
        for key in keys:
            self._seen[key] += 1
            self._hits[key] += hit
            own[key, False] += 1
            own[key, True] += hit

    def rate(self, key: str, prior: float, weight: float, without: int | None = None) -> float:
        """Share of hits, drawn towards ``prior`` as by ``weight`` more observations."""
        seen, hits = self._seen[key], self._hits[key]
        if without is not None and seen:
            own = self._own[without]
            seen, hits = seen - own[key, False], hits - own[key, True]
        return (hits + prior * weight) / (seen + weight)

    def seen(self, key: str, without: int | None = None) -> int:
        """Number of observations."""
        own = self._own[without][key, False] if without is not None and self._seen[key] else 0
        return self._seen[key] - own

    def hits(self, key: str, without: int | None = None) -> int:
        """Number of hits."""
        own = self._own[without][key, True] if without is not None and self._hits[key] else 0
        return self._hits[key] - own

    def starting(self, start: str) -> list[str]:
        """The keys that were ever a hit and start so."""
        return [key for key, hits in self._hits.items() if hits and key.startswith(start)]

    def settle(self, least: int = 2) -> None:
        """Forget the folds, and what was seen fewer than ``least`` times: it says little, and a
        model's file should not hold what one person said."""
        self._own.clear()
        for key in [key for key, seen in self._seen.items() if seen < least]:
            self._seen.pop(key), self._hits.pop(key, 0)

    def counts(self) -> Counts:
        """(hits, seen) of every key, for a file."""
        return {key: (self._hits[key], seen) for key, seen in sorted(self._seen.items())}


class Constants:
    """Values that a slot had in several conversations, whatever these stated.

    A value of a single conversation is not kept: it would seldom come again, and a model's file
    should not hold what one person said.
    """

    LEAST = 2

    def __init__(self, counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
        """``counts``: of each slot and value, in how many conversations."""
        self._counts = {slot: dict(values) for slot, values in (counts or {}).items()}
        self._groups: dict[tuple[str, str], dict[Hashable, int | None]] = defaultdict(dict)

    def add(self, slot: str, key: str, group: Hashable, fold: int | None) -> None:
        """A slot had this value, as canonical JSON text, in a conversation, which is in a fold."""
        if group not in self._groups[slot, key]:
            self._groups[slot, key][group] = fold
            values = self._counts.setdefault(slot, {})
            values[key] = values.get(key, 0) + 1

    def often(self, slot: str, without: int | None = None) -> list[str]:
        """The values that it had in at least two conversations outside that fold."""
        return [key for key in self._counts.get(slot, ()) if self._count(slot, key, without)]

    def share(self, slot: str, key: str, without: int | None = None) -> float:
        """In which share of the conversations it had this value (several may be in one)."""
        total = sum(self._counts.get(slot, {}).values())
        return self._count(slot, key, without) / total if total else 0.0

    def settle(self) -> None:
        """Forget the folds and the values of a single conversation."""
        self._groups.clear()
        self._counts = {
            slot: {key: n for key, n in values.items() if n >= self.LEAST}
            for slot, values in self._counts.items()
        }

    def counts(self) -> dict[str, dict[str, int]]:
        """For a file."""
        return {slot: dict(sorted(values.items())) for slot, values in sorted(self._counts.items())}

    def _count(self, slot: str, key: str, without: int | None) -> int:
        count = self._counts.get(slot, {}).get(key, 0)
        if without is not None:
            count -= sum(fold == without for fold in self._groups[slot, key].values())
        return count if count >= self.LEAST else 0
