"""``shoal serve`` and ``shoal learn``: the two processes."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from threadpoolctl import threadpool_limits

from shoal.assembly import Models, Purse, Shoal, StoredKeys
from shoal.cli.context import DEFAULT_CONFIG, ConfigPath, new_learner, open_store
from shoal.cli.lock import only_learner
from shoal.cli.printing import say, show_log
from shoal.config import Config, read_config
from shoal.gateway import create_app
from shoal.gateway import serve as serve_app
from shoal.routing.budget import Budgets
from shoal.storage import Store

log = logging.getLogger(__name__)

_STOP_S = 15.0
_SWITCH_S = 0.001  # a fifth of what Python does by itself; no dearer by measure
_AGAIN_S = 5.0


def serve(
    config: ConfigPath = DEFAULT_CONFIG,
    learn: Annotated[bool, typer.Option(help="Run the learner beside the gateway.")] = True,
) -> None:
    """Run the gateway, and beside it the learner at low priority."""
    show_log()
    settings = read_config(config)
    # One answer is too little work for several threads, which would only wait for each other.
    threadpool_limits(limits=1, user_api="blas")
    # A busy event loop would give way to the thread that writes calls only every 5 ms, and that one
    # gives way at each statement.
    sys.setswitchinterval(_SWITCH_S)
    # Once uvicorn has stopped for a signal it raises that again, by default the end of the process:
    # the store would not be closed, and what was not written yet be lost.
    signal.signal(signal.SIGTERM, _end)
    with open_store(settings) as store, _beside(config if learn else None):
        uvloop.run(_serve(settings, store))


def _end(*_: object) -> None:
    raise SystemExit(0)


async def _serve(config: Config, store: Store) -> None:
    models = Models.open(config.models)
    async with (
        StoredKeys(store) as keys,
        Purse(_budgets(config, store), config.gateway.assumed_output) as purse,
        Shoal(
            store, models, config.promises(), config.promise, None, config.privacy, purse
        ) as shoal,
    ):
        config.gateway.require_keys(len(keys.ring))
        address = f"http://{config.gateway.host}:{config.gateway.port}/v1"
        say(f"Shoal listens on {address} for: {', '.join(models) or 'no model'}")
        if not len(keys.ring):
            say("Nobody needs a key, on this machine only: `shoal keys create` makes one")
        await serve_app(create_app(shoal, config.gateway, keys), config.gateway)


def _budgets(config: Config, store: Store) -> Budgets:
    allow_unknown = config.gateway.unknown_price == "allow"
    return Budgets(store.spend.between, config.task_budgets(), allow_unknown)


def learn(
    config: ConfigPath = DEFAULT_CONFIG,
    beside: Annotated[
        bool, typer.Option(hidden=True, help="At low priority, until standard input ends.")
    ] = False,
) -> None:
    """Run the learner alone: find tasks, certify, promote, watch."""
    show_log()
    settings = read_config(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if beside:
        os.nice(10)
        threading.Thread(target=_when_input_ends, args=(stop,), daemon=True).start()
    with open_store(settings) as store, only_learner(store, stop, stand_by=beside):
        if not stop.is_set():
            new_learner(settings, store).run(stop)


def _when_input_ends(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


@contextmanager
def _beside(config: Path | None) -> Iterator[None]:
    """A learner process while the gateway runs, started again if it dies. None: no learner."""
    if config is None:
        yield
        return
    learner = _Learner(config)
    learner.start()
    try:
        yield
    finally:
        learner.stop()


class _Learner(threading.Thread):
    """Keeps a learner process running."""

    def __init__(self, config: Path) -> None:
        super().__init__(name="shoal-learner", daemon=True)
        self._command = [
            sys.executable,
            "-m",
            "shoal",
            "learn",
            "--beside",
            "--config",
            str(config),
        ]
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            # Its input closes when this process ends, however it ends; then it stops too.
            with subprocess.Popen(self._command, stdin=subprocess.PIPE) as process:
                while process.poll() is None and not self._stopping.wait(0.2):
                    pass
                process.terminate()
            if not self._stopping.wait(_AGAIN_S):
                log.warning("the learner ended with status %s: starting again", process.returncode)

    def stop(self) -> None:
        """End the process, and wait for it."""
        self._stopping.set()
        self.join(_STOP_S)
