"""How much is served small, and is the promise kept? Support-desk answers of an LLM, recorded.

    python -m benchmarks.promise [--seeds 20]

For each task and alpha: the share of live calls served small and their realised disagreement with
the LLM, (a) past = the 3,000 "tr" messages, live = the 1,000 "te", over orders of the past, and
(b) random 3,000 / 1,000 splits of all 4,000, which is where the promise is put to the test. A
promise counts as broken if the realised disagreement is over alpha at all, and as significantly
broken if the exact 95 % lower bound is.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from benchmarks.data import ENTITIES, LABELS, support_desk
from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import Candidate, attempt, prepare
from shoal.guarantees import delta_at, interval, lower_bound
from shoal.specialists.senses import Senses
from shoal.tasks import Contract, Field, FieldsContract, LabelContract, Task, parse, render, same
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
        made.append(Lesson(row["id"], row["message"], output, answer, None, True))
    return Lessons(task, "claude", tuple(made), None)


class Realised:
    """What one candidate does on live messages."""

    def __init__(self, task: Task, candidate: Candidate | None, rows: Sequence[dict[str, Any]]):
        self.served = self.wrong = 0
        self.n = len(rows)
        if candidate is None:
            return
        for row in rows:
            found = candidate.specialist.predict(row["message"])
            if found.output is None or found.signal < candidate.selection.threshold:
                continue
            reference = Answer(text=render(task.contract, output_of(task.name, row)))
            given = Answer(text=render(task.contract, found.output))
            self.served += 1
            self.wrong += not same(task.contract, given, reference)


def one_split(
    task: Task,
    past: Sequence[dict[str, Any]],
    live: Sequence[dict[str, Any]],
    senses: Callable[[], Senses],
) -> dict[float, Realised]:
    """The first certification of a task with all of the past, at each alpha."""
    lessons = lessons_of(task, past)
    trained = cache(lambda recipe: prepare(lessons, recipe, False, senses))
    return {
        alpha: Realised(task, attempt(task, alpha, delta_at(1, DELTA), trained).candidate, live)
        for alpha in ALPHAS
    }


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
    for name in asked.tasks.split(","):
        task = Task(id=name, name=name, templates=(), contract=contract_of(name, past + live))
        orders: dict[float, list[Realised]] = defaultdict(list)
        splits: dict[float, list[Realised]] = defaultdict(list)
        for seed in range(asked.seeds):
            draw = np.random.default_rng(seed)
            ordered = [past[i] for i in draw.permutation(len(past))]
            for alpha, run in one_split(task, ordered, live, lambda: remembered).items():
                orders[alpha].append(run)
            mixed = [(past + live)[i] for i in draw.permutation(4_000)]
            for alpha, run in one_split(
                task, mixed[:3_000], mixed[3_000:], lambda: remembered
            ).items():
                splits[alpha].append(run)
        print(f"\n{name}: past tr, live te, {asked.seeds} orders (recorded answers)")
        report(name, orders)
        print(f"{name}: {asked.seeds} random splits 3,000 / 1,000 (recorded answers)")
        report(name, splits)
        kept = [run.wrong <= alpha * run.served for alpha in ALPHAS for run in splits[alpha]]
        low, high = interval(len(kept) - sum(kept), len(kept), 0.95)
        print(f"{name}: over alpha in {1 - np.mean(kept):.1%} of runs ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
