"""Does reranking pay? A ``match`` specialist over the best ten, where it is close, and everywhere.

    python -m benchmarks.retrieval_reranker [--wrong 4]

Questions are shared out as in ``benchmarks.retrieval_adapter``: those that train teach a reranker
from a question with its right passage and with its nearest wrong ones, by the light recipe; its
weight is the best on the predictions of models that had not seen the pair. The certificate is asked
for on those that calibrate, and the half that reports has nDCG@10 with the reranker and without.

Last, made-up pages that differ by a machine and a part number alone, as a workshop has them, and
questions that write the number without its hyphen, with it, or with a space: through a collection
and ``tune_reranker``, the whole way a user goes.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from msgspec import Struct

from benchmarks.retrieval_adapter import Encoded, Found, measured, paired, sets
from shoal.assembly.kept_reranker import open_collection
from shoal.assembly.reranker_training import tune_reranker
from shoal.assembly.reranking import CONTRACT, NO, YES, MatchReranker, chance_of, pair_of
from shoal.encoder import Encoder
from shoal.guarantees import delta_at
from shoal.retrieval.collection import Collection
from shoal.retrieval.documents import Passage
from shoal.retrieval.fusion import CLOSE, is_close, order
from shoal.retrieval.known_answers import KnownAnswer, Resolved, calibrates, resolved
from shoal.retrieval.rerank import MOST
from shoal.retrieval.tuned import RERANKER, withdraw
from shoal.retrieval.tuning import passages_of
from shoal.specialists import match

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
MACHINES = ("conveyor", "press", "mixer", "furnace", "crane", "lathe", "boiler", "chiller")
PARTS = [f"{letters}-{number}" for letters in ("KX", "BRT") for number in (4417, 4471, 7144)]
PAGE = (
    "The seal {1} of the {0} is tightened with care after cleaning the seat; replace the ring when "
    "the {0} was opened."
)
ASKED = ("what torque for the {0} seal {1}", "{0} {1}: torque?", "seal {1} of {0}")


class Pairs(Struct, frozen=True):
    """Questions and passages, by number, with the fused score and whether the passage is right."""

    questions: np.ndarray
    passages: np.ndarray
    scores: np.ndarray
    right: np.ndarray


def pairs(of: Encoded, chosen: Sequence[int], wrong: int) -> Pairs:
    """The right passages of each question, and the best ``wrong`` others."""
    rows = []
    for at in chosen:
        scores, relevant = of.scores(at), of.set_.relevant[at]
        others = [n for n in order(scores, wrong + len(relevant)).tolist() if n not in relevant]
        rows += [(at, n, scores[n], n in relevant) for n in [*relevant, *others[:wrong]]]
    columns = zip(*rows, strict=True)
    return Pairs(*(np.array(column) for column in columns))


def best_weight(known: Pairs, chances: np.ndarray) -> float:
    """By the mean reciprocal rank of the first right one among a question's pairs; the least of
    those that are as good."""
    means = []
    for weight in WEIGHTS:
        total = known.scores + weight * chances
        ranks = [
            1 / (1 + int(np.argmax(known.right[rows][order(total[rows])])))
            for rows in (known.questions == at for at in np.unique(known.questions))
        ]
        means.append(np.mean(ranks))
    return WEIGHTS[int(np.argmax(means))]


def report(of: Encoded, wrong: int) -> None:
    """Lines on one set."""
    set_, many = of.set_, range(len(of.set_.questions))
    held = np.array([calibrates(text) for text in set_.questions])
    calibrating, training = ~set_.reported & held, np.flatnonzero(~set_.reported & ~held).tolist()
    known = pairs(of, training, wrong)
    texts = [piece.searched for piece in set_.pieces]
    began = time.process_time()
    trained = match.train_match(
        CONTRACT,
        [
            pair_of(set_.questions[q], texts[p])
            for q, p in zip(known.questions, known.passages, strict=True)
        ],
        [YES if right else NO for right in known.right],
        None,
        match.KIND.recipes[0],
        recurring=False,
    )
    took = time.process_time() - began
    chances = np.array([chance_of(one) for one in trained.left_out])
    weight = best_weight(known, chances)
    print(
        f"\n{set_.name}: {len(known.right):,} pairs of {len(training)} questions train "
        f"({took:.1f} s CPU); weight {weight}"
    )
    before = [of.scores(at) for at in many]
    none = measured(of, iter(before))
    reranker = MatchReranker(trained.specialist)
    every, asked = [], 0
    began = time.process_time()
    for at, scores in enumerate(before):
        every.append(scores.copy())
        if set_.reported[at] or calibrating[at]:
            first, asked = order(scores, MOST), asked + 1
            passages = [Passage(texts[n], number=n, document=1, position=0) for n in first]
            every[at][first] += weight * reranker.scores(set_.questions[at], passages)
    cost = (time.process_time() - began) / asked * 1e3
    close = np.array([is_close(scores) for scores in before])
    some = [new if is_ else old for new, old, is_ in zip(every, before, close, strict=True)]
    print(f"  nobody asked:       {none.told(set_.reported)}")
    for name, scores in (("where it is close", some), ("everywhere", every)):
        after = measured(of, iter(scores))
        print(f"  asked {name}: {after.told(set_.reported)}; {_verdict(none, after, calibrating)}")
    print(
        f"  close (best less than {CLOSE} ahead): {close[set_.reported].mean():.0%} of the "
        f"questions; {cost:.0f} ms CPU for {MOST} passages",
        flush=True,
    )


def _verdict(before: Found, after: Found, on: np.ndarray) -> str:
    found = paired(before, after, on)
    said = "certified" if found.shows_gain(delta_at(1, 0.05)) else "refused"
    return f"{said} ({found.gained} gained, {found.lost} lost of {found.n})"


def report_parts(folder: Path, encoder: Encoder) -> None:
    """Lines on the workshop."""
    named = [(machine, part) for machine in MACHINES for part in PARTS]
    with closing(Collection.create(folder, encoder)) as made:
        for machine, part in named:
            made.intake.add(f"{machine}/{part}.txt", PAGE.format(machine, part).encode())
    with closing(open_collection(folder, encoder)) as found:
        for hyphen in ("", "-", " "):
            random, passages, pairs = Random(1), passages_of(found), []
            for at in range(240):
                machine, part = random.choice(named)
                asked = random.choice(ASKED).format(machine, part.lower().replace("-", hyphen))
                one = KnownAnswer(f"{asked} #{at}", document=f"{machine}/{part}.txt")
                pairs.append((one, passages.right(one)))
            known = resolved(pairs)
            before, began = _cost(found, known), time.process_time()
            outcome = tune_reranker(found, known)
            took, after = time.process_time() - began, _cost(found, known)
            print(f"\nparts, {hyphen!r} for the hyphen: {took:.1f} s CPU to train and test")
            print(
                f"  {outcome.describe()}\n  {before:.1f} ms CPU a search before, {after:.1f} after"
            )
            withdraw(found.folder / RERANKER)


def _cost(found: Collection, known: Sequence[Resolved]) -> float:
    began = time.process_time()
    for one in known:
        found.search(one.question)
    return (time.process_time() - began) / len(known) * 1e3


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wrong", type=int, default=4, help="wrong passages a question")
    parser.add_argument("--parts", action="store_true", help="the made-up pages alone")
    args = parser.parse_args()
    encoder = Encoder()
    for of in () if args.parts else sets(encoder):
        report(of, args.wrong)
    with TemporaryDirectory() as folder:
        report_parts(Path(folder) / "workshop", encoder)


if __name__ == "__main__":
    main()
