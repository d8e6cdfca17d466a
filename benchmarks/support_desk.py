"""The loop on a support desk's traffic, through the running gateway; the LLM is recorded.

    python -m benchmarks.support_desk [--seeds 20] [--alpha 0.05]

Each of 4,000 messages becomes three templated calls (intent, triage, entities). The 3,000 "tr"
messages are the past, in an order drawn by the seed; the learner finds the tasks and certifies;
what is certified is promoted by hand at once, and the 1,000 "te" messages follow as live traffic,
one call at a time. Reported: tasks and their purity, time to the first small answer, share served
small and its disagreement with the LLM, intent accuracy against gold, latency and CPU.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from benchmarks.data import ENTITIES, intents, support_desk
from benchmarks.processes import cpu_s, free_port
from shoal.assembly.roster import RosterReader
from shoal.flywheel.promotion import promote
from shoal.storage import Store, StoreOptions
from shoal.tasks import Input

PROMPTS = {
    "intent": "You sort the messages of a bank's customers. Answer with exactly one of these "
    "intents and nothing else:\n" + "\n".join(intents()),
    "triage": "You triage the messages of a bank's customers. Answer with a JSON object with the "
    "keys urgency, sentiment and action.",
    "entities": "Extract what the customer states, copied verbatim, as a JSON object with any of "
    f"the keys {', '.join(ENTITIES)}. Leave out what is not stated.",
}
CALL = tuple[str, dict[str, Any], str]  # kind, message row, answer


def answer_of(kind: str, row: dict[str, Any]) -> str:
    """The LLM's recorded answer as text."""
    llm = row["llm"]
    if kind == "intent":
        return str(llm["intent"])
    if kind == "triage":
        return json.dumps({name: llm[name] for name in ("urgency", "sentiment", "action")})
    return json.dumps(llm["entities"], ensure_ascii=False)


def request_of(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """The Chat Completions request."""
    return {
        "model": "claude",
        "messages": [
            {"role": "system", "content": PROMPTS[kind]},
            {"role": "user", "content": row["message"]},
        ],
    }


def recording(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """All calls and their answers, for the ``recorded`` engine."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            for kind in PROMPTS:
                message = {"role": "assistant", "content": answer_of(kind, row)}
                response = {
                    "id": "r",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "claude",
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                }
                line = {"request": request_of(kind, row), "response": response}
                file.write(json.dumps(line) + "\n")


class Desk:
    """A client of the gateway that counts what it gets."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self.small: Counter[str] = Counter()
        self.differed: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.small_ms: list[float] = []
        self.intents: dict[str, str] = {}

    async def play(self, rows: Sequence[dict[str, Any]], at_once: int) -> None:
        """Make the three calls of each message."""
        waiting = iter([(kind, row) for row in rows for kind in PROMPTS])
        async with aiohttp.ClientSession() as session:

            async def work() -> None:
                for kind, row in waiting:
                    await self.one(session, kind, row)

            await asyncio.gather(*(work() for _ in range(at_once)))

    async def one(self, session: aiohttp.ClientSession, kind: str, row: dict[str, Any]) -> str:
        """Make one call; returns who answered."""
        body = json.dumps(request_of(kind, row))
        began = time.perf_counter()
        async with session.post(
            self.url, data=body, headers={"content-type": "application/json"}
        ) as reply:
            payload = await reply.json()
        took = (time.perf_counter() - began) * 1e3
        assert reply.status == 200, payload
        given = payload["choices"][0]["message"]["content"]
        self.calls[kind] += 1
        if kind == "intent":
            self.intents[row["id"]] = given
        who = reply.headers["x-shoal-answered-by"]
        if who != "claude":
            self.small[kind] += 1
            self.small_ms.append(took)
            self.differed[kind] += not equal(kind, given, answer_of(kind, row))
        return str(who)


def equal(kind: str, given: str, reference: str) -> bool:
    """Whether two answers are the same, by rules independent of Shoal's comparator."""
    if kind == "intent":
        return given == reference
    a, b = json.loads(given), json.loads(reference)
    fold = {key: " ".join(str(value).casefold().split()) for key, value in a.items()}
    return fold == {key: " ".join(str(value).casefold().split()) for key, value in b.items()}


def one_seed(seed: int, alpha: float, folder: Path) -> dict[str, Any]:
    """Past, learning and live traffic for one order of the past."""
    past, live = support_desk()
    past = [past[i] for i in np.random.default_rng(seed).permutation(len(past))]
    recording(past + live, folder / "recording.jsonl")
    port = free_port()
    (folder / "shoal.toml").write_text(
        f"[gateway]\nport = {port}\n[store]\npath = 'data'\n"
        f"[learn]\nevery_s = 1\nmin_examples = {len(past)}\n[promise]\nalpha = {alpha}\n"
        "[models.claude]\nengine = 'recorded'\npath = 'recording.jsonl'\n"
    )
    log = (folder / "log").open("w")
    gateway = subprocess.Popen(
        [sys.executable, "-m", "shoal", "serve", "--config", str(folder / "shoal.toml")],
        stdout=log,
        stderr=log,
    )
    try:
        return asyncio.run(measured(gateway, port, folder / "data", past, live))
    finally:
        gateway.terminate()
        gateway.wait()
        log.close()


async def measured(
    gateway: "subprocess.Popen[bytes]",
    port: int,
    data: Path,
    past: Sequence[dict[str, Any]],
    live: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Everything that is reported of one seed."""
    await started(port)
    desk = Desk(port)
    before = cpu_s(gateway.pid)
    await desk.play(past, 8)
    forwarded_ms = (cpu_s(gateway.pid) - before) / (3 * len(past)) * 1e3
    ended = time.perf_counter()
    store = Store.open(StoreOptions(path=data))
    first = await serve_all(store, desk, past[:5], ended)
    late, before = Desk(port), cpu_s(gateway.pid)
    await late.play(live, 1)
    live_ms = (cpu_s(gateway.pid) - before) / (3 * len(live)) * 1e3
    found = purity(store)
    alone = intents_alone(store, live)
    store.close()
    gold = {row["id"]: row["gold_intent"] for row in live}
    return {
        "tasks": found[0],
        "purity": found[1],
        "unassigned": found[2],
        "first_s": first,
        "served": {kind: late.small[kind] / late.calls[kind] for kind in PROMPTS},
        "differed": {
            kind: late.differed[kind] / late.small[kind] if late.small[kind] else 0.0
            for kind in PROMPTS
        },
        "small_ms": late.small_ms,
        "forwarded_cpu_ms": forwarded_ms,
        "live_cpu_ms": live_ms,
        "gold_llm": share(row["llm"]["intent"] == gold[row["id"]] for row in live),
        "gold_alone": share(alone.get(key) == label for key, label in gold.items()),
        "gold_system": share(late.intents[key] == label for key, label in gold.items()),
    }


async def started(port: int) -> None:
    """Wait until the gateway answers."""
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            try:
                async with session.get(f"http://127.0.0.1:{port}/healthz"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
    raise SystemExit("the gateway did not start")


async def serve_all(
    store: Store, desk: Desk, probes: Sequence[dict[str, Any]], ended: float
) -> float:
    """Promote every certificate by hand as it comes; returns seconds to the first small answer."""
    first = None
    promoted: set[str] = set()
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() - ended < 180:
            for certificate in store.certificates.list():
                if certificate.id not in promoted:
                    promoted.add(certificate.id)
                    promote(store, certificate.task, "serve", "person", "benchmark")
            if promoted and first is None:
                asked = [(kind, row) for row in probes for kind in PROMPTS]
                whos = [await desk.one(session, kind, row) for kind, row in asked]
                if any(who != "claude" for who in whos):
                    first = time.perf_counter() - ended
            tasks = store.tasks.list()
            tried = len(tasks) >= 3 and all(store.attempts.list(task.id) for task in tasks)
            if tried and len(promoted) == len(store.certificates.list()):
                break
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    return float("nan") if first is None else first


def purity(store: Store) -> tuple[int, float, float]:
    """Tasks found, share of assigned calls in the task of most of their kind, share unassigned."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    by_prompt = {prompt: kind for kind, prompt in PROMPTS.items()}
    for page in store.calls.pages():
        for call in page:
            kinds[call.task][by_prompt[call.request.messages[0].text]] += 1
    unassigned = kinds.pop("", Counter()).total()
    total = sum(counts.total() for counts in kinds.values())
    pure = sum(counts.most_common(1)[0][1] for counts in kinds.values())
    return len(kinds), pure / total, unassigned / (total + unassigned)


def intents_alone(store: Store, live: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What the intent specialist says of each live message, threshold or not."""
    for post in RosterReader(store).read().posts.values():
        if post.rung and post.rung.card.kind == "label":
            predict = post.rung.specialist.predict
            return {row["id"]: str(predict(Input(row["message"])).output) for row in live}
    return {}


def share(found: Iterable[bool]) -> float:
    """Share of true."""
    values = list(found)
    return sum(values) / len(values)


def summary(run: dict[str, Any]) -> dict[str, Any]:
    """One seed's figures on a line, so that a run that is ended early has told what it found."""
    quantiles = np.percentile(run["small_ms"], (50, 99)) if run["small_ms"] else (np.nan, np.nan)
    rest = {name: value for name, value in run.items() if name != "small_ms"}
    return rest | {"p50_ms": float(quantiles[0]), "p99_ms": float(quantiles[1])}


def report(runs: Sequence[dict[str, Any]], alpha: float) -> None:
    """Means over the seeds, with the range."""

    def line(name: str, values: Sequence[float], form: str) -> None:
        mean, low, high = statistics.mean(values), min(values), max(values)
        print(f"{name:42} {mean:{form}} ({low:{form}} to {high:{form}})")

    print(f"\n{len(runs)} seeds, alpha {alpha:.0%}; answers of the LLM are recorded")
    for name in ("tasks", "purity", "unassigned", "first_s"):
        line(name, [run[name] for run in runs], ".3f")
    for kind in PROMPTS:
        line(f"{kind}: served small", [run["served"][kind] for run in runs], ".1%")
        line(f"{kind}: disagreement of what was", [run["differed"][kind] for run in runs], ".2%")
    for name in ("gold_llm", "gold_alone", "gold_system"):
        line(name, [run[name] for run in runs], ".1%")
    for q in (50, 99):
        found = [float(np.percentile(run["small_ms"], q)) for run in runs if run["small_ms"]]
        line(f"small answer through HTTP, p{q} ms", found or [float("nan")], ".2f")
    line("gateway CPU ms a forwarded call", [run["forwarded_cpu_ms"] for run in runs], ".3f")
    line("gateway CPU ms a live call", [run["live_cpu_ms"] for run in runs], ".3f")


def main() -> None:
    """Run all seeds and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--alpha", type=float, default=0.05)
    asked = parser.parse_args()
    runs = []
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(one_seed(seed, asked.alpha, Path(folder)))
        print(json.dumps({"seed": seed, **summary(runs[-1])}), flush=True)
    report(runs, asked.alpha)


if __name__ == "__main__":
    main()
