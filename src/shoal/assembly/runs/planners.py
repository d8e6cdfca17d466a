"""Who plans for an agent: the model of ``shoal.toml`` that its options name."""

from shoal.assembly.runs.scene import Scene
from shoal.chat import Answer, AnswerStream, Request
from shoal.errors import NotFound
from shoal.planning.llm_planner import LlmPlanner, PlannerOptions
from shoal.planning.planner import Planner


def planner_of(scene: Scene) -> Planner:
    """The planner of a scene whose agent has no plan of its own.

    Raises:
        NotFound: nobody plans for it.
    """
    agent = scene.agent
    if agent is None or agent.options.planner is None:
        raise NotFound(f"{agent.name if agent else 'this run'} has neither a plan nor a planner")
    model = agent.options.planner
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
        caller = self._scene.caller.allowed(self._model)  # on whose behalf the agent plans
        answer, _ = await self._scene.world.serve(request, self._scene.episode, caller)
        return answer

    async def stream(self, request: Request) -> AnswerStream:
        """Its answer as it is written."""
        caller = self._scene.caller.allowed(self._model)
        return await self._scene.world.stream(request, self._scene.episode, caller)
