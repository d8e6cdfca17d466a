"""How much is served small, and is the promise kept? Support-desk answers of an LLM, recorded.

    python -m benchmarks.promise [--seeds 20]

For each task and alpha: the share of live calls served small and their realised disagreement with
the LLM, first with the 3,000 "tr" messages as the past and the 1,000 "te" as live traffic (the
order of the past changes nothing for labels), then over random 3,000 / 1,000 splits of all 4,000,
which is where the promise is put to the test. Realised disagreement on a thousand calls scatters
around the true risk, so a run "over alpha" is not yet a broken promise; "significantly" means that
the exact 95 % lower bound is over alpha.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from msgspec import Struct

from benchmarks.data import ENTITIES, LABELS, support_desk
from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.flywheel.ladder import recipes_for
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import Prepared, attempt, prepare
from shoal.guarantees import delta_at, lower_bound
from shoal.specialists.senses import Senses
from shoal.tasks import (
    Contract,
    Field,
    FieldsContract,
    Input,
    LabelContract,
    Task,
    parse,
    render,
    same,
)
from shoal.tasks.contract import Output

ALPHAS = (0.02, 0.05, 0.10)
DELTA = 0.05


def contract_of(task: str, rows: Sequence[dict[str, Any]]) -> Contract:
    """The contract as discovery infers it."""

    def labels(name: str) -> tuple[str, ...]:
        return tuple(sorted({row["llm"][name] for row in rows}))

    if task in LABELS:
        return LabelContract(labels(task))
    if task == "triage":
        return FieldsContract(tuple(Field(name, "label", labels(name)) for name in LABELS[1:]))
    return FieldsContract(tuple(Field(name, "span", optional=True) for name in ENTITIES))


def output_of(task: str, row: dict[str, Any]) -> Output:
    """The LLM's recorded output."""
    if task in LABELS:
        return str(row["llm"][task])
    if task == "triage":
        return {name: row["llm"][name] for name in LABELS[1:]}
    return {name: row["llm"]["entities"].get(name) for name in ENTITIES}


def lessons_of(task: Task, rows: Sequence[dict[str, Any]]) -> Lessons:
    """Lessons as ``curate`` makes them of recorded calls."""
    made = []
    for row in rows:
        answer = Answer(text=render(task.contract, output_of(task.name, row)))
        output = parse(task.contract, answer.text)
        made.append(Lesson(row["id"], Input(row["message"]), output, answer, None, True))
    return Lessons(task, "claude", tuple(made), None)


class Realised(Struct):
    """What was served small of ``n`` live messages, and how often it differed from the LLM."""

    n: int
    served: int = 0
    wrong: int = 0


Live = list[tuple[float, bool]]  # signal (-1: declined) and whether the answer differs


def live_answers(task: Task, prepared: Prepared, rows: Sequence[dict[str, Any]]) -> Live:
    """What a specialist says of live messages."""
    found = []
    for row in rows:
        prediction = prepared.specialist.predict(Input(row["message"]))
        if prediction.output is None:
            found.append((-1.0, True))
            continue
        reference = Answer(text=render(task.contract, output_of(task.name, row)))
        given = Answer(text=render(task.contract, prediction.output))
        found.append((prediction.signal, not same(task.contract, given, reference)))
    return found


def one_split(
    task: Task,
    past: Sequence[dict[str, Any]],
    live: Sequence[dict[str, Any]],
    senses: Callable[[], Senses],
) -> dict[float, Realised]:
    """The first certification of a task with all of the past, at each alpha."""
    lessons = lessons_of(task, past)
    prepared = cache(lambda recipe: prepare(lessons, recipe, False, senses))
    answers = cache(lambda recipe: live_answers(task, prepared(recipe), live))
    runs = {}
    recipes = recipes_for(task, lessons.inputs)
    for alpha in ALPHAS:
        candidate = attempt(recipes, alpha, delta_at(1, DELTA), prepared).candidate
        runs[alpha] = Realised(len(live))
        for signal, wrong in answers(candidate.recipe) if candidate else ():
            if candidate and signal >= candidate.selection.threshold:
                runs[alpha].served += 1
                runs[alpha].wrong += wrong
    return runs


def report(name: str, found: dict[float, list[Realised]]) -> None:
    """A line for each alpha."""
    for alpha, runs in found.items():
        served = np.array([run.served / run.n for run in runs])
        risk = np.array([run.wrong / run.served for run in runs if run.served] or [0.0])
        over = sum(run.wrong > alpha * run.served for run in runs)
        clearly = sum(
            run.served > 0 and lower_bound(run.wrong, run.served, DELTA) > alpha for run in runs
        )
        low, high = np.quantile(served, (0.025, 0.975))
        print(
            f"{name:10} alpha {alpha:.0%}: served {served.mean():5.1%} ({low:.1%} to {high:.1%}), "
            f"disagreement {risk.mean():.2%} (worst {risk.max():.2%}), "
            f"over alpha {over}/{len(runs)}, significantly {clearly}/{len(runs)}"
        )


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tasks", default=",".join((*LABELS, "triage", "entities")))
    asked = parser.parse_args()
    past, live = support_desk()
    remembered = Senses(Encoder(threads=2))

    def senses() -> Senses:
        return remembered

    for name in asked.tasks.split(","):
        task = Task(id=name, name=name, templates=(), contract=contract_of(name, past + live))
        print(f"\n{name}: past tr, live te (recorded answers)")
        report(name, {a: [run] for a, run in one_split(task, past, live, senses).items()})
        splits: dict[float, list[Realised]] = defaultdict(list)
        for seed in range(asked.seeds):
            order = np.random.default_rng(seed).permutation(4_000)
            mixed = [(past + live)[i] for i in order]
            for alpha, run in one_split(task, mixed[:3_000], mixed[3_000:], senses).items():
                splits[alpha].append(run)
        print(f"{name}: {asked.seeds} random splits 3,000 / 1,000 (recorded answers)")
        report(name, splits)


if __name__ == "__main__":
    main()
