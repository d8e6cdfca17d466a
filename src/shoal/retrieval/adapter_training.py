"""Training of an adapter: from questions, their right passages, and passages that come near.

The loss is the softmax cross-entropy of the fused score over a question's candidates, the passages
that search ranks high now (hard negatives; Karpukhin et al. 2020); of a right passage any part may
bring it up, so the parts' probabilities are added. Adam (Kingma & Ba 2015), from the identity on:
``up`` begins at zero. On a validation part it is looked at every few steps, and the step with the
least loss is kept: the identity itself, if nothing is better. So few pairs do no harm, and learn
little.

Numpy only; seconds of CPU.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.guarantees.paired import Paired
from shoal.retrieval.adapter import Adapter, Floats
from shoal.retrieval.fusion import WORDS

_SHARPNESS = (4.0, 8.0, 16.0, 32.0, 64.0)  # to begin with: cosines are small numbers
_AT_ONCE = 64  # questions, so that memory stays small

Ints = NDArray[np.intp]
Parts = NDArray[np.float32] | NDArray[np.float16]
Bools = NDArray[np.bool_]


class TrainingOptions(Struct, frozen=True):
    """``rank`` of the map; steps of ``batch`` questions each, at ``rate``; ``decay`` pulls towards
    the identity; looked at ``every`` so many steps, and stopped after ``patience`` looks without a
    gain. Fixed by nDCG@10 on the part of one set (*help pages* of ``benchmarks/
    retrieval_adapter.py``) that calibrates there; half or double of each differs little."""

    rank: int = 32
    steps: int = 300
    batch: int = 64
    rate: float = 0.003
    decay: float = 0.003
    every: int = 5
    patience: int = 12
    validation: float = 0.2
    seed: int = 0


class Lessons(Struct, frozen=True):
    """n questions with at most s candidates each, a candidate being a part of a passage.

    ``questions`` (n, d) and ``parts`` (p, d), of half precision or more, are unit vectors; ``rows``
    (n, s) say which parts are a question's candidates, ``there`` (n, s) where there is one,
    ``words`` (n, s) BM25 of its passage over the question's greatest, 0 to 1, and ``right`` (n, s)
    whether its passage is right.
    """

    questions: Floats
    parts: Parts
    rows: Ints
    there: Bools
    words: Floats
    right: Bools

    def __len__(self) -> int:
        return len(self.questions)


class Candidates(Struct, frozen=True):
    """Of one question: rows (c,) of the parts, ``words`` (c,) and ``right`` (c,) as in
    ``Lessons``."""

    rows: Ints
    words: Floats
    right: Bools


def lessons_of(questions: Floats, parts: Parts, candidates: Sequence[Candidates]) -> Lessons:
    """Questions (n, d), the parts (p, d) that any of them may have, and their candidates (n);
    questions without a right or without a wrong one teach nothing and are left out."""
    kept = [at for at, one in enumerate(candidates) if one.right.any() and not one.right.all()]
    most = max((len(candidates[at].rows) for at in kept), default=0)
    shape = (len(kept), most)
    rows, there = np.zeros(shape, np.intp), np.zeros(shape, bool)
    words, right = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for line, at in enumerate(kept):
        one, size = candidates[at], len(candidates[at].rows)
        rows[line, :size], there[line, :size] = one.rows, True
        words[line, :size], right[line, :size] = one.words, one.right
    return Lessons(questions[kept].astype(np.float32), parts, rows, there, words, right)


class Weights:
    """What is learned: ``down`` (d, r), ``up`` (r, d), the log-odds of the weight of words, and the
    logarithm of the softmax's sharpness: without that, spreading scores would pass for ranking."""

    def __init__(self, down: Floats, up: Floats, odds: Floats, heat: Floats) -> None:
        self.down, self.up, self.odds, self.heat = down, up, odds, heat

    @classmethod
    def start(cls, dim: int, rank: int, random: np.random.Generator) -> "Weights":
        """The identity."""
        down = random.normal(0, dim**-0.5, (dim, rank)).astype(np.float32)
        odds = np.array(np.log(WORDS / (1 - WORDS)), np.float32)
        heat = np.array(np.log(_SHARPNESS[0]), np.float32)
        return cls(down, np.zeros((rank, dim), np.float32), odds, heat)

    def fitted(self, lessons: Lessons, chosen: Ints) -> "Weights":
        """With the sharpness that suits these questions best as they are."""
        heats = [np.array(np.log(one), np.float32) for one in _SHARPNESS]
        tries = [Weights(self.down, self.up, self.odds, heat) for heat in heats]
        return min(tries, key=lambda one: _loss(lessons, chosen, one))

    @property
    def sharpness(self) -> float:
        """By which scores are multiplied."""
        return float(np.exp(self.heat))

    @property
    def share(self) -> float:
        """The weight of words."""
        return float(1 / (1 + np.exp(-self.odds)))

    def all(self) -> list[Floats]:
        """In an order of their own."""
        return [self.down, self.up, self.odds, self.heat]

    def adapter(self) -> Adapter:
        """That maps so."""
        return Adapter(self.down, self.up, self.share)


def train(lessons: Lessons, options: TrainingOptions = TrainingOptions()) -> Adapter | None:  # noqa: B008
    """An adapter, or None where none was better on the validation part than none."""
    random = np.random.default_rng(options.seed)
    order = random.permutation(len(lessons))
    held = max(1, round(options.validation * len(order)))
    validation, training = order[:held], order[held:]
    if not len(training):
        return None
    weights = Weights.start(lessons.questions.shape[1], options.rank, random)
    weights = weights.fitted(lessons, training)
    optimiser = _Adam(weights.all(), options.rate)
    least, best, looks = _loss(lessons, validation, weights), None, 0
    for step in range(1, options.steps + 1):
        batch = random.choice(training, min(options.batch, len(training)), replace=False)
        moved = optimiser.step(_gradients(lessons, batch, weights, options))
        weights = Weights(*moved)
        if step % options.every:
            continue
        loss = _loss(lessons, validation, weights)
        looks += 1
        if loss < least:
            least, best, looks = loss, weights, 0
        if looks >= options.patience:
            break
    return None if best is None else best.adapter()


def cross_fitted(
    lessons: Lessons,
    options: TrainingOptions = TrainingOptions(),  # noqa: B008
    folds: int = 3,
) -> Paired:
    """At how many of the questions the first right part ranks higher, or lower, among the
    candidates by an adapter that did not learn from them: whether an attempt to certify one is
    worth its price. A lower loss alone does not say so: ranks may fall with it."""
    fold = np.random.default_rng(options.seed).permutation(len(lessons)) % folds
    gained = lost = 0
    for k in range(folds):
        held, rest = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        adapter = train(_some(lessons, rest), options)
        if adapter is None:
            continue
        before, after = _above(lessons, held, None), _above(lessons, held, adapter)
        gained += int((after < before).sum())
        lost += int((after > before).sum())
    return Paired(len(lessons), gained, lost)


def _some(lessons: Lessons, chosen: Ints) -> Lessons:
    return Lessons(
        lessons.questions[chosen],
        lessons.parts,
        lessons.rows[chosen],
        lessons.there[chosen],
        lessons.words[chosen],
        lessons.right[chosen],
    )


def _above(lessons: Lessons, chosen: Ints, adapter: Adapter | None) -> Ints:
    """How many wrong parts (b,) score above the best right one."""
    count, share = np.zeros(len(chosen), np.intp), adapter.fusion.words if adapter else WORDS
    for place, at in enumerate(chosen):
        there, right = lessons.there[at], lessons.right[at]
        asked = lessons.questions[at]
        vector = asked if adapter is None else adapter.apply(asked)
        cosines = lessons.parts[lessons.rows[at]].astype(np.float32) @ vector
        scores = share * lessons.words[at] + (1 - share) * cosines
        best = scores[right].max()
        count[place] = (scores[there & ~right] > best).sum()
    return count


class _Forward(Struct):
    """Of b questions: the lengths of vectors before they are made unit, unit ones, the candidates'
    vectors (b, s, d), cosines, scores and probabilities (b, s), the right ones' share of the last
    (b,)."""

    lengths: Floats
    unit: Floats
    parts: Floats
    cosines: Floats
    scores: Floats
    chances: Floats
    right: Floats


def _forward(lessons: Lessons, batch: Ints, weights: Weights) -> _Forward:
    asked = lessons.questions[batch]
    moved = asked + asked @ weights.down @ weights.up  # (b, d)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    unit = moved / lengths
    parts = lessons.parts[lessons.rows[batch]].astype(np.float32)  # (b, s, d)
    cosines = (parts @ unit[:, :, None])[:, :, 0]
    share = weights.share
    scores = share * lessons.words[batch] + (1 - share) * cosines
    raised = np.where(lessons.there[batch], weights.sharpness * scores, -np.inf)
    chances = np.exp(raised - raised.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    right = np.where(lessons.right[batch], chances, 0).sum(axis=1)
    return _Forward(lengths, unit, parts, cosines, scores, chances, right)


def _loss(lessons: Lessons, batch: Ints, weights: Weights) -> float:
    """The mean over the questions of a batch, which is cut so that memory stays small."""
    found = [
        _forward(lessons, batch[at : at + _AT_ONCE], weights).right
        for at in range(0, len(batch), _AT_ONCE)
    ]
    return float(-np.log(np.concatenate(found) + 1e-9).mean())


def _gradients(
    lessons: Lessons, batch: Ints, weights: Weights, options: TrainingOptions
) -> list[Floats]:
    f, asked = _forward(lessons, batch, weights), lessons.questions[batch]
    share = weights.share
    wanted = np.where(lessons.right[batch], f.chances, 0) / (f.right[:, None] + 1e-12)
    by_heat = weights.sharpness * ((f.chances - wanted) * f.scores).sum() / len(batch)
    by_score = weights.sharpness * (f.chances - wanted) / len(batch)  # (b, s)
    by_odds = (by_score * (lessons.words[batch] - f.cosines)).sum() * share * (1 - share)
    by_unit = ((1 - share) * by_score[:, None, :] @ f.parts)[:, 0]  # (b, d)
    across = (by_unit * f.unit).sum(axis=1, keepdims=True)
    by_moved = (by_unit - across * f.unit) / f.lengths
    down = asked.T @ (by_moved @ weights.up.T) + options.decay * weights.down
    up = (asked @ weights.down).T @ by_moved + options.decay * weights.up
    return [down, up, np.asarray(by_odds), np.asarray(by_heat)]


class _Adam:
    """Kingma & Ba (2015), with their constants."""

    def __init__(self, start: Sequence[Floats], rate: float) -> None:
        self._now, self._rate, self._count = list(start), rate, 0
        self._mean = [np.zeros_like(one) for one in start]
        self._square = [np.zeros_like(one) for one in start]

    def step(self, gradients: Sequence[Floats]) -> list[Floats]:
        """What is learned after one more step; earlier ones are left as they are."""
        self._count += 1
        for at, found in enumerate(gradients):
            self._mean[at] = 0.9 * self._mean[at] + 0.1 * found
            self._square[at] = 0.999 * self._square[at] + 0.001 * found**2
            mean = self._mean[at] / (1 - 0.9**self._count)
            square = self._square[at] / (1 - 0.999**self._count)
            moved = self._now[at] - self._rate * mean / (np.sqrt(square) + 1e-8)
            self._now[at] = moved.astype(np.float32)
        return list(self._now)
