"""The fine-tuning recipe on public data: accuracy of what is served, in int8 and without torch.

    python -m benchmarks.finetune banking77|clinc150|snips|abt_buy|amazon_google [--shots 10]

Official training part (of CLINC150 in scope), tested once on the official test part; 5 % of the
training part validates. ``--validate`` splits 10 % off the training part and tests on that instead:
how options are chosen.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.intents import Set, banking77, clinc150, report
from shoal.encoder import Encoder
from shoal.specialists.files import read_model
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_label import restore_tuned_label
from shoal.tasks import Input, LabelContract
from shoal.training.label import tune_label


def few(data: Set, shots: int, seed: int) -> Set:
    """So many examples of each label."""
    order = np.random.default_rng(seed).permutation(len(data[0]))
    seen: dict[str, int] = {}
    kept = []
    for row in order:
        label = data[1][row]
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= shots:
            kept.append(row)
    return [data[0][row] for row in kept], [data[1][row] for row in kept]


def parted(data: Set) -> tuple[Set, Set]:
    """The training part without a tenth, and that tenth."""
    cut = len(data[0]) // 10
    return (data[0][cut:], data[1][cut:]), (data[0][:cut], data[1][:cut])


def intents(name: str, shots: int, seed: int, validate: bool, folder: Path | None) -> None:
    """Train, write, read back, serve."""
    train, test = banking77() if name == "banking77" else clinc150()
    if validate:
        train, test = parted(train)
    if shots:
        train = few(train, shots, seed)
    senses = Senses(Encoder(), remember=40_000)
    contract = LabelContract(tuple(sorted(set(train[1]))))
    began = time.process_time()
    inputs = [*map(Input, train[0])]
    tuned = tune_label(contract, inputs, train[1], senses, folder=folder, show=True)
    cpu = time.process_time() - began
    with TemporaryDirectory() as files:
        tuned.save(Path(files))
        size = sum(path.stat().st_size for path in Path(files).iterdir()) / 1e6
        model, arrays = read_model(Path(files))
        served = restore_tuned_label(model, arrays, Senses(senses.encoder))
    began = time.process_time()
    said = [served.predict(Input(text)).output for text in test[0]]
    ms = (time.process_time() - began) / len(said) * 1e3
    part = "validation" if validate else "test"
    title = f"{name} {part}" + (f", {shots} a label, seed {seed}" if shots else "")
    report(title, [a == b for a, b in zip(said, test[1], strict=True)], cpu, ms)
    print(f"  {len(train[0]):,} examples; files {size:.0f} MB; blend {model['blend']}")


def main() -> None:
    """One data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=("banking77", "clinc150"))
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep the state here, and go on from it")
    asked = parser.parse_args()
    intents(asked.data, asked.shots, asked.seed, asked.validate, asked.folder)


if __name__ == "__main__":
    main()
