"""Who plans for an agent."""

from msgspec.structs import replace

from shoal.assembly.runs.scene import Scene
from shoal.assembly.runs.stored import StoredPlans
from shoal.chat import Answer, AnswerStream, Request
from shoal.errors import NotFound
from shoal.planning.llm_planner import LlmPlanner, PlannerOptions
from shoal.planning.planner import Planner
from shoal.routing.caller import Caller


class AgentPlanners:
    """The planners of agents, the cheapest first: what is certified of its stored plans, and the
    model that its options name."""

    def __init__(self, stored: StoredPlans) -> None:
        self._stored = stored

    def of(self, scene: Scene) -> tuple[Planner, ...]:
        """Those of a scene whose agent has no plan of its own. Reads the store: not for event
        loops.

        Raises:
            NotFound: nobody plans for it.
            ArtifactError: the files of its stored plans are damaged.
        """
        agent = scene.agent
        stored = self._stored.planner(scene) if agent else None
        found: list[Planner] = [stored] if stored else []
        if agent is not None and agent.options.planner is not None:
            found.append(_by_model(scene, agent.options.planner))
        if not found:
            raise NotFound(
                f"{agent.name if agent else 'this run'} has neither a plan nor a planner, and none "
                "of its stored plans is certified: `shoal agents learn` sees to that"
            )
        return tuple(found)


def _by_model(scene: Scene, model: str) -> Planner:
    tariff = scene.regime.models.get(model).tariff
    options = PlannerOptions(model=model, limits=scene.limits)
    return LlmPlanner(_Through(scene, model), scene.catalogue, options, tariff.cost)


class _Through:
    """Has a planner's model asked as any other is: recorded, paid, and within the policy."""

    def __init__(self, scene: Scene, model: str) -> None:
        self._scene, self._model = scene, model

    @property
    def name(self) -> str:
        """The model's."""
        return self._model

    async def answer(self, request: Request) -> Answer:
        """Its answer."""
        scene = self._scene
        answer, _ = await scene.world.serve(request, scene.episode, self._caller())
        return answer

    async def stream(self, request: Request) -> AnswerStream:
        """Its answer as it is written."""
        return await self._scene.world.stream(request, self._scene.episode, self._caller())

    def _caller(self) -> Caller:
        """On whose behalf the agent plans: one plan may cost no more than the whole run."""
        caller, most = self._scene.caller.allowed(self._model), self._scene.limits.usd
        return replace(caller, max_cost=most) if most else caller
