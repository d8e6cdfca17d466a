"""Scores of a grouping against the true one: purity and normalised mutual information."""

import math
from collections import Counter
from collections.abc import Sequence

Pairs = Sequence[tuple[str, str]]
"""For each call its true group and the group it was given."""


def purity(pairs: Pairs) -> float:
    """Share of pairs whose true group is the commonest of the given group."""
    by_given: dict[str, Counter[str]] = {}
    for true, given in pairs:
        by_given.setdefault(given, Counter())[true] += 1
    return sum(max(counts.values()) for counts in by_given.values()) / max(1, len(pairs))


def nmi(pairs: Pairs) -> float:
    """Mutual information of the two groupings over the mean of their entropies."""
    total = len(pairs)
    joint = Counter(pairs)
    true, given = Counter(t for t, _ in pairs), Counter(g for _, g in pairs)
    mutual = sum(
        n / total * math.log(n * total / (true[t] * given[g])) for (t, g), n in joint.items()
    )
    mean = (entropy(true) + entropy(given)) / 2
    return mutual / mean if mean else 1.0


def entropy(counts: Counter[str]) -> float:
    """Entropy in nats."""
    total = counts.total()
    return -sum(n / total * math.log(n / total) for n in counts.values())
