"""Which pairs are left out together, by whether records come again as time goes on.

A pair that is left out is judged by trees that know the other pairs of its records. A new call is
not, where it brings a new record: an offer beside the products of a catalogue, all its pairs within
a minute, and never again. What is left out must then be left out with all pairs of that record.

Whether a side's records come again is read off the order of time: as large a share of the latest
pairs must have a record known from the earlier ones as would if the order were drawn at random.
That also holds, with a share of none, where each record is in one pair. Pairs in an order that is
not that of time look as if their records came again.
"""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

MARGIN = 0.05
"""Share of pairs by which known records may be fewer than in an order drawn at random, or twice
what such a share varies by if that is more: a promise may be broken as often without being broken
on the whole."""

_DRAWS = 50
_GREATEST = 0.5  # share of the pairs that one group of both sides may hold

Keys = tuple[str, str]


def groups_of(keys: Sequence[Keys]) -> list[Hashable]:
    """The groups (n,) of pairs (n,) by the keys of their left and right records, in order of time.

    Equal pairs where the records of both sides come again; all pairs of a left record, or of a
    right one, where those do not; where neither does, all pairs that hang together by a record, or
    of a left record if such a group would hold over half of the pairs.
    """
    distinct = list(dict.fromkeys(keys))
    new = [not come_again([pair[side] for pair in distinct]) for side in (0, 1)]
    if not any(new):
        return list(keys)
    if all(new):
        together = _together(distinct)
        found = [together[pair] for pair in keys]
        if max(Counter(found).values()) <= _GREATEST * len(keys):
            return list[Hashable](found)
    side = new.index(True)
    return [pair[side] for pair in keys]


def by_left(keys: Sequence[Keys]) -> list[Hashable]:
    """All pairs of a left record are a group, whatever their order."""
    return [left for left, _ in keys]


def come_again(records: Sequence[str]) -> bool:
    """Whether the records of one side, by their keys in order of time, come again in later pairs
    as they would in an order drawn at random."""
    _, numbers = np.unique(list(records), return_inverse=True)
    random = np.random.default_rng(0)
    drawn = [_known(random.permutation(numbers)) for _ in range(_DRAWS)]
    return bool(_known(numbers) >= np.mean(drawn) - max(MARGIN, 2 * float(np.std(drawn))))


def _known(numbers: np.ndarray) -> float:
    """The share of the last third that stands in the first two thirds, too."""
    first = len(numbers) - len(numbers) // 3
    later = numbers[first:]
    return float(np.isin(later, numbers[:first]).mean()) if len(later) else 0.0


def _together(pairs: Sequence[Keys]) -> dict[Keys, str]:
    """Names of the parts of the graph of which the pairs are the edges: the least key in each."""
    parent: dict[str, str] = {}

    def root(record: str) -> str:
        while (above := parent.setdefault(record, record)) != record:
            parent[record] = parent[above]
            record = parent[record]
        return record

    for left, right in pairs:
        first, second = sorted((root(left), root(right)))
        parent[second] = first
    return {pair: root(pair[0]) for pair in pairs}
