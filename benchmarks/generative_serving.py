"""What serving a local model through Shoal costs beside llama.cpp's own server.

A self-made Llama of 134 million random weights, q4_0 and f16, on one thread: tokens per CPU-second
of all processes that serve (the gateway and its child; llama.cpp's server alone), in turns, so that
what else the machine does falls on both. Then the wait for the first token, and what a change of
adapter costs. ``python -m benchmarks.generative_serving``; needs the extra ``local``.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import gguf
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.processes import (
    family,
    free_port,
    load_average,
    running,
    shoal_serve,
    wait_until_answers,
)
from shoal.engines.local.child import Child, Loading

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from tiny_gguf import write_adapter, write_model

SIZES = {"width": 768, "layers": 12, "heads": 12, "kv_heads": 12, "inner": 2048}
WORDS, CONTEXT = 31_725, 512
KINDS = {
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
    "f16": gguf.GGMLQuantizationType.F16,
}
SLOTS = (1, 4, 8)
NEVER_END = {"1": -100, "2": -100}  # the tokens that would end an answer
SETTINGS = """
[models.m]
engine = "local"
path = "{path}"
slots = {slots}
threads = 1
context_tokens = {context}
[models.one]
engine = "adapter"
base = "m"
path = "one.gguf"
[models.two]
engine = "adapter"
base = "m"
path = "two.gguf"
[gateway]
port = {port}
[store]
path = "data-{port}"
"""


class Server(Struct, frozen=True):
    """Where to ask, by which socket if any, and the processes that answer."""

    url: str
    socket: str
    processes: Callable[[], Sequence[int]]
    body: dict[str, object] = {}

    idle: float = 0.0
    """CPU seconds that they take a second while nobody asks."""

    def cpu_s(self) -> float:
        """By the scheduler's own count, in nanoseconds; ticks are too coarse for a call."""
        files = (
            file
            for pid in self.processes()
            for file in Path(f"/proc/{pid}/task").glob("*/schedstat")
        )
        return sum(int(file.read_text().split()[0]) for file in files) / 1e9

    async def with_idle(self) -> "Server":
        """The same, its idle share measured."""
        before, seconds = self.cpu_s(), 4.0
        await asyncio.sleep(seconds)
        return replace(self, idle=(self.cpu_s() - before) / seconds)


async def answer(session: aiohttp.ClientSession, url: str, tokens: int, **more: object) -> float:
    """Have so many tokens sent, streamed unless said; the seconds until the first came."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "tell me of the thing"}],
        "max_tokens": tokens,
        "stream": True,
    }
    began, first = time.perf_counter(), 0.0
    async with session.post(url + "/v1/chat/completions", json=body | more) as reply:
        if reply.status != 200:
            raise SystemExit(await reply.text())
        async for _ in reply.content.iter_any():
            first = first or time.perf_counter() - began
    return first


@contextmanager
def asking(server: Server) -> Iterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(server.socket, force_close=True) if server.socket else None
    session = aiohttp.ClientSession(connector=connector)
    yield session


async def rate(server: Server, slots: int, tokens: int, stream: bool = True) -> tuple[float, float]:
    """Tokens per CPU-second with ``slots`` calls at once; and that without what the processes would
    have taken idle, which on a busy machine is more, for it goes by the clock."""
    with asking(server) as session:
        before, began = server.cpu_s(), time.perf_counter()
        more = server.body | {"stream": stream}
        await asyncio.gather(*(answer(session, server.url, tokens, **more) for _ in range(slots)))
        spent, waited = server.cpu_s() - before, time.perf_counter() - began
        await session.close()
    return slots * tokens / spent, slots * tokens / (spent - server.idle * waited)


async def firsts(ours: Server, theirs: Server, calls: int) -> tuple[list[float], list[float]]:
    """Seconds to the first token of each, in turns, with the prompt read before."""
    found: tuple[list[float], list[float]] = ([], [])
    for server in (ours, theirs):
        with asking(server) as session:
            await answer(session, server.url, 2, **server.body)
            await session.close()
    with asking(ours) as one, asking(theirs) as other:
        for turn in range(calls):
            pair = [(found[0], one, ours), (found[1], other, theirs)]
            for times, session, server in pair if turn % 2 else reversed(pair):
                times.append(await answer(session, server.url, 2, **server.body))
        await one.close()
        await other.close()
    return found


async def switches(server: Server, calls: int) -> tuple[float, float]:
    """CPU milliseconds of a call by one adapter again and again, and by two in turns."""
    costs = []
    with asking(server) as session:
        for names in (("one", "one"), ("one", "two")) * 2:
            before = server.cpu_s()
            for number in range(calls):
                await answer(session, server.url, 8, **server.body | {"model": names[number % 2]})
            costs.append((server.cpu_s() - before) / calls * 1e3)
        await session.close()
    return (costs[0] + costs[2]) / 2, (costs[1] + costs[3]) / 2


@contextmanager
def gateway(folder: Path, path: Path, slots: int, adapters: bool) -> Iterator[Server]:
    port = free_port()
    config = folder / f"{port}.toml"
    text = SETTINGS.format(path=path, slots=slots, context=CONTEXT, port=port)
    if not adapters:
        kept, _, rest = text.partition("[models.one]")
        text = kept + rest[rest.index("[gateway]") :]
    config.write_text(text)
    url = f"http://127.0.0.1:{port}"
    with running(shoal_serve(config), folder / "serve.log") as process:
        wait_until_answers(url + "/healthz", process=process)
        yield Server(url, "", lambda: family(process.pid), {"logit_bias": NEVER_END})


@contextmanager
def llama_server(path: Path, slots: int) -> Iterator[Server]:
    """llama.cpp's server, asked over its own socket, with the same settings."""
    child = Child("m", Loading(str(path), CONTEXT, slots, 1, 1, slots + 8))
    bias = [[int(token), value] for token, value in NEVER_END.items()]
    try:
        yield Server("http://x", child.socket, lambda: [child.pid], {"logit_bias": bias})
    finally:
        child.close()


def interval(values: Sequence[float]) -> str:
    """Mean, and the least and the most."""
    mean = statistics.mean(values)
    return f"{mean:.3g} ({min(values):.3g} to {max(values):.3g})"


async def compare(folder: Path, path: Path, kind: str, tokens: int, repeats: int) -> None:
    for slots in SLOTS:
        with gateway(folder, path, slots, False) as ours, llama_server(path, slots) as theirs:
            for server in (ours, theirs):
                await rate(server, slots, 4)
            ours, theirs = await ours.with_idle(), await theirs.with_idle()
            print(f"idle: {ours.idle * 1e3:.1f} and {theirs.idle * 1e3:.1f} ms CPU a second")
            for way in ("whole", "streamed"):
                told = await compared(ours, theirs, slots, tokens, repeats, way == "streamed")
                print(f"| {kind}, {slots}, {way} | {told} |", flush=True)
            if slots == 1 and kind == "q4_0":
                await print_first(ours, theirs)


async def compared(
    ours: Server, theirs: Server, slots: int, tokens: int, repeats: int, stream: bool
) -> str:
    """Both rates, asked for in turns, and their ratio."""
    rates: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for turn in range(repeats):
        pair = [("ours", ours), ("theirs", theirs)]
        for name, server in pair if turn % 2 else reversed(pair):
            rates[name].append(await rate(server, slots, tokens, stream))
    whole, net = (
        [a[column] / b[column] for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
        for column in (0, 1)
    )
    both = [[each[0] for each in found] for found in rates.values()]
    return " | ".join(map(interval, (*both, whole, net)))


async def print_first(ours: Server, theirs: Server, calls: int = 60) -> None:
    before, began = (ours.cpu_s(), theirs.cpu_s()), time.perf_counter()
    mine, other = await firsts(ours, theirs, calls)
    idle = (ours.idle - theirs.idle) * (time.perf_counter() - began)
    spent = ours.cpu_s() - before[0] - (theirs.cpu_s() - before[1]) - idle
    differences = sorted((a - b) * 1e3 for a, b in zip(mine, other, strict=True))
    quarter, tenth = len(differences) // 4, len(differences) // 10
    undisturbed = [sorted(times)[tenth] * 1e3 for times in (mine, other)]
    print(
        f"first token: {statistics.median(mine) * 1e3:.2f} ms against "
        f"{statistics.median(other) * 1e3:.2f} ms; median of the differences "
        f"{statistics.median(differences):.2f} ms (quartiles {differences[quarter]:.2f} to "
        f"{differences[-quarter]:.2f}), of the quickest tenths "
        f"{undisturbed[0]:.2f} against {undisturbed[1]:.2f} ms; "
        f"CPU {spent / (calls + 1) * 1e3:.2f} ms more a call of 2 tokens, idle left out",
        flush=True,
    )


async def main_async(asked: argparse.Namespace, folder: Path) -> None:
    paths = {}
    for kind in asked.kinds.split(","):
        paths[kind] = folder / f"{kind}.gguf"
        began = time.process_time()
        write_model(paths[kind], kind=KINDS[kind], sharpness=1.0, words=WORDS, **SIZES)
        size = paths[kind].stat().st_size / 1e6
        print(f"{kind}: {size:.0f} MB, written in {time.process_time() - began:.0f} s CPU")
    print(
        "| model, calls at once, answers | Shoal: tokens per CPU-second | llama.cpp | ratio |",
        end="",
    )
    print(" idle left out |")
    print("|---|---|---|---|---|")
    for kind, path in paths.items():
        await compare(folder, path, kind, asked.tokens, asked.repeats)
    sizes = {"width": SIZES["width"], "layers": SIZES["layers"], "inner": SIZES["inner"]}
    for seed, name in enumerate(("one", "two"), 1):
        write_adapter(folder / f"{name}.gguf", seed, strength=1.0, rank=8, **sizes)
    with gateway(folder, paths["q4_0"], 1, True) as ours:
        await switches(ours, 4)
        same, turns = await switches(ours, 20)
        print(
            f"adapters: {same:.2f} ms CPU a call of 8 tokens by one again and again, {turns:.2f} "
            f"by two in turns: {turns - same:.2f} ms a switch"
        )
    print(f"load {load_average()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kinds", default="q4_0,f16")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main_async(asked, Path(folder)))


if __name__ == "__main__":
    print(json.dumps({"model": SIZES | {"words": WORDS}}))
    main()
