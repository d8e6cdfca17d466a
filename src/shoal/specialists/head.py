"""A head: one categorical part of an output (the label, or one JSON field) as columns of scores."""

import re
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.tasks.contract import Scalar

_BETWEEN = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]{3}")  # shorter ones are codes

Floats = NDArray[np.float32]


class Head(Struct, frozen=True):
    """``values`` are the k values it decides between; None stands for a field without a value."""

    name: str
    values: tuple[Scalar, ...]

    def targets(self, wanted: Sequence[Scalar]) -> Floats:
        """(n, k) of 1 for the wanted value and -1 elsewhere; a row without 1 where the wanted value
        is none of ``values``, so that its like gets a small margin."""
        column = {_key(value): i for i, value in enumerate(self.values)}
        targets = np.full((len(wanted), len(self.values)), -1, dtype=np.float32)
        for row, value in enumerate(wanted):
            if _key(value) in column:
                targets[row, column[_key(value)]] = 1
        return targets

    def told(self) -> list[tuple[int, str]]:
        """The column and the words of each value whose name says something: "card_arrival" is read
        as "card arrival"."""
        words = ((i, _words(value)) for i, value in enumerate(self.values))
        return [(i, text) for i, text in words if text]

    def decide(self, scores: Floats) -> tuple[NDArray[np.intp], Floats]:
        """From scores (n, k): index of the best value (n,), and its margin over the next (n,)."""
        if scores.shape[1] == 1:
            return np.zeros(len(scores), np.intp), scores[:, 0] + 1
        two_best = np.partition(scores, -2, axis=1)[:, -2:]
        return scores.argmax(axis=1), two_best[:, 1] - two_best[:, 0]


def _words(value: Scalar) -> str:
    if not isinstance(value, str):
        return ""
    text = _BETWEEN.sub(" ", _CAMEL.sub(" ", value)).strip().lower()
    return text if _WORD.search(text) else ""


def _key(value: Scalar) -> tuple[type, Scalar]:
    """True and 1.0 are different values, though Python calls them equal."""
    return type(value), value
