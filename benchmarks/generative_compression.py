"""How small a tuned specialist may get: fewer layers, healed; packed files; its teacher.

    python -m benchmarks.generative_compression banking77|clinc150|support_desk
        [--layers 3] [--heads 1] [--inner 1] [--common 4000] [--folder STATE]

The teacher is the tuned recipe on the official training part (of the support desk: the intents that
the LLM gave the 3,000 messages of the past, recorded); students are healed on the same examples;
all are read back from their files and answer the official test part (the 1,000 later messages, as
the LLM answered them) one text at a time. Reported: right answers with their 95 % interval, the
share of the teacher's with an interval bootstrapped over texts, CPU time an answer and the
encoder's part of it (medians of rounds that take turns), size of the files and of the encoder as it
is served. With ``--folder`` teacher and students are kept there, and not trained again.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from msgspec import Struct

from benchmarks.data import support_desk
from benchmarks.intents import Set, banking77, clinc150
from shoal.encoder import Encoder
from shoal.encoder.conversion import convert
from shoal.encoder.tuned import TunedWeights
from shoal.guarantees import interval
from shoal.specialists.files import read_model, write_model
from shoal.specialists.packing import Packing, packed
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist
from shoal.specialists.tuned_encoder import encoder_of
from shoal.specialists.tuned_kinds import restore_tuned
from shoal.tasks import Input, LabelContract
from shoal.training.compressing import Teacher, shrink
from shoal.training.hints import Aids
from shoal.training.label import tune_label
from shoal.training.shapes import Shape

SETS = ("banking77", "clinc150", "support_desk")
TIMED, ROUNDS = 300, 5
RESAMPLES = 2_000


class Row(Struct):
    """One specialist: what it answered, and what it costs."""

    name: str
    specialist: Specialist
    encoder: Encoder
    train_s: float
    file_mb: float
    served_mb: float
    right: np.ndarray
    answers_ms: list[float] = []
    encodings_ms: list[float] = []


def sets(name: str) -> tuple[Set, Set]:
    """Training and test part."""
    if name == "support_desk":
        past, live = (
            ([row["message"] for row in part], [str(row["llm"]["intent"]) for row in part])
            for part in support_desk()
        )
        return past, live
    return banking77() if name == "banking77" else clinc150()


def trained(folder: Path, name: str, make: Any) -> tuple[Path, float]:
    """The folder of a specialist, made unless it is there, and the CPU seconds that took."""
    home = folder / name
    began = time.process_time()
    if not (home / "model.safetensors").is_file():
        specialist = make(folder / f"{name}-state")
        home.mkdir(parents=True, exist_ok=True)
        specialist.save(home)
        (home / "cpu").write_text(str(time.process_time() - began))
    cpu = home / "cpu"
    return home, float(cpu.read_text()) if cpu.is_file() else float("nan")


def measured(name: str, home: Path, cpu: float, contract: LabelContract, test: Set) -> Row:
    """Read back, answer the test part once."""
    senses = Senses(Encoder(), remember=0)
    model, arrays = read_model(home)
    weights = TunedWeights(senses.encoder.weights.folder, encoder_of(arrays))
    specialist = restore_tuned(contract, model, arrays, senses)
    right = [specialist.predict(Input(t)).output == w for t, w in zip(*test, strict=True)]
    files = sum((home / n).stat().st_size for n in ("model.json", "model.safetensors"))
    served = sum(map(len, convert(weights).values()))
    encoder = Encoder(weights, senses.encoder.cache)
    return Row(name, specialist, encoder, cpu, files / 1e6, served / 1e6, np.array(right))


def timed(rows: Sequence[Row], texts: Sequence[str]) -> None:
    """Rounds in which all take their turn, so that what else runs here falls on all alike."""
    for _ in range(ROUNDS):
        for row in rows:
            for text in texts[:20]:
                row.specialist.predict(Input(text))
            began = time.process_time()
            for text in texts:
                row.specialist.predict(Input(text))
            middle = time.process_time()
            for text in texts:
                row.encoder.encode([text])
            ended = time.process_time()
            row.answers_ms.append((middle - began) / len(texts) * 1e3)
            row.encodings_ms.append((ended - middle) / len(texts) * 1e3)


def told(row: Row, teacher: Row) -> str:
    """Its line."""
    low, high = interval(int(row.right.sum()), len(row.right), 0.95)
    random, n = np.random.default_rng(0), len(row.right)
    drawn = [random.integers(0, n, n) for _ in range(RESAMPLES)]
    shares = [row.right[at].mean() / teacher.right[at].mean() for at in drawn]
    kept = row.right.mean() / teacher.right.mean()
    k_low, k_high = np.quantile(shares, (0.025, 0.975))
    times = [
        (statistics.median(own), statistics.median(others) / statistics.median(own))
        for own, others in (
            (row.answers_ms, teacher.answers_ms),
            (row.encodings_ms, teacher.encodings_ms),
        )
    ]
    return (
        f"{row.name}: {row.right.mean():.1%} ({low:.1%} to {high:.1%}), "
        f"{kept:.1%} of the teacher's ({k_low:.1%} to {k_high:.1%}); "
        f"{times[0][0]:.2f} ms an answer ({times[0][1]:.2f} x), encoder {times[1][0]:.2f} ms "
        f"({times[1][1]:.2f} x); files {row.file_mb:.1f} MB, "
        f"encoder served {row.served_mb:.1f} MB; "
        f"{row.train_s:.0f} s CPU to train"
    )


def run(asked: argparse.Namespace, folder: Path) -> None:
    """Teacher, student, both packed."""
    train, test = sets(asked.data)
    contract = LabelContract(tuple(sorted(set(train[1]))))
    inputs, senses = [*map(Input, train[0])], Senses(Encoder(), remember=40_000)
    homes = {
        "teacher": trained(
            folder,
            "teacher",
            lambda state: tune_label(
                contract, inputs, train[1], senses, aids=Aids((), state), show=asked.show
            ),
        )
    }
    teacher = Teacher(*read_model(homes["teacher"][0]))
    shape = Shape(asked.layers, asked.heads, asked.inner)
    homes[shape.name] = trained(
        folder,
        shape.name,
        lambda state: shrink(
            contract, inputs, train[1], teacher, shape, senses, state, show=asked.show
        ),
    )
    for name, (home, _) in [*homes.items()]:
        for packing in (Packing(), Packing(common=asked.common)):
            model, arrays = read_model(home)
            to = folder / f"{name}+{packing.name}"
            to.mkdir(exist_ok=True)
            write_model(to, model, packed(arrays, packing, senses, train[0]))
            homes[to.name] = to, 0.0
    rows = [measured(name, home, cpu, contract, test) for name, (home, cpu) in homes.items()]
    timed(rows, test[0][:TIMED])
    print(f"{asked.data}: {len(train[0]):,} examples, {len(test[0]):,} test texts")
    for row in rows:
        print("  " + told(row, rows[0]))


def main() -> None:
    """One data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=SETS)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--heads", type=float, default=1.0)
    parser.add_argument("--inner", type=float, default=1.0)
    parser.add_argument("--common", type=int, default=4_000)
    parser.add_argument("--folder", type=Path, help="keep what is trained here")
    parser.add_argument("--show", action="store_true", help="draw progress bars")
    asked = parser.parse_args()
    if asked.folder:
        asked.folder.mkdir(parents=True, exist_ok=True)
        run(asked, asked.folder)
        return
    with TemporaryDirectory() as folder:
        run(asked, Path(folder))


if __name__ == "__main__":
    main()
