"""``shoal mcp``: Shoal as a server of tools, for whoever starts it."""

import asyncio
import signal
from importlib import metadata
from types import ModuleType

from shoal.assembly import Purse, Shoal
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.library import Library
from shoal.assembly.offering import Offering
from shoal.assembly.runs.offers import AgentOffers
from shoal.cli.context import DEFAULT_CONFIG, ConfigPath, open_store
from shoal.cli.performing import orchestra_of
from shoal.cli.printing import show_log
from shoal.cli.reloading import budgets_of, regime_of
from shoal.config import Config, read_config
from shoal.errors import MissingExtra
from shoal.storage import Store


def mcp(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Offer tasks, collections and agents as tools over MCP, on standard input and output.

    For programs that start their servers of tools themselves. `shoal serve` offers the same at
    /mcp where `mcp = true` stands in `\\[gateway]`.
    """
    show_log()
    settings = read_config(config)
    server = mcp_server()
    with open_store(settings) as store:
        asyncio.run(_serve(settings, store, server))


def mcp_server() -> ModuleType:
    """The part of the gateway that speaks MCP, which takes two seconds to load.

    Raises:
        MissingExtra: the official package is not installed.
    """
    try:
        from shoal.gateway import mcp_server as found
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("shoal"):
            raise
        raise MissingExtra("mcp", "a server of tools that speaks MCP") from error
    return found


def version() -> str:
    """Shoal's version."""
    return metadata.version("shoal")


async def _serve(config: Config, store: Store, server: ModuleType) -> None:
    encoder = LazyEncoder()
    library = Library(config.collections_folder, encoder, config.place_of)
    async with (
        Purse(budgets_of(config, store), config.gateway.assumed_output) as purse,
        Shoal(store, regime_of(config), encoder, purse, library) as shoal,
        orchestra_of(shoal, store, purse, library, encoder) as orchestra,
    ):
        offering = Offering(shoal, store, library, AgentOffers(orchestra))
        serving = asyncio.ensure_future(server.serve_stdio(offering, version()))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, serving.cancel)
        await asyncio.wait((serving,))
        if not serving.cancelled():
            serving.result()
        await orchestra.compared()
        await shoal.settle()
        library.close()
