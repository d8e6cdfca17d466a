"""A promise over calls that must hold over distinct inputs as well.

The same input sent twice, by a client that tries again, is no second piece of evidence.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.guarantees import Refusal, Selection

Rows = NDArray[np.intp]


def once(texts: Sequence[str]) -> Rows:
    """Row numbers: each of the n texts once, where it came first."""
    return np.array([*{text: row for row, text in reversed([*enumerate(texts)])}.values()], np.intp)


def select_twice(
    choose: Callable[[Rows], Selection | Refusal], texts: Sequence[str]
) -> Selection | Refusal:
    """The stricter choice of those that ``choose`` makes among all rows of n texts, and among those
    where a text comes first; a refusal if it refuses one of them."""
    every, first = np.arange(len(texts)), once(texts)
    found = choose(every)
    if len(first) == len(every) or isinstance(found, Refusal):
        return found
    distinct = choose(first)
    looser = isinstance(distinct, Selection) and distinct.threshold < found.threshold
    return found if looser else distinct
