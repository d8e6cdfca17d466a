"""What the chaos run does to the gateway, its upstream and its store, by the clock of the script.

The gateway's workers are looked after here: one that is killed, or ends by itself, is started
again. It is killed only while its store is well and nothing waits to be written, because that is
when a durable store promises that what was acknowledged is on the disk.
"""

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
from msgspec import Struct

from benchmarks.chaos_script import CACHED_PRICE, INPUT_PRICE, OUTPUT_PRICE, Phase, phase_at
from benchmarks.processes import free_port, python, rss_mb, shoal_serve, start, stop
from shoal.formats import FORMATS

_TURN_S = 0.1
_HELD_S = (3.0, 8.0)  # a lock on the store, alternately; a writer waits for 5
_FULL_S = 3.0
_SETTLED_S = 20.0


class Life(Struct):
    """One process of the gateway; times of time.monotonic, 0.0 for what has not happened."""

    process: "subprocess.Popen[bytes]"
    began: float
    ready: float = 0.0
    killed: float = 0.0
    fell: bool = False  # it ended by itself
    rss: list[tuple[float, float]] = []


class Scene:
    """The processes and files of one run."""

    def __init__(self, folder: Path, disk: Path, began: float) -> None:
        self.folder, self.disk, self.began = folder, disk, began
        self.port, self._upstream_port = free_port(), free_port()
        self.journal, self.log = folder / "journal.jsonl", folder / "gateway.log"
        self.journal.touch()
        self.settings = folder / "shoal.toml"
        self.models = [f"speaks-{name}" for name in FORMATS]
        self.lives: list[Life] = []
        self.counts: dict[str, int] = {}
        self.is_mounted = os.path.ismount(disk)
        self._upstream: subprocess.Popen[bytes] | None = None
        self._write_settings()

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.disk / "store" / "shoal.db"

    def start_upstream(self) -> None:
        """Start it, unless it runs."""
        if self._upstream is None or self._upstream.poll() is not None:
            command = ("benchmarks.chaos_upstream", str(self._upstream_port), str(self.journal))
            log = self.folder / "upstream.log"
            self._upstream = start(python(*command, repr(self.began)), log)

    def kill_upstream(self) -> None:
        """Kill it (SIGKILL)."""
        if self._upstream is not None and self._upstream.poll() is None:
            self._count("upstream killed")
            stop(self._upstream, hard=True)

    def start_gateway(self) -> None:
        """Start a new life."""
        self.lives.append(Life(start(shoal_serve(self.settings), self.log), time.monotonic()))

    def kill_gateway(self) -> None:
        """Kill it (SIGKILL), and start it again."""
        life = self.lives[-1]
        life.killed = time.monotonic()
        self._count("gateway killed")
        stop(life.process, hard=True)
        self.start_gateway()

    def look_after(self) -> None:
        """Start the gateway again if it has ended by itself; note how much memory it has."""
        life = self.lives[-1]
        if life.process.poll() is not None:
            life.fell, life.killed = True, time.monotonic()
            self.start_gateway()
            return
        with suppress(OSError):
            life.rss.append((time.monotonic(), rss_mb(life.process.pid)))

    def end(self) -> None:
        """Stop everything, the gateway politely."""
        if self.lives:
            stop(self.lives[-1].process)
        if self._upstream is not None:
            stop(self._upstream)

    async def hold_lock(self, seconds: float) -> None:
        """Keep everybody from writing to the store for a while."""
        self._count("store locked")
        conn = sqlite3.connect(self.database, isolation_level=None, timeout=10)
        try:
            conn.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(seconds)
            conn.execute("ROLLBACK")
        except sqlite3.OperationalError:  # never got the lock
            self._count("store locked, failed")
        finally:
            conn.close()

    async def fill_disk(self, seconds: float) -> None:
        """Leave the store no room for a while, if it has a file system of its own."""
        if self.is_mounted:
            self._count("disk full")
            with _ballast(self.disk / "ballast"):
                await asyncio.sleep(seconds)

    async def is_settled(self) -> bool:
        """Whether the gateway answers, its store is well, and nothing waits to be written."""
        health = await self._health()
        store = health.get("store", {})
        assert isinstance(store, dict)
        return health.get("status") == "ok" and store.get("backlog") == 0

    async def wait_until_settled(self, within_s: float = _SETTLED_S) -> bool:
        """Wait for that; whether it came."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if await self.is_settled():
                return True
            await asyncio.sleep(_TURN_S)
        return False

    async def note_ready(self) -> None:
        """Note when a new life answers."""
        life = self.lives[-1]
        if not life.ready and await self._health():
            life.ready = time.monotonic()

    async def _health(self) -> dict[str, object]:
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{self.port}/healthz") as reply,
            ):
                found: dict[str, object] = await reply.json()
                return found
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _write_settings(self) -> None:
        lines = [
            f"[gateway]\nport = {self.port}\n[store]\npath = '{self.disk / 'store'}'\n"
            "durable = true\n"
        ]
        for name, model in zip(FORMATS, self.models, strict=True):
            lines.append(
                f"[models.{model}]\nengine = 'remote'\nformats = ['{name}']\n"
                f"base_url = 'http://127.0.0.1:{self._upstream_port}/v1'\n"
                "timeout_s = 3\nfirst_byte_timeout_s = 3\nconnect_timeout_s = 1\n"
                f"input_price = {INPUT_PRICE}\noutput_price = {OUTPUT_PRICE}\n"
                f"cached_price = {CACHED_PRICE}\n"
            )
        self.settings.write_text("".join(lines))


async def trouble(scene: Scene, minutes: float) -> None:
    """Make trouble for so long; in the last third the gateway is not killed, so that its memory can
    be watched."""
    end = scene.began + 60 * minutes
    before: Phase = "well"
    while (now := time.time()) < end:
        scene.look_after()
        await scene.note_ready()
        phase = phase_at(now - scene.began)
        if phase != before:
            kills = now < scene.began + 40 * minutes
            await _enter(scene, phase, kills)
        before = phase
        await asyncio.sleep(_TURN_S * 5)


async def _enter(scene: Scene, phase: Phase, kills: bool) -> None:
    if phase == "dead":
        scene.kill_upstream()
    else:
        scene.start_upstream()
    if phase == "locked":
        await scene.hold_lock(_HELD_S[scene.counts.get("store locked", 0) % 2])
    elif phase == "full":
        await scene.fill_disk(_FULL_S)
    elif phase == "kill" and kills and await scene.wait_until_settled():
        await asyncio.sleep(random.uniform(0, 0.3))
        scene.kill_gateway()


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """A file system of its own in memory where the system allows it, else a folder."""
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(disk)]
    mounted = (
        bool(shutil.which("mount"))
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    if not mounted:
        print("no file system can be mounted here: the disk is never full in this run")
    try:
        yield disk
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=False)


@contextmanager
def _ballast(path: Path) -> Iterator[None]:
    """All room that a file system has left."""
    try:
        with suppress(OSError), path.open("wb", buffering=0) as file:
            while file.write(b"\0" * 1_000_000):
                pass
        with suppress(OSError), path.open("ab", buffering=0) as file:
            while file.write(b"\0" * 512):
                pass
        yield
    finally:
        path.unlink(missing_ok=True)
