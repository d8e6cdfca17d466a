"""Specialists that call tools, against recorded calls of an LLM and against a ground truth.

    python -m benchmarks.calls [--seeds 5]

First an airline's agent (gpt-4o; 25 tasks, 4 trials each), cross-validated over tasks: each step is
predicted by a specialist trained on the steps of other tasks. "Right" is the LLM's very call, tool
and every argument; a step in which the LLM talks is answered rightly by no call. The trajectories
come without the tools' schemas, so tools and arguments are known from training alone. What may be
certified is computed on all steps pooled; as steps of a task resemble each other, that is
optimistic. Then Berkeley's function-calling prompts, each of which has tools of its own: trained on
a random half, tested on the other, judged by the values that the ground truth allows; prompts that
need several calls, or none, are among them and should be declined.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import DATA, lines
from shoal.chat import Answer, Message, ToolCall
from shoal.encoder import Encoder
from shoal.guarantees import Selection, interval, select
from shoal.specialists.call import KIND, CallSpecialist, train_call
from shoal.specialists.calls.schema import arguments_of
from shoal.specialists.kind import Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction
from shoal.tasks import CallContract, Input, Output, same, written
from shoal.tasks.template import transcript_of

ALPHAS = (0.05, 0.10, 0.20)
DELTA = 0.05
FOLDS = 5


class Step(NamedTuple):
    """What was asked, and the calls that the LLM answered with (None: it talked)."""

    group: int
    given: Input
    calls: tuple[ToolCall, ...] | None
    later: frozenset[tuple[str, str]]


def airline() -> list[Step]:
    """Every step of the agent, with the task it belongs to, and all calls that come at it or later
    in the conversation."""
    policy = json.loads((DATA / "agent_traces" / "system.json").read_text(encoding="utf-8"))
    steps = []
    for row in lines("agent_traces/airline_trajectories.jsonl.gz"):
        messages = [Message("system", policy["airline"])]
        made: list[tuple[Input, tuple[ToolCall, ...] | None]] = []
        for turn in row["traj"]:
            calls = tuple(
                ToolCall("", call["name"], call["arguments"])
                for call in turn.get("tool_calls") or ()
            )
            if turn["role"] == "assistant":
                given = Input(transcript_of(messages[1:]), (), tuple(messages))
                made.append((given, calls or None))
            content, name = turn.get("content") or "", turn.get("name") or ""
            messages.append(Message(turn["role"], content, name=name, tool_calls=calls))
        for at, (given, wanted) in enumerate(made):
            later = frozenset(_plain(c) for _, calls in made[at:] for c in calls or ())
            steps.append(Step(row["task_id"], given, wanted, later))
    return steps


def _plain(call: ToolCall) -> tuple[str, str]:
    return call.name, json.dumps(arguments_of(call), sort_keys=True)


def rate(right: int, n: int) -> str:
    """A share with its exact 95 % interval."""
    if not n:
        return "none"
    low, high = interval(right, n, 0.95)
    return f"{right / n:.1%} ({low:.1%} to {high:.1%}) of {n}"


def certified(name: str, signals: Sequence[float], wrong: NDArray[np.bool_]) -> None:
    """What ``select`` proves of these predictions."""
    for alpha in ALPHAS:
        found = select(signals, wrong, alpha, DELTA)
        if isinstance(found, Selection):
            print(
                f"{name}: alpha {alpha:.0%}: {found.coverage:.1%} "
                f"({found.coverage_low:.1%} to {found.coverage_high:.1%}) certified, "
                f"{found.errors} of {found.accepted} wrong"
            )
        else:
            print(f"{name}: alpha {alpha:.0%}: nothing: {found.reason}")


def cross_validated(steps: Sequence[Step], recipe: Recipe) -> tuple[list[Prediction], list[Any]]:
    """A prediction for each step by a specialist that saw no step of its task, and the choice of
    arguments it makes when it is told which tool is called."""
    contract = CallContract(tuple(sorted({c.name for step in steps for c in step.calls or ()})))
    tasks = sorted({step.group for step in steps})
    predictions: list[Prediction] = [Prediction(None, 0.0)] * len(steps)
    told: list[Any] = [None] * len(steps)
    for k in range(FOLDS):
        out = set(tasks[k::FOLDS])
        past = [step for step in steps if step.group not in out]
        began = time.process_time()
        trained = train_call(
            contract, [step.given for step in past], [step.calls for step in past], None, recipe
        )
        cpu = time.process_time() - began
        specialist = trained.specialist
        assert isinstance(specialist, CallSpecialist)
        rows = [row for row, step in enumerate(steps) if step.group in out]
        began = time.process_time()
        for row in rows:
            predictions[row] = specialist.predict(steps[row].given)
        ms = (time.process_time() - began) / len(rows) * 1e3
        for row in rows:
            calls = steps[row].calls
            told[row] = specialist.arguments_for(steps[row].given, calls[0].name) if calls else None
        print(f"  fold {k}: {cpu:.0f} s CPU to train, {ms:.1f} ms CPU an answer", flush=True)
    return predictions, told


def airline_report() -> None:
    """The agent."""
    steps = airline()
    calling = sum(step.calls is not None for step in steps)
    print(f"airline (recorded): {len(steps)} steps, {calling} of them call a tool")
    predictions, told = cross_validated(steps, KIND.recipes[0])
    contract = CallContract(tuple(sorted({c.name for step in steps for c in step.calls or ()})))

    def right(prediction: Prediction, step: Step) -> bool:
        if prediction.output is None or step.calls is None:
            return False
        return same(contract, written(contract, prediction.output), Answer(tool_calls=step.calls))

    pairs = list(zip(predictions, steps, strict=True))
    made = [(p.output[0], step) for p, step in pairs if isinstance(p.output, tuple)]
    good = np.array([right(p, step) for p, step in pairs])
    named = sum(bool(s.calls) and call.name == (s.calls or [call])[0].name for call, s in made)
    alike = sum((p.output is not None) == (step.calls is not None) for p, step in pairs)
    print("calls where the LLM calls, talks not where it talks:", rate(alike, len(steps)))
    print("calls made:", rate(len(made), len(steps)))
    print("  the LLM called something too:", rate(sum(bool(s.calls) for _, s in made), len(made)))
    print("  the same tool:", rate(named, len(made)))
    print("  the same call:", rate(int(good.sum()), len(made)))
    sooner = sum(_plain(call) in step.later for call, step in made)
    print("  the LLM makes this very call now or later:", rate(sooner, len(made)))
    print("of the LLM's calls, the same tool:", rate(named, calling))
    print("of the LLM's calls, the same call:", rate(int(good.sum()), calling))
    certified("all steps", [p.signal for p in predictions], ~good)
    known = [(found, step) for found, step in zip(told, steps, strict=True) if step.calls]
    as_told = np.array(
        [
            bool(p.output)
            and same(contract, written(contract, p.output), Answer(tool_calls=s.calls))
            for p, s in known
        ]
    )
    print("told which tool, all arguments right:", rate(int(as_told.sum()), len(known)))
    certified("told which tool", [p.signal for p, _ in known], ~as_told)


class Prompt(NamedTuple):
    """A prompt of Berkeley's, and what its ground truth allows: (tool, argument -> values)."""

    category: str
    given: Input
    allowed: list[tuple[str, dict[str, list[Any]]]]

    def output(self) -> Output | None:
        """A right answer: the first value allowed of each argument, left out where it may be."""
        if not self.allowed:
            return None
        return tuple(
            ToolCall("", name, json.dumps(_first(values))) for name, values in self.allowed
        )

    def accepts(self, output: Output | None) -> bool:
        """Whether a single call is right."""
        if not isinstance(output, tuple) or len(self.allowed) != 1:
            return False
        name, values = self.allowed[0]
        arguments = arguments_of(output[0])
        if output[0].name != name or arguments is None or not arguments.keys() <= values.keys():
            return False
        return all(
            any(_equal(arguments[key], one) for one in allowed)
            if key in arguments
            else "" in allowed
            for key, allowed in values.items()
        )


def _first(values: dict[str, list[Any]]) -> dict[str, Any]:
    return {k: _plainest(allowed[0]) for k, allowed in values.items() if "" not in allowed}


def _plainest(value: Any) -> Any:
    """Of an object, whose values are lists of what is allowed, the first of each."""
    if isinstance(value, dict):
        return {k: _plainest(v[0]) if isinstance(v, list) and v else v for k, v in value.items()}
    return value


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return _bare(a) == _bare(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() <= b.keys() and all(
            any(_equal(a[k], one) for one in b[k]) if k in a else "" in b[k] for k in b
        )
    return (type(a) is not bool and type(b) is not bool and a == b) or a is b


def _bare(text: str) -> str:
    """As Berkeley's checker compares strings: without case and punctuation."""
    return "".join(sign for sign in text.lower() if sign not in " ,./-_*^()'\"")


def berkeley() -> list[Prompt]:
    """All prompts."""
    prompts = []
    for row in lines("function_calling/prompts.jsonl.gz"):
        functions = row["function"] if isinstance(row["function"], list) else [row["function"]]
        tools = json.dumps([{"type": "function", "function": f} for f in functions])
        messages = (Message("user", row["question"]),)
        truth = row["ground_truth"] or {}
        names = {function["name"] for function in functions}
        allowed = [
            (name if name in names else name.rsplit("_", 1)[0], values)
            for name, values in truth.items()
            if isinstance(values, dict)  # in one row the name of an argument has slipped out
        ]
        prompts.append(
            Prompt(row["category"], Input(row["question"], (), messages, tools), allowed)
        )
    return prompts


def berkeley_report(seeds: int, recipe: Recipe) -> None:
    """Random halves."""
    print(f"recipe {recipe.name}")
    senses = Senses(Encoder(threads=1)) if recipe.encoder else None
    prompts = berkeley()
    contract = CallContract(tuple(sorted({name for p in prompts for name, _ in p.allowed})))
    shares: dict[float, list[tuple[int, int, int]]] = {alpha: [] for alpha in ALPHAS}
    valid: dict[str, list[bool]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(prompts))
        past = [prompts[i] for i in order[: len(prompts) // 2]]
        live = [prompts[i] for i in order[len(prompts) // 2 :]]
        began = time.process_time()
        trained = train_call(
            contract, [p.given for p in past], [p.output() for p in past], senses, recipe
        )
        cpu = time.process_time() - began
        began = time.process_time()
        found = [trained.specialist.predict(prompt.given) for prompt in live]
        ms = (time.process_time() - began) / len(live) * 1e3
        print(f"  seed {seed}: {cpu:.0f} s CPU to train, {ms:.1f} ms CPU an answer", flush=True)
        for prompt, p in zip(live, found, strict=True):
            right = prompt.accepts(p.output) if len(prompt.allowed) == 1 else p.output is None
            valid.setdefault(prompt.category, []).append(right)
        signals = [p.signal for p in trained.left_out]
        wrong = [not q.accepts(p.output) for p, q in zip(trained.left_out, past, strict=True)]
        for alpha in ALPHAS:
            chosen = select(signals, wrong, alpha, DELTA)
            limit = chosen.threshold if isinstance(chosen, Selection) else 2.0
            served = [(p, q) for p, q in zip(found, live, strict=True) if p.signal >= limit]
            bad = sum(not q.accepts(p.output) for p, q in served)
            shares[alpha].append((len(live), len(served), bad))
    for category, rights in sorted(valid.items()):
        print(f"{category}: right:", rate(sum(rights) // seeds, len(rights) // seeds))
    for alpha, runs in shares.items():
        served = np.array([n / live for live, n, _ in runs])
        wrong_share = sum(bad for *_, bad in runs) / max(1, sum(n for _, n, _ in runs))
        print(
            f"alpha {alpha:.0%}: served {served.mean():.1%} "
            f"({served.min():.1%} to {served.max():.1%}), wrong among them {wrong_share:.1%}"
        )


def main() -> None:
    """Both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=("airline", "berkeley"))
    asked = parser.parse_args()
    reports: dict[str, Callable[[], object]] = {
        "airline": airline_report,
        "berkeley": lambda: [berkeley_report(asked.seeds, recipe) for recipe in KIND.recipes],
    }
    for name, report in reports.items():
        if asked.only in (None, name):
            print(f"\n{name}")
            report()


if __name__ == "__main__":
    main()
