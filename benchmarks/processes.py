"""Processes under measurement: started, watched through /proc, ended; ports of this machine.

Nothing here talks to any address but 127.0.0.1.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

STOP_S = 20.0


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, all its threads; its children count by themselves."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def family(pid: int) -> list[int]:
    """A process and all that come from it, whichever of its threads started them."""
    children = [
        child
        for thread in Path(f"/proc/{pid}/task").glob("*/children")
        for child in thread.read_text().split()
    ]
    return [pid, *(found for child in children for found in family(int(child)))]


def load_average() -> str:
    """The machine's, over 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


@contextmanager
def running(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process while it is needed; what it says goes to the end of ``log``."""
    process = start(command, log, env)
    try:
        yield process
    finally:
        stop(process)


def start(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """A process of its own group, so that nothing of it stays behind."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )


def stop(process: "subprocess.Popen[bytes]", hard: bool = False) -> None:
    """End a process, politely unless ``hard``; then whatever is left of its group."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def python(*arguments: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, "-m", *arguments]


def shoal_serve(settings: Path) -> list[str]:
    """The gateway without its learner."""
    return python("shoal", "serve", "--no-learn", "--config", str(settings))


def wait_until_answers(
    url: str, within_s: float = 60.0, process: "subprocess.Popen[bytes] | None" = None
) -> float:
    """Returns the seconds it took until a local address answered, whatever it said.

    Raises:
        SystemExit: it did not, or the ``process`` that should has ended.
    """
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        if process is not None and process.poll() is not None:
            raise SystemExit(f"{process.args}: ended with {process.returncode} at its start")
        try:
            with urlopen(url, timeout=5):
                return time.monotonic() - began
        except HTTPError:
            return time.monotonic() - began
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{url} did not answer within {within_s:g} s")
