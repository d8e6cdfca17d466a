"""Sets of labels: which kinds of details an LLM found in a support-desk message, recorded.

    python -m benchmarks.label_sets [--seeds 20]

The answer is the set of names under which the LLM copied something from the message (payment
method, timeframe, country, currency, amount, merchant), the empty set included. First the 3,000
"tr" messages as the past and the 1,000 "te" as live traffic, then random splits of all 4,000.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from benchmarks.data import ENTITIES, support_desk
from benchmarks.promise import ALPHAS, DELTA, Realised, report
from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.flywheel.ladder import recipes_for
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import Prepared, attempt, prepare
from shoal.guarantees import delta_at, interval
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelsContract, Task, render

Rows = Sequence[dict[str, Any]]

TASK = Task(id="details", name="details", templates=(), contract=LabelsContract(ENTITIES))


def found_in(row: dict[str, Any]) -> tuple[str, ...]:
    """What the LLM found, in the contract's order."""
    return tuple(name for name in ENTITIES if row["llm"]["entities"].get(name) is not None)


def lessons_of(rows: Rows) -> Lessons:
    """Lessons as ``curate`` makes them of recorded calls."""
    made = []
    for row in rows:
        output = found_in(row)
        answer = Answer(text=render(TASK.contract, output))
        made.append(Lesson(row["id"], Input(row["message"]), output, answer, None, True))
    return Lessons(TASK, "claude", tuple(made), None)


def one_split(past: Rows, live: Rows, senses: Senses, telling: bool) -> dict[float, Realised]:
    """The first certification with all of the past, at each alpha; ``telling`` prints accuracy."""
    lessons = lessons_of(past)
    prepared = cache(lambda recipe: prepare(lessons, recipe, False, lambda: senses))
    runs = {}
    recipes = recipes_for(TASK, lessons.inputs)
    for alpha in ALPHAS:
        candidate = attempt(recipes, alpha, delta_at(1, DELTA), prepared).candidate
        runs[alpha] = Realised(len(live))
        for row in live if candidate else ():
            prediction = candidate.specialist.predict(Input(row["message"])) if candidate else None
            if candidate and prediction and prediction.signal >= candidate.selection.threshold:
                runs[alpha].served += 1
                runs[alpha].wrong += prediction.output != found_in(row)
        if telling and candidate and alpha == ALPHAS[-1]:
            _tell(prepared(candidate.recipe), live)
    return runs


def _tell(prepared: Prepared, live: Rows) -> None:
    right = [
        prepared.specialist.predict(Input(row["message"])).output == found_in(row) for row in live
    ]
    low, high = interval(sum(right), len(right), 0.95)
    print(
        f"{prepared.recipe.name}: whole set as the LLM's {np.mean(right):.1%} "
        f"({low:.1%} to {high:.1%}), {prepared.cpu_seconds:.1f} s CPU to train"
    )


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    past, live = support_desk()
    senses = Senses(Encoder(threads=1))
    began = time.process_time()
    senses.embed([row["message"] for row in (*past, *live)])
    print(f"encoding 4,000 messages: {time.process_time() - began:.1f} s CPU")
    print("past tr, live te (recorded answers)")
    report("details", {a: [run] for a, run in one_split(past, live, senses, True).items()})
    splits: dict[float, list[Realised]] = defaultdict(list)
    for seed in range(seeds):
        mixed = [(past + live)[i] for i in np.random.default_rng(seed).permutation(4_000)]
        for alpha, run in one_split(mixed[:3_000], mixed[3_000:], senses, False).items():
            splits[alpha].append(run)
    print(f"{seeds} random splits 3,000 / 1,000 (recorded answers)")
    report("details", splits)


if __name__ == "__main__":
    main()
