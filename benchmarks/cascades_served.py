"""The rung of cheaper models as the gateway serves it, on recorded models.

Tries are drawn from the recorded calls; the rung is certified on them against the reference's
recorded answers, with half of delta as behind ``[cascade]``, and measured on the rest. Once for
product matching (gpt-4o-mini is the reference, fine-tunes of an 8B model are asked, one template at
a time), once for calls of tools (claude-3.5-sonnet is the reference; calls are compared whatever
their order and notation). Risk is disagreement with the reference. Models are taken in a fixed
order, the same for every split: those that were tuned for all sets of products before the others,
and by size.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from benchmarks.cascades_calls import canonical
from benchmarks.cascades_report import spread
from benchmarks.data import lines
from shoal.chat import Answer, Message, Request
from shoal.encoder import Encoder
from shoal.flywheel.agreement_trial import LEARNED, attempt_agreement, is_wrong
from shoal.guarantees import delta_at, lower_bound
from shoal.routing.agreement import Agreed, Voices, weigh
from shoal.specialists.senses import Senses
from shoal.tasks import Contract, LabelContract, TextContract
from shoal.tasks.comparators import register

MATCHERS = (
    "llama31-8b:ft-wdc/large",
    "llama31-8b:ft-wdc/small",
    "llama31-8b:ft-amazon-google",
)
MATCHED_BY = "gpt-4o-mini:zeroshot"
CALLERS = (
    "Salesforce_xLAM-7b-fc-r",
    "Salesforce_xLAM-1b-fc-r",
    "NousResearch_Hermes-2-Pro-Llama-3-8B",
)
CALLED_BY = "claude-3-5-sonnet-20240620"
DELTA = delta_at(1, 0.05 / 2)


class Case(Struct, frozen=True):
    """A task's calls: voices (n, 3) and the reference's answers (n,)."""

    name: str
    contract: Contract
    texts: list[str]
    said: list[tuple[Answer | None, ...]]
    reference: list[Answer]

    def agreed(self, models: int) -> tuple[list[Agreed], list[bool]]:
        """What the first ``models`` would be served for, and whether that is wrong."""
        found = [
            weigh(
                self.contract,
                Voices(Request("llm", (Message("user", text),)), text, voices[:models]),
            )
            for text, voices in zip(self.texts, self.said, strict=True)
        ]
        wrong = [
            is_wrong(self.contract, one, said)
            for one, said in zip(found, self.reference, strict=True)
        ]
        return found, wrong


def matching() -> list[Case]:
    """A case for each template of product matching."""
    merged: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in lines("product_matching/responses.jsonl.gz"):
        at = merged.setdefault((row["task"], row["dataset"], row["prompt"]), {**row, "out": {}})
        at["out"] |= row["out"]
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in merged.values():
        if all(name in row["out"] for name in (*MATCHERS, MATCHED_BY)):
            by_task[row["task"]].append(row)

    def said(row: dict[str, Any], name: str) -> Answer:
        return Answer(("No", "Yes", "")[row["out"][name][1]])

    return [
        Case(
            task.removeprefix("domain-").removesuffix(" (Product)"),
            LabelContract(("No", "Yes")),
            [row["prompt"] for row in rows],
            [tuple(said(row, name) for name in MATCHERS) for row in rows],
            [said(row, MATCHED_BY) for row in rows],
        )
        for task, rows in sorted(by_task.items())
    ]


def calling() -> Case:
    """Calls of tools, as text in each model's own notation."""
    register("equal calls", lambda a, b: canonical(a.text) == canonical(b.text))
    prompts = lines("function_calling/prompts.jsonl.gz")
    places = {(row["category"], row["idx"]): at for at, row in enumerate(prompts)}
    rows: dict[str, list[Answer | None]] = {n: [None] * len(prompts) for n in (*CALLERS, CALLED_BY)}
    for row in lines("function_calling/outputs.jsonl.gz"):
        if row[0] in rows:
            found = canonical(row[4])  # an answer that cannot be read is none
            rows[row[0]][places[row[1], row[2]]] = None if found is None else Answer(row[4])
    return Case(
        "calls of tools",
        TextContract(comparator="equal calls"),
        [f"{row['question']}\n{row['function']}" for row in prompts],
        list(zip(*(rows[name] for name in CALLERS), strict=True)),
        [one or Answer("", complete=False) for one in rows[CALLED_BY]],
    )


class Served(Struct, frozen=True):
    """One split: ``n`` calls after the certificate, how many were served, how many of these were
    wrong, and the certified coverage of the plain share (0: refused)."""

    n: int
    served: int
    wrong: int
    signal: str
    share_alone: float


def once(
    agreed: Sequence[Agreed],
    wrong: Sequence[bool],
    split: tuple[Sequence[int], Sequence[int]],
    alpha: float,
    senses: Senses,
) -> Served:
    """Certify on the first rows, serve the others."""
    tried, live = split
    found = attempt_agreement(
        [agreed[i].seen for i in tried], [wrong[i] for i in tried], alpha, DELTA, senses
    )
    alone = found.ladder[0].coverage
    if found.proven is None:
        return Served(len(live), 0, 0, "", alone)
    seen, trust = [agreed[i].seen for i in live], found.proven.trust
    signals = np.array([each.share for each in seen]) if trust is None else trust.scores(seen)
    accepted = signals >= found.proven.selection.threshold
    lost = int((accepted & np.array([wrong[i] for i in live])).sum())
    return Served(len(live), int(accepted.sum()), lost, found.proven.signal, alone)


def report(name: str, runs: Sequence[Served], alpha: float) -> None:
    """A line."""
    served, wrong = sum(run.served for run in runs), sum(run.wrong for run in runs)
    over = sum(run.wrong > alpha * run.served for run in runs)
    clearly = sum(
        run.served > 0 and lower_bound(run.wrong, run.served, 0.05) > alpha for run in runs
    )
    print(
        f"{name:34} alpha {alpha:.0%}: served {spread([run.served / run.n for run in runs])} "
        f"(by the share alone {np.mean([run.share_alone for run in runs]):.1%}), disagreement "
        f"{wrong / max(served, 1):.2%}, learned {sum(run.signal == LEARNED for run in runs)}, "
        f"refused {sum(not run.signal for run in runs)}, over {over}, significantly {clearly} "
        f"of {len(runs)}",
        flush=True,
    )


def main(seeds: int) -> None:
    """Every case with one, two and three models."""
    began, senses = time.process_time(), Senses(Encoder(threads=2))
    for case, tries, alphas in (
        *((case, 1_200, (0.05,)) for case in matching()),
        (calling(), 620, (0.05, 0.1)),
    ):
        n = len(case.texts)
        print(f"{case.name}: {n} calls, {tries} of them tried (recorded answers)")
        for models in (1, 2, 3):
            agreed, wrong = case.agreed(models)
            for alpha in alphas:
                runs = []
                for seed in range(seeds):
                    order = np.random.default_rng(seed).permutation(n).tolist()
                    runs.append(once(agreed, wrong, (order[:tries], order[tries:]), alpha, senses))
                report(f"  {models} model{'s' * (models > 1)}", runs, alpha)
    print(f"{time.process_time() - began:.0f} s CPU")
