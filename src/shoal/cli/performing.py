"""An orchestra in this process, over the store and the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from msgspec import Struct

from shoal.assembly import Purse, Shoal
from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.assembly.library import Library
from shoal.assembly.loader import Loader
from shoal.assembly.runs.agents import Agents
from shoal.assembly.runs.hands import World
from shoal.assembly.runs.orchestra import Orchestra
from shoal.assembly.runs.plan_witness import PlanWitness
from shoal.assembly.runs.planners import AgentPlanners
from shoal.assembly.runs.prompts import TaskRequests
from shoal.assembly.runs.scene import Scenes
from shoal.assembly.runs.stored import StoredPlans
from shoal.assembly.runs.streams import stream_one
from shoal.cli.reloading import budgets_of, regime_of
from shoal.config import Config
from shoal.storage import Store


class Players(Struct, frozen=True):
    """Shoal, and the orchestra that performs its runs."""

    shoal: Shoal
    orchestra: Orchestra


@asynccontextmanager
async def players(config: Config, store: Store) -> AsyncIterator[Players]:
    """Shoal with an orchestra, for a command that performs runs itself."""
    encoder = LazyEncoder()
    library = Library(config.collections_folder, encoder, config.place_of)
    async with (
        Purse(budgets_of(config, store), config.gateway.assumed_output) as purse,
        Shoal(store, regime_of(config), encoder, purse, library) as shoal,
        orchestra_of(shoal, store, purse, library, encoder) as orchestra,
    ):
        yield Players(shoal, orchestra)
        await orchestra.compared()
        await shoal.settle()


def orchestra_of(
    shoal: Shoal,
    store: Store,
    purse: Purse,
    library: Library,
    encoder: LazyEncoder,
    resumes: bool = False,
) -> Orchestra:
    """The orchestra that performs runs through ``shoal``, which answers as its agents too."""
    world = World(
        shoal.answer_one,
        partial(stream_one, shoal),
        lambda: shoal.roster,
        TaskRequests(store),
        library,
    )
    scenes = Scenes(lambda: shoal.regime, lambda: shoal.roster, world, library)
    planners = AgentPlanners(StoredPlans(store, Loader(store, encoder)))
    witness = PlanWitness(store, purse)
    orchestra = Orchestra(store, scenes, planners.of, resumes, witness=witness)
    shoal.join(Agents(orchestra, scenes))
    return orchestra
