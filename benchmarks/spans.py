"""Answers cut from passages without a language model: exact match and F1 on XQuAD.

    python -m benchmarks.spans [--write PATH]

Articles of even number train, odd ones test: no paragraph, and no article, is on both sides. With
the right paragraph given, and with the best that the search finds among all 240. The shipped model
is tested; ``--write`` trains it anew and puts it there. Scores as SQuAD's (Rajpurkar et al. 2016).
"""

import argparse
import json
import re
import string
import time
from collections import Counter
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from benchmarks.data import lines
from benchmarks.retrieval import candidates
from benchmarks.retrieval_sets import Questions, whole
from shoal.encoder import Encoder
from shoal.retrieval.fusion import fuse, order
from shoal.retrieval.span_features import Array, features
from shoal.retrieval.span_words import Words
from shoal.retrieval.spans import SpanModel, find_span

NOTE = (
    "Trained on 24 of the 48 articles of XQuAD (English, CC-BY-SA-4.0, derived from SQuAD 1.1 and "
    "Wikipedia); see benchmarks/spans.py."
)
PARAGRAPHS = 5  # of an article
TREES = {
    "objective": "lambdarank",
    "num_leaves": 15,
    "learning_rate": 0.08,
    "min_data_in_leaf": 30,
    "label_gain": [0, 1, 2, 4, 12],
    "lambdarank_truncation_level": 15,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "seed": 0,
    "verbose": -1,
}
ROUNDS = 100


def trains(number: int) -> bool:
    """Whether the paragraph's article trains; the others test."""
    return number // PARAGRAPHS % 2 == 0


def normal(text: str) -> list[str]:
    """Words, without articles, punctuation and case."""
    bare = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def f1(found: str, answer: str) -> float:
    """Of words; 1 if both have none."""
    left, right = normal(found), normal(answer)
    shared = sum((Counter(left) & Counter(right)).values())
    return 2 * shared / (len(left) + len(right)) if left or right else 1.0


class Asked:
    """A question with its paragraph's candidates: features and the F1 of each."""

    def __init__(self, row: dict[str, Any], number: int, words: Words, cosines: Array) -> None:
        self.question, self.answer, self.number = row["question"], row["answer"], number
        self.features = features(self.question, words, cosines)
        first, last = words.candidates()
        self.f1 = np.array(
            [
                f1(words.text[words.places[a][0] : words.places[b][1]], self.answer)
                for a, b in zip(first, last, strict=True)
            ]
        )

    @property
    def rows(self) -> Array:
        """(candidates, features)."""
        return np.column_stack(list(self.features.values()))


def train(asked: list[Asked]) -> str:
    """LightGBM's text of the trees."""
    grades = np.concatenate([np.where(a.f1 > 0.999, 4, np.floor(a.f1 * 4)) for a in asked])
    data = lightgbm.Dataset(
        np.concatenate([a.rows for a in asked]), grades, group=[len(a.f1) for a in asked]
    )
    return str(lightgbm.train(TREES, data, ROUNDS).model_to_string())


def fitted(asked: list[Asked]) -> dict[str, Any]:
    """What ``spans.json`` holds; the signal is fitted where articles are left out in turn."""
    from sklearn.linear_model import LogisticRegression

    stored = {
        "note": NOTE,
        "features": list(asked[0].features),
        "passage": 0.0,
        "signal": [0.0, 1.0],
        "trees": "",
    }
    share, right = [], []
    for fold in range(3):
        kept = [a for a in asked if a.number // PARAGRAPHS // 2 % 3 != fold]
        model = SpanModel({**stored, "trees": train(kept)})
        for a in asked:
            if a.number // PARAGRAPHS // 2 % 3 == fold:
                values = model.scores(a.features)
                share.append(1 / np.exp(values - values.max()).sum())
                right.append(a.f1[values.argmax()] > 0.5)
    line = LogisticRegression(C=1e3).fit(np.array(share)[:, None], right)
    stored["signal"] = [float(line.intercept_[0]), float(line.coef_[0, 0])]
    stored["trees"] = train(asked)
    stored["passage"] = 20.0
    return stored


def interval(scores: NDArray[Any]) -> str:
    """Mean and its 95 % bootstrap interval."""
    random = np.random.default_rng(0)
    means = [random.choice(scores, len(scores)).mean() for _ in range(2_000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{np.mean(scores):.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Train, write and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path)
    path = parser.parse_args().write
    encoder, rows, set_ = Encoder(), lines("retrieval/xquad_questions.jsonl.gz"), whole("xquad")
    texts = [Words(piece.text) for piece in set_.pieces]
    told = [encoder.encode([words.text[a:b].strip() for a, b in words.spans]) for words in texts]
    vectors = encoder.encode(set_.questions)
    if path:
        training = [
            Asked(row, number, texts[number], told[number] @ vector)
            for row, (number,), vector in zip(rows, set_.relevant, vectors, strict=True)
            if trains(number)
        ]
        path.write_text(json.dumps(fitted(training), indent=1) + "\n")
        print(f"trained on {len(training)} questions")
    model = SpanModel(json.loads(path.read_bytes())) if path else SpanModel.shipped()
    tested = [at for at, (number,) in enumerate(set_.relevant) if not trains(number)]
    print(f"tested on {len(tested)} questions, other articles")
    report(set_, tested, encoder, model)


def report(set_: Questions, tested: list[int], encoder: Encoder, model: SpanModel) -> None:
    """With the paragraph given (0), and with the best of all."""
    answers = [row["answer"] for row in lines("retrieval/xquad_questions.jsonl.gz")]
    found = candidates(set_, encoder)[0]
    for most in (0, 1, 3):
        scores, held, signals = [], [], []
        began = time.process_time()
        for at in tested:
            fused = fuse(found[at].words, found[at].parts)
            best = order(fused, most)
            numbers = found[at].numbers[best] if most else [set_.relevant[at][0]]
            passages = [set_.pieces[number].text for number in numbers]
            span = find_span(
                set_.questions[at], passages, encoder, model, fused[best] if most else None
            )
            assert span is not None
            text = passages[span.passage]
            scores.append(f1(text[span.start : span.end], answers[at]))
            held.append(answers[at] in text[slice(*span.sentence)])
            signals.append(span.signal)
        took = (time.process_time() - began) / len(tested) * 1e3
        exact = np.array(scores) > 0.999
        print(
            f"{f'best {most}' if most else 'given paragraph'}: exact {interval(exact)}, "
            f"F1 {interval(np.array(scores))}, sentence holds the answer {interval(np.array(held))}"
            f"; {took:.0f} ms CPU"
        )
        sure = np.argsort(-np.array(signals))[: len(signals) // 4]
        surest = np.array(scores)[sure].mean()
        print(f"   the surest quarter: exact {exact[sure].mean():.3f}, F1 {surest:.3f}", flush=True)


if __name__ == "__main__":
    main()
