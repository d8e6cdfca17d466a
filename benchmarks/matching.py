"""Do two records tell of the same product? The kind ``match`` on Abt-Buy and Amazon-Google.

    python -m benchmarks.matching [--part labels|answers] [--sets abt_buy,amazon_google] [--seeds 3]

First part, official splits: trained on "train", and on "train" and "valid" together; the cut is
cross-fitted on what trains, "test" is only predicted. F1 of the matches with a bootstrap interval
(2,000 resamples of the test pairs), of all pairs and of those it does not decline as of another
catalogue. "Pairs alone" leaves out what is known of other training pairs
(better candidates elsewhere, matches of the same record), which a matcher of single pairs, such as
Ditto (.893 / .756, published), has no access to. "Label" is the kernel machine over the raw text.
Beside them the recorded answers of LLMs to four prompts about the same test pairs.

Second part, distillation: an LLM's recorded answers to one prompt are learned instead of labels,
two thirds are the past and one third is live: how much is served small at alpha = 5 %, and how
often that differs from the LLM.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.data import lines
from shoal.encoder import Encoder
from shoal.guarantees import Selection, select
from shoal.specialists import label, match
from shoal.specialists.boosting import Boosting, cross_fit
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.pair_features import PairFeatures
from shoal.specialists.pairs import read_record
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction
from shoal.tasks import Input, LabelContract

SETS = ("abt_buy", "amazon_google")
CONTRACT = LabelContract(("No", "Yes"))
PROMPT = "domain-complex-force (Product)"
MODELS = ("llama31-8b:ft-wdc/small", "llama31-70b:ft-small", "gpt-4o-mini:zeroshot")
ALPHA, DELTA = 0.05, 0.05

Bools = NDArray[np.bool_]
Row = dict[str, Any]


class Said(Struct, frozen=True):
    """What a recipe says of the test pairs, of those it declines too, CPU seconds to train and ms
    an answer, and which pairs it answers."""

    matches: Bools
    train_s: float
    answer_ms: float
    answered: Bools | None = None


def given(row: Row) -> Input:
    """The input of a task with a slot for either record, as JSON."""
    left, right = json.dumps(row["left"]), json.dumps(row["right"])
    return Input(f"left: {left}\nright: {right}", (("left", left), ("right", right)))


def split(rows: Sequence[Row], *names: str) -> list[Row]:
    """The rows of these official parts, in an order drawn once."""
    kept = [row for row in rows if row["split"] in names]
    return [kept[at] for at in np.random.default_rng(0).permutation(len(kept))]


def labels_of(rows: Sequence[Row]) -> Bools:
    """Which pairs match."""
    return np.array([row["label"] == 1 for row in rows])


def f1(said: Bools, matches: Bools) -> float:
    """Of the matches."""
    total = said.sum() + matches.sum()
    return float(2 * (said & matches).sum() / total) if total else 0.0


def report(name: str, said: Bools, matches: Bools, rest: str = "") -> None:
    """A line: F1 with its bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(said), len(said)) for _ in range(2_000)]
    low, high = np.quantile([f1(said[at], matches[at]) for at in drawn], (0.025, 0.975))
    found = f1(said, matches)
    print(f"  {name:44} F1 {found:.3f} ({low:.3f} to {high:.3f}){rest}", flush=True)


def specialist(
    kind: Kind, recipe: Recipe, train: Sequence[Row], test: Sequence[Row], senses: Senses | None
) -> Said:
    """Train a recipe of a kind as the learner does, and ask it."""
    outputs = [CONTRACT.labels[row["label"]] for row in train]
    used = senses if recipe.encoder else None
    began = time.process_time()
    trained = kind.train(CONTRACT, [given(row) for row in train], outputs, used, recipe)
    middle = time.process_time()
    found = [trained.specialist.predict(given(row)).output for row in test]
    ended = time.process_time()
    said, answered = np.array([o == "Yes" for o in found]), np.array([o is not None for o in found])
    if isinstance(trained.specialist, match.MatchSpecialist):
        for at in np.flatnonzero(~answered):
            said[at] = trained.specialist.forced(given(test[at])).output == "Yes"
    return Said(said, middle - began, (ended - middle) / len(test) * 1e3, answered)


def pairs_alone(train: Sequence[Row], test: Sequence[Row]) -> Said:
    """The trees of ``match`` without what other training pairs tell of a record."""
    began = time.process_time()
    pairs, asked = (
        [tuple(read_record(json.dumps(row[side])) for side in ("left", "right")) for row in rows]
        for rows in (train, test)
    )
    features = PairFeatures.fit([(left, right) for left, right in pairs])
    kept = [at for at, name in enumerate(features.names) if "candidate" not in name]
    rows = features.rows([(left, right) for left, right in pairs])[:, kept]
    keys = [(left.key, right.key) for left, right in pairs]
    targets = labels_of(train).astype(int)
    fitted = cross_fit(rows, targets, match.OPTIONS, keys)
    cut = best_cut(fitted.left_out, targets == 1)
    middle = time.process_time()
    said = [_alone(fitted.boosting, features, left, right, kept) >= cut for left, right in asked]
    ended = time.process_time()
    return Said(np.array(said), middle - began, (ended - middle) / len(test) * 1e3)


def _alone(
    trees: Boosting, features: PairFeatures, left: Any, right: Any, kept: list[int]
) -> float:
    return float(trees.predict(features.row((left, right))[None, kept])[0])


def best_cut(scores: NDArray[np.float64], matches: Bools) -> float:
    """The score from which F1 is greatest."""
    order = np.argsort(-scores)
    hits = np.cumsum(matches[order])
    best = np.argmax(2 * hits / (np.arange(1, len(order) + 1) + matches.sum()))
    return float(scores[order[best]])


def on_labels(name: str, senses: Senses) -> None:
    """All recipes on one data set."""
    rows = lines(f"product_matching/{name}.jsonl.gz")
    train, more = split(rows, "train"), split(rows, "train", "valid")
    test = [row for row in rows if row["split"] == "test"]
    matches = labels_of(test)
    print(f"{name}: {len(train):,} pairs train, {len(test):,} test, {matches.sum()} of them match")

    def told(what: str, said: Said) -> Said:
        costs = f", {said.train_s:.1f} s CPU, {said.answer_ms:.2f} ms an answer"
        report(what, said.matches, matches, costs)
        kept = said.answered
        if kept is not None and not kept.all():
            report(
                f"  the {kept.mean():.1%} it does not decline", said.matches[kept], matches[kept]
            )
        return said

    light, embedded = match.KIND.recipes
    ours = told(f"match: {light.name}", specialist(match.KIND, light, train, test, None))
    told("match: pairs alone", pairs_alone(train, test))
    told(f"match: {light.name}, train and valid", specialist(match.KIND, light, more, test, None))
    beside_recorded(name, test, ours.matches)
    for recipe in label.KIND.recipes:
        told(f"label: {recipe.name}", specialist(label.KIND, recipe, train, test, senses))
    told(f"match: {embedded.name}", specialist(match.KIND, embedded, train, test, senses))


def beside_recorded(name: str, test: Sequence[Row], ours: Bools) -> None:
    """Recorded answers to each prompt, and ours on the same pairs, found by their text and label:
    of equal texts with equal labels it does not matter which is which."""
    said: dict[tuple[str, bool], bool] = {}
    for row, yes in zip(test, ours, strict=True):
        texts = (next(iter(row[side].values())) for side in ("left", "right"))
        said[_plain(*texts), row["label"] == 1] = bool(yes)
    recorded: dict[tuple[str, str], list[tuple[bool, bool, bool]]] = defaultdict(list)
    missed = set()
    for row in lines("product_matching/responses.jsonl.gz"):
        if row["dataset"] != name.replace("_", "-"):
            continue
        key = _plain(*_entities(row["prompt"])), row["label"] == 1
        if key not in said:
            missed.add(row["pair_id"])
            continue
        for model in (*MODELS, f"llama31-8b:ft-{row['dataset']}"):
            if model in row["out"]:
                heard = (row["out"][model][1] == 1, key[1], said[key])
                recorded[model, row["task"].removesuffix(" (Product)")].append(heard)
    print(f"  recorded answers ({len(missed)} pairs not found by their text are left out):")
    for (model, prompt), answers in sorted(recorded.items()):
        theirs, truth, our = np.array(answers).T
        beside = f", match on the same {len(truth):,} pairs {f1(our, truth):.3f}"
        report(f"{model}, {prompt.removeprefix('domain-')}", theirs, truth, beside)


def _entities(prompt: str) -> tuple[str, str]:
    """The two descriptions in a prompt."""
    told = prompt[prompt.index("Entity 1: ") + len("Entity 1: ") :]
    left, _, right = told.partition("Entity 2: ")
    return left, right


def _plain(left: str, right: str) -> str:
    return "\t".join(" ".join(text.split()).rstrip(" .") for text in (left, right))


def on_answers(dataset: str, seeds: int) -> None:
    """Distillation: served share and disagreement at ALPHA, for match and label."""
    rows = lines("product_matching/responses.jsonl.gz")
    for model in MODELS:
        chosen = [
            row
            for row in rows
            if row["dataset"] == dataset
            and row["task"] == PROMPT
            and row["out"].get(model, [None, None])[1] in (0, 1)
        ]
        if chosen:
            print(f"{dataset}, answers of {model} (recorded), {len(chosen):,} pairs")
            for kind in (label.KIND, match.KIND):
                distilled(kind, model, chosen, seeds)


def distilled(kind: Kind, model: str, rows: Sequence[Row], seeds: int) -> None:
    """A line: the lightest recipe of a kind over random splits."""
    found = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(rows))
        past, live = np.split(order, [2 * len(rows) // 3])
        found.append(_served(kind, model, [rows[at] for at in past], [rows[at] for at in live]))
    served, wrong, agree = (np.array(column) for column in zip(*found, strict=True))
    risk = wrong.sum() / max(1, served.sum())
    total = seeds * (len(rows) - 2 * len(rows) // 3)
    print(
        f"  {kind.name:6} agrees {agree.mean():.1%}; alpha {ALPHA:.0%}: served "
        f"{served.sum() / total:.1%}, disagreement {risk:.2%} over {seeds} splits",
        flush=True,
    )


def _served(
    kind: Kind, model: str, past: Sequence[Row], live: Sequence[Row]
) -> tuple[int, int, float]:
    """How many live pairs are served, how many of them wrongly, and the agreement on all."""

    def asked(row: Row) -> Input:
        left, right = _entities(row["prompt"])
        return Input(f"entity: {left}\nentity_2: {right}", (("entity", left), ("entity_2", right)))

    def answer(row: Row) -> str:
        return str(CONTRACT.labels[row["out"][model][1]])

    outputs = [answer(row) for row in past]
    trained = kind.train(CONTRACT, [*map(asked, past)], outputs, None, kind.recipes[0])
    signals = np.array([prediction.signal for prediction in trained.left_out])
    wrong = _differ(trained.left_out, outputs)
    found = select(signals, wrong, ALPHA, DELTA)
    said = [trained.specialist.predict(asked(row)) for row in live]
    missed = _differ(said, [*map(answer, live)])
    if not isinstance(found, Selection):
        return 0, 0, float(1 - missed.mean())
    kept = np.array([prediction.signal >= found.threshold for prediction in said])
    return int(kept.sum()), int((kept & missed).sum()), float(1 - missed.mean())


def _differ(said: Sequence[Prediction], wanted: Sequence[str]) -> Bools:
    return np.array([p.output != answer for p, answer in zip(said, wanted, strict=True)])


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("labels", "answers"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    if asked.part != "answers":
        senses = Senses(Encoder(threads=1), remember=40_000)
        for name in asked.sets.split(","):
            on_labels(name, senses)
    if asked.part != "labels":
        for name in (*asked.sets.split(","), "dblp_acm"):
            on_answers(name.replace("_", "-"), asked.seeds)


if __name__ == "__main__":
    main()
