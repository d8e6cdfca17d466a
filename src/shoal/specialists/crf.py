"""A linear-chain conditional random field over words (Lafferty, McCallum & Pereira 2001).

Scores of a tag: sparse indicators of a word's spelling and its neighbours', and dense states of the
word, its neighbours and the text; transitions between tags are learned with them. Trained by
stochastic gradients, AdaGrad for the sparse part (Duchi, Hazan & Singer 2011: rare features keep
great steps) and Adam for the dense (Kingma & Ba 2015), steps shrinking to 0. Batches hold texts of
one length, so nothing is padded. Spellings that only one text has are left out: they would tell
that text by heart.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.specialists.chain import expectations, factors
from shoal.specialists.words import Words

Floats = NDArray[np.float32]

STATE_SCALE = np.float32(3)
SPARSE_VALUE = np.float32(0.3)
SPARSE_RATE, DENSE_RATE = 0.3, 0.001
BATCH = 16  # texts a step
LEAST_STEPS = 1_500
LEAST_ROUNDS, MOST_ROUNDS = 5, 20  # over all texts


class Tagged(NamedTuple):
    """A text's words and their tags (w,)."""

    words: Words
    tags: NDArray[np.intp]


class Crf:
    """``codes`` (v,) sorted hashes of the known spellings, ``sparse`` (v, y) their weights,
    ``dense`` (4 d + 1, y) those of the states, ``transitions`` (y, y) from tag to tag."""

    def __init__(
        self, codes: NDArray[np.int64], sparse: Floats, dense: Floats, transitions: Floats
    ) -> None:
        self.codes, self.sparse, self.dense = codes, sparse, dense
        self.transitions = transitions

    @classmethod
    def train(cls, examples: Sequence[Tagged], tags: int) -> "Crf":
        """Fit tagged texts with at least one word among them; always the same from the same."""
        known = [example for example in examples if len(example.tags)]
        return _Training(known, tags).run()

    def scores(self, words: Words) -> Floats:
        """Scores (w, y) of the tags of each word."""
        rows = _indicators([words], self.codes)
        return np.asarray(rows @ self.sparse + _states([words]) @ self.dense)

    def arrays(self) -> dict[str, Any]:
        """All numbers, by name, for a safetensors file."""
        return {
            "codes": self.codes,
            "sparse": self.sparse,
            "dense": self.dense,
            "transitions": self.transitions,
        }

    @classmethod
    def restore(cls, arrays: dict[str, Any], tags: int) -> "Crf":
        """Of ``arrays()``, for so many tags. Raises ArtifactError if they do not fit."""
        crf = cls(arrays["codes"], arrays["sparse"], arrays["dense"], arrays["transitions"])
        shapes = crf.sparse.shape, crf.dense.shape[1:], crf.transitions.shape
        if shapes != ((len(crf.codes), tags), (tags,), (tags, tags)):
            raise ArtifactError("the specialist's keys and weights differ: train it again")
        return crf


class _Adam:
    """Adam over one array, in place."""

    def __init__(self, weights: Floats) -> None:
        self.weights = weights
        self._mean, self._square = np.zeros_like(weights), np.zeros_like(weights)
        self._steps = 0

    def step(self, gradient: Floats, rate: float) -> None:
        self._steps += 1
        self._mean += np.float32(0.1) * (gradient - self._mean)
        self._square += np.float32(0.01) * (gradient * gradient - self._square)
        rate *= np.sqrt(1 - 0.99**self._steps) / (1 - 0.9**self._steps)
        self.weights -= np.float32(rate) * self._mean / (np.sqrt(self._square) + np.float32(1e-8))


class _Training:
    """One run: its texts, the weights so far and the optimisers' memory."""

    def __init__(self, examples: Sequence[Tagged], tags: int) -> None:
        self._examples, self._tags = examples, tags
        codes = _shared_codes([example.words for example in examples])
        width = 4 * examples[0].words.states.shape[1] + 1
        self._crf = Crf(
            codes,
            np.zeros((len(codes), tags), np.float32),
            np.zeros((width, tags), np.float32),
            np.zeros((tags, tags), np.float32),
        )
        self._squares = np.full((len(codes), tags), 1e-6, np.float32)
        self._dense, self._transitions = _Adam(self._crf.dense), _Adam(self._crf.transitions)
        self._columns = [np.searchsorted(codes, example.words.codes) for example in examples]
        self._known = [
            _is_known(codes, columns, example.words.codes)
            for columns, example in zip(self._columns, examples, strict=True)
        ]

    def run(self) -> Crf:
        rng = np.random.default_rng(0)
        batches = sum(1 for _ in self._batches(rng))
        rounds = int(np.clip(round(LEAST_STEPS / batches), LEAST_ROUNDS, MOST_ROUNDS))
        done, total = 0, rounds * batches
        for _ in range(rounds):
            for batch in self._batches(rng):
                self._step(batch, 1 - done / total)
                done += 1
        return self._crf

    def _batches(self, rng: np.random.Generator) -> Iterator[list[int]]:
        """Numbers of texts of one length, in an order drawn anew."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for i in rng.permutation(len(self._examples)):
            by_length[len(self._examples[i].tags)].append(int(i))
        found = [
            rows[at : at + BATCH]
            for rows in by_length.values()
            for at in range(0, len(rows), BATCH)
        ]
        yield from (found[i] for i in rng.permutation(len(found)))

    def _step(self, batch: list[int], share: float) -> None:
        words = [self._examples[i].words for i in batch]
        rows, used = self._rows(batch)
        states = _states(words)
        crf, shape = self._crf, (len(batch), -1, self._tags)
        scores = (rows @ crf.sparse[used] + states @ crf.dense).reshape(shape)
        expected = expectations(scores.transpose(1, 0, 2), factors(crf.transitions))
        tags = np.stack([self._examples[i].tags for i in batch])
        surplus = expected.tags.transpose(1, 0, 2).copy()  # (b, n, y): expected - observed
        np.put_along_axis(
            surplus,
            tags[:, :, None],
            np.take_along_axis(surplus, tags[:, :, None], 2) - 1,
            2,
        )
        surplus = surplus.reshape(-1, self._tags) / np.float32(len(batch))
        steps = expected.transitions
        np.subtract.at(steps, (tags[:, :-1], tags[:, 1:]), 1)
        gradient = rows.T @ surplus
        self._squares[used] += gradient * gradient
        crf.sparse[used] -= (
            np.float32(SPARSE_RATE * share) * gradient / np.sqrt(self._squares[used])
        )
        self._dense.step(states.T @ surplus, DENSE_RATE * share)
        self._transitions.step(steps / np.float32(len(batch)), DENSE_RATE * share)

    def _rows(self, batch: list[int]) -> tuple[Any, NDArray[np.intp]]:
        """Indicators (words of the batch, u) and the u columns that they are of."""
        counts = [
            np.add.reduceat(np.append(self._known[i], False).astype(np.intp), p[:-1])
            for i in batch
            for p in (self._examples[i].words.pointers,)
        ]
        columns = np.concatenate([self._columns[i][self._known[i]] for i in batch])
        used, places = np.unique(columns, return_inverse=True)
        pointers = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        values = np.full(len(columns), SPARSE_VALUE, np.float32)
        return sp.csr_matrix((values, places, pointers), (len(pointers) - 1, len(used))), used


def _shared_codes(texts: Sequence[Words]) -> NDArray[np.int64]:
    """Codes that at least two of the texts have, sorted."""
    each = [np.unique(words.codes) for words in texts]
    codes, counts = np.unique(np.concatenate(each), return_counts=True)
    return codes[counts > 1]


def _is_known(
    codes: NDArray[np.int64], columns: NDArray[np.intp], wanted: NDArray[np.int64]
) -> NDArray[np.bool_]:
    if not len(codes):
        return np.zeros(len(wanted), np.bool_)
    return np.asarray(codes[np.minimum(columns, len(codes) - 1)] == wanted)


def _indicators(texts: Sequence[Words], codes: NDArray[np.int64]) -> Any:
    """CSR (words, v) of SPARSE_VALUE where a word has a known spelling."""
    wanted = np.concatenate([words.codes for words in texts])
    columns = np.searchsorted(codes, wanted)
    known = _is_known(codes, columns, wanted)
    row_of = np.repeat(
        np.arange(sum(len(words.offsets) for words in texts)),
        np.concatenate([np.diff(words.pointers) for words in texts]),
    )
    shape = (sum(len(words.offsets) for words in texts), len(codes))
    values = np.full(int(known.sum()), SPARSE_VALUE, np.float32)
    return sp.csr_matrix((values, (row_of[known], columns[known])), shape)


def _states(texts: Sequence[Words]) -> Floats:
    """(words, 4 d + 1): a word's state, that of the word before and after, the text's, a 1."""
    parts = []
    for words in texts:
        count, dim = words.states.shape
        part = np.zeros((count, 4 * dim + 1), np.float32)
        part[:, :dim] = words.states
        part[1:, dim : 2 * dim] = words.states[:-1]
        part[:-1, 2 * dim : 3 * dim] = words.states[1:]
        part[:, 3 * dim : 4 * dim] = words.mean
        part *= STATE_SCALE
        part[:, -1] = 1
        parts.append(part)
    return np.concatenate(parts)
