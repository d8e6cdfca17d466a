"""A linear chain of tags: which may follow which, the best path, and probabilities of paths.

Tag 0 is outside; key k (0-based) has the tags 1 + 2k (begin) and 2 + 2k (inside). An inside follows
its own begin or inside only (BIO; Ramshaw & Marcus 1995). What it does not know: where the scores
come from.

Recursions run over probabilities, each step scaled to sum to 1, so that a step is one matrix
product (Rabiner 1989, section V.A).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Expectations(NamedTuple):
    """For b texts of n words: the probability of each tag (n, b, y), the expected number of each
    transition over all texts (y, y), and the log of the sum over paths (b,)."""

    tags: Floats
    transitions: Floats
    log_sum: NDArray[np.float64]


@lru_cache(maxsize=64)
def follows(tags: int) -> NDArray[np.bool_]:
    """(y, y): whether the second tag may follow the first."""
    allowed = np.ones((tags, tags), dtype=np.bool_)
    for inside in range(2, tags, 2):
        allowed[:, inside] = False
        allowed[[inside - 1, inside], inside] = True
    allowed.flags.writeable = False  # it is shared
    return allowed


def factors(transitions: Floats) -> Floats:
    """exp of the transitions (y, y), 0 where a tag may not follow."""
    allowed = follows(len(transitions))
    return np.where(allowed, np.exp(transitions), 0).astype(np.float32)


def best_path(scores: Floats, transitions: Floats | None = None) -> NDArray[np.intp]:
    """Tags (t,) with the greatest sum of scores (t, y) and transitions (Viterbi 1967)."""
    count = scores.shape[1]
    through_to = np.zeros((count, count)) if transitions is None else transitions
    through_to = np.where(follows(count), through_to, -np.inf)  # from, to
    total = scores[0].astype(np.float64)
    total[2::2] = -np.inf
    came = np.zeros(scores.shape, dtype=np.intp)
    for row in range(1, len(scores)):
        through = total[:, None] + through_to
        came[row] = through.argmax(axis=0)
        total = through.max(axis=0) + scores[row]
    path = np.empty(len(scores), dtype=np.intp)
    path[-1] = total.argmax()
    for row in range(len(scores) - 1, 0, -1):
        path[row - 1] = came[row, path[row]]
    return path


def expectations(scores: Floats, factor: Floats) -> Expectations:
    """Forward and backward over scores (n, b, y) (Lafferty, McCallum & Pereira 2001)."""
    most = scores.max(axis=2, keepdims=True)
    weights = np.exp(scores - most)
    weights[0, :, 2::2] = 0
    ahead, behind = np.empty_like(weights), np.ones_like(weights)
    sums = np.empty(scores.shape[:2], dtype=np.float32)
    for row in range(len(scores)):
        reached = weights[row] if row == 0 else (ahead[row - 1] @ factor) * weights[row]
        sums[row] = reached.sum(axis=1)
        ahead[row] = reached / sums[row][:, None]
    steps = np.zeros_like(factor)
    for row in range(len(scores) - 1, 0, -1):
        onward = weights[row] * behind[row] / sums[row][:, None]
        steps += ahead[row - 1].T @ onward
        behind[row - 1] = onward @ factor.T
    log_sum = (most[:, :, 0] + np.log(sums)).sum(axis=0, dtype=np.float64)
    return Expectations(ahead * behind, steps * factor, log_sum)


def log_sums(scores: Floats, factor: Floats, open_to: NDArray[np.bool_]) -> NDArray[np.float64]:
    """log of the sum over paths through scores (n, y) that stay within each of k masks (k, n, y);
    (k,), -inf where there is none."""
    most = scores.max(axis=1)
    weights = np.exp(scores - most[:, None])
    total = np.full(len(open_to), float(most.sum()))
    reached = weights[0] * open_to[:, 0]
    reached[:, 2::2] = 0
    for row in range(len(scores)):
        if row:
            reached = (reached @ factor) * weights[row] * open_to[:, row]
        size = reached.sum(axis=1)
        with np.errstate(divide="ignore"):
            total += np.log(size)
        reached = reached / np.maximum(size, np.float32(1e-30))[:, None]
    return total


def runs(path: NDArray[np.intp]) -> list[tuple[int, int, int]]:
    """(key, first, after the last) of each begin and the insides that follow it."""
    found = []
    for first in np.flatnonzero(path % 2 == 1):
        after = first + 1
        while after < len(path) and path[after] == path[first] + 1:
            after += 1
        found.append((int(path[first] - 1) // 2, int(first), int(after)))
    return found


def tags_in(
    offsets: NDArray[np.int32], places: list[tuple[int, tuple[int, int]]]
) -> NDArray[np.intp]:
    """Tags (t,) of the tokens at offsets (t, 2) that lie in places, each of (key, its place)."""
    tags = np.zeros(len(offsets), dtype=np.intp)
    for key, (start, end) in places:
        covered = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
        tags[covered] = 2 + 2 * key
        tags[covered[:1]] = 1 + 2 * key
    return tags
