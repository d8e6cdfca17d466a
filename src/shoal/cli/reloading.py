"""Reads ``shoal.toml`` again while the gateway runs, when it is sent SIGHUP."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from shoal.assembly import Models, Purse, Regime, Shoal
from shoal.assembly.hooks import register_hooks
from shoal.assembly.runs.agent import agents_of
from shoal.cli.figures import one_line
from shoal.cli.side_process import SideProcess
from shoal.config import Config, read_config
from shoal.errors import ShoalError
from shoal.routing.budget import Budgets
from shoal.storage import Store
from shoal.tools.toolset import build_toolset

log = logging.getLogger(__name__)
T = TypeVar("T")

_TAKES_EFFECT = frozenset({"unknown_price", "assumed_output"})  # of the gateway's settings


def regime_of(config: Config) -> Regime:
    """Models, promises and privacy rules of these settings.

    Raises:
        ConfigError: a model cannot be opened, a comparator or validator not be loaded, or a plan
            not be read, or a tool not be made.
        MissingExtra: a tool needs an optional part.
    """
    models, judging = Models.open(config.models, config.reasoning), config.judging_options()
    register_hooks(judging, config.folder)
    return Regime(
        models,
        config.promises(),
        config.promise,
        config.privacy,
        config.answer_cache(),
        config.cascade,
        judging,
        config.collections,
        agents_of(config.agents),
        build_toolset(config.tools, config.folder),
        config.strategies(),
    )


def budgets_of(config: Config, store: Store) -> Budgets:
    """What was spent in this store, under the budgets of these settings."""
    allow_unknown = config.gateway.unknown_price == "allow"
    return Budgets(store.spend.between, config.task_budgets(), allow_unknown)


def same_to_learner(one: Config, other: Config) -> bool:
    """Whether a learner does the same under both settings."""
    others = {"gateway": other.gateway, "tracing": other.tracing}
    return one.model_copy(update=others) == other


def need_restart(started: Config, now: Config) -> list[str]:
    """The settings that differ and count only from the next start on."""
    found = []
    for section in ("gateway", "tracing", "store"):
        before, after = getattr(started, section), getattr(now, section)
        for name in type(before).model_fields:
            if name not in _TAKES_EFFECT and getattr(before, name) != getattr(after, name):
                found.append(f"{section}.{name}")
    return found


def refuse(error: ShoalError) -> None:
    """Say why the settings were not read again."""
    said = one_line("; ".join(str(error).splitlines()))
    log.error("not reloaded, what was in force stays in force: %s", said)


class Rereading:
    """The settings file, as it was read last; the learner is started anew where it differs for it.
    ``learner`` None: it is somebody else's."""

    def __init__(self, path: Path, config: Config, learner: SideProcess | None) -> None:
        self._path, self._started, self._config = path, config, config
        self._learner = learner

    def again(self, build: Callable[[Config], T]) -> tuple[Config, T] | None:
        """The settings as the file has them now, and what ``build`` makes of them; None, and a line
        in the log, if the file is wrong or nothing can be made of it. Nobody is told before."""
        try:
            config = read_config(self._path)
            built = build(config)  # may read recordings from disk
        except ShoalError as error:
            refuse(error)
            return None
        except Exception:  # whatever it was, later reloads are to be heard
            log.exception("not reloaded, what was in force stays in force")
            return None
        if self._learner is not None and not same_to_learner(self._config, config):
            self._learner.start_anew()
        if fixed := need_restart(self._started, config):
            log.warning("these settings count from the next start on: %s", ", ".join(fixed))
        self._config = config
        return config, built


class Reloader:
    """Puts new settings in force, one reload after the other."""

    def __init__(
        self, path: Path, config: Config, shoal: Shoal, purse: Purse, learner: SideProcess | None
    ) -> None:
        self._reading = Rereading(path, config, learner)
        self._shoal, self._purse = shoal, purse
        self._asked = asyncio.Event()

    async def reload(self) -> None:
        """Read the file; what it says holds for calls that begin afterwards."""
        found = await asyncio.to_thread(self._reading.again, regime_of)
        if found is None:
            return
        config, regime = found
        gateway = config.gateway
        allow_unknown = gateway.unknown_price == "allow"
        self._purse.change(config.task_budgets(), allow_unknown, gateway.assumed_output)
        self._shoal.change(regime)
        log.info("reloaded; models: %s", ", ".join(regime.models) or "none")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Reload at each SIGHUP; those that come during one are one more."""
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._asked.set))
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the store is still to be closed
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload()
