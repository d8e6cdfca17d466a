"""What domain tuning brings: search with and without an adapter.

    python -m benchmarks.retrieval_adapter

Half of the questions (by a digest of the question) are known: three fifths of them train, the rest
calibrate, and the certificate is asked for there, at 5 %. The other half reports. Three sets are
search as it is elsewhere here. A fourth, *help pages*, is one where questions and passages have few
words in common: messages of a bank's customers (Banking77), the passages being the bare names of
the 77 things that they may be about.
"""

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.data import lines
from benchmarks.retrieval import MOST, Array, keyword_search
from benchmarks.retrieval_sets import Questions, long_documents, ndcg, whole
from shoal.encoder import Encoder
from shoal.guarantees import Paired, delta_at, percent
from shoal.retrieval.adapter import Adapter
from shoal.retrieval.adapter_training import Candidates, Lessons, cross_fitted, lessons_of, train
from shoal.retrieval.documents import Piece
from shoal.retrieval.fusion import DEFAULT, best_parts, fuse, order
from shoal.retrieval.known_answers import calibrates
from shoal.retrieval.parts import parts_of
from shoal.retrieval.tuning import WORTH

HELP_QUESTIONS = 1_200
CURVE = (25, 50, 100, 200, 400, 1_000)
LESSON = 32  # candidates that a question learns from


class Encoded(Struct, frozen=True):
    """A set: ``words`` (n, m) BM25 of m passages, ``questions`` (n, d), ``parts`` (p, d) of the
    passages, each beginning at ``starts`` (m,)."""

    set_: Questions
    words: Array
    questions: Array
    parts: Array
    starts: Array

    def scores(self, at: int, adapter: Adapter | None = None) -> Array:
        """Of question ``at`` for every passage (m,); -1 for those that no search brings up."""
        question = self.questions[at] if adapter is None else adapter.apply(self.questions[at])
        meaning = best_parts(question, self.parts, self.starts)
        found = fuse(self.words[at], meaning, adapter.fusion if adapter else DEFAULT)
        brought = self.words[at] > 0
        brought[order(meaning, MOST)] = True
        return np.where(brought, found, -1)


def encoded(set_: Questions, encoder: Encoder) -> Encoded:
    """With vectors, of parts, and BM25."""
    words = np.zeros((len(set_.questions), len(set_.pieces)))
    for at, (numbers, scores) in enumerate(keyword_search(set_)[0]):
        words[at, numbers] = scores
    texts = [parts_of(piece, encoder) for piece in set_.pieces]
    starts = np.cumsum([0, *map(len, texts)])[:-1]
    parts = encoder.encode([text for part in texts for text in part])
    return Encoded(set_, words, encoder.encode(set_.questions), parts, starts)


def help_pages() -> Questions:
    """Messages of customers, and the names of what they may be about."""
    rows = lines("intents/banking77_test.jsonl.gz")
    drawn = np.random.default_rng(0).permutation(len(rows))[:HELP_QUESTIONS]
    names = sorted({row["label"] for row in rows})
    return Questions(
        "help pages",
        [Piece(name.replace("_", " ").replace("?", "")) for name in names],
        [rows[at]["text"] for at in drawn],
        [[names.index(rows[at]["label"])] for at in drawn],
    )


def lessons(of: Encoded, chosen: Sequence[int]) -> Lessons:
    """The best ``LESSON`` passages of each question, and the right ones."""
    ends = np.append(of.starts[1:], len(of.parts))
    found = []
    for at in chosen:
        near = order(of.scores(at), LESSON)
        passages = np.union1d(near, of.set_.relevant[at])
        counts = ends[passages] - of.starts[passages]
        rows = np.concatenate([np.arange(of.starts[p], ends[p]) for p in passages])
        greatest = max(of.words[at].max(), 1e-9)
        found.append(
            Candidates(
                rows,
                np.repeat(of.words[at][passages] / greatest, counts),
                np.repeat(np.isin(passages, of.set_.relevant[at]), counts),
            )
        )
    return lessons_of(of.questions[list(chosen)], of.parts, found)


class Found(Struct, frozen=True):
    """Of n questions nDCG@10, recall@10 and the reciprocal rank, up to 10, of the first right."""

    ndcg: Array
    recall: Array
    reciprocal: Array

    def told(self, on: Array) -> str:
        """The means on some of them."""
        return f"nDCG@10 {self.ndcg[on].mean():.4f}, recall@10 {self.recall[on].mean():.4f}"


def measured(of: Encoded, scores: Iterator[Array]) -> Found:
    """Of scores (m,) for each question."""
    rows = []
    for each, relevant in zip(scores, of.set_.relevant, strict=True):
        best = order(each, 10).tolist()
        hits = [place for place, number in enumerate(best, start=1) if number in relevant]
        first = 1 / hits[0] if hits else 0.0
        rows.append((ndcg(best, relevant), len(hits) / len(relevant), first))
    return Found(*np.array(rows).T)


def paired(before: Found, after: Found, on: NDArray[np.bool_]) -> Paired:
    """By reciprocal rank, as a certificate counts."""
    gain = after.reciprocal[on] - before.reciprocal[on]
    return Paired(int(on.sum()), int((gain > 0).sum()), int((gain < 0).sum()))


def report_adapter(of: Encoded) -> None:
    """Lines on one set."""
    set_, many = of.set_, range(len(of.set_.questions))
    reported = set_.reported
    calibrating = ~reported & np.array([calibrates(text) for text in set_.questions])
    training = np.flatnonzero(~reported & ~calibrating).tolist()
    began = time.process_time()
    learned = lessons(of, training)
    foreseen, adapter = cross_fitted(learned), train(learned)
    took = time.process_time() - began
    before = measured(of, (of.scores(at) for at in many))
    print(f"\n{set_.name}: {len(training)} questions train ({took:.1f} s CPU), ", end="")
    print(f"{calibrating.sum()} calibrate, {reported.sum()} report")
    print(f"  without: {before.told(reported)}")
    delta = delta_at(1, 0.05)
    wanted = foreseen.needed(delta)
    hopeless = wanted is None or wanted > WORTH * calibrating.sum()
    print(
        f"  cross-fitted on those that train: {foreseen.gained} gained, {foreseen.lost} lost, so "
        + ("no attempt would be spent; if it were:" if hopeless else "an attempt is spent")
    )
    if adapter is None:
        print("  no adapter: none was better on the validation part", flush=True)
        return
    after = measured(of, (of.scores(at, adapter) for at in many))
    held, live = paired(before, after, calibrating), paired(before, after, reported)
    said = "certified" if held.shows_gain(delta) else "refused"
    print(f"  with:    {after.told(reported)}; weight of words {adapter.fusion.words:.2f}")
    print(
        f"  {said}: {held.gained} gained, {held.lost} lost of {held.n} (p = {held.p_value:.4f}, "
        f"at most {percent(delta)} needed); on the half that reports {live.gained} gained, "
        f"{live.lost} lost; questions needed: {held.needed(delta)}",
        flush=True,
    )


def report_curve(of: Encoded) -> None:
    """Lines on how many known questions it takes."""
    set_ = of.set_
    known, reported = np.flatnonzero(~set_.reported), np.flatnonzero(set_.reported)
    held = np.array([calibrates(text) for text in set_.questions])
    print(f"\n{set_.name}: known questions, nDCG@10 on the half that reports, p")
    for n in CURVE:
        some = known[:n]
        adapter = train(lessons(of, some[~held[some]].tolist()))
        after = measured(of, (of.scores(at, adapter) for at in range(len(held))))
        before = measured(of, (of.scores(at) for at in range(len(held))))
        tested = np.isin(np.arange(len(held)), some[held[some]])
        print(
            f"  {len(some):4}  {after.ndcg[reported].mean():.4f}  "
            f"{paired(before, after, tested).p_value:.4f}",
            flush=True,
        )


def sets(encoder: Encoder) -> Iterator[Encoded]:
    """One by one, that which an adapter helps last."""
    long = [long_documents(encoder, most) for most in (256, 128)]
    for set_ in (whole("xquad"), whole("pubmedqa"), *long, help_pages()):
        yield encoded(set_, encoder)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    encoder = Encoder()
    for of in sets(encoder):
        report_adapter(of)
    report_curve(of)  # of the last, which it helps


if __name__ == "__main__":
    main()
