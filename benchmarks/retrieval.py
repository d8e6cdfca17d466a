"""Quality of search: nDCG@10 of words, vectors and their fusion on four sets.

    python -m benchmarks.retrieval [--threads 2]

Half of the questions (by a digest of the question) fix the weight, the other half reports. Words
are BM25 of tantivy over headings and text, vectors are of whole passages (*whole*) and of their
parts, the best of which counts (*parts*). Intervals are by bootstrap over questions. About four
minutes of CPU, most of it encoding.
"""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.retrieval_sets import Questions, intervals, long_documents, ndcg, sets
from shoal.encoder import Encoder
from shoal.retrieval.fusion import Fusion, best_parts, fuse, margin, order
from shoal.retrieval.parts import parts_of

MOST = 100  # candidates by words, and as many by meaning
GRID = [round(0.05 * step, 2) for step in range(21)]

Array = NDArray[Any]


class Candidates(Struct, frozen=True):
    """For a question n passages, and their scores: BM25, 0 if not found; cosines."""

    numbers: Array
    words: Array
    whole: Array
    parts: Array


Ranker = Callable[[Candidates], Array]  # scores, higher is better


def keyword_search(set_: Questions) -> tuple[list[tuple[list[int], list[float]]], float]:
    """The best ``MOST`` passages of each question with BM25, and CPU seconds of all."""
    import tantivy

    schema = tantivy.SchemaBuilder()
    schema.add_integer_field("number", stored=True, fast=True)
    schema.add_text_field("text", tokenizer_name="en_stem")
    index = tantivy.Index(schema.build())
    writer = index.writer(num_threads=1)
    for number, piece in enumerate(set_.pieces):
        writer.add_document(tantivy.Document(number=number, text=piece.searched))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    found = []
    began = time.process_time()
    for question in set_.questions:
        words = " ".join(re.findall(r"\w+", question.lower()))  # lower: OR is a word here
        hits = searcher.search(index.parse_query(words, ["text"]), MOST).hits
        numbers = [searcher.doc(address)["number"][0] for _, address in hits]
        found.append((numbers, [score for score, _ in hits]))
    return found, time.process_time() - began


def candidates(set_: Questions, encoder: Encoder) -> tuple[list[Candidates], str]:
    """Of each question, and a line on what it cost."""
    found, searching = keyword_search(set_)
    clock = [time.process_time()]
    whole = encoder.encode([piece.searched for piece in set_.pieces])
    clock.append(time.process_time())
    texts = [parts_of(piece, encoder) for piece in set_.pieces]
    starts = np.cumsum([0, *map(len, texts)])
    parts = encoder.encode([text for part in texts for text in part])
    clock.append(time.process_time())
    questions = encoder.encode(set_.questions)
    rows = []
    for question, (numbers, scores) in zip(questions, found, strict=True):
        cosines = whole @ question
        # As in a collection: the vector of a passage is found first, its parts are looked up.
        best = np.union1d(np.array(numbers, int), order(cosines, MOST))
        words = np.zeros(len(set_.pieces))
        words[numbers] = scores
        by_part = best_parts(question, parts, starts[:-1])
        rows.append(Candidates(best, words[best], cosines[best], by_part[best]))
    line = (
        f"{set_.name}: {len(set_.pieces):,} passages, {len(parts):,} parts, "
        f"{len(set_.questions):,} questions; CPU: whole {clock[1] - clock[0]:.1f} s, "
        f"in parts {clock[2] - clock[1]:.1f} s, words {searching / len(rows) * 1e3:.2f} ms a query"
    )
    return rows, line


def reciprocal(*scores: Array) -> Array:
    """Equal reciprocal-rank fusion (Cormack et al. 2009), k = 60."""
    total = np.zeros(len(scores[0]))
    for each in scores:
        total[order(each)] += 1 / (61 + np.arange(len(each)))
    return total


def stretched(scores: Array) -> Array:
    """To 0 … 1."""
    span = scores.max() - scores.min()
    return np.asarray((scores - scores.min()) / span if span else np.zeros(len(scores)))


RANKERS: dict[str, Ranker] = {
    "BM25": lambda c: c.words,
    "dense, whole": lambda c: c.whole,
    "dense, parts": lambda c: c.parts,
    "reciprocal ranks, whole": lambda c: reciprocal(c.words, c.whole),
    "reciprocal ranks, parts": lambda c: reciprocal(c.words, c.parts),
    "min-max .3, whole": lambda c: 0.7 * stretched(c.words) + 0.3 * stretched(c.whole),
    "fusion, whole": lambda c: fuse(c.words, c.whole, Fusion(words=0.4)),
    "fusion": lambda c: fuse(c.words, c.parts),
}


def quality(set_: Questions, rows: Sequence[Candidates], ranker: Ranker) -> Array:
    """nDCG@10 of each question."""
    return np.array(
        [
            ndcg([int(n) for n in row.numbers[order(ranker(row), 10)]], relevant)
            for row, relevant in zip(rows, set_.relevant, strict=True)
        ]
    )


def weighed(words: float) -> Ranker:
    """The fusion with another weight."""
    return lambda c: fuse(c.words, c.parts, Fusion(words=words))


Measured = list[tuple[Questions, list[Candidates]]]


def tune(measured: Measured) -> None:
    """The mean by weight, on the half that tunes."""
    print("\nmean nDCG@10 by the weight of words, on the half that tunes:")
    means = {
        words: np.mean(
            [quality(s, rows, weighed(words))[~s.reported].mean() for s, rows in measured]
        )
        for words in GRID
    }
    print("  " + "  ".join(f"{words:.2f} {mean:.4f}" for words, mean in means.items()))
    print(f"  best: {max(means, key=lambda words: means[words])}; shipped: {Fusion().words}")


def report(measured: Measured) -> None:
    """nDCG@10 by set on the half that reports; what the fusion has more, with its interval."""
    names = [set_.name for set_, _ in measured]
    print(f"\nnDCG@10 on the half that reports: {', '.join(names)}, mean")
    group = [*range(len(measured) - 1), len(measured) - 2]  # the long ones ask the same
    ours = [quality(s, rows, RANKERS["fusion"])[s.reported] for s, rows in measured]
    for name, ranker in RANKERS.items():
        scores = [quality(s, rows, ranker)[s.reported] for s, rows in measured]
        means = [each.mean() for each in scores]
        low, high = intervals(scores, group)
        line = "  ".join(f"{mean:.4f}" for mean in means)
        line = f"{name:25}{line}  {np.mean(means):.4f} [{low:.4f}, {high:.4f}]"
        if name != "fusion":
            gains = [a - b for a, b in zip(ours, scores, strict=True)]
            low, high = intervals(gains, group)
            gain = np.mean([each.mean() for each in gains])
            line += f"; fusion has {gain:.4f} more [{low:.4f}, {high:.4f}]"
        print(line)


def report_close(measured: Measured) -> None:
    """How much is left to gain where the best are close, and where they are not."""
    print("\nclose to the second (fusion, half that reports): share; nDCG@10 if close, if not")
    for set_, rows in measured:
        close = np.array([margin(RANKERS["fusion"](row)) < Fusion().close for row in rows])
        scores, kept = quality(set_, rows, RANKERS["fusion"]), set_.reported
        print(
            f"{set_.name:25}{close[kept].mean():.1%}  {scores[kept & close].mean():.4f}  "
            f"{scores[kept & ~close].mean():.4f}"
        )


def report_cost(encoder: Encoder) -> None:
    """CPU of what ranking does after the searches: 200 candidates, four parts each."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(800, encoder.dim)).astype(np.float32)
    words, starts = random.random(200), np.arange(0, 800, 4)
    began = time.process_time()
    for _ in range(500):
        order(fuse(words, best_parts(vectors[0], vectors, starts)), 10)
    took = (time.process_time() - began) / 500 * 1e3
    print(f"\nranking 200 candidates by 800 parts: {took:.2f} ms CPU")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    encoder = Encoder(threads=parser.parse_args().threads)
    xquad, pubmedqa, *long = sets(encoder)
    measured: Measured = []
    for set_ in (xquad, pubmedqa, *long):
        rows, line = candidates(set_, encoder)
        measured.append((set_, rows))
        print(line, flush=True)
    tune(measured)
    report(measured)
    report_close(measured)
    report_cost(encoder)
    print("\nThe same without headings:")
    bare: Measured = measured[:2]
    for most in (256, 128):
        set_ = long_documents(encoder, most, headings=False)
        bare.append((set_, candidates(set_, encoder)[0]))
    report(bare)


if __name__ == "__main__":
    main()
