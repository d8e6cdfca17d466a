"""Kind ``text``: answers that are written, trained on the CPU and served without torch.

    python -m benchmarks.generative_specialist geography|atis|made_up
        [--seeds 3] [--epochs 0] [--validate]

GeoQuery and ATIS: question to SQL, with the values as they are, on the question split; trained on
its train and dev parts, tested on its test part; ``--validate`` tests on a fifth of the former
instead, which is left out: how options were chosen. "Rows": the SQL gives the same rows (GeoQuery
has its database). "Certified" is what a promise of at most 10 % different answers (95 %
confidence) would serve, proven on the test part, which trained and chose nothing. Intervals of a
mean over seeds are Student's; CPU times are the process's, of one thread.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from scipy.stats import t as student

from benchmarks.data import DATA, lines
from benchmarks.made_up_writing import KINDS, made_up
from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.guarantees import Refusal, select
from shoal.routing.signals.sql import SameRows, SqlDatabase
from shoal.specialists.files import read_model
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction
from shoal.specialists.text import restore_text
from shoal.tasks import Input, TextContract, same
from shoal.tasks.comparators import register
from shoal.training.text import TextOptions, tune_text

ALPHA, DELTA = 0.10, 0.05
EACH, TESTED = 200, 100  # made-up examples of each kind
Pairs = list[tuple[str, str]]


class Measured(Struct, frozen=True):
    """What one seed gives: shares of the test part, seconds and milliseconds of CPU."""

    exact: float
    same: float
    certified: float
    train_s: float
    answer_ms: float
    megabytes: float


def main() -> None:
    """Train, answer, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=("geography", "atis", "made_up"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--validate", action="store_true")
    asked = parser.parse_args()
    train, test = _made_up() if asked.data == "made_up" else _questions(asked.data, asked.validate)
    contract = TextContract()
    if asked.data == "geography":
        register("rows", SameRows(SqlDatabase(DATA / "text_to_sql" / "geography.sqlite")))
        contract = TextContract(comparator="rows")
    print(f"{asked.data}: {len(train):,} examples train, {len(test):,} test", flush=True)
    found = [_measured(contract, train, test, seed, asked) for seed in asked.seeds]
    for name in Measured.__struct_fields__:
        print(f"  {name}: {_told([getattr(each, name) for each in found])}")


def _questions(name: str, validate: bool) -> tuple[Pairs, Pairs]:
    rows = lines(f"text_to_sql/{name}.jsonl.gz")
    train = [(row["text"], row["sql"]) for row in rows if row["split"] != "test"]
    if not validate:
        return train, [(row["text"], row["sql"]) for row in rows if row["split"] == "test"]
    train = [train[at] for at in np.random.default_rng(0).permutation(len(train))]
    cut = len(train) // 5
    return train[cut:], train[:cut]


def _made_up() -> tuple[Pairs, Pairs]:
    both = [made_up(kind, EACH + TESTED, seed=0) for kind in KINDS]
    return [p for each in both for p in each[:EACH]], [p for each in both for p in each[EACH:]]


def _measured(
    contract: TextContract, train: Pairs, test: Pairs, seed: int, asked: argparse.Namespace
) -> Measured:
    options = TextOptions(epochs=asked.epochs)
    options = replace(options, loop=replace(options.loop, seed=seed))
    senses = Senses(Encoder())
    began = time.process_time()
    inputs, outputs = [Input(text) for text, _ in train], [said for _, said in train]
    trained = tune_text(contract, inputs, outputs, senses, options)
    train_s = time.process_time() - began
    with TemporaryDirectory() as files:
        trained.save(Path(files))
        size = sum(path.stat().st_size for path in Path(files).iterdir()) / 1e6
        served = restore_text(contract, *read_model(Path(files)), senses)
    began = time.process_time()
    said = [served.predict(Input(text)) for text, _ in test]
    answer_ms = (time.process_time() - began) / len(test) * 1e3
    exact = [each.output == wanted for each, (_, wanted) in zip(said, test, strict=True)]
    alike = [_same(contract, each, wanted) for each, (_, wanted) in zip(said, test, strict=True)]
    found = select([each.signal for each in said], [not one for one in alike], ALPHA, DELTA)
    certified = 0.0 if isinstance(found, Refusal) else found.coverage
    measured = Measured(
        float(np.mean(exact)), float(np.mean(alike)), certified, train_s, answer_ms, size
    )
    print(f"  seed {seed}: {measured}", flush=True)
    if asked.data == "made_up":
        for at, kind in enumerate(KINDS):
            part = exact[at * TESTED : (at + 1) * TESTED]
            print(f"    {kind}: exact {np.mean(part):.3f}", flush=True)
    return measured


def _same(contract: TextContract, said: Prediction, wanted: str) -> bool:
    if said.output is None:
        return False
    return same(contract, Answer(text=str(said.output)), Answer(text=wanted))


def _told(values: list[float]) -> str:
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.4g}"
    spread: Any = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{mean:.4g} ± {spread:.3g} ({min(values):.4g} to {max(values):.4g})"


if __name__ == "__main__":
    main()
