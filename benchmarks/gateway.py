"""What the gateway costs: CPU of its process for a forwarded call, recording on.

    python -m benchmarks.gateway [--calls 3000]

Client, gateway and upstream are three processes; the gateway is `shoal serve --no-learn` with the
`remote` engine, its store durable or not. CPU time is the system's count for the gateway's process,
writer thread included.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from benchmarks.processes import cpu_s, free_port, wait_until_answers

SYSTEM = "Classify the message into one of the intents. " * 25
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{i}",
            "description": "Does a thing with several parameters, see the manual. " * 4,
            "parameters": {
                "type": "object",
                "properties": {f"p{j}": {"type": "string"} for j in range(6)},
            },
        },
    }
    for i in range(10)
]


def requests(stream: bool, tools: bool) -> Iterator[bytes]:
    """Requests without end: the system prompt recurs, the user's message does not."""
    number = 0
    while True:
        number += 1
        asked: dict[str, object] = {
            "model": "m",
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"where is my card number {number}?"},
            ],
            "temperature": 0,
        }
        if tools:
            asked["tools"] = TOOLS
        if stream:
            asked["stream"] = True
        yield json.dumps(asked).encode()


@contextmanager
def running(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process while it is needed."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


async def measure(port: int, pid: int, calls: int) -> None:
    """Each kind of traffic, with one client and with eight."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with aiohttp.ClientSession() as session:

        async def go(bodies: Iterator[bytes], count: int) -> None:
            for _ in range(count):
                headers = {"content-type": "application/json"}
                async with session.post(url, data=next(bodies), headers=headers) as reply:
                    assert reply.status == 200, await reply.text()
                    await reply.read()

        kinds = (
            ("plain, 1.3 KB", False, False),
            ("plain, 7 KB with tools", False, True),
            ("streamed, 1.3 KB", True, False),
        )
        for name, stream, tools in kinds:
            for clients in (1, 8):
                bodies = requests(stream, tools)
                await go(bodies, 200)
                before, began = cpu_s(pid), time.perf_counter()
                await asyncio.gather(*(go(bodies, calls // clients) for _ in range(clients)))
                wall = time.perf_counter() - began
                cpu = (cpu_s(pid) - before) / calls * 1e3
                print(
                    f"{name:24} {clients} client(s): {cpu:.3f} ms CPU a call, "
                    f"{calls / wall:,.0f} calls a second",
                    flush=True,
                )


def main() -> None:
    """Durable and not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=3_000)
    asked = parser.parse_args()
    for durable in ("false", "true"):
        print(f"durable = {durable}")
        with tempfile.TemporaryDirectory() as folder:
            upstream, port = free_port(), free_port()
            settings = Path(folder) / "shoal.toml"
            settings.write_text(
                f"[gateway]\nport = {port}\n[store]\ndurable = {durable}\n"
                f"[models.m]\nengine = 'remote'\nbase_url = 'http://127.0.0.1:{upstream}/v1'\n"
                "input_price = 1\noutput_price = 1\n"
            )
            serve = ["shoal", "serve", "--no-learn", "--config", str(settings)]
            with running(["benchmarks.upstream", str(upstream)]), running(serve) as gateway:
                wait_until_answers(f"http://127.0.0.1:{port}/healthz")
                asyncio.run(measure(port, gateway.pid, asked.calls))


if __name__ == "__main__":
    main()
