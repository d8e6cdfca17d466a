"""Tuning of a collection: known answers -> an adapter that is certified, or why there is none.

Part of the questions never trains (``known_answers.calibrates``); on these the very search that
would be served is tried with the adapter and without. Where the pairs come from does not matter:
a file, or what people called right of grounded answers.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.errors import Conflict
from shoal.guarantees.budget import delta_at
from shoal.retrieval.adapter import digest_of
from shoal.retrieval.adapter_training import Candidates, Lessons, cross_fitted, lessons_of, train
from shoal.retrieval.collection import Collection
from shoal.retrieval.documents import Hit
from shoal.retrieval.gain import (
    CERTIFICATE,
    DELTA,
    FIRST,
    GainCertificate,
    NoGain,
    Searching,
    begin_attempt,
    next_attempt,
    refusal,
    replace_file,
    too_few,
    tried,
    unpromising,
)
from shoal.retrieval.known_answers import Passages, Resolved, calibrates
from shoal.retrieval.rerank import Reranking, reranked
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.tuned import FOLDER, RERANKER, install
from shoal.storage.file_lock import FileLock

MOST_TRAINED = 2_000
"""Questions that train at the most, the last ones: a bound on memory and time."""

WORTH = 2
"""If more than so many times the questions that calibrate would be needed, no attempt is spent."""

_LOOKED_AT = 50  # passages that have words of the one that is looked up
_LESSON = 32  # passages that a question learns from, the best of today's search
_TRIED = SearchOptions(k=FIRST)


def tune(collection: Collection, known: Sequence[Resolved]) -> GainCertificate | NoGain:
    """Train an adapter on these questions and put it to use if that is certified; an earlier one
    stays if not. Each question once (``known_answers.resolved``).

    Raises:
        Conflict: another process is tuning this collection.
        StoreError: something cannot be read or written.
    """
    with alone(collection):
        return _tuned(collection, known)


@contextmanager
def alone(collection: Collection) -> Iterator[None]:
    """While nobody else tunes a collection, in any way.

    Raises:
        Conflict: somebody does.
    """
    folder = collection.folder / FOLDER
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / "lock")
    if not lock.take():
        raise Conflict(f"collection {collection.name}: it is being tuned already")
    try:
        yield
    finally:
        lock.release()


def shared_out(known: Sequence[Resolved]) -> tuple[list[Resolved], list[Resolved]]:
    """Those that train, and those that calibrate."""
    training = [one for one in known if not calibrates(one.question)]
    return training, [one for one in known if calibrates(one.question)]


def _tuned(collection: Collection, known: Sequence[Resolved]) -> GainCertificate | NoGain:
    folder = collection.folder / FOLDER
    training, calibrating = shared_out(known)
    training = training[-MOST_TRAINED:]
    hopeless = too_few(len(calibrating), next_attempt(folder))
    if hopeless is not None:
        return hopeless
    lessons = lessons_from(collection, training)
    found = cross_fitted(lessons)
    wanted = found.needed(delta_at(next_attempt(folder), DELTA))
    if wanted is None or wanted > WORTH * len(calibrating):
        return unpromising(found, wanted, len(calibrating))
    adapter = train(lessons)
    if adapter is None:
        return unpromising(found, None, len(calibrating))
    data = adapter.packed()
    proposal = Proposal("adapter", folder, digest_of(data), len(training), digest_of_known(known))
    outcome = judged(
        collection,
        proposal,
        calibrating,
        lambda question: collection.search_with(question, None, _TRIED),
        lambda question: collection.search_with(question, adapter, _TRIED),
    )
    if isinstance(outcome, GainCertificate):
        install(folder, data, outcome)
    return outcome


class Proposal(Struct, frozen=True):
    """What is to be certified, in whose ``folder`` the attempts are counted; the digest of its
    files, what it learned from, the adapter beneath it by digest, and the error budget of all
    attempts."""

    what: str
    folder: Path
    model: str
    trained_on: int
    data_digest: str
    adapter: str = ""
    delta: float = DELTA


def judged(
    collection: Collection,
    proposal: Proposal,
    calibrating: Sequence[Resolved],
    before: Searching,
    after: Searching,
) -> GainCertificate | NoGain:
    """Spend an attempt on whether ``after`` is better than ``before`` at these questions, none of
    which anything was learned from.

    Raises:
        StoreError: the attempt cannot be counted.
    """
    attempt = begin_attempt(proposal.folder)
    found, spent = tried(calibrating, before, after), delta_at(attempt, proposal.delta)
    if not found.paired.shows_gain(spent):
        return refusal(found, attempt, proposal.delta)
    return GainCertificate(
        what=proposal.what,
        collection=collection.name,
        n=found.paired.n,
        gained=found.paired.gained,
        lost=found.paired.lost,
        bound=found.paired.bound(spent),
        before=found.before,
        after=found.after,
        confidence=1 - DELTA,
        attempt=attempt,
        delta_spent=spent,
        trained_on=proposal.trained_on,
        data_digest=proposal.data_digest,
        encoder=collection.shelf.encoder,
        model=proposal.model,
        issued_at=time.time(),
        adapter=proposal.adapter,
        judged=sum(bool(one.judge) for one in calibrating),
        judges=tuple(sorted({one.judge for one in calibrating if one.judge})),
    )


def certify_reranking(
    collection: Collection, reranking: Reranking, model: str, known: Sequence[Resolved]
) -> GainCertificate | NoGain:
    """Whether a reranker, the digest of whose files is ``model``, makes today's search of a
    collection better, with the adapter that is in force. It may have learned from those of the
    ``known`` questions alone that do not calibrate (``known_answers.calibrates``). The certificate
    is kept; the reranker is the caller's to keep.

    Raises:
        StoreError: something cannot be read or written.
    """
    folder, delta = collection.folder / RERANKER, delta_of(collection)
    adapted = collection.adapted()
    training, calibrating = shared_out(known)
    hopeless = too_few(len(calibrating), next_attempt(folder), delta)
    if hopeless is not None:
        return hopeless
    wide = SearchOptions(k=max(FIRST, reranking.most))
    proposal = Proposal(
        "reranker", folder, model, len(training), digest_of_known(known), adapted.model, delta
    )

    def before(question: str, options: SearchOptions = _TRIED) -> list[Hit]:
        return collection.search_with(question, adapted.adapter, options)

    def after(question: str) -> list[Hit]:
        return reranked(question, before(question, wide), reranking)

    outcome = judged(collection, proposal, calibrating, before, after)
    if isinstance(outcome, GainCertificate):
        replace_file(folder / CERTIFICATE, msgspec.json.encode(outcome))
    return outcome


def delta_of(collection: Collection) -> float:
    """The error budget of all attempts to certify a reranker. It is tested over the adapter in
    force, and which one that is, these same questions decided: one of as many searches as there
    were attempts to certify an adapter, or the plain one. A union bound over them all pays for
    that."""
    return DELTA / next_attempt(collection.folder / FOLDER)


def passages_of(collection: Collection) -> Passages:
    """Where right passages are looked up by what people say of them."""
    options = SearchOptions(k=_LOOKED_AT, by="words", distinct=False)
    return Passages(collection.shelf, lambda words: collection.search(words, options))


def lessons_from(collection: Collection, training: Sequence[Resolved]) -> Lessons:
    """What questions learn from: the passages that search finds for them now, and the right ones.
    Of a passage that search does not find, the words are taken to say nothing."""
    vectors, parts, count = dict[int, tuple[int, int]](), list[NDArray[np.float16]](), 0
    candidates, options = list[Candidates](), SearchOptions(k=_LESSON)
    for one in training:
        hits = collection.search_with(one.question, None, options)
        words = _words(hits) | {number: 0.0 for number in one.right if number not in _words(hits)}
        new = [number for number in words if number not in vectors]
        for number, found in collection.shelf.vectors_of(new).items():
            vectors[number] = count, count + len(found)
            parts.append(found.astype(np.float16))  # as the shelf has them
            count += len(found)
        there = [number for number in words if number in vectors]
        spans = [np.arange(*vectors[number]) for number in there]
        sizes = [len(span) for span in spans]
        candidates.append(
            Candidates(
                np.concatenate(spans) if spans else np.empty(0, np.intp),
                np.repeat(np.array([words[number] for number in there], np.float32), sizes),
                np.repeat(np.array([number in one.right for number in there], bool), sizes),
            )
        )
    questions = collection.encoder.encode([one.question for one in training])
    stacked = np.concatenate(parts) if parts else np.empty((0, collection.shelf.dim), np.float16)
    return lessons_of(questions, stacked, candidates)


def digest_of_known(known: Sequence[Resolved]) -> str:
    """SHA-256 of questions and what was called right."""
    rows = sorted((one.question, sorted(one.right)) for one in known)
    return f"sha256:{hashlib.sha256(msgspec.json.encode(rows)).hexdigest()}"


def _words(hits: Sequence[Hit]) -> dict[int, float]:
    """BM25 of each passage over the greatest, by number."""
    greatest = max((hit.words or 0.0 for hit in hits), default=0.0)
    return {
        hit.passage.number: (hit.words or 0.0) / greatest if greatest > 0 else 0.0 for hit in hits
    }
