"""Product matching: fine-tunes of an 8B model answer where they agree; else a 70B model is asked.

Two rungs before the reference: a pair of fine-tunes, then five of them, those already asked
included. Which ones, and a signal over their votes and how alike the two records look, are learned
on a training split; thresholds are certified together on another. Costs are by size (8 against 70
billion parameters), for tokens were not recorded. One template at a time, so that a pair of records
stands in one split only.
"""

import re
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.cascades_report import Outcome, Rows, certified, print_risk
from benchmarks.data import lines
from shoal.evaluation.replay import RecordedRung
from shoal.guarantees import SelectiveRisk
from shoal.routing.signals import fit_logistic

REFERENCES = {"llama31-70b:ft-small": 1.0, "gpt-4o-mini:zeroshot": 1.0}
SMALL = 8 / 70
VOICES = (2, 5)
TRAIN, CALIBRATION = 600, 1_200
ALPHAS = (0.02, 0.05)
DELTA = 0.05

Floats = NDArray[np.float64]


class Answers(Struct, frozen=True):
    """One template's answers: (models, n) 0 or 1 (-1: none), the reference's and gold (n,)."""

    names: list[str]
    said: NDArray[np.int8]
    reference: NDArray[np.int8]
    gold: NDArray[np.int8]
    alike: Floats  # (n, f)


def read(reference: str) -> dict[str, Answers]:
    """By template: the prompts that the reference and all fine-tunes answered."""
    merged: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in lines("product_matching/responses.jsonl.gz"):
        at = merged.setdefault((row["task"], row["dataset"], row["prompt"]), {**row, "out": {}})
        at["out"] |= row["out"]
    names = sorted({name for row in merged.values() for name in row["out"] if "8b:" in name})
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in merged.values():
        if reference in row["out"] and sum(name in row["out"] for name in names) >= max(VOICES):
            by_task[row["task"]].append(row)
    return {task: _answers(rows, names, reference) for task, rows in by_task.items()}


def _answers(rows: Sequence[dict[str, Any]], names: Sequence[str], reference: str) -> Answers:
    def said(row: dict[str, Any], name: str) -> int:
        found = row["out"].get(name, (None, None))[1]
        return found if found in (0, 1) else -1

    kept = [name for name in names if all(name in row["out"] for row in rows)]
    return Answers(
        names=kept,
        said=np.array([[said(row, name) for row in rows] for name in kept], dtype=np.int8),
        reference=np.array([said(row, reference) for row in rows], dtype=np.int8),
        gold=np.array([row["label"] for row in rows], dtype=np.int8),
        alike=np.array([_alike(row["prompt"]) for row in rows]),
    )


def _alike(prompt: str) -> list[float]:
    """How alike the two records are: words shared, numbers shared, lengths."""
    _, _, records = prompt.partition("Entity 1:")
    first, _, second = records.partition("Entity 2:")
    a, b = (set(re.findall(r"\w+", text.lower())) for text in (first, second))
    digits = [{word for word in words if any(c.isdigit() for c in word)} for words in (a, b)]
    shared = len(digits[0] & digits[1]) / max(1, min(len(digits[0]), len(digits[1])))
    return [len(a & b) / max(1, len(a | b)), shared, np.log1p(len(a)), np.log1p(len(b))]


def rungs_of(answers: Answers, train: Rows) -> tuple[list[RecordedRung], RecordedRung]:
    """Two rungs and the reference; voices and signals are chosen on the training rows."""
    right = answers.said == answers.reference
    order = np.argsort(-right[:, train].mean(1), kind="stable")
    n, rungs, paid = right.shape[1], [], 0
    for voices in VOICES:
        votes = answers.said[order[:voices]]
        share = (votes == 1).mean(0)
        says = (share >= 0.5).astype(np.int8)
        surely = np.abs(share - 0.5) * 2.0
        features = np.column_stack(
            [surely, says, answers.alike, answers.alike * says[:, None], surely * says]
        )
        outcome = says == answers.reference
        scores = fit_logistic(features[train], outcome[train]).logits(features)
        cost = np.full(n, SMALL * (voices - paid))
        rungs.append(RecordedRung(f"{voices} fine-tunes", scores, outcome, cost, np.zeros(n)))
        paid = voices
    last = RecordedRung("70B", np.ones(n), np.ones(n, bool), np.ones(n), np.zeros(n))
    return rungs, last


def splits_of(n: int, seed: int) -> tuple[Rows, Rows, Rows]:
    """Training, calibration, and the rest to test; smaller where there are few."""
    order = np.random.default_rng(seed).permutation(n)
    train, calibration = min(TRAIN, n // 4), min(CALIBRATION, n // 3)
    return order[:train], order[train : train + calibration], order[train + calibration :]


def main(seeds: int) -> None:
    """Each reference, each template."""
    began = time.process_time()
    for reference in REFERENCES:
        print(f"reference {reference} (recorded answers); cost by size, 70B = 1")
        for task, answers in read(reference).items():
            gold = (answers.reference == answers.gold).mean()
            n = len(answers.gold)
            print(
                f"{task}: {n} prompts, {len(answers.names)} fine-tunes, reference {gold:.1%} right"
            )
            outcomes: dict[float, list[Outcome]] = {alpha: [] for alpha in ALPHAS}
            for seed in range(seeds):
                splits = splits_of(n, seed)
                rungs, last = rungs_of(answers, splits[0])
                for alpha in ALPHAS:
                    target = SelectiveRisk(alpha)
                    outcomes[alpha].append(certified(rungs, last, splits, target, DELTA))
            for alpha, found in outcomes.items():
                print_risk(task[:34], found, alpha)
    print(f"{time.process_time() - began:.0f} s CPU")
