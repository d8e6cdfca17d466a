"""The fine-tuning recipe on public data: accuracy of what is served, in int8 and without torch.

    python -m benchmarks.finetune banking77|clinc150|snips|abt_buy|amazon_google
        [--shots 10] [--seed 0] [--validate] [--folder STATE]

Trained on the official training part (of CLINC150 in scope; of the pairs with the official
validation part), a share of which validates, and tested on the official test part. ``--validate``
tests on a tenth of the training part instead, which is left out: how options are to be chosen.
SNIPS: one model over all 39 slots; F1 over (slot, value), intervals bootstrapped over messages.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from msgspec import Struct

from benchmarks import matching
from benchmarks.data import lines
from benchmarks.intents import Set, banking77, clinc150, report
from shoal.encoder import Encoder
from shoal.specialists.files import read_model
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist
from shoal.specialists.tuned_kinds import restore_tuned
from shoal.tasks import Contract, Field, FieldsContract, Input, LabelContract
from shoal.tasks.contract import Output
from shoal.training.fields import tune_fields
from shoal.training.label import tune_label
from shoal.training.match import tune_match

SETS = ("banking77", "clinc150", "snips", *matching.SETS)
RESAMPLES = 2_000
Tune = Callable[..., Specialist]
Rows = list[dict[str, Any]]


class Said(Struct, frozen=True):
    """What the specialist, read back from its files, says of the test part."""

    outputs: list[Output | None]
    train_s: float
    answer_ms: float
    megabytes: float


def said(
    tune: Tune,
    contract: Contract,
    train: tuple[list[Input], list[Any]],
    test: list[Input],
    folder: Path | None,
) -> Said:
    """Train, write, read back, answer."""
    senses = Senses(Encoder(), remember=40_000)
    began = time.process_time()
    tuned = tune(contract, *train, senses, folder=folder, show=True)
    train_s = time.process_time() - began
    with TemporaryDirectory() as files:
        tuned.save(Path(files))
        size = sum(path.stat().st_size for path in Path(files).iterdir()) / 1e6
        served = restore_tuned(contract, *read_model(Path(files)), Senses(senses.encoder))
    began = time.process_time()
    outputs = [served.predict(given).output for given in test]
    answer_ms = (time.process_time() - began) / len(test) * 1e3
    return Said(outputs, train_s, answer_ms, size)


def few(data: Set, shots: int, seed: int) -> Set:
    """So many examples of each label."""
    seen: dict[str, int] = {}
    kept = []
    for row in np.random.default_rng(seed).permutation(len(data[0])):
        label = data[1][row]
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= shots:
            kept.append(row)
    return [data[0][row] for row in kept], [data[1][row] for row in kept]


def intents(asked: argparse.Namespace) -> None:
    """Accuracy on Banking77 or CLINC150."""
    train, test = banking77() if asked.data == "banking77" else clinc150()
    if asked.validate:
        cut = len(train[0]) // 10
        train, test = (
            (train[0][cut:], train[1][cut:]),
            (train[0][:cut], train[1][:cut]),
        )
    if asked.shots:
        train = few(train, asked.shots, asked.seed)
    contract = LabelContract(tuple(sorted(set(train[1]))))
    lessons = [*map(Input, train[0])], train[1]
    found = said(tune_label, contract, lessons, [*map(Input, test[0])], asked.folder)
    title = asked.data + (f", {asked.shots} a label, seed {asked.seed}" if asked.shots else "")
    right = [a == b for a, b in zip(found.outputs, test[1], strict=True)]
    report(title, right, found.train_s, found.answer_ms)
    print(f"  {len(train[0]):,} examples, files of {found.megabytes:.0f} MB")


def pairs(asked: argparse.Namespace) -> None:
    """F1 of the matches on Abt-Buy or Amazon-Google."""
    rows = lines(f"product_matching/{asked.data}.jsonl.gz")
    train, test = matching.split(rows, "train", "valid"), matching.split(rows, "test")
    if asked.validate:
        train, test = matching.split(rows, "train"), matching.split(rows, "valid")
    contract = matching.CONTRACT
    lessons = [*map(matching.given, train)], [contract.labels[row["label"]] for row in train]
    found = said(tune_match, contract, lessons, [*map(matching.given, test)], asked.folder)
    matches = np.array([output == "Yes" for output in found.outputs])
    costs = f", {found.train_s:.0f} s CPU, {found.answer_ms:.1f} ms an answer"
    matching.report(f"{asked.data}: tuned", matches, matching.labels_of(test), costs)


def slots(asked: argparse.Namespace) -> None:
    """Span F1 on SNIPS."""
    rows = lines("fields/snips.jsonl.gz")
    train = [row for row in rows if row["split"] == "train"]
    train = [train[at] for at in np.random.default_rng(0).permutation(len(train))]
    test = [row for row in rows if row["split"] == "test"]
    if asked.validate:
        cut = len(train) // 10
        train, test = train[cut:], train[:cut]
    names = sorted({slot for row in train for slot, _, _ in row["spans"]})
    contract = FieldsContract(tuple(Field(name, "span", optional=True) for name in names))
    outputs = [dict.fromkeys(names) | first_values(row) for row in train]
    lessons = [Input(row["text"]) for row in train], outputs
    found = said(tune_fields, contract, lessons, [Input(r["text"]) for r in test], asked.folder)
    counts = np.array(
        [counted(row, output) for row, output in zip(test, found.outputs, strict=True)]
    )
    random = np.random.default_rng(0)
    drawn = [counts[random.integers(0, len(counts), len(counts))] for _ in range(RESAMPLES)]
    low, high = np.quantile([f1(each) for each in drawn], (0.025, 0.975))
    print(
        f"snips: span F1 {f1(counts):.3f} ({low:.3f} to {high:.3f}), {found.train_s:.0f} s CPU, "
        f"{found.answer_ms:.1f} ms an answer"
    )


def first_values(row: dict[str, Any]) -> dict[str, str]:
    """The first value of each slot that a message states."""
    values = {slot: row["text"][start:end].strip() for slot, start, end in reversed(row["spans"])}
    return {slot: value for slot, value in values.items() if value}


def counted(row: dict[str, Any], output: Output | None) -> tuple[int, int, int]:
    """(slot, value) pairs that are right, said, and wanted: every value of a slot is wanted."""
    wanted = {(slot, row["text"][start:end].strip()) for slot, start, end in row["spans"]}
    values = output if isinstance(output, dict) else {}
    stated = {(slot, str(value).strip()) for slot, value in values.items() if value is not None}
    return len(wanted & stated), len(stated), len(wanted)


def f1(counts: np.ndarray) -> float:
    """Over all messages (n, 3)."""
    right, stated, wanted = counts.sum(0)
    return float(2 * right / max(1, stated + wanted))


def main() -> None:
    """One data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=SETS)
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep the state here, and go on from it")
    asked = parser.parse_args()
    if asked.data in matching.SETS:
        pairs(asked)
    elif asked.data == "snips":
        slots(asked)
    else:
        intents(asked)


if __name__ == "__main__":
    main()
