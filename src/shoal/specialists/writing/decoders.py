"""Several decoders over one encoder, one step of all of them at a time, without torch.

Each decoder is an LSTM (Hochreiter & Schmidhuber 1997) over what was written so far, attention over
the input's words, a second LSTM over both, attention again, and one softmax over the units of the
vocabulary and the input's words (See et al. 2017, Gu et al. 2016); a word may be copied in several
forms. Weights are stacked: the first axis of every array is the decoder, k of them. The
distribution of the next unit is the mean of theirs.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.specialists.writing.pieces import FORMS, Source
from shoal.specialists.writing.vocabulary import START, Vocabulary

Floats = NDArray[np.float32]

SHAPES: dict[str, tuple[str, ...]] = {
    "embedding": ("k", "v", "e"),
    "memory": ("k", "n", "d"),
    "begin": ("k", "n", "g"),
    "read": ("k", "d", "e"),
    "first": ("k", "e+d", "q"),
    "first_bias": ("k", "q"),
    "second": ("k", "d+d+d", "q"),
    "second_bias": ("k", "q"),
    "look_first": ("k", "d", "d"),
    "look_second": ("k", "d", "d"),
    "out": ("k", "d+d+d", "o"),
    "out_bias": ("k", "o"),
    "units": ("k", "o", "v"),
    "units_bias": ("k", "v"),
    "point": ("k", "o", "d"),
    "forms": ("k", "o", "f"),
}
"""The arrays of k decoders: v units, n an encoder's state, e an embedding, d a hidden state, q = 4d
the gates, g = 2d both first hidden states, o what is read off, f the forms of a copy."""


class Hidden(NamedTuple):
    """The states of both LSTMs, each (k, b, d)."""

    h1: Floats
    c1: Floats
    h2: Floats
    c2: Floats

    def rows(self, rows: NDArray[np.intp]) -> "Hidden":
        """Those of some hypotheses, in that order."""
        return Hidden(*(each[:, rows] for each in self))


class Page(NamedTuple):
    """One input, ready to be written from: ``memory`` (k, s, d) of its words; the ``pieces`` that
    copies may write, with for each its id, beyond the vocabulary's if it is no unit; ``order`` and
    ``starts`` group the s * f copies by piece; ``reads`` (pieces, s) says which words a piece may
    have been copied from."""

    memory: Floats
    pieces: tuple[str, ...]
    ids: NDArray[np.intp]
    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    reads: Floats


class Decoders:
    """``arrays`` as ``SHAPES`` has them."""

    def __init__(self, arrays: dict[str, Any], vocabulary: Vocabulary) -> None:
        missing = SHAPES.keys() - arrays.keys()
        if missing:
            raise ArtifactError(f"the writer's files lack {', '.join(sorted(missing))}")
        self._w = {name: np.ascontiguousarray(arrays[name], np.float32) for name in SHAPES}
        self.vocabulary = vocabulary
        self.count, units, _ = self._w["embedding"].shape
        if units != len(vocabulary) or self._w["forms"].shape[2] != FORMS:
            raise ArtifactError("the writer's vocabulary and its arrays differ: train it again")

    def page(self, source: Source, states: Floats) -> tuple[Page, Hidden]:
        """From an input and its words' states (s, n) to where writing begins, one hypothesis."""
        w, known = self._w, self.vocabulary.pieces
        memory = np.tanh(states @ w["memory"])
        begin = np.tanh(states.mean(axis=0, keepdims=True) @ w["begin"])  # (k, 1, 2d)
        h1, h2 = np.split(begin, 2, axis=2)
        pieces = tuple(source.places)
        group = np.empty(len(source) * FORMS, np.intp)
        reads = np.zeros((len(pieces), len(source)), np.float32)
        for at, piece in enumerate(pieces):
            for word, form in source.places[piece]:
                group[word * FORMS + form] = at
                reads[at, word] = 1
        reads /= np.maximum(reads.sum(axis=1, keepdims=True), 1)
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(len(pieces)))
        beyond = iter(range(len(self.vocabulary), len(self.vocabulary) + len(pieces)))
        ids = np.array([known[p] if p in known else next(beyond) for p in pieces], np.intp)
        zero = np.zeros_like(h1)
        return Page(memory, pieces, ids, order, starts, reads), Hidden(h1, zero, h2, zero)

    def step(
        self, page: Page, hidden: Hidden, ids: NDArray[np.intp], read: Floats
    ) -> tuple[Floats, Hidden]:
        """What comes next after ``ids`` (b,), END for a piece that is no unit, read from words with
        weights ``read`` (b, s): probabilities (k, b, units and pieces beyond), and states."""
        w, memory = self._w, page.memory
        x = w["embedding"][:, ids] + np.asarray(read @ memory @ w["read"], np.float32)
        h1, c1 = _cell(x, hidden.h1, hidden.c1, w["first"], w["first_bias"])
        seen1 = _attend(h1 @ w["look_first"], memory)
        h2, c2 = _cell(
            np.concatenate([h1, seen1], 2), hidden.h2, hidden.c2, w["second"], w["second_bias"]
        )
        seen2 = _attend(h2 @ w["look_second"], memory)
        out = np.tanh(np.concatenate([h2, seen1, seen2], 2) @ w["out"] + w["out_bias"][:, None])
        return self._distribution(page, out), Hidden(h1, c1, h2, c2)

    def _distribution(self, page: Page, out: Floats) -> Floats:
        w = self._w
        k, b, _ = out.shape
        units = out @ w["units"] + w["units_bias"][:, None]
        units[:, :, START] = -1e9  # as in training: nothing goes on to where it began
        scale = math.sqrt(page.memory.shape[2])  # numpy's own would widen all to float64
        copies = (out @ w["point"]) @ page.memory.transpose(0, 2, 1) / scale
        both = _softmax(np.concatenate([units, copies], 2))
        size = units.shape[2]
        beyond = max(size, int(page.ids.max(initial=-1)) + 1)
        found = np.zeros((k, b, beyond), np.float32)
        found[:, :, :size] = both[:, :, :size]
        if len(page.pieces):
            form = _softmax(out @ w["forms"])
            each = (both[:, :, size:, None] * form[:, :, None, :]).reshape(k, b, -1)
            found[:, :, page.ids] += np.add.reduceat(each[:, :, page.order], page.starts, axis=2)
        return found


def _cell(x: Floats, h: Floats, c: Floats, weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """One step of an LSTM; gates in torch's order: input, forget, cell, output."""
    gates = np.concatenate([x, h], 2) @ weight + bias[:, None]
    d = h.shape[2]
    keep = 0.5 * np.tanh(0.5 * gates) + 0.5  # the logistic function
    c = keep[:, :, d : 2 * d] * c + keep[:, :, :d] * np.tanh(gates[:, :, 2 * d : 3 * d])
    return keep[:, :, 3 * d :] * np.tanh(c), c


def _attend(query: Floats, memory: Floats) -> Floats:
    """(k, b, d): for each query (k, b, d) the mean of the memory (k, s, d), weighted by fit."""
    if memory.shape[1] == 0:
        return np.zeros_like(query)
    scores = query @ memory.transpose(0, 2, 1) / math.sqrt(memory.shape[2])
    return np.asarray(_softmax(scores) @ memory)


def _softmax(scores: Floats) -> Floats:
    found = np.exp(scores - scores.max(axis=2, keepdims=True))
    return np.asarray(found / found.sum(axis=2, keepdims=True))
