"""BIG-Bench-Hard: a direct answer where it may be trusted, else a chain of thought.

One model (code-davinci-002), asked directly or step by step (recorded). The signal for a direct
answer is learned on a training split from the task, the form of the question and the answer itself;
its threshold is certified on another. Cost is in characters of prompt and output, for tokens were
not recorded: a chain of thought costs many times a direct answer. Right is by the benchmark's
targets, so the cascade may beat the chain of thought alone.
"""

import time
from collections import defaultdict
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.cascades_report import Outcome, Rows, certified, print_risk, rows_of, spread
from benchmarks.data import lines
from shoal.evaluation.replay import RecordedRung, replay
from shoal.guarantees import SelectiveRisk, Shortfall, Target
from shoal.routing.signals import fit_logistic

ALPHAS = (0.02, 0.05)
EPSILONS = (0.02, 0.05)
DELTA = 0.05
RARE = 20  # answers seen less often on the training split are one feature

Floats = NDArray[np.float64]


class Pairs(Struct, frozen=True):
    """Each question's two answers."""

    tasks: NDArray[np.str_]
    questions: list[str]
    direct: list[str]
    right: NDArray[np.bool_]  # (2, n): direct, chain of thought
    agree: NDArray[np.bool_]  # (n,)
    cost: Floats  # (2, n)


def read() -> Pairs:
    """The recorded answers, and the prefixes with examples that were sent before each question."""
    prefixes: dict[tuple[str, str], int] = {}
    for row in lines("recurring_calls/bbh/prefixes.jsonl.gz"):
        prefixes |= _prefix_sizes(row)
    both: dict[tuple[str, int], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in lines("recurring_calls/bbh/outputs.jsonl.gz"):
        both[row["task"], row["i"]][row["strategy"]] = row
    pairs = [(p["direct"], p["cot"]) for p in both.values() if len(p) == 2]

    def size(row: dict[str, Any]) -> int:
        before = prefixes.get((row["task"], row["strategy"]), 0)
        return before + len(row["question"]) + len(row["output"])

    return Pairs(
        tasks=np.array([d["task"] for d, _ in pairs]),
        questions=[d["question"] for d, _ in pairs],
        direct=[str(d["answer"]) for d, _ in pairs],
        right=np.array([[d["correct"] for d, _ in pairs], [c["correct"] for _, c in pairs]]),
        agree=np.array([d["answer"] == c["answer"] for d, c in pairs]),
        cost=np.array([[size(d) for d, _ in pairs], [size(c) for _, c in pairs]], dtype=np.float64),
    )


def opened(rung: RecordedRung, pairs: Pairs, train: Rows, least: float) -> RecordedRung:
    """The rung for tasks of which, on the training rows, a share ``least`` of direct answers is
    right; in the others nobody asks it, and it costs nothing. (A cascade belongs to a task.)"""
    tasks = pairs.tasks[train]
    good = [t for t in np.unique(tasks) if rung.right[train][tasks == t].mean() >= least]
    ask = np.isin(pairs.tasks, good)
    scores, cost = np.where(ask, rung.scores, -np.inf), np.where(ask, rung.cost, 0.0)
    return RecordedRung(rung.name, scores, rung.right, cost, rung.seconds)


def rivals(rung: RecordedRung, chain: RecordedRung, pairs: Pairs, train: Rows) -> RecordedRung:
    """The rung for tasks of which direct answers are right as often as chains, but for a tenth."""
    tasks = pairs.tasks[train]
    gap = chain.right[train].astype(float) - rung.right[train]
    ask = np.isin(pairs.tasks, [t for t in np.unique(tasks) if gap[tasks == t].mean() <= 0.1])
    scores, cost = np.where(ask, rung.scores, -np.inf), np.where(ask, rung.cost, 0.0)
    return RecordedRung(rung.name, scores, rung.right, cost, rung.seconds)


def _prefix_sizes(row: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(row["task"], row["strategy"]): len(row["prefix"])}


def signal(pairs: Pairs, train: Rows) -> Floats:
    """(n,) log-odds that the direct answer is right, learned on the training rows."""
    names = np.unique(pairs.tasks)
    tasks = (pairs.tasks[:, None] == names).astype(np.float64)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for at in train:
        counts[str(pairs.tasks[at]), pairs.direct[at]] += 1
    common = {key: k for k, key in enumerate(sorted(k for k, c in counts.items() if c >= RARE))}
    said = np.zeros((len(pairs.tasks), len(common) + 1))
    for at, key in enumerate(zip(pairs.tasks.tolist(), pairs.direct, strict=True)):
        said[at, common.get(key, len(common))] = 1.0
    size = np.array([[np.log1p(len(q)), np.log1p(q.count("\n"))] for q in pairs.questions])
    inside = tasks * (size[:, :1] - size[:, :1].mean())  # a long question of its task
    features = np.hstack([tasks, said, size, inside])
    return fit_logistic(features[train], pairs.right[0, train]).logits(features)


def main(seeds: int) -> None:
    """Risk by the targets, risk against the chain of thought, and the accuracy of the whole."""
    began = time.process_time()
    pairs = read()
    n, unit = len(pairs.tasks), pairs.cost[1].mean()
    rates = [f"{rate:.1%}" for rate in pairs.right.mean(1)]
    print(
        f"{n} questions of {len(set(pairs.tasks))} tasks; direct {rates[0]} right, chain {rates[1]}"
    )
    print(
        f"a direct answer costs {pairs.cost[0].mean() / unit:.1%} of a chain (recorded, characters)"
    )
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    alone: list[float] = []
    zeros = np.zeros(n)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(n)
        splits = order[: n * 2 // 5], order[n * 2 // 5 : n * 7 // 10], order[n * 7 // 10 :]
        surely = signal(pairs, splits[0])
        chain = RecordedRung("chain", np.ones(n), pairs.right[1], pairs.cost[1] / unit, zeros)
        said = RecordedRung("direct", surely, pairs.right[0], pairs.cost[0] / unit, zeros)
        equal = RecordedRung("direct", surely, pairs.agree, pairs.cost[0] / unit, zeros)
        itself = RecordedRung("chain", np.ones(n), np.ones(n, bool), chain.cost, zeros)
        alone.append(replay([], rows_of(chain, splits[2]), []).accuracy)
        for alpha in ALPHAS:
            target: Target = SelectiveRisk(alpha)
            for key, rung, last in (("gold", said, chain), ("chain", equal, itself)):
                ours = opened(rung, pairs, splits[0], 1.0 - 4.0 * alpha)
                outcomes[f"{key} {alpha}"].append(certified([ours], last, splits, target, DELTA))
        for epsilon in EPSILONS:
            target = Shortfall(epsilon)
            ours = rivals(said, chain, pairs, splits[0])
            outcomes[f"less {epsilon}"].append(certified([ours], chain, splits, target, DELTA))
    for alpha in ALPHAS:
        print_risk("direct, wrong by the targets", outcomes[f"gold {alpha}"], alpha)
        print_risk("direct, another than the chain's", outcomes[f"chain {alpha}"], alpha)
    for epsilon in EPSILONS:
        _print_shortfall(outcomes[f"less {epsilon}"], alone, epsilon)
    print(f"{time.process_time() - began:.0f} s CPU")


def _print_shortfall(found: list[Outcome], alone: list[float], epsilon: float) -> None:
    done = [outcome.replayed for outcome in found]
    lost = [ref - run.accuracy for ref, run in zip(alone, done, strict=True)]
    over = sum(loss > epsilon for loss in lost)
    print(
        f"chain of thought less {epsilon:.0%} at most: right {spread([d.accuracy for d in done])}, "
        f"chain alone {spread(alone)}, kept {spread([d.kept for d in done])}, cost "
        f"{spread([d.cost for d in done], 2, False)}, realised loss over {over}/{len(found)}",
        flush=True,
    )
