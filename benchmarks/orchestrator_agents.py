"""An agent of others behind the gateway: which of its LLM calls can certified specialists take?

    python -m benchmarks.orchestrator_agents [--splits 5] [--kind goals]

gpt-4o's airline runs (25 goals, 4 runs each) are replayed through the gateway as an agent makes
them, eight at once; the LLM is a recording. The calls carry no header: Shoal links them into
episodes. On the calls of 15 goals, drawn by the seed, the learner finds the recurring steps and
trains a specialist for each, which is judged by the product's own code at each alpha. The 10 other
goals are the test. Reported: the share of all the agent's LLM calls that certified specialists
take, and how often they differ from gpt-4o (the tool; the tool and every argument). A reply to the
user stays the LLM's. "Uncertified" is what a threshold would have taken that kept alpha on the
training goals without any proof. ``--kind runs`` trains on three runs of every goal and tests on
the fourth: goals that come again. (Calibrated on a third of the runs, which is held out.)

The recording has neither tokens nor times: tokens are reckoned at 4 characters, prices are the
public list's, and nothing is said of the LLM's latency.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.calls import rate
from benchmarks.data import DATA, lines
from benchmarks.processes import cpu_s, free_port, running, shoal_serve, wait_until_answers
from shoal.chat import Answer, Message, Usage
from shoal.errors import LearningError
from shoal.flywheel.finding import Finder, known_tasks
from shoal.flywheel.ladder import recipes_for
from shoal.flywheel.lessons import Lesson, curate, together_in
from shoal.flywheel.trial import Prepared, judge, prepare
from shoal.guarantees import Refusal, Selection, select
from shoal.routing.prices import Tariff
from shoal.specialists.specialist import Prediction
from shoal.storage import CallRecord, Example, Store, StoreOptions
from shoal.tasks import CallContract, Task, same, written

ALPHAS = (0.05, 0.10, 0.20)
DELTA = 0.05
PROMISES = tuple(
    f"{name} {alpha:.0%}" for name in ("call", "tool", "uncertified") for alpha in ALPHAS
)
TARIFF = Tariff(model="gpt-4o", provider="openai")
CHARACTERS_A_TOKEN = 4
SUREST = (0.025, 0.05, 0.1)


class Step(NamedTuple):
    """One call of the agent: the messages that it sends, and what the LLM said."""

    messages: list[dict[str, Any]]
    said: dict[str, Any]


class Run(NamedTuple):
    """One run of the agent."""

    goal: int
    trial: int
    steps: list[Step]


def runs() -> list[Run]:
    """All runs, as Chat Completions."""
    policy = json.loads((DATA / "agent_traces" / "system.json").read_text(encoding="utf-8"))
    rows = lines("agent_traces/airline_trajectories.jsonl.gz")
    return [_run(row, number, policy["airline"]) for number, row in enumerate(rows)]


def _run(row: dict[str, Any], number: int, policy: str) -> Run:
    messages: list[dict[str, Any]] = [{"role": "system", "content": policy}]
    steps, waiting = [], list[str]()
    for at, turn in enumerate(row["traj"]):
        message: dict[str, Any] = {"role": turn["role"], "content": turn.get("content")}
        if turn["role"] == "assistant":
            calls = [
                {
                    "id": f"call_{number}_{at}_{nth}",
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]},
                }
                for nth, call in enumerate(turn.get("tool_calls") or ())
            ]
            if calls:
                message["tool_calls"] = calls
            waiting = [call["id"] for call in calls]
            steps.append(Step(list(messages), message))
        elif turn["role"] == "tool":
            message["tool_call_id"] = waiting.pop(0)
        messages.append(message)
    return Run(row["task_id"], row["trial"], steps)


def write_recording(found: Iterable[Run], path: Path) -> None:
    """Everything that was said, for the ``recorded`` engine."""
    with path.open("w", encoding="utf-8") as file:
        for run in found:
            for step in run.steps:
                reason = "tool_calls" if "tool_calls" in step.said else "stop"
                choice = {"index": 0, "message": step.said, "finish_reason": reason}
                response = {
                    "id": "r",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "gpt-4o",
                    "choices": [choice],
                }
                request = {"model": "gpt-4o", "messages": step.messages}
                file.write(json.dumps({"request": request, "response": response}) + "\n")


class Agent:
    """Makes the calls of runs through the gateway; counts replies that are not the recorded one."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self.ids: dict[int, list[str]] = {}
        self.other = 0

    async def play(self, found: Sequence[Run], at_once: int = 8) -> None:
        """Run after run, so many at a time."""
        waiting = iter(enumerate(found))
        async with aiohttp.ClientSession() as session:

            async def work() -> None:
                for number, run in waiting:
                    self.ids[number] = [await self._one(session, step) for step in run.steps]

            await asyncio.gather(*(work() for _ in range(at_once)))

    async def _one(self, session: aiohttp.ClientSession, step: Step) -> str:
        """Make one call; returns its id."""
        body = {"model": "gpt-4o", "messages": step.messages}
        async with session.post(self.url, json=body) as reply:
            payload = await reply.json()
            assert reply.status == 200, payload
        given = payload["choices"][0]["message"]
        self.other += given.get("content") != step.said["content"]
        return str(reply.headers["x-shoal-call-id"])


def record(found: Sequence[Run], folder: Path) -> tuple[list[list[CallRecord]], str]:
    """Have runs recorded by a gateway of one process; the calls of each run, and what that cost
    and whether they were linked as they belong together, in words."""
    write_recording(found, folder / "recording.jsonl")
    port = free_port()
    settings = folder / "shoal.toml"
    settings.write_text(
        f"[gateway]\nport = {port}\n[store]\npath = 'data'\n"
        "[models.gpt-4o]\nengine = 'recorded'\npath = 'recording.jsonl'\n"
    )
    with running(shoal_serve(settings), folder / "log") as gateway:
        wait_until_answers(f"http://127.0.0.1:{port}/healthz", process=gateway)
        before, agent = cpu_s(gateway.pid), Agent(port)
        asyncio.run(agent.play(found))
        spent = cpu_s(gateway.pid) - before
    with Store.open(StoreOptions(path=folder / "data")) as store:
        calls = {call.id: call for page in store.calls.pages() for call in page}
    members: dict[str, set[str]] = defaultdict(set)
    for call in calls.values():
        members[call.episode].add(call.id)
    whole = sum(set(ids) in members.values() for ids in agent.ids.values())
    steps = len(calls)
    told = (
        f"{steps} calls of {len(found)} runs, 8 at once, without a header: {len(members)} "
        f"episodes, {whole} runs are exactly one; {agent.other} replies were another run's; "
        f"{spent / steps * 1e3:.2f} ms CPU of the gateway a call"
    )
    return [[calls[call] for call in agent.ids[at]] for at in range(len(found))], told


class Counted(Struct):
    """Calls of the test that were taken, and those that differ; USD of the LLM's answers to them;
    CPU time (s) of all predictions."""

    taken: int = 0
    other_tool: int = 0
    other_call: int = 0
    saved: float = 0.0


class Seen(NamedTuple):
    """A call that a specialist would make, threshold or not."""

    signal: float
    other_tool: bool
    other_call: bool


class Taught(NamedTuple):
    """A recurring step with its specialist, and where it may answer at each alpha."""

    task: Task
    ready: Prepared
    limits: dict[str, float]  # by what is promised


def steps_found(calls: Sequence[CallRecord]) -> list[Task]:
    """The tasks that discovery finds in recorded calls."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(StoreOptions(path=Path(folder))) as store,
    ):
        with store.database.transaction() as conn:
            for call in calls:
                store.calls.insert(conn, replace(call, task=""))
        Finder(store, 20).look()
        return known_tasks(store)


def teach(
    tasks: Sequence[Task], calls: Sequence[CallRecord], held_out: bool
) -> tuple[list[Taught], list[str]]:
    """A specialist for every task that calls tools; and what was refused."""
    taught, refused = [], []
    for task in tasks:
        lessons = curate(task, map(example_of, calls))
        if not isinstance(task.contract, CallContract) or len(lessons.lessons) < 50:
            refused.append(f"{task.name}: {len(lessons.lessons)} examples, no calls or too few")
            continue
        try:
            recipe = recipes_for(task, lessons.inputs)[0]
            ready = prepare(lessons, recipe, held_out, _no_senses)
        except LearningError as error:
            refused.append(f"{task.name}: {error}")
            continue
        limits = {}
        for alpha in ALPHAS:
            found = judge(ready, alpha, DELTA)
            limits[f"call {alpha:.0%}"] = _limit(found)
            tool = _by_tool(ready, alpha)
            limits[f"tool {alpha:.0%}"] = _limit(tool)
            limits[f"uncertified {alpha:.0%}"] = _empirical(ready, alpha)
            if isinstance(found, Refusal):
                refused.append(f"{task.name} ({len(lessons.lessons)}) {alpha:.0%}: {found.reason}")
        taught.append(Taught(task, ready, limits))
    return taught, refused


def example_of(call: CallRecord) -> Example:
    """A recorded call as what is learned from, or tested on."""
    assert call.answer is not None
    return Example(
        call_id=call.id,
        at=call.at,
        request=call.request,
        reference=call.answer,
        by="llm",
        sampled=True,
        llm_answer=call.answer,
        episode=call.episode,
    )


def _no_senses() -> Any:
    raise LearningError("this benchmark measures recipes without an encoder")


def _limit(found: object) -> float:
    return getattr(found, "threshold", getattr(getattr(found, "selection", None), "threshold", 2.0))


def _by_tool(ready: Prepared, alpha: float) -> Selection | Refusal:
    pairs = [(lesson, p) for lesson, p in ready.unseen if lesson.sampled]
    wrong = [not _same_tool(p, lesson) for lesson, p in pairs]
    together = together_in([lesson for lesson, _ in pairs])
    return select([p.signal for _, p in pairs], wrong, alpha, DELTA, together=together)


def _empirical(ready: Prepared, alpha: float) -> float:
    """The loosest threshold at which at most ``alpha`` of at least 10 unseen examples differ."""
    pairs = sorted(ready.unseen, key=lambda pair: -pair[1].signal)
    wrong, limit = 0, 2.0
    for n, (lesson, p) in enumerate(pairs, 1):
        wrong += not _same_call(ready, p, lesson)
        if n >= 10 and wrong <= alpha * n:
            limit = p.signal
    return limit


def _same_tool(p: Prediction, lesson: Lesson) -> bool:
    calls = lesson.llm.tool_calls if lesson.llm else ()
    return isinstance(p.output, tuple) and [c.name for c in calls] == [p.output[0].name]


def _same_call(ready: Prepared, p: Prediction, lesson: Lesson) -> bool:
    if p.output is None or lesson.llm is None:
        return False
    return same(ready.contract, written(ready.contract, p.output), lesson.llm)


def cost_of(lesson: Lesson) -> float:
    """USD of the LLM's answer."""
    return price(lesson.input.messages, lesson.llm)


def price(messages: Iterable[Message], said: Answer | None) -> float:
    """USD, with tokens reckoned from characters."""
    asked = sum(len(m.text) + sum(len(c.arguments) for c in m.tool_calls) for m in messages)
    told = len(said.text) + sum(len(c.arguments) for c in said.tool_calls) if said else 0
    usage = Usage(asked // CHARACTERS_A_TOKEN, told // CHARACTERS_A_TOKEN)
    return TARIFF.cost(usage) or 0.0


def examine(
    taught: Sequence[Taught], calls: Sequence[CallRecord]
) -> tuple[dict[str, Counted], list[Seen]]:
    """What each promise would have the specialists take of the calls, and all that they say."""
    counts: dict[str, Counted] = {name: Counted() for name in PROMISES}
    every = []
    for one in taught:
        for lesson in curate(one.task, map(example_of, calls)).lessons:
            p = one.ready.specialist.predict(lesson.input)
            if p.output is None:
                continue
            seen = Seen(p.signal, not _same_tool(p, lesson), not _same_call(one.ready, p, lesson))
            every.append(seen)
            for name, limit in one.limits.items():
                if p.signal >= limit:
                    counts[name].taken += 1
                    counts[name].other_tool += seen.other_tool
                    counts[name].other_call += seen.other_call
                    counts[name].saved += cost_of(lesson)
    return counts, every


def split(found: Sequence[Run], seed: int, kind: str) -> list[bool]:
    """Which runs are the test: those of 10 goals, or one run of each goal."""
    if kind == "runs":
        return [run.trial == seed % 4 for run in found]
    goals = sorted({run.goal for run in found})
    tested = set(np.random.default_rng(seed).permutation(goals)[:10].tolist())
    return [run.goal in tested for run in found]


def one_split(
    found: Sequence[Run], calls: Sequence[list[CallRecord]], tested: list[bool], kind: str
) -> tuple[dict[str, Counted], list[Seen], int, int, float]:
    """What came of it, and of how many calls and USD."""
    past = [call for run, out in zip(calls, tested, strict=True) if not out for call in run]
    live = [call for run, out in zip(calls, tested, strict=True) if out for call in run]
    began = time.process_time()
    tasks = steps_found(past)
    taught, refused = teach(tasks, past, kind == "runs")
    cpu = time.process_time() - began
    for line in refused:
        print(f"    refused: {line}")
    counts, every = examine(taught, live)
    calling = sum(bool(call.answer and call.answer.tool_calls) for call in live)
    cost = sum(price(call.request.messages, call.answer) for call in live)
    names = ", ".join(f"{task.name} ({type(task.contract).__name__})" for task in tasks)
    print(f"    {len(past)} calls to learn from, {cpu:.0f} s CPU; {len(tasks)} tasks: {names}")
    return counts, every, len(live), calling, cost


def print_replies(found: Sequence[Run]) -> None:
    """How often a reply is one that was given before, word for word."""
    said = [
        (" ".join((step.said["content"] or "").split()), run.goal, step is run.steps[-1])
        for run in found
        for step in run.steps
        if "tool_calls" not in step.said
    ]
    times, goals = Counter(text for text, _, _ in said), defaultdict(set)
    for text, goal, _ in said:
        goals[text].add(goal)
    for name, which in (("replies", said), ("closing replies", [one for one in said if one[2]])):
        again = sum(times[text] > 1 for text, _, _ in which)
        other = sum(len(goals[text]) > 1 for text, _, _ in which)
        print(f"{len(which)} {name}: {again} come again word for word, {other} in another goal")


def main() -> None:
    """Record once, then all splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replies", action="store_true", help="only how often replies recur")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--kind", choices=("goals", "runs"), default="goals")
    asked = parser.parse_args()
    found = runs()
    if asked.replies:
        return print_replies(found)
    with tempfile.TemporaryDirectory() as folder:
        calls, told = record(found, Path(folder))
    print(told, flush=True)
    totals: dict[str, Counted] = {name: Counted() for name in PROMISES}
    shares: dict[str, list[float]] = defaultdict(list)
    every: list[Seen] = []
    n = calling = 0
    cost = 0.0
    for seed in range(asked.splits):
        print(f"split {seed}", flush=True)
        tested = split(found, seed, asked.kind)
        counts, seen, live, called, usd = one_split(found, calls, tested, asked.kind)
        every += seen
        n, calling, cost = n + live, calling + called, cost + usd
        for name, one in counts.items():
            total = totals[name]
            total.taken += one.taken
            total.other_tool += one.other_tool
            total.other_call += one.other_call
            total.saved += one.saved
            shares[name].append(one.taken / live)
            print(f"    {name}: {one.taken} of {live}, {one.other_call} differ", flush=True)
    print(f"\nall splits: {n} calls of the test, {calling / n:.1%} of them call a tool")
    for name, total in totals.items():
        low, high = min(shares[name]), max(shares[name])
        print(
            f"{name}: taken {total.taken / n:.1%} ({low:.1%} to {high:.1%}) of all LLM calls, "
            f"{total.saved / cost:.1%} of the cost; another tool "
            f"{rate(total.other_tool, total.taken)}, another call "
            f"{rate(total.other_call, total.taken)}"
        )
    for share in SUREST:
        top = sorted(every, key=lambda one: -one.signal)[: round(share * n)]
        print(
            f"the surest {share:.1%} of the test's calls: another tool "
            f"{rate(sum(one.other_tool for one in top), len(top))}, another call "
            f"{rate(sum(one.other_call for one in top), len(top))}"
        )


if __name__ == "__main__":
    main()
