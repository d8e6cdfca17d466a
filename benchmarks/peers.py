"""Shoal beside TRACER, and beside SetFit, on the same data in the same run.

    pip install torch==2.13.0 && pip install tracer-llm==0.3.3 setfit==1.2.0
    python -m benchmarks.peers tracer [--seeds 20] [--tasks intent,banking77]
    python -m benchmarks.peers setfit [--draws 5] [--sets banking77,clinc150,intent]

``tracer``: both learn from the same past calls (support desk: an LLM's recorded answers;
Banking77: its own labels in place of an LLM), TRACER with the embeddings of Shoal's encoder, and
say which live calls they would answer at 95 % agreement; Shoal with 90 % confidence, as TRACER's
own bounds have.
Random splits; CPU seconds without the encoder's, which both share. TRACER's gradient boosting is
left out of its candidates, as its own documentation advises for many classes.

``setfit``: accuracy on the official test part from 10 examples a class, and the CPU seconds of
training, SetFit on the same encoder's weights. Of the support desk: from past calls, on the live
ones, with an LLM's recorded answers as the labels.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from benchmarks.data import LABELS, lines, support_desk
from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.encoder.weights import find_weights
from shoal.flywheel.ladder import recipes_for
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import attempt, prepare
from shoal.guarantees import delta_at, interval, lower_bound
from shoal.specialists.kinds import kind_of
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract, Task

ALPHA, DELTA = 0.05, 0.10
Rows = Sequence[tuple[str, str]]


class Run(Struct):
    """What one system did with ``n`` live calls, and what training it took."""

    n: int
    served: int = 0
    wrong: int = 0
    cpu_s: float = 0.0
    answer_ms: float = 0.0


def rows_of(name: str) -> list[tuple[str, str]]:
    """(text, label) of a task."""
    if name in LABELS:
        past, live = support_desk()
        return [(row["message"], row["llm"][name]) for row in past + live]
    both = [*lines("intents/banking77_train.jsonl.gz"), *lines("intents/banking77_test.jsonl.gz")]
    return [(row["text"], row["label"]) for row in both]


def by_shoal(past: Rows, live: Rows, senses: Senses) -> Run:
    """The first certification with all of the past, then every live call."""
    contract = LabelContract(tuple(sorted({label for _, label in past})))
    task = Task(id="t", name="t", templates=(), contract=contract)
    made = tuple(
        Lesson(str(i), Input(text), label, Answer(text=label), None, True)
        for i, (text, label) in enumerate(past)
    )
    lessons = Lessons(task, "llm", made, None)
    began = time.process_time()
    outcome = attempt(
        recipes_for(task, lessons.inputs),
        ALPHA,
        delta_at(1, DELTA),
        lambda recipe: prepare(lessons, recipe, False, lambda: senses),
    )
    run = Run(len(live), cpu_s=time.process_time() - began)
    found = outcome.candidate
    if found is None:
        return run
    began = time.process_time()
    for text, label in live:
        said = found.specialist.predict(Input(text))
        if said.signal >= found.selection.threshold:
            run.served += 1
            run.wrong += said.output != label
    run.answer_ms = (time.process_time() - began) / len(live) * 1e3
    return run


def by_tracer(past: Rows, live: Rows, senses: Senses) -> Run:
    """TRACER's public interface: fit, load, one prediction a call."""
    import tracer
    from tracer.config import FitConfig

    embedded = senses.embed([text for text, _ in past])
    with tempfile.TemporaryDirectory() as folder:
        traces = Path(folder) / "traces.jsonl"
        told = [json.dumps({"input": text, "teacher": label}) for text, label in past]
        traces.write_text("\n".join(told))
        options = FitConfig(1 - ALPHA, (1 - ALPHA,), verbose=False, skip_candidates=("gbt",))
        began = time.process_time()
        tracer.fit(traces, Path(folder) / "fit", embedded, options)
        run = Run(len(live), cpu_s=time.process_time() - began)
        try:
            router = tracer.load_router(Path(folder) / "fit")
        except ValueError:  # nothing was certified
            return run
    vectors = senses.embed([text for text, _ in live])
    began = time.process_time()
    for vector, (_, label) in zip(vectors, live, strict=True):
        said = router.predict(vector)
        if said["decision"] == "handled":
            run.served += 1
            run.wrong += said["label"] != label
    run.answer_ms = (time.process_time() - began) / len(live) * 1e3
    return run


def report(name: str, runs: Sequence[Run]) -> None:
    """A line: coverage, realised risk, promises broken, CPU."""
    served = np.array([run.served / run.n for run in runs])
    wrong, answered = sum(run.wrong for run in runs), sum(run.served for run in runs)
    over = sum(run.wrong > ALPHA * run.served for run in runs)
    clearly = sum(
        run.served > 0 and lower_bound(run.wrong, run.served, 0.05) > ALPHA for run in runs
    )
    low, high = np.quantile(served, (0.025, 0.975))
    print(
        f"{name:20} served {served.mean():5.1%} ({low:.1%} to {high:.1%}), nothing in "
        f"{sum(run.served == 0 for run in runs)}/{len(runs)}, disagreement "
        f"{wrong / max(answered, 1):.2%}, over {over}/{len(runs)}, significantly "
        f"{clearly}/{len(runs)}, {np.mean([run.cpu_s for run in runs]):.1f} s CPU, "
        f"{np.mean([run.answer_ms for run in runs]):.2f} ms CPU an answer",
        flush=True,
    )


def tracer_side(asked: argparse.Namespace, senses: Senses) -> None:
    """Both, split by split."""
    for name in asked.tasks.split(","):
        rows = rows_of(name)
        senses.embed([text for text, _ in rows])  # remembered: its time is neither's
        runs: dict[str, list[Run]] = {"Shoal": [], "TRACER": []}
        for seed in range(asked.seeds):
            order = np.random.default_rng(seed).permutation(len(rows))
            mixed = [rows[i] for i in order]
            past, live = mixed[:3_000], mixed[3_000:4_000]
            runs["Shoal"].append(by_shoal(past, live, senses))
            runs["TRACER"].append(by_tracer(past, live, senses))
        for system, found in runs.items():
            report(f"{name}: {system}", found)


def few(rows: Rows, shots: int, seed: int) -> Rows:
    """``shots`` examples of each label, drawn."""
    order, seen, kept = np.random.default_rng(seed).permutation(len(rows)), Counter[str](), []
    for i in order:
        if seen[rows[i][1]] < shots:
            seen[rows[i][1]] += 1
            kept.append(rows[i])
    return kept


def sets_of(name: str) -> tuple[Rows, Rows]:
    """Official training and test part, in scope; of the support desk past and live calls."""
    if name in LABELS:
        past, live = support_desk()
        train, test = ([(r["message"], r["llm"][name]) for r in part] for part in (past, live))
        return train, test
    if name == "banking77":
        parts = [lines(f"intents/banking77_{part}.jsonl.gz") for part in ("train", "test")]
    else:
        rows = lines("intents/clinc150.jsonl.gz")
        parts = [[row for row in rows if row["split"] == part] for part in ("train", "test")]
    train, test = ([(row["text"], row["label"]) for row in part] for part in parts)
    return train, test


def setfit_once(train: Rows, test: Rows, seed: int) -> tuple[int, float]:
    """Right answers of SetFit on the same encoder, and its CPU seconds."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    body = SentenceTransformer(str(find_weights().folder), device="cpu")
    model = SetFitModel(body, LogisticRegression(max_iter=1_000))
    rows = Dataset.from_dict({"text": [t for t, _ in train], "label": [y for _, y in train]})
    options = TrainingArguments(
        num_epochs=1, num_iterations=20, batch_size=16, seed=seed, report_to="none"
    )
    began = time.process_time()
    Trainer(model=model, args=options, train_dataset=rows).train()
    cpu = time.process_time() - began
    said = model.predict([text for text, _ in test])
    return sum(str(a) == b for a, (_, b) in zip(said, test, strict=True)), cpu


def shoal_once(train: Rows, test: Rows, senses: Senses) -> tuple[int, float]:
    """Right answers of Shoal's light recipe, and its CPU seconds, the encoder's included."""
    kind = kind_of("label")
    assert kind is not None
    contract = LabelContract(tuple(sorted({label for _, label in train})))
    inputs, outputs = [Input(text) for text, _ in train], [label for _, label in train]
    began = time.process_time()
    trained = kind.train(contract, inputs, outputs, senses, kind.recipes[-1])
    cpu = time.process_time() - began
    said = [trained.specialist.predict(Input(text)).output for text, _ in test]
    return sum(a == b for a, (_, b) in zip(said, test, strict=True)), cpu


def setfit_side(asked: argparse.Namespace) -> None:
    """Both, draw by draw."""
    for name in asked.sets.split(","):
        train, test = sets_of(name)
        found: dict[str, list[tuple[int, float]]] = {"Shoal": [], "SetFit": []}
        for seed in range(asked.draws):
            drawn = few(train, 10, seed)
            found["Shoal"].append(shoal_once(drawn, test, Senses(Encoder())))
            found["SetFit"].append(setfit_once(drawn, test, seed))
        for system, runs in found.items():
            right = [right for right, _ in runs]
            low, high = interval(sum(right), len(test) * len(right), 0.95)
            cpu = np.mean([cpu for _, cpu in runs])
            print(
                f"{name}, 10 a class, {len(runs)} draws: {system:7} "
                f"{sum(right) / len(test) / len(right):.1%} ({low:.1%} to {high:.1%}), "
                f"{cpu:.1f} s CPU",
                flush=True,
            )


def main() -> None:
    """Run one side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=("tracer", "setfit"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--tasks", default=",".join((*LABELS, "banking77")))
    parser.add_argument("--sets", default="banking77,clinc150")
    asked = parser.parse_args()
    if asked.peer == "tracer":
        tracer_side(asked, Senses(Encoder(threads=2)))
    else:
        setfit_side(asked)


if __name__ == "__main__":
    main()
