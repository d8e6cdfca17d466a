"""``shoal serve`` as a process, on a free port."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from support_desk import line, lines

from ports import free_port

SHOAL = Path(sys.executable).with_name("shoal")
RECORDED = """
[models.gpt]
engine = "recorded"
path = "calls.jsonl"
input_price = 10.0
output_price = 100.0
"""
TIMEOUT_S = 30

T = TypeVar("T")


class Served:
    """A running gateway: its process, its address, and what it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=TIMEOUT_S) as reply:
            return json.load(reply)

    def send(self, method: str, path: str, body: object = None) -> Any:
        """What it replies, as JSON; what is no 2xx raises."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            return json.load(reply)

    def learners(self) -> list[int]:
        """The learner processes that it has started and that live."""
        return [pid for pid in children(self.process.pid) if b"learn" in command(pid)]

    def wait_for_learner(self, other_than: int = 0) -> int:
        """The id of its learner, once there is one."""
        return wait_for(lambda: next((p for p in self.learners() if p != other_than), 0))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_S)


@contextmanager
def served(folder: Path, *options: str, calls: int = 30, settings: str = "") -> Iterator[Served]:
    """A gateway over a recorded model that knows the calls of the task department."""
    (folder / "calls.jsonl").write_text(lines(*(line("department", n) for n in range(calls))))
    port = free_port()
    config = folder / "shoal.toml"
    config.write_text(f"{RECORDED}\n[gateway]\nport = {port}\n{settings}")
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [SHOAL, "serve", "--config", config, *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    running = Served(process, port, log)
    try:
        wait_for(lambda: is_up(running))
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_up(running: Served) -> bool:
    assert running.process.poll() is None, running.log
    with suppress(urllib.error.URLError, ConnectionError):
        return bool(running.get("/healthz")["status"] == "ok")
    return False


def wait_for(look: Callable[[], T]) -> T:
    """What ``look`` finds, once that is true; the test fails when it takes too long."""
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing within {TIMEOUT_S} s"
        time.sleep(0.02)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started and not waited for."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):
            found += map(int, path.read_text().split())
    return found


def command(pid: int) -> bytes:
    """Its command line; empty once it has ended."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def is_alive(pid: int) -> bool:
    return command(pid) != b""
