"""What one run takes place in: its caller, what it may touch, and who does it."""

from collections.abc import Callable

from msgspec import Struct

from shoal.assembly.library import Library
from shoal.assembly.regime import Regime
from shoal.assembly.roster import Roster
from shoal.assembly.runs.agent import Agent
from shoal.assembly.runs.catalogue import catalogue_of
from shoal.assembly.runs.grants import Grants, of_agent, tools_to_look_at
from shoal.assembly.runs.hands import RunHands, World
from shoal.assembly.runs.order import Order
from shoal.errors import UnknownModel
from shoal.planning.catalogue import Catalogue
from shoal.planning.limits import Limits
from shoal.planning.plan import Budget, Plan
from shoal.routing.caller import Caller
from shoal.routing.privacy.journals import JournalScrub

_AS_ORDERED = Budget()


class Scene(Struct, frozen=True):
    """``agent`` None: the order brings a plan of its own."""

    regime: Regime
    caller: Caller
    agent: Agent | None
    catalogue: Catalogue
    hands: RunHands
    limits: Limits
    world: World
    episode: str

    @property
    def plan(self) -> Plan | None:
        """The plan that the agent always runs."""
        return self.agent.plan if self.agent else None


class Scenes:
    """Sets scenes with what there is now."""

    def __init__(
        self,
        regime: Callable[[], Regime],
        roster: Callable[[], Roster],
        world: World,
        library: Library | None,
    ) -> None:
        self._regime, self._roster = regime, roster
        self._world, self._library = world, library

    def journal_scrub(self) -> JournalScrub | None:
        """What redacts the journal of one run; None where it is kept as it is."""
        return self._regime().discretion.journal_scrub()

    def agents(self) -> list[str]:
        """The names of the agents there are."""
        return list(self._regime().agents)

    def agent(self, name: str) -> Agent:
        """The agent of a name.

        Raises:
            UnknownModel: there is none.
        """
        agents = self._regime().agents
        if name not in agents:
            there = ", ".join(agents) or f"none; [agents.{name}] makes one"
            raise UnknownModel(f"no agent named {name!r}; shoal.toml names: {there}", "agent")
        return agents[name]

    async def set(
        self, order: Order, caller: Caller, episode: str = "", raised: Budget = _AS_ORDERED
    ) -> Scene:
        """The scene of an order; ``raised`` is what people raised its budget to. The regime is not
        held. Asks MCP servers what tools they have.

        Raises:
            UnknownModel: its agent is none.
        """
        regime = self._regime()
        agent = self.agent(order.agent) if order.agent else None
        # An order of an agent holds the plan that it had then: its file may have changed since.
        plan = order.plan or (agent.plan if agent else None)
        grants = of_agent(agent.options, plan) if agent else Grants()
        grants = grants.within(caller.spec)
        names = self._library.names() if self._library else []
        with regime.held():
            await regime.tools.look(tools_to_look_at(grants, plan))
        specs = regime.tools.specs(None)
        catalogue = catalogue_of(regime, self._roster(), specs, names, grants)
        limits = Limits()
        if agent is not None:
            limits = limits.within(agent.options.budget)
        limits = limits.within(order.budget.raised(raised))
        hands = RunHands(self._world, regime, caller, grants, specs, episode, agent is not None)
        return Scene(regime, caller, agent, catalogue, hands, limits, self._world, episode)
