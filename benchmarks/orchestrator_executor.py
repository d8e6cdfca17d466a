"""What running a plan costs: a step with the journal on, lists, many runs at once, wall time.

    python -m benchmarks.orchestrator_executor [--runs 500] [--items 10000]

Tools are Python functions that return at once (or sleep, where that is said), so what is measured
is Shoal's own: the executor, the toolbox that checks arguments and results, the journal in SQLite
with its chain of hashes, by CPU time of this process, writer's thread included.
"""

import argparse
import asyncio
import resource
import tempfile
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import msgspec

from shoal.assembly import Models, Regime
from shoal.assembly.runs.grants import Grants
from shoal.assembly.runs.hands import RunHands, World
from shoal.assembly.runs.journal import RunJournal
from shoal.assembly.runs.prompts import TaskRequests
from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import require
from shoal.planning.journal import MemoryJournal, NoJournal
from shoal.planning.limits import Limits
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Plan, read_plan
from shoal.planning.run import Around, run_plan
from shoal.routing.caller import ANYBODY
from shoal.routing.promise import PromiseOptions
from shoal.storage import Run, Store, StoreOptions
from shoal.tools.python import tool
from shoal.tools.tool import Json
from shoal.tools.toolbox import Toolbox, ToolLimits
from shoal.tools.toolset import Toolset

LIMITS = Limits(steps=1_000_000)
OWNER = "benchmark"


@tool(effects="reads")
async def look(number: int) -> int:
    """The number after this one."""
    return number + 1


@tool(effects="reads")
async def wait(seconds: float) -> float:
    """Come back after so many seconds."""
    await asyncio.sleep(seconds)
    return seconds


@tool(effects="writes", repeatable=True)
async def write(number: int) -> int:
    """Pretend to write a number."""
    return number


class Stage:
    """A store, a toolbox and the hands over it."""

    def __init__(self, store: Store) -> None:
        toolbox = Toolset(Toolbox((look, wait, write), ToolLimits(at_once=1_000)))
        self.store, self.specs = store, toolbox.specs(None)
        self.catalogue = Catalogue(tools={spec.name: spec for spec in self.specs})
        regime = Regime(Models({}), {}, PromiseOptions(), tools=toolbox)
        world = World(None, None, None, TaskRequests(store), None)  # type: ignore[arg-type]
        self.hands = RunHands(world, regime, ANYBODY, Grants(), self.specs, "", on_behalf=False)
        self._count = 0

    async def run(self, plan: Plan, given: Mapping[str, Json], journal: str = "store") -> Outcome:
        """Run a plan with a journal in the store, in memory or with none."""
        self._count += 1
        name = f"run{self._count:08d}"
        kept: RunJournal | MemoryJournal | NoJournal = NoJournal()
        if journal == "store":
            row = Run(id=name, started_at=1.0, owner=OWNER, lease_until=1e12)
            started = self.store.writer.submit(
                lambda conn: self.store.runs.start(conn, row), urgent=True
            )
            await asyncio.wrap_future(started)
            kept = RunJournal(self.store, name, OWNER)
        around = Around(
            run_id=name, hands=self.hands, catalogue=self.catalogue, limits=LIMITS, journal=kept
        )
        return await run_plan(plan, given, around)


def plan_of(stage: Stage, *steps: Mapping[str, Json]) -> Plan:
    """A plan that was checked."""
    plan = read_plan(msgspec.json.encode({"name": "benchmark", "steps": list(steps)}))
    require(plan, stage.catalogue, LIMITS)
    return plan


def use(id: str, name: str, **arguments: Json) -> dict[str, Json]:
    return {"do": "tool", "id": id, "tool": name, "arguments": arguments}


def chain(stage: Stage, count: int, name: str = "look") -> Plan:
    """Steps each of which needs the one before."""
    steps = [use("s0", name, number=0)]
    steps += [use(f"s{at}", name, number=f"${{s{at - 1}}}") for at in range(1, count)]
    return plan_of(stage, *steps, {"do": "answer", "id": "end", "value": f"${{s{count - 1}}}"})


def mapped(stage: Stage, items: int, used: bool) -> Plan:
    """A step for each item of a list."""
    each: dict[str, Json] = {
        "do": "map",
        "id": "each",
        "over": "${input.items}",
        "at_most": items,
        "steps": [use("one", "look", number="${item}")],
        "result": "${one}",
    }
    end: Json = "${each}" if used else "done"
    return plan_of(stage, each, {"do": "answer", "id": "end", "value": end, "after": ["each"]})


async def step_cost(stage: Stage) -> None:
    """CPU a step: read-only and writing, by journal."""
    for name, journal in (("look", "none"), ("look", "store"), ("write", "store")):
        plan = chain(stage, 400, name)
        await stage.run(plan, {}, journal)
        times = []
        for _ in range(5):
            began = time.process_time()
            assert (await stage.run(plan, {}, journal)).state == "done"
            await asyncio.to_thread(
                stage.store.writer.submit(lambda conn: None, urgent=True).result
            )
            times.append((time.process_time() - began) / 401)
        kind = "that writes" if name == "write" else "that reads"
        low, middle, high = min(times), sorted(times)[2], max(times)
        print(
            f"a step {kind}, journal {journal}: {middle * 1e3:.3f} ms CPU "
            f"({low * 1e3:.3f} to {high * 1e3:.3f})"
        )


async def long_list(stage: Stage, items: int) -> None:
    """CPU an item, and how memory grows with the list."""
    for used in (True, False):
        peaks = []
        for count in (items // 10, items):
            plan, given = mapped(stage, count, used), {"items": list(range(count))}
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            began = time.process_time()
            assert (await stage.run(plan, given)).state == "done"
            took = time.process_time() - began
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            tracemalloc.stop()
        began = time.process_time()
        await stage.run(plan, given)
        took = time.process_time() - began
        print(
            f"a list of {items:,} items, results {'kept' if used else 'not kept'}: "
            f"{took / items * 1e3:.3f} ms CPU an item; peak memory {peaks[0] / 1e6:.1f} MB at "
            f"{items // 10:,} items, {peaks[1] / 1e6:.1f} MB at {items:,}"
        )


async def many_runs(stage: Stage, runs: int) -> None:
    """Runs beside each other, ten steps each, one of which waits."""
    steps: list[Mapping[str, Json]] = [use("w", "wait", seconds=0.2)]
    steps += [use(f"s{at}", "look", number=at) for at in range(9)]
    end = {"do": "answer", "id": "end", "value": "${w}", "after": [f"s{at}" for at in range(9)]}
    plan = plan_of(stage, *steps, end)
    began, cpu = time.perf_counter(), time.process_time()
    found = await asyncio.gather(*[stage.run(plan, {}) for _ in range(runs)])
    wall, took = time.perf_counter() - began, time.process_time() - cpu
    assert all(one.state == "done" for one in found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"{runs} runs of 11 steps at once: {wall:.2f} s wall, {took:.2f} s CPU "
        f"({took / runs / 11 * 1e3:.3f} ms a step), process at {peak:.0f} MB"
    )


async def side_by_side(stage: Stage) -> None:
    """Five tools of a second each."""
    steps = [use(f"s{at}", "wait", seconds=1.0) for at in range(5)]
    values: Json = [f"${{s{at}}}" for at in range(5)]
    plan = plan_of(stage, *steps, {"do": "answer", "id": "end", "value": values})
    walls = []
    for _ in range(5):
        began = time.perf_counter()
        await stage.run(plan, {})
        walls.append(time.perf_counter() - began)
    print(f"five tools of 1 s beside each other: {max(walls):.3f} s wall, the worst of 5")


async def _main(runs: int, items: int, folder: Path) -> None:
    with Store.open(StoreOptions(path=folder)) as store:
        stage = Stage(store)
        await side_by_side(stage)
        await step_cost(stage)
        await many_runs(stage, runs)
        await long_list(stage, items)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--items", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_main(given.runs, given.items, Path(folder) / "data"))


if __name__ == "__main__":
    main()
