"""Lets the learner ask the models of ``shoal.toml``."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from shoal.assembly import Commission, Purse
from shoal.chat import Answerer
from shoal.cli.reloading import budgets_of, regime_of
from shoal.config import Config
from shoal.storage import Store
from shoal.tasks import Task


def commissions(
    config: Config, store: Store
) -> Callable[[Task], AbstractAsyncContextManager[Answerer]]:
    """For a task, an answerer to be used within one event loop. Entering it raises ConfigError if a
    model cannot be opened, and StoreError if what was spent cannot be read."""

    @asynccontextmanager
    async def commission(task: Task) -> AsyncIterator[Answerer]:
        regime = regime_of(config)
        try:
            async with Purse(budgets_of(config, store), config.gateway.assumed_output) as purse:
                asking = Commission(store, regime, purse, task)
                try:
                    yield asking
                finally:
                    asking.close()
        finally:
            await regime.models.aclose()

    return commission
