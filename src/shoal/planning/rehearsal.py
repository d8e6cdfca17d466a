"""What a plan would call, told without calling anything."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import Checked, check
from shoal.planning.estimate import Estimate, Estimator
from shoal.planning.limits import Limits
from shoal.planning.plan import Approve, Ask, Map, Plan, Repeat, Retrieve, Step, Use
from shoal.planning.shape import blocks, ordered
from shoal.tools.tool import Json


class Call(Struct, frozen=True):
    """One step that reaches out: ``what`` it calls, at most how many ``times``, what that comes to
    ``most``, and the ``asked`` with its paths as they stand in the plan."""

    step: str
    what: str
    times: int
    most: Estimate
    asked: Json


class Rehearsal(Struct, frozen=True):
    """The calls of a plan in an order in which they may run, and what the checker says; no calls
    if it refuses the plan."""

    plan: Plan
    checked: Checked
    calls: tuple[Call, ...]


def rehearse(plan: Plan, catalogue: Catalogue, limits: Limits) -> Rehearsal:
    """What a plan would call."""
    checked = check(plan, catalogue, limits)
    if checked.problems:
        return Rehearsal(plan, checked, ())
    estimator = Estimator(catalogue, limits.within(plan.budget))
    return Rehearsal(plan, checked, tuple(_calls(plan.steps, estimator, 1)))


def _calls(steps: Sequence[Step], estimator: Estimator, times: int) -> Iterator[Call]:
    for step in ordered(steps):
        if isinstance(step, Ask | Retrieve | Use | Approve):
            alone = msgspec.structs.replace(step, fallback=None)
            most = estimator.most((alone,)).times(times)
            yield Call(step.id, _what(step), times, most, _asked(step))
        inner = times * (step.at_most if isinstance(step, Map | Repeat) else 1)
        for block in blocks(step):
            yield from _calls(block.steps, estimator, inner)
        if step.fallback is not None:
            yield from _calls((step.fallback,), estimator, times)


def _what(step: Ask | Retrieve | Use | Approve) -> str:
    match step:
        case Ask():
            first = f"task {step.task}" if step.task else step.model
            return " or ".join((first, *step.escalate))
        case Retrieve():
            return f"collection {step.collection}"
        case Use():
            return f"tool {step.tool}"
        case Approve():
            return "a person"


def _asked(step: Ask | Retrieve | Use | Approve) -> Json:
    match step:
        case Ask():
            return dict(step.slots) if step.task else step.prompt
        case Retrieve():
            return step.query
        case Use():
            return dict(step.arguments)
        case Approve():
            return step.question
