"""Mixed traffic through a gateway to which everything happens, for half an hour.

    python -m benchmarks.chaos [--minutes 30] [--clients 24] [--disk-mb 1000] [--keep FOLDER]

Clients (plain, streamed, calls of tools, hang-ups, half requests, in every wire format) ask a real
`shoal serve --no-learn` with a durable store, which asks an upstream in a process of its own. Each
minute holds the whole script: the upstream sends garbage and half frames, hangs, is killed,
refuses, is slow; the store is locked from outside for 3 or 8 s; its disk is full for 3 s (a small
file system in memory, where root may mount one); and in the first two thirds of the time the
gateway is killed (SIGKILL) once a minute, when nothing waits to be written.

At the end it is checked that every request got the right answer or an error in its own wire format
(or no connection, exactly while the gateway was dead), that every call acknowledged whole is in the
store, that what it cost there is what the upstream counted, and that what the upstream counted
besides is explained; further that memory does not grow, and that the log holds no traceback. Each
is printed as a figure; a broken one fails the run (exit 1). All addresses are 127.0.0.1.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks import chaos_checks as checks
from benchmarks.chaos_clients import Clients
from benchmarks.chaos_troubles import Scene, small_disk, trouble
from benchmarks.processes import load_average, wait_until_answers


async def play(scene: Scene, clients: Clients, count: int, minutes: float) -> bool:
    """Traffic and trouble for so long; whether all is written and well in the end."""
    asking = asyncio.create_task(clients.run(count))
    await trouble(scene, minutes)
    scene.start_upstream()
    clients.end()
    await asking
    return await scene.wait_until_settled(60)


def run(asked: argparse.Namespace, folder: Path) -> list[str]:
    """One run in ``folder``; returns what is not as it must be."""
    with small_disk(folder, asked.disk_mb) as disk:
        scene = Scene(folder, disk, time.time())
        clients = Clients(scene.port, scene.models)
        try:
            scene.start_upstream()
            scene.start_gateway()
            wait_until_answers(f"http://127.0.0.1:{scene.port}/healthz")
            scene.lives[0].ready = time.monotonic()
            settled = asyncio.run(play(scene, clients, asked.clients, asked.minutes))
        finally:
            scene.end()
        return report(scene, clients, settled)


def report(scene: Scene, clients: Clients, settled: bool) -> list[str]:
    """Print all figures; returns the names of those that are not as they must be."""
    rows = checks.read_store(scene.database)
    journal = checks.read_journal(scene.journal)
    verdict = checks.Verdict()
    happened = ", ".join(f"{what} {count}" for what, count in scene.counts.items())
    verdict.figure("what happened", happened or "nothing")
    checks.check_outcomes(verdict, clients.outcomes, scene.lives)
    verdict.figure("the store is well at the end", settled, settled)
    checks.check_records(verdict, clients.outcomes, rows)
    checks.check_money(verdict, clients.outcomes, rows, journal)
    checks.check_memory(verdict, scene.lives)
    checks.check_log(verdict, scene.log, scene.lives)
    return verdict.broken


def main() -> None:
    """Run in a temporary folder; with --keep its logs are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--disk-mb", type=int, default=1_000)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy logs and journal there")
    asked = parser.parse_args()
    print(f"load average at the start: {load_average()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        try:
            broken = run(asked, Path(name))
        finally:
            if asked.keep:
                shutil.copytree(name, asked.keep, dirs_exist_ok=True)
    print(f"load average at the end: {load_average()}")
    if broken:
        raise SystemExit(f"broken: {'; '.join(broken)}")


if __name__ == "__main__":
    main()
