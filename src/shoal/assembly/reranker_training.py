"""Training of a collection's reranker: known answers -> a ``match`` specialist that is certified,
or why there is none.

It learns from a question with its right passage, and with those wrong ones that today's search
ranks highest; from questions alone that do not calibrate. What its word weighs is the best on pairs
of questions that the judging model had not seen. Then the very search that would be served is tried
with it and without, over the adapter that is in force.
"""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.assembly.kept_reranker import Asked, clear, keep, load
from shoal.assembly.reranking import CONTRACT, NO, YES, chance_of, pair_of
from shoal.errors import LearningError
from shoal.guarantees.budget import delta_at
from shoal.guarantees.paired import Paired
from shoal.retrieval.collection import Collection
from shoal.retrieval.documents import Hit
from shoal.retrieval.fusion import CLOSE, Fusion, is_close, order
from shoal.retrieval.gain import (
    GainCertificate,
    NoGain,
    next_attempt,
    too_few,
    unpromising,
)
from shoal.retrieval.known_answers import CALIBRATES, Resolved
from shoal.retrieval.rerank import MOST
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.tuned import RERANKER
from shoal.retrieval.tuning import WORTH, alone, certify_reranking, delta_of, shared_out
from shoal.specialists.boosting import why_unavailable
from shoal.specialists.match import KIND, train_match
from shoal.specialists.pair_groups import by_left

MOST_TRAINED = 1_000
"""Questions that train at the most, the last ones: some 10 ms of CPU a pair, five pairs each."""

FEWEST = 30
"""Questions to learn from: of fewer the trees would say nothing."""

WRONG = 4
"""Wrong passages of each question, the best that search finds."""

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)

Floats = NDArray[np.float64]


class Lesson(Struct, frozen=True):
    """A question with some passages that search finds for it: their texts, fused scores (n,), and
    which are right (n,), some of them; ``close``: the reranker would be asked."""

    question: str
    texts: tuple[str, ...]
    scores: Floats
    right: NDArray[np.bool_]
    close: bool


def tune_reranker(collection: Collection, known: Sequence[Resolved]) -> GainCertificate | NoGain:
    """Train a reranker on these questions and put it to use if that is certified; an earlier one
    stays if not. Each question once (``known_answers.resolved``).

    Raises:
        Conflict: another process is tuning this collection.
        LearningError: what grows trees is not installed.
        StoreError, ArtifactError: something cannot be read or written.
    """
    if why := why_unavailable():
        raise LearningError(why)
    with alone(collection):
        return _tuned(collection, known)


def _tuned(collection: Collection, known: Sequence[Resolved]) -> GainCertificate | NoGain:
    folder = collection.folder / RERANKER
    training, calibrating = shared_out(known)
    attempt, delta = next_attempt(folder), delta_of(collection)
    hopeless = too_few(len(calibrating), attempt, delta)
    if hopeless is not None:
        return hopeless
    lessons = lessons_from(collection, training[-MOST_TRAINED:])
    if len(lessons) < FEWEST:
        return _few(len(lessons), len(training))
    inputs = [pair_of(one.question, text) for one in lessons for text in one.texts]
    outputs = [YES if right else NO for one in lessons for right in one.right]
    trained = train_match(CONTRACT, inputs, outputs, None, KIND.recipes[0], by_left, False)
    chances = np.array([chance_of(said) for said in trained.left_out])
    weight = best_weight(lessons, chances)
    found = paired(lessons, chances, weight)
    wanted = found.needed(delta_at(attempt, delta))
    if wanted is None or wanted > WORTH * len(calibrating):
        return unpromising(found, wanted, len(calibrating))
    model = keep(folder, trained.specialist, Asked(weight, MOST, CLOSE))
    try:
        return certify_reranking(collection, load(folder, model), model, known)
    finally:
        clear(folder)


def lessons_from(collection: Collection, training: Sequence[Resolved]) -> list[Lesson]:
    """Of the questions for which search finds a right passage among those that a reranker would
    look at: of others it has nothing to learn, and could not help them."""
    adapter, options = collection.adapted().adapter, SearchOptions(k=MOST)
    lessons = list[Lesson]()
    for one in training:
        hits = collection.search_with(one.question, adapter, options)
        right = [hit.passage.number in one.right for hit in hits]
        if any(right) and not all(right):
            lessons.append(_lesson(one.question, hits, right))
    return lessons


def best_weight(lessons: Sequence[Lesson], chances: Floats) -> float:
    """By the mean reciprocal rank of the first right passage; the least of those that are as good.
    ``chances`` (n,) are of all pairs in turn."""
    means = [np.mean([1 / rank for rank in _ranks(lessons, chances, w)]) for w in WEIGHTS]
    return WEIGHTS[int(np.argmax(means))]


def paired(lessons: Sequence[Lesson], chances: Floats, weight: float) -> Paired:
    """At how many of the questions the first right passage stands higher, or lower, with a word of
    this weight than without."""
    before, after = _ranks(lessons, chances, 0.0), _ranks(lessons, chances, weight)
    gained = sum(b < a for a, b in zip(before, after, strict=True))
    lost = sum(b > a for a, b in zip(before, after, strict=True))
    return Paired(len(lessons), gained, lost)


def _lesson(question: str, hits: Sequence[Hit], right: Sequence[bool]) -> Lesson:
    wrong = [at for at, is_right in enumerate(right) if not is_right][:WRONG]
    kept = [at for at, is_right in enumerate(right) if is_right or at in wrong]
    return Lesson(
        question,
        tuple(hits[at].passage.searched for at in kept),
        np.array([hits[at].score for at in kept]),
        np.array([right[at] for at in kept]),
        is_close([hit.score for hit in hits], Fusion(close=CLOSE)),
    )


def _ranks(lessons: Sequence[Lesson], chances: Floats, weight: float) -> list[int]:
    """The place of the first right passage of each, from 1."""
    ranks, at = list[int](), 0
    for one in lessons:
        said = chances[at : at + len(one.scores)]
        at += len(one.scores)
        total = one.scores + weight * said if one.close else one.scores
        ranks.append(1 + int(np.argmax(one.right[order(total)])))
    return ranks


def _few(lessons: int, training: int) -> NoGain:
    share = max(lessons / max(training, 1), 0.1)
    more = math.ceil((FEWEST - lessons) / share / (1 - CALIBRATES))
    reason = (
        f"of {training} questions that train, search finds a right and a wrong passage among its "
        f"first {MOST} for {lessons}; to learn from, {FEWEST} are needed. No attempt was spent."
    )
    return NoGain(reason=reason, needed=more)
