"""Several gateway processes on one address and one store."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import aiohttp
from served_desk import SHOAL, Served, children, command, is_alive, served, wait_for
from test_cli_reload import body_of

from shoal.storage import Store, StoreOptions

TWO = "workers = 2\n[store]\ndurable = true\n"


def workers(running: Served) -> list[int]:
    found = children(running.process.pid)
    return [pid for pid in found if b"--worker" in command(pid)]


async def talk(running: Served, stop: asyncio.Event, acknowledged: list[str]) -> None:
    """Ask until told to stop, a new connection each; calls of a process that is killed may fail."""
    turn = 0
    while not stop.is_set():
        url, body = f"{running.url}/v1/chat/completions", body_of(turn := turn + 1)
        try:
            async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
                text = await reply.text()
        except (aiohttp.ClientError, ConnectionError):
            continue
        assert reply.status == 200, text
        if not body["stream"] or "[DONE]" in text:
            acknowledged.append(reply.headers["x-shoal-call-id"])


async def more(acknowledged: list[str], count: int, talking: list[asyncio.Task[None]]) -> None:
    enough = len(acknowledged) + count
    async with asyncio.timeout(60):
        while len(acknowledged) < enough:
            await asyncio.sleep(0.01)
            assert not any(each.done() for each in talking), await asyncio.gather(*talking)


async def test_a_worker_that_is_killed_loses_no_acknowledged_call(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with served(tmp_path, "--no-learn", settings=TWO) as running:
        first = workers(running)
        assert len(first) == 2
        stop = asyncio.Event()
        talking = [asyncio.create_task(talk(running, stop, acknowledged)) for _ in range(6)]
        await more(acknowledged, 100, talking)
        os.kill(first[0], signal.SIGKILL)
        await more(acknowledged, 100, talking)
        await asyncio.to_thread(wait_for, lambda: len(set(workers(running)) - set(first)) == 1)
        assert first[1] in workers(running)
        assert "worker 1 ended with status -9: starting again in 0.5 s" in running.log
        await more(acknowledged, 100, talking)
        os.kill(running.process.pid, signal.SIGHUP)
        await asyncio.to_thread(wait_for, lambda: running.log.count("reloaded; ") == 2)
        stop.set()
        await asyncio.gather(*talking)
        last = workers(running)
        assert running.stop() == 0
        assert not any(map(is_alive, last))
        assert "Traceback" not in running.log
        assert "Fatal" not in running.log
    with Store.open(StoreOptions(path=tmp_path / "shoal-data")) as store:
        stored = {call.id for page in store.calls.pages() for call in page}
    assert set(acknowledged) <= stored
    assert len(acknowledged) >= 300


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    with served(tmp_path, settings=TWO + "[learn]\nevery_s = 0.2\n") as running:
        learner = running.wait_for_learner()
        both = workers(running)
        assert len(both) == 2
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: not any(map(is_alive, (*both, learner))))


def test_workers_that_cannot_start_end_everything(tmp_path: Path) -> None:
    config = tmp_path / "shoal.toml"
    config.write_text(
        '[gateway]\nport = 0\nworkers = 2\n[models.b]\nengine = "recorded"\npath="no"'
    )
    command = [SHOAL, "serve", "--no-learn", "--config", config]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode == 1
    assert "no such file" in failed.stderr
    assert "cannot start; it said why above" in failed.stderr
    assert "Traceback" not in failed.stderr
