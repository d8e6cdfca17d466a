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

from shoal.errors import ArtifactError, LearningError
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
    """``codes`` (v,) sorted hashes of the known spellings, ``sparse`` (v, y) their weights;
    ``near`` (d, 3 y) the weights of the states of a word and of the words before and after it;
    ``whole`` (d + 1, y) those of the text's state and of a 1; ``transitions`` (y, y) from tag to
    tag."""

    def __init__(
        self,
        codes: NDArray[np.int64],
        sparse: Floats,
        near: Floats,
        whole: Floats,
        transitions: Floats,
    ) -> None:
        self.codes, self.sparse, self.near, self.whole = codes, sparse, near, whole
        self.transitions = transitions

    @classmethod
    def train(cls, examples: Sequence[Tagged], tags: int) -> "Crf":
        """Fit tagged texts, with at least one word among them; always the same from the same.

        Raises:
            LearningError: none has a word.
        """
        known = [example for example in examples if len(example.tags)]
        if not known:
            raise LearningError("none of the inputs has a word: nothing to learn")
        return _Training(known, tags).run()

    def scores(self, words: Words) -> Floats:
        """Scores (w, y) of the tags of each word."""
        spelled = _Spelled.of(words, self.codes)
        rows = _indicators([spelled], spelled.columns, len(self.codes))
        dense = _dense_scores(_Dense.of([words]), self.near, self.whole)
        return np.asarray(rows @ self.sparse + dense[0])

    def arrays(self) -> dict[str, Any]:
        """All numbers, by name, for a safetensors file."""
        return {
            "codes": self.codes,
            "sparse": self.sparse,
            "near": self.near,
            "whole": self.whole,
            "transitions": self.transitions,
        }

    @classmethod
    def restore(cls, arrays: dict[str, Any], tags: int) -> "Crf":
        """Of ``arrays()``, for so many tags. Raises ArtifactError if they do not fit."""
        names = ("codes", "sparse", "near", "whole", "transitions")
        crf = cls(*(arrays[name] for name in names))
        found = [arrays[name].shape for name in names]
        dim = len(crf.near)
        expected = [(len(crf.codes),), (len(crf.codes), tags), (dim, 3 * tags), (dim + 1, tags)]
        if found != [*expected, (tags, tags)]:
            raise ArtifactError("the specialist's keys and weights differ: train it again")
        return crf


class _Spelled(NamedTuple):
    """The known spellings of a text's words: their columns, and how many each word has (w,)."""

    columns: NDArray[np.intp]
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, words: Words, codes: NDArray[np.int64]) -> "_Spelled":
        columns = np.searchsorted(codes, words.codes)
        known = np.zeros(len(columns) + 1, np.bool_)  # one more, for words without a code
        if len(codes):
            known[:-1] = codes[np.minimum(columns, len(codes) - 1)] == words.codes
        sums = np.concatenate([[0], np.cumsum(known)])
        counts = sums[words.pointers[1:]] - sums[words.pointers[:-1]]
        return cls(columns[known[:-1]], counts)


class _Dense(NamedTuple):
    """States of b texts of n words (b, n, d), and of the texts themselves with a 1 (b, d + 1)."""

    states: Floats
    whole: Floats

    @classmethod
    def of(cls, texts: Sequence[Words]) -> "_Dense":
        whole = np.stack([words.mean for words in texts]) * STATE_SCALE
        ones = np.ones((len(texts), 1), np.float32)
        states = np.stack([words.states for words in texts]) * STATE_SCALE
        return cls(states, np.hstack([whole, ones]))


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
        dim = examples[0].words.states.shape[1]
        shapes = (len(codes), tags), (dim, 3 * tags), (dim + 1, tags), (tags, tags)
        self._crf = Crf(codes, *(np.zeros(shape, np.float32) for shape in shapes))
        self._squares = np.full((len(codes), tags), 1e-6, np.float32)
        self._near, self._whole = _Adam(self._crf.near), _Adam(self._crf.whole)
        self._transitions = _Adam(self._crf.transitions)
        self._spelled = [_Spelled.of(example.words, codes) for example in examples]

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
        """Down the gradient of the batch's mean negative log-likelihood, at a share of the rates:
        the model's expectations minus what was observed, times the features."""
        crf = self._crf
        spelled = [self._spelled[i] for i in batch]
        used, places = np.unique(np.concatenate([s.columns for s in spelled]), return_inverse=True)
        rows = _indicators(spelled, places, len(used))
        weights = crf.sparse[used]
        dense = _Dense.of([self._examples[i].words for i in batch])
        scores = _dense_scores(dense, crf.near, crf.whole)  # (b, n, y)
        scores += (rows @ weights).reshape(scores.shape)
        expected = expectations(scores.transpose(1, 0, 2), factors(crf.transitions))
        tags = np.stack([self._examples[i].tags for i in batch])
        surplus = np.ascontiguousarray(expected.tags.transpose(1, 0, 2))
        surplus.reshape(-1, self._tags)[np.arange(tags.size), tags.ravel()] -= 1
        surplus /= np.float32(len(batch))
        np.subtract.at(expected.transitions, (tags[:, :-1], tags[:, 1:]), 1)
        gradient = rows.T @ surplus.reshape(-1, self._tags)
        squares = self._squares[used] + gradient * gradient
        self._squares[used] = squares
        crf.sparse[used] = weights - np.float32(SPARSE_RATE * share) * gradient / np.sqrt(squares)
        near, whole = _dense_gradients(dense, surplus)
        self._near.step(near, DENSE_RATE * share)
        self._whole.step(whole, DENSE_RATE * share)
        self._transitions.step(expected.transitions / np.float32(len(batch)), DENSE_RATE * share)


def _shared_codes(texts: Sequence[Words]) -> NDArray[np.int64]:
    """Codes that at least two of the texts have, sorted."""
    each = [np.unique(words.codes) for words in texts]
    codes, counts = np.unique(np.concatenate(each), return_counts=True)
    return codes[counts > 1]


def _indicators(spelled: Sequence[_Spelled], places: NDArray[np.intp], width: int) -> Any:
    """CSR (words, width) of SPARSE_VALUE at the places of each word's spellings."""
    pointers = np.concatenate([[0], np.cumsum(np.concatenate([s.counts for s in spelled]))])
    values = np.full(len(places), SPARSE_VALUE, np.float32)
    return sp.csr_matrix((values, places, pointers), (len(pointers) - 1, width))


def _dense_scores(dense: _Dense, near: Floats, whole: Floats) -> Floats:
    """Scores (b, n, y) of the states: each word's own, its neighbours' and its text's."""
    tags = whole.shape[1]
    parts = dense.states @ near  # (b, n, 3 y)
    scores = parts[:, :, :tags] + (dense.whole @ whole)[:, None]
    scores[:, 1:] += parts[:, :-1, tags : 2 * tags]
    scores[:, :-1] += parts[:, 1:, 2 * tags :]
    return np.asarray(scores)


def _dense_gradients(dense: _Dense, surplus: Floats) -> tuple[Floats, Floats]:
    """Gradients of ``near`` and ``whole`` from those of the scores (b, n, y)."""
    texts, count, dim = dense.states.shape
    tags = surplus.shape[2]
    parts = np.zeros((texts, count, 3 * tags), np.float32)
    parts[:, :, :tags] = surplus
    parts[:, :-1, tags : 2 * tags] = surplus[:, 1:]
    parts[:, 1:, 2 * tags :] = surplus[:, :-1]
    near = dense.states.reshape(-1, dim).T @ parts.reshape(-1, 3 * tags)
    return near, dense.whole.T @ surplus.sum(axis=1)
