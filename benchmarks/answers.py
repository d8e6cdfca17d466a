"""Answers taken from documents with no model of language: how many, how right, how many in vain.

    python -m benchmarks.answers [--fit]

XQuAD's 240 paragraphs as a collection. Each question is asked twice: of all paragraphs, and of all
but those of its own article, where nothing answers it. The articles of even number fixed the
weights (``--fit`` fits them again); those of odd number report. About 70 s of CPU.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from msgspec import Struct

from benchmarks.data import lines
from benchmarks.spans import PARAGRAPHS, f1, interval
from shoal.encoder import Encoder
from shoal.retrieval.collection import Collection
from shoal.retrieval.extracting import answers, extract
from shoal.retrieval.filters import Comparison
from shoal.retrieval.grounding import share_of_content, sources_of
from shoal.retrieval.search import SearchOptions


class Outcome(Struct):
    """A question of an ``article``: whether it was answered, the F1 of the answer and whether its
    sentence holds the right one; whether it was answered ``in_vain``; and what decided, both
    times."""

    article: int
    answered: bool
    right: float
    holds: bool
    in_vain: bool
    there: tuple[float, float]
    gone: tuple[float, float]


def collected(folder: Path, encoder: Encoder) -> Collection:
    """The paragraphs, each with its article."""
    found = Collection.create(folder, encoder)
    for row in lines("retrieval/xquad_passages.jsonl.gz"):
        article = float(int(row["id"][1:]) // PARAGRAPHS)
        found.intake.add(row["id"], row["text"].encode(), {"article": article})
    return found


def asked(collection: Collection, encoder: Encoder, row: dict[str, str]) -> Outcome:
    """One question, asked twice."""
    article = int(row["relevant"][0][1:]) // PARAGRAPHS
    others = SearchOptions(k=1, where=Comparison("ne", "article", float(article)))
    question = row["question"]
    (there,) = sources_of(collection.search(question, SearchOptions(k=1)))
    (gone,) = sources_of(collection.search(question, others))
    said = extract(question, there, encoder)
    sentence = said.sentences[0].text if said.found else ""
    shares = [share_of_content(question, one.hit.passage.searched) for one in (there, gone)]
    return Outcome(
        article,
        said.found,
        f1(said.text.partition(": “")[0], row["answer"]),
        row["answer"] in sentence,
        answers(question, gone) >= 0.5,
        (there.hit.meaning or 0.0, shares[0]),
        (gone.hit.meaning or 0.0, shares[1]),
    )


def fit(outcomes: list[Outcome]) -> None:
    """Print the weights that the articles of even number give."""
    from sklearn.linear_model import LogisticRegression

    rows = [o.there for o in outcomes] + [o.gone for o in outcomes]
    model = LogisticRegression(C=100).fit(rows, [1] * len(outcomes) + [0] * len(outcomes))
    print("weights", model.coef_.round(2).tolist(), model.intercept_.round(2).tolist())


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true")
    encoder = Encoder()
    with tempfile.TemporaryDirectory() as folder:
        collection = collected(Path(folder) / "xquad", encoder)
        rows = lines("retrieval/xquad_questions.jsonl.gz")
        outcomes = [asked(collection, encoder, row) for row in rows]
    if parser.parse_args().fit:
        fit([one for one in outcomes if one.article % 2 == 0])
    test = [one for one in outcomes if one.article % 2]
    answered = [one for one in test if one.answered]
    print(f"questions                      {len(test)}")
    print(f"answered, where it is there    {interval(np.array([o.answered for o in test]))}")
    print(f"  sentence holds the answer    {interval(np.array([o.holds for o in answered]))}")
    print(f"  F1 of the words themselves   {interval(np.array([o.right for o in answered]))}")
    print(f"answered, where it is not      {interval(np.array([o.in_vain for o in test]))}")


if __name__ == "__main__":
    main()
