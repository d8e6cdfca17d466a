"""Agents as tools: an agent with a plan of its own takes what that takes, any other a goal."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import msgspec

from shoal.assembly.runs.agent import Agent
from shoal.assembly.runs.orchestra import Orchestra
from shoal.assembly.runs.order import AGENT, Order
from shoal.errors import Conflict, NotFound
from shoal.planning.plan import Use
from shoal.planning.references import as_text
from shoal.planning.shape import walk
from shoal.routing.caller import Caller
from shoal.routing.offer import Offer, Outcome
from shoal.tools.naming import tool_name
from shoal.tools.tool import Json, ToolSpec, schema

_ENDED = schema(
    {
        "run": {"type": "string"},
        "state": {"type": "string"},
        "answer": {},
    },
    ("run", "state"),
)
_GOAL = schema({"goal": {"type": "string", "description": "What is to be reached."}}, ("goal",))
_TIMEOUT_S = 600.0


class AgentOffers:
    """The agents that a caller may ask, as tools."""

    def __init__(self, orchestra: Orchestra) -> None:
        self._orchestra, self._scenes = orchestra, orchestra.scenes

    def __call__(self, caller: Caller) -> list[Offer]:
        """The offers, by name."""
        allowed, found = caller.spec.models, list[Offer]()
        for name in sorted(self._scenes.agents()):
            if not allowed or f"{AGENT}{name}" in allowed:
                agent = self._scenes.agent(name)
                found.append(Offer(_spec(agent), partial(self._run, agent)))
        return found

    async def _run(self, agent: Agent, arguments: Mapping[str, Json], caller: Caller) -> Outcome:
        if agent.plan is None:
            order = Order(agent=agent.name, goal=as_text(arguments["goal"]), by="gateway")
        else:
            order = Order(agent=agent.name, given=dict(arguments), by="gateway")
        run_id = await self._orchestra.begin(order, caller)
        try:
            outcome = await self._orchestra.outcome(run_id)
        except asyncio.CancelledError:
            with suppress(Conflict, NotFound):  # it has ended by itself
                await self._orchestra.cancel(run_id, caller)
            raise
        told: dict[str, Json] = {"run": run_id, "state": outcome.state, "answer": outcome.value}
        if outcome.state == "done":
            return Outcome(told, as_text(outcome.value))
        if outcome.state == "waiting":
            said = f"The run {run_id} waits for a person's word: `shoal runs approve {run_id}`."
            return Outcome(told, said)
        hint = f"; {outcome.hint}" if outcome.hint else ""
        ended = "has failed" if outcome.state == "failed" else f"is {outcome.state}"
        return Outcome(error=f"the run {run_id} {ended}: {outcome.error}{hint}")


def _spec(agent: Agent) -> ToolSpec:
    plan = agent.plan
    about = agent.options.description or (plan.goal if plan else "") or f"The agent {agent.name}."
    takes = _GOAL
    if plan is not None:
        takes = msgspec.json.encode(plan.input or {"type": "object"}).decode()
    calls = plan is None or any(isinstance(step, Use) for step in walk(plan.steps))
    return ToolSpec(
        name=tool_name("agent", agent.name),
        description=about,
        takes=takes,
        gives=_ENDED,
        effects="writes" if calls else "none",
        timeout_s=_TIMEOUT_S,
    )
