"""The demonstration from curtain to curtain."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from rich.console import Console

from shoal.config import read_config
from shoal.demo.board import Board, sums
from shoal.demo.player import Player, Tally
from shoal.demo.scene import Row, Scene, look
from shoal.demo.traffic import (
    ASSUMED_INPUT_PRICE,
    ASSUMED_OUTPUT_PRICE,
    DRIFTING,
    MODEL,
    TARIFF,
    Call,
    calls_about,
    read_messages,
    write_recording,
)
from shoal.errors import ShoalError
from shoal.flywheel.finding import known_tasks
from shoal.flywheel.ladder import why_not
from shoal.storage import Store

PAST = 1_100  # messages handled before anything is learned
DRIFT = 1_400  # from this message on, one kind of answer is turned round
_LEARNING_S = 120.0  # patience for the learner
_START_S = 20.0

_SETTINGS = f"""\
# Written by `shoal demo`: the settings it ran with.
[gateway]
port = {{port}}

[store]
path = "data"

[learn]
promote = "serve"       # shadow, then serve, without asking
every_s = 1
min_examples = {PAST}
shadow_calls = 20

[promise]
alpha = 0.05            # at most 5 % of what is served small may differ from the LLM
confidence = 0.95
audit_rate = 0.1

[models.{MODEL}]
engine = "recorded"     # answers written for this project, played back
path = "recording.jsonl"
input_price = {ASSUMED_INPUT_PRICE}       # assumed, USD per million tokens
output_price = {ASSUMED_OUTPUT_PRICE}     # assumed
"""


def run(folder: Path, console: Console) -> None:
    """Play the demonstration in a folder of its own; it stays for looking around.

    Raises:
        ShoalError: the gateway does not start, or the client is missing.
    """
    calls = calls_about(read_messages(), DRIFT)
    port = _free_port()
    folder.mkdir(parents=True, exist_ok=True)
    write_recording(calls, folder / "recording.jsonl")
    settings = folder / "shoal.toml"
    settings.write_text(_SETTINGS.format(port=port), encoding="utf-8")
    console.print(
        f"A shop's support desk, {len(calls):,} customers' messages. The LLM is [bold]recorded[/]: "
        "its answers are played back, its latency and prices are assumed."
    )
    with _gateway(settings, folder / "gateway.log"):
        before, after = asyncio.run(_acts(calls, settings, port, console))
    _curtain(before, after, settings, console)


async def _acts(
    calls: list[list[Call]], settings: Path, port: int, console: Console
) -> tuple[Scene, Scene]:
    """The scenes before and after the drift."""
    address = f"http://127.0.0.1:{port}"
    await _started(address, settings.with_name("gateway.log"))
    config = read_config(settings)
    tally = Tally()
    player = Player(f"{address}/v1", tally)
    with Store.open(config.store) as store, Board(console) as board:

        async def act(title: str, playing: Awaitable[None]) -> Scene:
            """Show what happens while it does; returns the last scene."""
            board.act(title)
            task = asyncio.ensure_future(playing)
            while True:
                done, _ = await asyncio.wait([task], timeout=0.5)
                scene = look(store, config.learn, tally, TARIFF)
                board.show(scene)
                if done:
                    await task
                    return scene

        past, live = _flat(calls[:PAST]), _flat(calls[PAST:DRIFT])
        late = [call for call in _flat(calls[DRIFT:]) if call.kind != "reply"]
        await act(
            "The desk's calls go to the LLM; Shoal records, and finds what recurs",
            player.play(past, 8),
        )
        await act(
            "Specialists are trained and put to the proof; what does not hold is refused",
            _until(lambda: _all_tried(store, tally)),
        )
        before = await act(
            "The day goes on: certified specialists shadow the LLM, then serve",
            player.play(live, 2),
        )
        after = await act(
            f"Drift: from now on the LLM answers {DRIFTING} the other way round",
            player.play(late, 2),
        )
        return before, after


def _flat(calls: list[list[Call]]) -> list[Call]:
    return [call for about in calls for call in about]


def _all_tried(store: Store, tally: Tally) -> bool:
    """Whether every task that can be learned was put to the proof, and what passed has started."""
    found = {task.name: task for task in known_tasks(store)}
    learnable = [found[name].id for name in tally.task_of.values() if not why_not(found[name])]
    certified = {certificate.task for certificate in store.certificates.list()}
    standing = {standing.task for standing in store.standings.list()}
    return all(map(store.attempts.list, learnable)) and certified <= standing


async def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LEARNING_S
    while time.monotonic() < deadline and not done():  # noqa: ASYNC110  # another process's work
        await asyncio.sleep(0.3)


def _curtain(before: Scene, after: Scene, settings: Path, console: Console) -> None:
    console.print(sums(after))
    console.print()
    late = {row.kind: row for row in after.rows}
    for row in before.rows:
        if row.small:
            _report(row, late[row.kind], console)
    config = f"--config {settings}"
    console.print(
        "\nWhere to look next:\n"
        f"  shoal tasks list {config}\n"
        f"  shoal certificate {late[DRIFTING].task} {config}\n"
        f"  shoal log {config}\n"
        f"  shoal calls list {config}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _report(before: Row, after: Row, console: Console) -> None:
    """What was served small of one task, and how it compares with what the LLM answered."""
    line = (
        f"{before.task}: {before.small:,} served small before the drift, "
        f"{1 - before.disagreed / before.small:.1%} of them as the LLM answered"
    )
    if after.kind == DRIFTING:
        served, differed = after.small - before.small, after.disagreed - before.disagreed
        end = "demoted by audits" if after.stage == "observe" else f"still in {after.stage}"
        line += f"; in the drift {served} more, {differed} of them differing, then {end}"
    console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def _gateway(settings: Path, log: Path) -> Iterator[None]:
    """`shoal serve`, learner and all, as a user would start it."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "shoal", "serve", "--config", str(settings)],
            stdout=output,
            stderr=output,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


async def _started(address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            try:
                async with session.get(f"{address}/healthz") as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
    raise ShoalError(f"the gateway did not start; {log} says why")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
