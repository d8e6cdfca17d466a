"""The label recipes on public intent data, beside a linear SVM on the same features.

    python -m benchmarks.intents [--draws 5]

Banking77 and CLINC150 (in scope), official train and test parts. The SVM is scikit-learn's, over
TF-IDF of word 1-2-grams and character 2-5-grams (weight .6) beside the sentence embeddings. It must
hold out data to calibrate; the kernel machine yields a leave-one-out prediction for every example.

Then the same with 10 examples a label, drawn ``--draws`` times; beside them logistic regression on
the embeddings alone. Mean accuracy, and the least and greatest of the draws.
"""

import argparse
import resource
import time
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

from benchmarks.data import lines
from shoal.encoder import Encoder
from shoal.guarantees import interval
from shoal.specialists.kind import Recipe
from shoal.specialists.label import KIND, train_label
from shoal.specialists.machine import MOST_EXAMPLES
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract

Set = tuple[list[str], list[str]]  # texts, labels


def banking77() -> tuple[Set, Set]:
    """The official parts."""
    return _set(lines("intents/banking77_train.jsonl.gz")), _set(
        lines("intents/banking77_test.jsonl.gz")
    )


def clinc150() -> tuple[Set, Set]:
    """The official parts, in scope."""
    rows = lines("intents/clinc150.jsonl.gz")
    return _set([r for r in rows if r["split"] == "train"]), _set(
        [r for r in rows if r["split"] == "test"]
    )


def _set(rows: Sequence[dict[str, str]]) -> Set:
    """In an order drawn once: files are sorted by label, and of many examples the newest train."""
    drawn = [rows[at] for at in np.random.default_rng(0).permutation(len(rows))]
    return [row["text"] for row in drawn], [row["label"] for row in drawn]


def report(name: str, right: Sequence[bool], cpu: float, ms: float | None = None) -> None:
    """A line: accuracy with its 95 % interval, CPU to train, CPU to answer."""
    low, high = interval(sum(right), len(right), 0.95)
    answer = "" if ms is None else f", {ms:.2f} ms CPU an answer"
    print(
        f"{name:32} {np.mean(right):.1%} ({low:.1%} to {high:.1%}), {cpu:.1f} s CPU{answer}",
        flush=True,
    )


def machine(name: str, train: Set, test: Set, senses: Senses | None, recipe: Recipe) -> None:
    """Train and test one of Shoal's recipes; the encoder's time is told apart."""
    contract = LabelContract(tuple(sorted(set(train[1]))))
    began = time.process_time()
    trained = train_label(contract, [*map(Input, train[0])], train[1], senses, recipe)
    cpu = time.process_time() - began
    left_out = [p.output == label for p, label in zip(trained.left_out, train[1], strict=True)]
    began = time.process_time()
    said = [trained.specialist.predict(Input(text)).output for text in test[0]]
    ms = (time.process_time() - began) / len(said) * 1e3
    report(f"{name}: {recipe.name}", [a == b for a, b in zip(said, test[1], strict=True)], cpu, ms)
    print(f"{'':32} leave-one-out on the training part: {np.mean(left_out):.1%}")


def svm(name: str, train: Set, test: Set, senses: Senses) -> None:
    """The linear SVM over the same kinds of features."""
    began = time.process_time()
    terms = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    known = sp.hstack([0.6 * terms.fit_transform(train[0]), senses.embed(train[0])]).tocsr()
    model = LinearSVC(C=1.0).fit(known, train[1])
    cpu = time.process_time() - began
    said = model.predict(sp.hstack([0.6 * terms.transform(test[0]), senses.embed(test[0])]).tocsr())
    report(f"{name}: linear SVM", list(said == np.array(test[1])), cpu)


def few(name: str, train: Set, test: Set, senses: Senses, draws: int) -> None:
    """Ten examples a label: each recipe and the logistic regression, over the same draws."""
    found: dict[str, list[float]] = {}
    cpu: dict[str, float] = {}
    for seed in range(draws):
        part = shots(train, 10, seed)
        contract = LabelContract(tuple(sorted(set(part[1]))))
        inputs = [*map(Input, part[0])]
        for recipe in KIND.recipes:
            began = time.process_time()
            used = senses if recipe.encoder else None
            specialist = train_label(contract, inputs, part[1], used, recipe).specialist
            cpu[recipe.name] = cpu.get(recipe.name, 0) + time.process_time() - began
            said = [specialist.predict(Input(text)).output for text in test[0]]
            found.setdefault(recipe.name, []).append(float(np.mean(np.array(said) == test[1])))
        began = time.process_time()
        model = LogisticRegression(C=10, max_iter=1_000).fit(senses.embed(part[0]), part[1])
        cpu["logistic regression"] = cpu.get("logistic regression", 0) + (
            time.process_time() - began
        )
        right = model.predict(senses.embed(test[0])) == np.array(test[1])
        found.setdefault("logistic regression", []).append(float(right.mean()))
    for way, shares in found.items():
        print(
            f"{name + ', 10 a label: ' + way:46} {np.mean(shares):.1%} "
            f"({min(shares):.1%} to {max(shares):.1%} over {draws} draws), "
            f"{cpu[way] / draws:.1f} s CPU a draw, encoding aside",
            flush=True,
        )


def shots(train: Set, count: int, seed: int) -> Set:
    """So many examples of each label, drawn with that seed."""
    order = np.random.default_rng(seed).permutation(len(train[1]))
    taken: dict[str, list[int]] = {}
    for row in order:
        rows = taken.setdefault(train[1][row], [])
        if len(rows) < count:
            rows.append(int(row))
    chosen = [row for rows in taken.values() for row in rows]
    return [train[0][row] for row in chosen], [train[1][row] for row in chosen]


def main() -> None:
    """Both data sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=5)
    draws = parser.parse_args().draws
    print(f"The kernel machine trains on the newest {MOST_EXAMPLES:,} examples at most.")
    senses = Senses(Encoder(threads=1), remember=40_000)
    for name, (train, test) in (("Banking77", banking77()), ("CLINC150", clinc150())):
        began = time.process_time()
        senses.embed(train[0])
        print(f"{name}: encoding {len(train[0]):,} texts: {time.process_time() - began:.1f} s CPU")
        for recipe in KIND.recipes:
            machine(name, train, test, senses if recipe.encoder else None, recipe)
        svm(name, train, test, senses)
        senses.embed(test[0])
        few(name, train, test, senses, draws)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
