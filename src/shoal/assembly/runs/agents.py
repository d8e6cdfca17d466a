"""``model: "shoal/agent:NAME"``: a conversation is answered by a run of that agent."""

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from shoal.assembly.background import Missed
from shoal.assembly.runs.orchestra import Orchestra
from shoal.assembly.runs.order import AGENT, Order
from shoal.assembly.runs.scene import Scenes
from shoal.assembly.runs.telling import RunStream, answer_of
from shoal.assembly.text_only import refuse_more_than_text
from shoal.chat import Answer, Request
from shoal.errors import Conflict, MalformedRequest, NotFound, UnknownModel
from shoal.planning.plan import Budget, Plan
from shoal.routing.caller import Caller
from shoal.tools.tool import Json

_LEAST = 1e-12  # USD


class Agents:
    """The agents of ``shoal.toml``, as models that a caller may ask."""

    def __init__(self, orchestra: Orchestra, scenes: Scenes) -> None:
        self._orchestra, self._scenes = orchestra, scenes

    @property
    def audits(self) -> Missed:
        """The audits of their stored plans that came to nothing."""
        return self._orchestra.audits

    def names(self, caller: Caller) -> list[str]:
        """The models of this kind that a caller may ask."""
        allowed = caller.spec.models
        found = [f"{AGENT}{name}" for name in self._scenes.agents()]
        return [name for name in found if not allowed or name in allowed]

    async def answer(
        self, request: Request, episode: str, caller: Caller
    ) -> tuple[str, Answer | RunStream]:
        """The id of a run, and what it came to, or comes to where a stream is asked for.

        Raises:
            UnknownModel: there is no such agent; tells those that the caller may ask.
            MalformedRequest: there is no goal, it is not what the agent's plan takes, or tools or a
                format of the answer are asked for.
            RunFailed: the run came to nothing.
        """
        name = request.model.removeprefix(AGENT)
        try:
            agent = self._scenes.agent(name)
        except UnknownModel:
            there = ", ".join(self.names(caller)) or "none"
            raise UnknownModel(
                f"there is no agent {name!r}; you may ask: {there}", "model"
            ) from None
        refuse_more_than_text(request, "calls the tools of its own plan", "answers with text")
        goal = _goal(request)
        given = given_of(agent.plan, goal) if agent.plan else {}
        # What the call may cost at most, its run may: 0 would be no limit.
        most = Budget() if caller.max_cost is None else Budget(usd=max(caller.max_cost, _LEAST))
        order = Order(
            agent=name, goal=goal, given=given, budget=most, by="gateway", episode=episode
        )
        if request.stream:
            return await self._streamed(order, request.model, caller)
        run_id = await self._orchestra.begin(order, caller)
        try:
            outcome = await self._orchestra.outcome(run_id)
        except BaseException:  # the caller hung up: nobody would hear of it
            await self._stop(run_id, caller)
            raise
        return run_id, answer_of(run_id, outcome, request.model)

    async def _streamed(
        self, order: Order, model: str, caller: Caller
    ) -> tuple[str, Answer | RunStream]:
        stream = RunStream(model)
        run_id = await self._orchestra.begin(order, caller, stream.tell)
        ending = self._orchestra.ending(run_id)
        stream.begin(run_id, ending, lambda: self._stop(run_id, caller))
        return run_id, stream

    async def _stop(self, run_id: str, caller: Caller) -> None:
        with suppress(Conflict, NotFound):  # it has ended by itself
            await self._orchestra.cancel(run_id, caller)


def given_of(plan: Plan, goal: str, where: str = "messages") -> Mapping[str, Json]:
    """What a plan is given for a message: the message under the only text it takes, or the JSON
    object that the message is. ``where`` it stands is told in the error.

    Raises:
        MalformedRequest: the plan takes more than a text, and the message is no JSON object.
    """
    properties = plan.input.get("properties")
    named = list(properties) if isinstance(properties, dict) else []
    if not named:
        return {"text": goal}
    if len(named) == 1 and _takes_text(properties, named[0]):
        return {named[0]: goal}
    try:
        found: Mapping[str, Json] = msgspec.json.decode(goal, type=dict[str, Json])
        return found
    except msgspec.DecodeError:
        raise MalformedRequest(
            f"{where}: {plan.name} takes {', '.join(named)}: send them as one JSON object",
            where,
        ) from None


def _takes_text(properties: Json, name: str) -> bool:
    one = properties.get(name) if isinstance(properties, dict) else None
    return isinstance(one, dict) and one.get("type", "string") == "string"


def _goal(request: Request) -> str:
    last = request.messages[-1] if request.messages else None
    if last is None or last.role != "user" or not last.text.strip():
        raise MalformedRequest("messages: expected a goal from the user at the end", "messages")
    return last.text
