"""What ``match`` says of pairs unlike those that it was certified on.

    python -m benchmarks.matching_shift [--part catalogues|records] [--seeds 20]

First part, another catalogue: trained on the part "train" of Abt-Buy or Amazon-Google, certified at
alpha = 5 % on what was left out, then asked about the part "test" of the same set and of the other
one: as that is, and with its attributes named as in the set that was learned from.

Second part, records that come again or not: a made-up catalogue (the generator of
``examples/product_matching``) and 200 offers beside four products each, in order of time, then 300
new offers; and 250 offers beside eight products each, 800 of these pairs in random order, then the
others. Certified at alpha = 2 and 5 %, confidence 95 %, once with what is left out chosen by the
order of time, once always pair by pair as it was before.

Served is what the certificate lets through. Nothing was chosen by these figures.
"""

import argparse
import importlib.util
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import lines
from benchmarks.matching import ALPHA, CONTRACT, DELTA, SETS, Row, given, split
from shoal.guarantees import Selection, select
from shoal.specialists import match
from shoal.specialists.specialist import Trained
from shoal.tasks import Input


def renamed(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows with the attributes of either record, in order, under these names."""
    return [
        row
        | {side: dict(zip(names, row[side].values(), strict=True)) for side in ("left", "right")}
        for row in rows
    ]


def threshold(trained: Trained, train: Sequence[Row]) -> float:
    """Of the certificate; none is served at infinity."""
    wanted = [CONTRACT.labels[row["label"]] for row in train]
    wrong = [p.output != label for p, label in zip(trained.left_out, wanted, strict=True)]
    found = select([p.signal for p in trained.left_out], wrong, ALPHA, DELTA)
    return found.threshold if isinstance(found, Selection) else np.inf


def served(what: str, trained: Trained, least: float, rows: Sequence[Row]) -> None:
    """A line: how much is declined and served, and how much of that is wrong."""
    said = [trained.specialist.predict(given(row)) for row in rows]
    kept = np.array([p.output is not None and p.signal >= least for p in said])
    wrong = np.array(
        [p.output != CONTRACT.labels[row["label"]] for p, row in zip(said, rows, strict=True)]
    )
    declined = np.mean([p.output is None for p in said])
    count = int(kept.sum())
    risk = f"{(kept & wrong).sum() / count:.1%} wrong" if count else "nothing to be wrong"
    print(f"  {what:34} declined {declined:.1%}, served {kept.mean():.1%}, {risk}", flush=True)


def catalogues() -> None:
    """The first part, both ways."""
    for own, other in (SETS, SETS[::-1]):
        began = time.process_time()
        rows, others = (lines(f"product_matching/{name}.jsonl.gz") for name in (own, other))
        train = split(rows, "train")
        outputs = [CONTRACT.labels[row["label"]] for row in train]
        inputs, recipe = [given(row) for row in train], match.KIND.recipes[0]
        trained = match.KIND.train(CONTRACT, inputs, outputs, None, recipe)
        least = threshold(trained, train)
        spent = time.process_time() - began
        print(f"{own}, certified at signal {least:.3f}, {spent:.0f} s CPU")
        test = split(others, "test")
        served("test", trained, least, split(rows, "test"))
        served(f"test of {other}", trained, least, test)
        served("the same, attributes renamed", trained, least, renamed(test, [*rows[0]["left"]]))


MADE = Path(__file__).parents[1] / "examples/product_matching/make_data.py"
NAMES = ("title", "brand", "price")
TRAINED, ASKED = 800, 1_200  # pairs


def generator() -> Any:
    """The module that made the example's data."""
    spec = importlib.util.spec_from_file_location("make_data", MADE)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


def made_up(made: Any, seed: int, again: bool) -> list[list[str]]:
    """TRAINED pairs and ASKED later ones, seven in ten offers of a product of the catalogue;
    ``again``: the later ones are of the same offers."""
    chance = random.Random(seed)
    ours = [one for at in range(45) for one in made.family(chance, "p", at)]
    lost = [one for at in range(300) for one in made.family(chance, "t", at)]
    beside = 8 if again else 4
    sold = [
        chance.choice(ours if chance.random() < 0.7 else lost)
        for _ in range((TRAINED + ASKED) // beside)
    ]
    pairs = []
    for product in sold:
        offer = made.offered(chance, product)
        near = sorted(ours, key=lambda one, to=offer[0]: -made.alike(to, one.title))[:beside]
        for one in near:
            said = CONTRACT.labels[one is product]
            pairs.append([*offer, one.title, one.brand, f"{one.price:.2f}", said])
    if again:
        chance.shuffle(pairs)
    return pairs


def asked(row: Sequence[str]) -> Input:
    """Two slots of JSON."""
    left, right = (json.dumps(dict(zip(NAMES, row[at : at + 3], strict=True))) for at in (0, 3))
    return Input(f"left: {left}\nright: {right}", (("left", left), ("right", right)))


def later(rows: Sequence[Sequence[str]], chosen: bool) -> list[tuple[float, float]]:
    """Of the later pairs, the share that is served and the share of it that is wrong, at 2 and 5 %,
    as a trial certifies; with ``chosen`` False pairs are left out one by one."""
    inputs, outputs = [asked(row) for row in rows], [row[-1] for row in rows]
    past, answers, recipe = inputs[:TRAINED], outputs[:TRAINED], match.KIND.recipes[0]
    ways = {} if chosen else {"groups": list}
    trained = match.train_match(CONTRACT, past, answers, None, recipe, **ways)
    wrong = [p.output != said for p, said in zip(trained.left_out, answers, strict=True)]
    signals = [p.signal for p in trained.left_out]
    together = match.KIND.together(past) if chosen else None
    said = [trained.specialist.predict(one) for one in inputs[TRAINED:]]
    missed = np.array([p.output != a for p, a in zip(said, outputs[TRAINED:], strict=True)])
    found = []
    for alpha in (0.02, 0.05):
        selected = select(signals, wrong, alpha, DELTA, together=together)
        least = selected.threshold if isinstance(selected, Selection) else np.inf
        kept = np.array([p.output is not None and p.signal >= least for p in said])
        found.append((float(kept.mean()), float(missed[kept].mean()) if kept.any() else 0.0))
    return found


def records(seeds: int) -> None:
    """The second part."""
    made = generator()
    for again in (False, True):
        for chosen in (True, False):
            began = time.process_time()
            runs = [later(made_up(made, seed, again), chosen) for seed in range(seeds)]
            spent = time.process_time() - began
            kind = "known offers" if again else "new offers"
            way = "chosen by time" if chosen else "pair by pair"
            print(f"{kind}, {way}: {seeds} draws, {spent:.0f} s CPU")
            for alpha, column in zip((0.02, 0.05), np.array(runs).transpose(1, 0, 2), strict=True):
                share, risk = column.T
                mean = (share * risk).sum() / max(share.sum(), 1e-9)
                over = int((risk > alpha).sum())
                print(f"  {alpha:.0%}: served {share.mean():.1%}, {mean:.1%} wrong, over in {over}")
            sys.stdout.flush()


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("catalogues", "records"))
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    if options.part != "records":
        catalogues()
    if options.part != "catalogues":
        records(options.seeds)


if __name__ == "__main__":
    main()
