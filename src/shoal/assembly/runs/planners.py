"""Who plans for an agent."""

import logging
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.runs.scene import Scene
from shoal.assembly.runs.stored import Ready, StoredPlans
from shoal.chat import Answer, Answerer, AnswerStream, Request
from shoal.errors import ArtifactError, NotFound
from shoal.planning.earlier import Earlier
from shoal.planning.llm_planner import LlmPlanner, PlannerOptions
from shoal.planning.planner import NoPlan, Planned, Planner
from shoal.planning.stored_planner import STORED
from shoal.routing.caller import Caller
from shoal.tools.tool import Json

log = logging.getLogger(__name__)


class Authors(Struct, frozen=True):
    """Who plans in a scene, the cheapest first, and what stands for the stored plans of its agent;
    none of a scene that has a plan."""

    planners: tuple[Planner, ...] = ()
    ready: Ready | None = None


class AgentPlanners:
    """The planners of agents, the cheapest first: what is certified of its stored plans, and the
    model that its options name."""

    def __init__(self, stored: StoredPlans) -> None:
        self._stored = stored

    def of(self, scene: Scene) -> Authors:
        """Those of a scene whose agent has no plan of its own. Reads the store: not for event
        loops.

        Raises:
            NotFound: nobody plans for it.
            ArtifactError: the files of its stored plans are damaged, and nobody else plans.
        """
        agent = scene.agent
        model = agent.options.planner if agent is not None else None
        found, ready = list[Planner](), None
        try:
            ready = self._stored.ready(scene) if agent else None
        except ArtifactError as error:
            if model is None:
                raise
            log.error("the stored plans of %s cannot be used: %s", agent and agent.name, error)
            found.append(_Unfit(str(error)))
        if ready is not None and ready.stage == "serve":
            found.append(ready.planner)
        if model is not None:
            found.append(planner_by(model, _Through(scene, model), scene))
        if not found:
            raise NotFound(
                f"{agent.name if agent else 'this run'} has neither a plan nor a planner, and none "
                "of its stored plans is certified: `shoal agents learn` sees to that"
            )
        return Authors(tuple(found), ready)


class _Unfit:
    """In place of stored plans that cannot be read: says so, for the run's record."""

    name = STORED

    def __init__(self, why: str) -> None:
        self._why = why

    async def plan(
        self, goal: str, given: Mapping[str, Json] | None = None, past: Earlier | None = None
    ) -> Planned:
        raise NoPlan(f"{STORED}: {self._why}")


def planner_by(model: str, ask: Answerer, scene: Scene) -> LlmPlanner:
    """A planner that has ``ask`` ask a model, with what the scene offers and allows."""
    tariff = scene.regime.models.get(model).tariff
    options = PlannerOptions(model=model, limits=scene.limits)
    return LlmPlanner(ask, scene.catalogue, options, tariff.cost)


def paying(scene: Scene, model: str) -> Caller:
    """On whose behalf an agent has a model plan: one plan may cost no more than the whole run."""
    caller, most = scene.caller.allowed(model), scene.limits.usd
    return replace(caller, max_cost=most) if most else caller


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
        answer, _ = await scene.world.serve(request, scene.episode, paying(scene, self._model))
        return answer

    async def stream(self, request: Request) -> AnswerStream:
        """Its answer as it is written."""
        scene = self._scene
        caller = paying(scene, self._model)
        return await scene.world.stream(request, scene.episode, caller)
