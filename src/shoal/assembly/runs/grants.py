"""What a run may touch: what its agent names, of that what its caller's key is for."""

from collections.abc import Sequence

from msgspec import Struct

from shoal.planning.options import AgentOptions
from shoal.planning.plan import Ask, Plan, Retrieve, Use
from shoal.planning.shape import walk
from shoal.routing.caller import KeySpec

Names = frozenset[str] | None
"""Those that may be used; None: any."""


class Grants(Struct, frozen=True):
    """Tools, tasks, models and collections, by name."""

    tools: Names = None
    tasks: Names = None
    models: Names = None
    collections: Names = None

    def within(self, spec: KeySpec) -> "Grants":
        """What of it a key is for. Models and tasks of an agent are asked on the caller's behalf:
        who may ask the agent need not be able to ask them."""
        return Grants(
            _both(self.tools, spec.tools),
            _both(self.tasks, spec.tasks) if self.tasks is None else self.tasks,
            _both(self.models, spec.models) if self.models is None else self.models,
            _both(self.collections, spec.collections),
        )


def of_agent(options: AgentOptions, plan: Plan | None) -> Grants:
    """What an agent may use: what is named for it, and what its own plan names."""
    own = _named(plan) if plan is not None else Grants(*[frozenset[str]()] * 4)
    return Grants(
        frozenset(options.tools) | (own.tools or frozenset()),
        frozenset(options.tasks) | (own.tasks or frozenset()),
        frozenset(options.models) | (own.models or frozenset()),
        frozenset(options.collections) | (own.collections or frozenset()),
    )


def tools_to_look_at(grants: Grants, plan: Plan | None) -> Names:
    """Tools of which it has to be known what they are now: those that a plan names, if there is
    one. A server of others that hangs then holds up nobody."""
    if plan is None:
        return grants.tools
    named = _named(plan).tools or frozenset()
    return named if grants.tools is None else named & grants.tools


def _named(plan: Plan) -> Grants:
    steps = list(walk(plan.steps))
    asks = [step for step in steps if isinstance(step, Ask)]
    models = {step.model for step in asks} | {name for step in asks for name in step.escalate}
    return Grants(
        frozenset(step.tool for step in steps if isinstance(step, Use)),
        frozenset(step.task for step in asks if step.task),
        frozenset(models - {""}),
        frozenset(step.collection for step in steps if isinstance(step, Retrieve)),
    )


def _both(names: Names, of_key: Sequence[str]) -> Names:
    if not of_key:
        return names
    return frozenset(of_key) if names is None else names & frozenset(of_key)
