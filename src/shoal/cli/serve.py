"""``shoal serve`` and ``shoal learn``: the two processes."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from threadpoolctl import threadpool_limits

from shoal.assembly import Models, Shoal
from shoal.cli.context import DEFAULT_CONFIG, ConfigPath, console, new_learner, open_store
from shoal.cli.lock import only_learner
from shoal.config import Config, read_config
from shoal.gateway import create_app
from shoal.gateway import serve as serve_app
from shoal.storage import Store

_STOP_S = 15.0


def serve(
    config: ConfigPath = DEFAULT_CONFIG,
    learn: Annotated[bool, typer.Option(help="Run the learner beside the gateway.")] = True,
) -> None:
    """Run the gateway, and beside it the learner at low priority."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = read_config(config)
    # One answer is too little work for several threads, which would only wait for each other.
    threadpool_limits(limits=1, user_api="blas")
    with open_store(settings) as store, _beside(config if learn else None):
        uvloop.run(_serve(settings, store))


async def _serve(config: Config, store: Store) -> None:
    models = Models.open(config.models)
    async with Shoal(store, models, config.promises(), config.promise) as shoal:
        address = f"http://{config.gateway.host}:{config.gateway.port}/v1"
        console.print(f"Shoal listens on [bold]{address}[/] for: {', '.join(models) or 'no model'}")
        await serve_app(create_app(shoal, config.gateway), config.gateway)


def learn(
    config: ConfigPath = DEFAULT_CONFIG,
    beside: Annotated[
        bool, typer.Option(hidden=True, help="At low priority, until standard input ends.")
    ] = False,
) -> None:
    """Run the learner alone: find tasks, certify, promote, watch."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = read_config(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if beside:
        os.nice(10)
        threading.Thread(target=_when_input_ends, args=(stop,), daemon=True).start()
    with open_store(settings) as store, only_learner(settings.store.path):
        new_learner(settings, store).run(stop)


def _when_input_ends(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


@contextmanager
def _beside(config: Path | None) -> Iterator[None]:
    """A learner process while the gateway runs; it ends with it. None: no learner."""
    if config is None:
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal", "learn", "--config", str(config), "--beside"],
        stdin=subprocess.PIPE,  # closes when this process ends, however it ends
    )
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        process.kill()
