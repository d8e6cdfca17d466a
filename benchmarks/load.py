"""What the gateway costs under load: CPU a call and a streamed event, and memory over many calls.

    python -m benchmarks.load [--seconds 10] [--calls 200000] [--litellm [FOLDER]]

wrk asks `shoal serve --no-learn`, which asks an nginx that gives static answers (a 1.3 KB request,
the same streamed, and one of 7 KB with tools), from 1, 16 and 64 connections, recording on, durable
and not. In the same run: nginx that passes on to nginx (the C floor), and with --litellm LiteLLM's
proxy, installed into FOLDER (a temporary one if none is named; one that has it is used again).

CPU is the system's count for the process that serves, all its threads, divided by the calls that
wrk had answered. A streamed event costs what a stream of --events costs more than one of three,
divided by the events it has more: all at once (they arrive together and are passed on together),
and --pause-ms apart (each passed on by itself). Memory is the resident set, sampled each second;
the first tenth of the calls is warm-up. All addresses are 127.0.0.1.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from msgspec import Struct

from benchmarks.gateway import SYSTEM, TOOLS
from benchmarks.litellm import installed, litellm_proxy
from benchmarks.nginx import PATH, Nginx, has_paced, proxy_nginx, static_nginx
from benchmarks.processes import (
    cpu_s,
    free_port,
    load_average,
    rss_mb,
    running,
    shoal_serve,
    wait_until_answers,
)
from benchmarks.wrk import Drive, Traffic, chat_request

CONNECTIONS = (1, 16, 64)
_MODELS = ("plain", "stream", "long", "paced")
_CHUNK_S = 20
_LONGER = 3  # times: streams that wrk breaks off at its end should not weigh


class Served(Struct, frozen=True):
    """Something that answers Chat Completions: how it is called, where, and its process."""

    name: str
    port: int
    pid: int
    by_path: bool = False  # the kind of answer is chosen by the path, not by the model


class Kind(Struct, frozen=True):
    """A kind of traffic: the model it asks for, and its requests."""

    name: str
    model: str
    traffic: Traffic


class Cost(Struct, frozen=True):
    """CPU of one process for one kind of traffic."""

    cpu_ms: float  # a call
    drive: Drive


def kinds_of(folder: Path) -> list[Kind]:
    """The three kinds of traffic that are counted by the call."""
    return [
        Kind("plain, 1.3 KB", "plain", _traffic(folder, "plain")),
        Kind("streamed, 1.3 KB", "stream", _traffic(folder, "stream")),
        Kind("plain, 7 KB, tools", "plain", _traffic(folder, "tools")),
    ]


def _traffic(folder: Path, name: str) -> Traffic:
    tools: list[object] = list(TOOLS) if name == "tools" else []
    model = "plain" if name == "tools" else name
    streamed = model in ("stream", "long", "paced")
    return Traffic(folder / name, chat_request(model, SYSTEM, tools, streamed))


def measure(served: Served, kind: Kind, connections: int, seconds: int) -> Cost:
    """Drive for a moment unmeasured, then measured."""
    prefix = f"/{kind.model}" if served.by_path else ""
    url = f"http://127.0.0.1:{served.port}{prefix}{PATH}"
    kind.traffic.drive(url, connections, max(1, seconds // 5))
    before = cpu_s(served.pid)
    drive = kind.traffic.drive(url, connections, seconds)
    if not drive.calls:
        raise SystemExit(f"{url}: no call ended within {seconds} s; take more --seconds")
    return Cost((cpu_s(served.pid) - before) / drive.calls * 1e3, drive)


def compare(
    served: Served, kinds: Sequence[Kind], connections: Sequence[int], seconds: int
) -> dict[tuple[str, int], float]:
    """Print a line for each kind and number of connections; returns the CPU in ms."""
    costs = {}
    for kind in kinds:
        for count in connections:
            cost = measure(served, kind, count, seconds)
            costs[kind.name, count] = cost.cpu_ms
            drive = cost.drive
            print(
                f"{served.name:22} {kind.name:20} {count:3} conn.: {cost.cpu_ms:7.3f} ms CPU a "
                f"call, {drive.calls / drive.seconds:8,.0f} a second, p50 {drive.p50_ms:.1f} ms, "
                f"p99 {drive.p99_ms:.1f} ms",
                flush=True,
            )
    return costs


def print_events(served: Served, folder: Path, events: int, seconds: int, short_ms: float) -> None:
    """What a streamed event costs: a stream of many, less what a short one costs."""
    for model in ("long", "paced") if has_paced() else ("long",):
        kind = Kind(model, model, _traffic(folder, model))
        cost = measure(served, kind, 16, _LONGER * seconds)
        each = (cost.cpu_ms - short_ms) / (events - 1) * 1e3
        how = "all at once" if model == "long" else "paced"
        print(
            f"{served.name:22} {events} events, {how:13} 16 conn.: {each:6.1f} us CPU an event "
            f"({cost.cpu_ms:.2f} ms a stream, {cost.drive.calls} streams)",
            flush=True,
        )


@contextmanager
def gateway(folder: Path, static: Nginx, durable: bool) -> Iterator[Served]:
    """``shoal serve --no-learn`` with a model for each kind of static answer."""
    folder.mkdir(parents=True)
    port = free_port()
    lines = [f"[gateway]\nport = {port}\n[store]\ndurable = {str(durable).lower()}\n"]
    for name in _MODELS:
        lines.append(
            f"[models.{name}]\nengine = 'remote'\nbase_url = '{_base_url(static, name)}'\n"
            "input_price = 1\noutput_price = 1\n"
        )
    settings = folder / "shoal.toml"
    settings.write_text("".join(lines))
    with running(shoal_serve(settings), folder / "gateway.log") as process:
        wait_until_answers(f"http://127.0.0.1:{port}/healthz")
        name = "shoal, durable" if durable else "shoal"
        yield Served(name, port, process.pid)


def _base_url(static: Nginx, name: str) -> str:
    return f"http://127.0.0.1:{static.port}/{name}/v1"


class Sampler(threading.Thread):
    """The resident memory of a process, each second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.samples: list[tuple[float, float]] = []

    def run(self) -> None:
        while not self._over.wait(1.0):
            self.samples.append((time.monotonic(), rss_mb(self._pid)))

    def end(self) -> None:
        self._over.set()
        self.join()


def print_memory(served: Served, kind: Kind, calls: int) -> None:
    """Resident memory while so many calls come from 16 connections."""
    url = f"http://127.0.0.1:{served.port}{PATH}"
    print(f"{served.name}: {rss_mb(served.pid):.1f} MB resident before, no encoder loaded")
    sampler = Sampler(served.pid)
    sampler.start()
    marks = [(time.monotonic(), 0)]
    while (done := marks[-1][1]) < calls:
        rate = done / (marks[-1][0] - marks[0][0]) if done else 0.0
        seconds = min(_CHUNK_S, max(1, round((calls - done) / rate))) if rate else 2
        answered = kind.traffic.drive(url, 16, seconds).calls
        marks.append((time.monotonic(), done + answered))
    sampler.end()
    _print_slope(sampler.samples, marks)


def _print_slope(
    samples: Sequence[tuple[float, float]], marks: Sequence[tuple[float, int]]
) -> None:
    at, sizes = (np.array(column) for column in zip(*samples, strict=True))
    times, counts = zip(*marks, strict=True)
    calls = np.interp(at, times, counts)
    warm = calls >= counts[-1] / 10
    slope = float(np.polyfit(calls[warm], sizes[warm], 1)[0]) * 100_000
    print(
        f"{counts[-1]:,} calls, {warm.sum()} samples after the first tenth: "
        f"{sizes[warm][0]:.1f} MB then, {sizes[-1]:.1f} MB at the end, most {sizes.max():.1f} MB, "
        f"slope {slope:+.2f} MB per 100,000 calls, largest difference {np.ptp(sizes[warm]):.1f} MB",
        flush=True,
    )


def print_ratios(ours: dict[tuple[str, int], float], theirs: dict[tuple[str, int], float]) -> None:
    """How many times dearer LiteLLM's proxy is."""
    for (name, count), cpu_ms in theirs.items():
        ratio = cpu_ms / ours[name, count]
        print(f"LiteLLM / shoal        {name:20} {count:3} conn.: {ratio:.1f}")


def run(asked: argparse.Namespace, folder: Path) -> None:
    """Floor, gateway not durable and durable, LiteLLM, memory; in this order."""
    kinds = kinds_of(folder / "traffic")
    seconds = asked.seconds
    with (
        static_nginx(folder / "static", asked.events, asked.pause_ms) as static,
        proxy_nginx(folder / "proxy", static) as proxy,
    ):
        floor = Served("nginx to nginx", proxy.port, proxy.worker, by_path=True)
        compare(floor, kinds, CONNECTIONS, seconds)
        with gateway(folder / "quick", static, durable=False) as served:
            ours = compare(served, kinds, CONNECTIONS, seconds)
            short_ms = ours["streamed, 1.3 KB", 16]
            print_events(served, folder / "events", asked.events, seconds, short_ms)
        with gateway(folder / "durable", static, durable=True) as served:
            compare(served, kinds, CONNECTIONS, seconds)
        if asked.litellm is not None:
            environment = installed(asked.litellm or folder / "litellm-environment")
            models = [(name, _base_url(static, name)) for name in _MODELS]
            with litellm_proxy(environment, folder / "litellm", models) as (port, pid):
                theirs = compare(Served("LiteLLM", port, pid), kinds, (1, 16), seconds)
            print_ratios(ours, theirs)
        with gateway(folder / "memory", static, durable=False) as served:
            print_memory(served, kinds[0], asked.calls)


def main() -> None:
    """Everything in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10, help="for each figure of CPU")
    parser.add_argument("--calls", type=int, default=200_000, help="while memory is watched")
    parser.add_argument("--events", type=int, default=500, help="in a long stream")
    parser.add_argument("--pause-ms", type=float, default=2.0, help="between paced events")
    parser.add_argument("--litellm", type=Path, nargs="?", const=Path(), metavar="FOLDER")
    asked = parser.parse_args()
    print(f"load average at the start: {load_average()}")
    with tempfile.TemporaryDirectory() as folder:
        run(asked, Path(folder))
    print(f"load average at the end: {load_average()}")


if __name__ == "__main__":
    main()
