"""Inputs out of scope: CLINC150 with its out-of-scope queries mixed in.

    python -m benchmarks.scope [--part test]

The light recipes learn the 150 intents from the training part, in scope only. Then, on the part
asked for (val while developing, test for the record), how well an input that is in scope is told
from one that is not: by familiarity (what the scope score is made of) and by the signal as served,
which is the probability that the input is in scope and its label right. Recall is that of
out-of-scope queries at the threshold that accepts 95 % of those in scope. Intervals: 1,000
bootstrap draws over queries for AUROC, exact binomial for recall (of a threshold taken as given).

Last, out of scope as a label: the 100 ``oos_train`` queries are examples of an LLM's label "oos".
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.data import lines
from shoal.encoder import Encoder
from shoal.guarantees import interval
from shoal.specialists.kind import Recipe
from shoal.specialists.label import KIND, LabelSpecialist, train_label
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract

ACCEPTED = 0.95
OOS = "oos"

Doubles = NDArray[np.float64]
Rows = list[dict[str, Any]]


def auroc(inside: Doubles, outside: Doubles) -> float:
    """Probability that an input in scope has the greater score (Mann & Whitney 1947)."""
    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)]
    pairs = len(inside) * len(outside)
    return float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / pairs)


def detection(name: str, inside: Doubles, outside: Doubles) -> None:
    """A line: AUROC and recall, with their intervals."""
    rng = np.random.default_rng(0)
    drawn = [
        auroc(rng.choice(inside, len(inside)), rng.choice(outside, len(outside)))
        for _ in range(1_000)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    caught = int((outside < np.quantile(inside, 1 - ACCEPTED)).sum())
    least, most = interval(caught, len(outside), 0.95)
    print(
        f"  {name:12} AUROC {auroc(inside, outside):.4f} ({low:.4f} to {high:.4f}), recall at "
        f"{ACCEPTED:.0%} accepted {caught / len(outside):.1%} ({least:.1%} to {most:.1%})",
        flush=True,
    )


def unlike(specialist: LabelSpecialist, inside: Rows, outside: Rows) -> None:
    """How well both scores tell in scope from out of scope."""

    def familiarity(rows: Rows) -> Doubles:
        return np.array([specialist.familiarity(Input(row["text"])) for row in rows])

    def signal(rows: Rows) -> Doubles:
        return np.array([specialist.predict(Input(row["text"])).signal for row in rows])

    detection("familiarity", familiarity(inside), familiarity(outside))
    detection("signal", signal(inside), signal(outside))


def trained(rows: Rows, senses: Senses | None, recipe: Recipe) -> LabelSpecialist:
    """The label recipe on those rows."""
    labels = [str(row["label"]) for row in rows]
    contract = LabelContract(tuple(sorted(set(labels))))
    inputs = [Input(row["text"]) for row in rows]
    began = time.process_time()
    found = train_label(contract, inputs, [*labels], senses, recipe).specialist
    print(f"{recipe.name}: {len(rows):,} examples, {time.process_time() - began:.1f} s CPU")
    assert isinstance(found, LabelSpecialist)
    return found


def as_label(specialist: LabelSpecialist, inside: Rows, outside: Rows) -> None:
    """What becomes of out-of-scope queries where the LLM has a label for them."""
    told = [specialist.predict(Input(row["text"])).output for row in (*inside, *outside)]
    right = [said == row["label"] for said, row in zip(told, (*inside, *outside), strict=True)]
    accuracy = np.mean(right[: len(inside)])
    caught = sum(right[len(inside) :])
    false = sum(said == OOS for said in told[: len(inside)])
    low, high = interval(caught, len(outside), 0.95)
    print(
        f"  in-scope accuracy {accuracy:.1%}, called {OOS}: {caught / len(outside):.1%} "
        f"({low:.1%} to {high:.1%}) of those out of scope, {false / len(inside):.2%} of those in"
    )


def drawn(rows: Sequence[dict[str, Any]], *splits: str) -> Rows:
    """The rows of those splits, in an order drawn once."""
    found = [row for row in rows if row["split"] in splits]
    return [found[at] for at in np.random.default_rng(0).permutation(len(found))]


def main() -> None:
    """All recipes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("val", "test"), default="test")
    part = parser.parse_args().part
    rows = lines("intents/clinc150.jsonl.gz")
    senses = Senses(Encoder(threads=1), remember=40_000)
    inside, outside = drawn(rows, part), drawn(rows, f"oos_{part}")
    print(f"CLINC150 {part}: {len(inside):,} queries in scope, {len(outside):,} out of scope")
    for recipe in KIND.recipes:
        used = senses if recipe.encoder else None
        unlike(trained(drawn(rows, "train"), used, recipe), inside, outside)
        specialist = trained(drawn(rows, "train", "oos_train"), used, recipe)
        as_label(specialist, inside, outside)
        detection("signal", *_signals(specialist, inside, outside))


def _signals(specialist: LabelSpecialist, inside: Rows, outside: Rows) -> tuple[Doubles, Doubles]:
    """Signals, those of the answer "oos" turned round: it is surer the less is in scope."""

    def scores(rows: Rows) -> Doubles:
        found = [specialist.predict(Input(row["text"])) for row in rows]
        return np.array([-p.signal if p.output == OOS else p.signal for p in found])

    return scores(inside), scores(outside)


if __name__ == "__main__":
    main()
