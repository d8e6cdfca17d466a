"""``shoal serve`` and ``shoal learn``, the two processes, and ``shoal reload``."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from threadpoolctl import threadpool_limits

from shoal.assembly import Purse, Shoal, Stacks, StoredKeys
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.library import Library
from shoal.assembly.offering import Offering
from shoal.assembly.runs.offers import AgentOffers
from shoal.assembly.runs.run_desk import Runs
from shoal.cli.context import DEFAULT_CONFIG, ConfigPath, new_learner, open_store
from shoal.cli.lock import only_learner
from shoal.cli.mcp import mcp_server, version
from shoal.cli.performing import orchestra_of
from shoal.cli.pid_file import gateways, pid_file
from shoal.cli.printing import say, show_log
from shoal.cli.reloading import Reloader, Rereading, budgets_of, regime_of
from shoal.cli.side_process import SideProcess, learner_beside, watcher_beside
from shoal.cli.workers import Crew, Seat, when_input_ends
from shoal.config import Config, read_config
from shoal.errors import NotFound
from shoal.gateway import create_app, open_tracer
from shoal.gateway import serve as serve_app
from shoal.gateway.app import McpApp
from shoal.gateway.options import GatewayOptions
from shoal.gateway.server import listen, new_server, serve_on
from shoal.retrieval.uploads import Uploads
from shoal.storage import Store

_LEARN_ON_S = 3  # a learner that is told to stop may end what it is at within so long
_SWITCH_S = 0.001  # a fifth of what Python does by itself; no dearer by measure


def serve(
    config: ConfigPath = DEFAULT_CONFIG,
    learn: Annotated[bool, typer.Option(help="Run the learner beside the gateway.")] = True,
    worker: Annotated[
        str, typer.Option(hidden=True, help="One of several processes: the descriptors it has.")
    ] = "",
) -> None:
    """Run the gateway, and beside it the learner at low priority."""
    show_log()
    settings = read_config(config)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    if settings.gateway.workers > 1 and not worker:
        return _serve_by_several(config, settings, learn)
    _serve_alone(config, settings, learn, Seat(worker) if worker else None)


def _serve_alone(config: Path, settings: Config, learn: bool, seat: Seat | None) -> None:
    # One answer is too little work for several threads, which would only wait for each other.
    threadpool_limits(limits=1, user_api="blas")
    # A busy event loop would give way to the thread that writes calls only every 5 ms, and that one
    # gives way at each statement.
    sys.setswitchinterval(_SWITCH_S)
    # Once uvicorn has stopped for a signal it raises that again, by default the end of the process:
    # the store would not be closed, and what was not written yet be lost.
    signal.signal(signal.SIGTERM, _end)
    watches = nullcontext() if seat else watcher_beside(config, settings.collections_folder)
    with (
        open_store(settings) as store,
        learner_beside(config if learn else None) as learner,
        watches,
    ):
        uvloop.run(_serve(config, settings, store, learner, seat))


def _end(*_: object) -> None:
    raise SystemExit(0)


async def _serve(
    path: Path, config: Config, store: Store, learner: SideProcess | None, seat: Seat | None
) -> None:
    encoder = LazyEncoder()
    library = Library(config.collections_folder, encoder, config.place_of)
    async with (
        StoredKeys(store) as keys,
        Purse(budgets_of(config, store), config.gateway.assumed_output) as purse,
        Shoal(store, regime_of(config), encoder, purse, library) as shoal,
        orchestra_of(shoal, store, purse, library, encoder, resumes=True) as orchestra,
        Reloader(path, config, shoal, purse, learner).listening(),
        open_tracer(config.tracing) as tracer,
        _stacks(Stacks(library, _uploads(config), encoder)) as stacks,
        _mcp(config.gateway, Offering(shoal, store, library, AgentOffers(orchestra))) as mcp,
    ):
        config.gateway.require_keys(len(keys.ring))
        app = create_app(shoal, config.gateway, keys, tracer, stacks, mcp, Runs(orchestra))
        _set_aside_the_heap()
        if seat is not None:
            seat.ready()
            return await serve_on(new_server(app), seat.listener)
        say(_greeting(config, len(keys.ring)))
        with pid_file(config.store.path):
            await serve_app(app, config.gateway)


@asynccontextmanager
async def _stacks(stacks: Stacks) -> AsyncIterator[Stacks]:
    """Uploaded files and collections; opening them may remove files, closing them wait for one."""
    await asyncio.to_thread(stacks.open)
    try:
        yield stacks
    finally:
        await asyncio.to_thread(stacks.close)


@asynccontextmanager
async def _mcp(options: GatewayOptions, offering: Offering) -> AsyncIterator[McpApp | None]:
    """What answers at /mcp, if anybody is to."""
    if not options.mcp:
        yield None
        return
    async with mcp_server().McpEndpoint(offering, version(), options.max_body).running() as mcp:
        yield mcp


def _uploads(config: Config) -> Uploads:
    gateway = config.gateway
    return Uploads(config.store.path / "files", gateway.max_file, gateway.max_files)


def _set_aside_the_heap() -> None:
    """Spare the cycle collector what is there at the start and stays: modules, price lists, models.

    It would go through all of that twice a second under load, and stop every call for 80 ms.
    """
    gc.collect()
    gc.freeze()


def _serve_by_several(path: Path, config: Config, learn: bool) -> None:
    """Look after several workers, and the learner."""
    with open_store(config) as store:  # made or brought up to date once, before they all open it
        keys = len(StoredKeys(store).ring)
    config.gateway.require_keys(keys)
    with (
        closing(listen(config.gateway)) as listener,
        learner_beside(path if learn else None) as learner,
        watcher_beside(path, config.collections_folder),
        pid_file(config.store.path),
    ):
        reading = Rereading(path, config, learner)
        crew = Crew(
            path, config.gateway.workers, listener, lambda: reading.again(regime_of) is not None
        )
        crew.run(_greeting(config, keys))


def _greeting(config: Config, keys: int) -> str:
    address = f"http://{config.gateway.host}:{config.gateway.port}/v1"
    said = f"Shoal listens on {address} for: {', '.join(config.models) or 'no model'}"
    free = "Nobody needs a key, on this machine only: `shoal keys create` makes one"
    return said if keys else f"{said}\n{free}"


def reload(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Have running gateways read the settings again; no call is dropped, their log says more."""
    told = 0
    for pid in gateways(read_config(config).store.path):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
            told += 1
    if not told:
        raise NotFound("no gateway runs on this store here: `shoal serve` starts one")
    say(f"Told {told} gateway{'s' if told > 1 else ''} to read {config} again.")


def learn(
    once: Annotated[
        bool, typer.Option("--once", help="Look once at what is recorded, and end.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    beside: Annotated[
        bool, typer.Option(hidden=True, help="At low priority, until standard input ends.")
    ] = False,
) -> None:
    """Run the learner alone: find tasks, certify, promote, watch."""
    show_log()
    settings = read_config(config)
    stop = threading.Event()

    def stop_soon(*_: object) -> None:
        stop.set()
        signal.alarm(_LEARN_ON_S)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_soon)
    signal.signal(signal.SIGALRM, _end)  # training may take minutes, and may be broken off
    if beside:
        os.nice(10)
        told = partial(os.kill, os.getpid(), signal.SIGTERM)
        threading.Thread(target=when_input_ends, args=(told,), daemon=True).start()
    with open_store(settings) as store, only_learner(store, stop, stand_by=beside):
        if once:
            new_learner(settings, store).turn()
        elif not stop.is_set():
            new_learner(settings, store).run(stop)
