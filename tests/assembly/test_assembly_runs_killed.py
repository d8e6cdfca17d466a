"""Runs whose process is killed (SIGKILL) at any moment, while they do what may be done once only:
another process goes on, and nothing is lost or done twice."""

import asyncio
import hashlib
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from run_stage import Stage, answer, order_of, plan_of, stage
from shoal.assembly.runs.leases import Watch
from shoal.assembly.runs.story import story_of
from shoal.errors import ShoalError
from shoal.routing.caller import ANYBODY
from shoal.storage import Store, StoreOptions
from shoal.tools.python import FunctionAbout, FunctionTool
from shoal.tools.tool import ToolUse

ITEMS = 8
WATCH = Watch(lease_s=0.2, every_s=0.02)
PLAN = plan_of(
    {
        "do": "map",
        "id": "each",
        "over": list(range(ITEMS)),
        "at_once": 2,
        "steps": [{"do": "tool", "id": "paid", "tool": "pay", "arguments": {"amount": "${item}"}}],
        "result": "${paid}",
    },
    answer("${each}"),
)
spawn = multiprocessing.get_context("forkserver")
spawn.set_forkserver_preload(["shoal.assembly.runs.run_desk", "shoal.tools.python"])


def payer(effects: Path) -> FunctionTool:
    """A tool that writes its key to the end of a file each time that it is called."""

    def pay(amount: int, use: ToolUse) -> int:
        time.sleep(0.002)
        out = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(out, f"{use.key}\n".encode())
        os.close(out)
        time.sleep(0.002)
        return amount

    return FunctionTool(pay, FunctionAbout())


def keys_of(run_id: str) -> list[str]:
    """The idempotency keys of all calls of a run."""
    return [key_of(run_id, f"each[{at}].paid") for at in range(ITEMS)]


def key_of(run_id: str, place: str) -> str:
    return hashlib.sha256(f"{run_id}\n{place}".encode()).hexdigest()[:32]


def written(effects: Path) -> list[str]:
    return effects.read_text().split() if effects.exists() else []


def gateway(folder: Path, begins: bool, ready: Any) -> None:
    """Perform runs until killed or, where it ``begins`` no more, until all have ended."""
    asyncio.run(_gateway(folder, begins, ready))


async def _gateway(folder: Path, begins: bool, ready: Any) -> None:
    effects = folder / "effects"
    with Store.open(StoreOptions(path=folder / "data")) as store:
        async with stage(store, [payer(effects)], watch=WATCH, resumes=True) as here:
            ready.set()
            while True:
                left = [run for run in store.runs.list(limit=1000) if run.state != "done"]
                for run in left:
                    if run.state == "stuck":
                        await settle(here, run.id, written(effects))
                if not left and not begins:
                    return
                if not left:
                    await here.orchestra.begin(order_of(PLAN), ANYBODY)
                await asyncio.sleep(0.01)


async def settle(here: Stage, run_id: str, done: list[str]) -> None:
    """What a person does: look whether it was done, and say so."""
    for place in story_of(here.store, run_id).past.begun:
        was_done = key_of(run_id, place) in done
        at = int(place.partition("[")[2].partition("]")[0])
        try:
            await here.orchestra.settle(run_id, place, ANYBODY, at, again=not was_done)
        except ShoalError:  # it goes on already
            return


def kill_at_random(folder: Path, kills: int, most_s: float) -> int:
    """Kill gateways, one after the other; returns how many runs there were."""
    draw = random.Random(6)
    for count in range(kills + 1):
        ready = spawn.Event()
        process = spawn.Process(target=gateway, args=(folder, count < kills, ready))
        process.start()
        assert ready.wait(30)
        if count < kills:
            time.sleep(draw.uniform(0.0, most_s))
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        assert process.exitcode == (-signal.SIGKILL if count < kills else 0)
    with Store.open(StoreOptions(path=folder / "data")) as store:
        runs = store.runs.list(limit=1000)
        assert {run.state for run in runs} == {"done"}
        assert store.runs.verify().found == 0
        resumed = sum(one.kind == "resumed" for run in runs for one in store.runs.records(run.id))
        assert resumed >= kills // 4  # else the kills missed the runs
    done = Counter(written(folder / "effects"))
    assert set(done) == {key for run in runs for key in keys_of(run.id)}  # nothing is lost
    assert set(done.values()) == {1}  # nor done twice
    return len(runs)


def test_after_three_kills_everything_was_done_once(tmp_path: Path) -> None:
    assert kill_at_random(tmp_path, 3, 0.3) >= 1


@pytest.mark.slow
def test_after_two_hundred_kills_everything_was_done_once(tmp_path: Path) -> None:
    assert kill_at_random(tmp_path, 200, 0.5) >= 30
