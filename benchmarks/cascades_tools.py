"""Function calling: 71 recorded models, of which small ones answer where they agree.

The reference is claude-3.5-sonnet. On a random half, models, witnesses and thresholds are chosen;
the other half is the test. Right is what the Berkeley benchmark's checker says of each recorded
call. Cost is by list prices on recorded tokens; local models recorded neither tokens nor time: they
are priced as hosted 8B models, by characters, and their time is unknown and not in "latency". The
second pool holds only models whose tokens and time were recorded, so its totals leave nothing out.
"""

import re
import time
from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.cascades_calls import canonical
from benchmarks.cascades_report import Rows, certified, rows_of, spread
from benchmarks.data import lines
from shoal.chat import Usage
from shoal.evaluation.replay import RecordedRung, Replayed, replay
from shoal.guarantees import SelectiveRisk, Shortfall
from shoal.routing.prices import Tariff
from shoal.routing.signals import fit_logistic

REFERENCE = "claude-3-5-sonnet-20240620"
HOSTED = Tariff(input=0.2, output=0.2)  # USD a million tokens: what hosts ask for an 8B model
LOCAL = {
    "Salesforce_xLAM-1b-fc-r": HOSTED,
    "Salesforce_xLAM-7b-fc-r": HOSTED,
    "NousResearch_Hermes-2-Pro-Llama-3-8B": HOSTED,
    "NousResearch_Hermes-2-Pro-Mistral-7B": HOSTED,
    "meta-llama_Meta-Llama-3-8B-Instruct": HOSTED,
}
RECORDED = {
    "gorilla-openfunctions-v2": HOSTED,
    "meetkai_functionary-small-v3.1-FC": HOSTED,
    "gpt-4o-mini-2024-07-18": Tariff(input=0.15, output=0.60),
    "gemini-1.5-flash-preview-0514": Tariff(input=0.075, output=0.30),
    "claude-3-haiku-20240307": Tariff(input=0.25, output=1.25),
    "open-mistral-nemo-2407-FC-Auto": Tariff(input=0.15, output=0.15),
    "mistral-small-2402": Tariff(input=0.20, output=0.60),
}
PRICES = {REFERENCE: Tariff(input=3.0, output=15.0), **LOCAL, **RECORDED}
CHARACTERS_A_TOKEN = 4
DELTA = 0.1

Floats = NDArray[np.float64]


class Recorded(Struct, frozen=True):
    """One model's record, all (n,)."""

    calls: tuple[str | None, ...]
    right: NDArray[np.bool_]
    cost: Floats  # USD
    seconds: Floats  # 0 where unknown


class Board(Struct, frozen=True):
    """All that was recorded, and what each request looks like (n, f)."""

    models: dict[str, Recorded]
    look: Floats


def read_board() -> Board:
    """The prompts in one order, and the recorded answers of the models with a price."""
    prompts = lines("function_calling/prompts.jsonl.gz")
    places = {(row["category"], row["idx"]): at for at, row in enumerate(prompts)}
    rows: dict[str, list[Any]] = {name: [None] * len(prompts) for name in PRICES}
    for row in lines("function_calling/outputs.jsonl.gz"):
        if row[0] in rows:
            rows[row[0]][places[row[1], row[2]]] = row
    sizes = [len(row["question"]) + len(str(row["function"])) for row in prompts]
    look = [
        (np.log1p(len(row["question"])), len(row["function"]), np.log1p(size))
        for row, size in zip(prompts, sizes, strict=True)
    ]
    return Board(
        {name: _record(found, PRICES[name], sizes) for name, found in rows.items()},
        np.array(look, dtype=np.float64),
    )


def _record(rows: Sequence[Any], tariff: Tariff, sizes: Sequence[int]) -> Recorded:
    costs = []
    for row, size in zip(rows, sizes, strict=True):
        given = row[5] if row[5] else size // CHARACTERS_A_TOKEN
        said = row[6] if row[6] else len(row[4]) // CHARACTERS_A_TOKEN
        costs.append(tariff.cost(Usage(round(given), round(said))) or 0.0)
    return Recorded(
        calls=tuple(canonical(row[4]) for row in rows),
        right=np.array([bool(row[8]) for row in rows]),
        cost=np.array(costs),
        seconds=np.array([row[7] or 0.0 for row in rows]),
    )


class Casting(Struct, frozen=True):
    """Who answers, and who must agree."""

    answerer: str
    witnesses: tuple[str, ...]


def castings(pool: Sequence[str]) -> list[Casting]:
    """Every model of a pool with one witness, or two."""
    pairs = [Casting(a, (b,)) for a, b in permutations(pool, 2)]
    return pairs + [
        Casting(a, two) for a in pool for two in combinations([p for p in pool if p != a], 2)
    ]


def rung_of(board: Board, casting: Casting) -> RecordedRung:
    """The rung with agreement as its signal; an answer that cannot be read is declined."""
    own = board.models[casting.answerer]
    everyone = [own, *(board.models[name] for name in casting.witnesses)]
    votes = np.mean(
        [[a == b for a, b in zip(own.calls, w.calls, strict=True)] for w in everyone[1:]], axis=0
    )
    readable = np.array([call is not None for call in own.calls])
    return RecordedRung(
        name=f"{casting.answerer} if {' and '.join(casting.witnesses)} agree",
        scores=np.where(readable, votes, -np.inf),
        right=own.right,
        cost=np.sum([one.cost for one in everyone], axis=0),
        seconds=np.max([one.seconds for one in everyone], axis=0),
    )


def last_of(board: Board) -> RecordedRung:
    """The reference, which accepts all."""
    own = board.models[REFERENCE]
    return RecordedRung(REFERENCE, np.ones(len(own.right)), own.right, own.cost, own.seconds)


def learned(board: Board, rung: RecordedRung, rows: Rows) -> RecordedRung:
    """The same rung with a signal learned on ``rows``: agreement, and what the request looks like,
    with their products."""
    votes = np.where(np.isfinite(rung.scores), rung.scores, 0.0)
    features = np.column_stack([votes, board.look, votes[:, None] * board.look])
    model = fit_logistic(features[rows], rung.right[rows])
    scores = np.where(np.isfinite(rung.scores), model.logits(features), -np.inf)
    return RecordedRung(rung.name, scores, rung.right, rung.cost, rung.seconds)


def choose(
    rungs: Sequence[RecordedRung], last: RecordedRung, rows: Rows, margin: float
) -> tuple[RecordedRung, float]:
    """The rung and threshold that cost least on ``rows``, at an accuracy there of the reference's
    and ``margin`` more; the reference alone if there is none."""
    there, best = rows_of(last, rows), (rungs[0], np.inf)
    wanted, cheapest = there.right.mean() + margin, float(there.cost.mean())
    for rung in rungs:
        for threshold in np.unique(rung.scores[np.isfinite(rung.scores) & (rung.scores > 0)]):
            done = replay([rows_of(rung, rows)], there, [float(threshold)])
            if done.accuracy >= wanted and done.cost < cheapest:
                best, cheapest = (rung, float(threshold)), done.cost
    return best


def print_runs(name: str, runs: Sequence[Replayed], alone: Sequence[Replayed]) -> None:
    """A line over seeds, the reference's own beside."""
    gains = [run.accuracy - ref.accuracy for run, ref in zip(runs, alone, strict=True)]
    cost = [run.cost / ref.cost for run, ref in zip(runs, alone, strict=True)]
    late = [run.seconds for run in runs]
    percent = re.search(r"(\d+)%", name)
    over = ""
    if percent:
        most = int(percent[1]) / 100
        realised = [run.risk for run in runs] if "risk" in name else [-gain for gain in gains]
        over = f", realised over it {sum(r > most for r in realised)}/{len(runs)}"
    print(
        f"{name:42} right {spread([r.accuracy for r in runs])}, against the reference "
        f"{spread(gains)}, kept {spread([r.kept for r in runs])}, total cost "
        f"{spread(cost)} of its, latency {spread(late, 2, False)} s{over}",
        flush=True,
    )


def run_pool(name: str, board: Board, pool: Sequence[str], seeds: int) -> None:
    """All lines of one pool of cheap models."""
    last = last_of(board)
    rungs = [rung_of(board, casting) for casting in castings(pool)]
    n = len(last.right)
    runs: dict[str, list[Replayed]] = {}
    names: dict[str, int] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(n)
        half, test = order[: n // 2], order[n // 2 :]
        there = rows_of(last, test)
        chosen, threshold = choose(rungs, last, half, 0.0)
        names[f"{chosen.name} >= {threshold:g}"] = (
            names.get(f"{chosen.name} >= {threshold:g}", 0) + 1
        )
        fit, calibration = half[: n // 4], half[n // 4 :]
        first, _ = choose(rungs, last, fit, 0.0)
        signal = learned(board, first, fit)
        done = {
            "the reference alone": replay([], there, []),
            "chosen on the half, not certified": replay(
                [rows_of(chosen, test)], there, [threshold]
            ),
        }
        splits = (fit, calibration, test)
        for epsilon in (0.02, 0.03):
            key = f"certified: reference less {epsilon:.0%} at most"
            done[key] = certified([first], last, splits, Shortfall(epsilon), DELTA).replayed
        for alpha in (0.05, 0.1):
            for kind, rung in (("agreement", first), ("learned", signal)):
                key = f"certified: {kind}, risk {alpha:.0%}"
                done[key] = certified([rung], last, splits, SelectiveRisk(alpha), DELTA).replayed
        done |= _bounds(rows_of(chosen, test), there, done, seed)
        for key, run in done.items():
            runs.setdefault(key, []).append(run)
    print(f"\n{name}: {len(pool)} models, {len(rungs)} castings (recorded answers)")
    for key, found in runs.items():
        print_runs(key, found, runs["the reference alone"])
    for key, count in sorted(names.items(), key=lambda item: -item[1])[:3]:
        print(f"    chosen {count}/{seeds}: {key}")


def _bounds(
    rung: RecordedRung, last: RecordedRung, done: dict[str, Replayed], seed: int
) -> dict[str, Replayed]:
    """With the chosen rung's answers and costs: kept at random as often, and by an oracle."""
    kept = done["chosen on the half, not certified"].kept
    chance = np.random.default_rng(seed).random(len(rung.right))
    at_random = RecordedRung(rung.name, chance, rung.right, rung.cost, rung.seconds)
    oracle = RecordedRung(rung.name, rung.right.astype(float), rung.right, rung.cost, rung.seconds)
    return {
        "random, as much kept": replay([at_random], last, [float(np.quantile(chance, 1 - kept))]),
        "oracle: kept where right": replay([oracle], last, [0.5]),
    }


def main(seeds: int) -> None:
    """Both pools."""
    began = time.process_time()
    board = read_board()
    rung = rung_of(board, Casting("Salesforce_xLAM-7b-fc-r", ("Salesforce_xLAM-1b-fc-r",)))
    hindsight = replay([rung], last_of(board), [1.0])
    print(
        f"in hindsight, on all {hindsight.n}: xLAM-7b if xLAM-1b agrees: kept "
        f"{hindsight.kept:.1%}, right {hindsight.accuracy:.4f}; "
        f"reference {last_of(board).right.mean():.4f}"
    )
    run_pool("local models", board, [*LOCAL], seeds)
    run_pool("models with recorded tokens and time", board, [*RECORDED], seeds)
    print(f"{time.process_time() - began:.0f} s CPU")
