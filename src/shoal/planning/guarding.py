"""Puts a person's word before each call that changes something: for plans that a model wrote."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from shoal.planning.plan import Approve, Arm, Branch, Map, Plan, Repeat, Step, Use
from shoal.planning.shape import walk
from shoal.tools.tool import ToolSpec

PREFIX = "approve_"


def guarded(plan: Plan, tools: Mapping[str, ToolSpec]) -> Plan:
    """The plan in which a step ``approve_ID`` stands before each step ``ID`` that writes."""
    taken = {step.id for step in walk(plan.steps)}
    return replace(plan, steps=_guarded(plan.steps, tools, taken))


def _guarded(
    steps: Sequence[Step], tools: Mapping[str, ToolSpec], taken: set[str]
) -> tuple[Step, ...]:
    found = list[Step]()
    for step in steps:
        inner = _within(step, tools, taken)
        words = [_word(one, tools, taken) for one in _writing(inner, tools)]
        found += words
        found.append(replace(inner, after=(*inner.after, *(word.id for word in words))))
    return tuple(found)


def _writing(step: Step, tools: Mapping[str, ToolSpec]) -> list[Use]:
    """The step itself and its fallbacks, as far as they write."""
    found = list[Use]()
    one: Step | None = step
    while one is not None:
        if isinstance(one, Use) and (one.tool not in tools or tools[one.tool].effects == "writes"):
            found.append(one)
        one = one.fallback
    return found


def _word(step: Use, tools: Mapping[str, ToolSpec], taken: set[str]) -> Approve:
    id = PREFIX + step.id
    while id in taken:
        id += "_"
    taken.add(id)
    return Approve(
        id=id,
        after=step.after,
        question=f"Call {step.tool}?",
        show={"tool": step.tool, "arguments": dict(step.arguments)},
    )


def _within(step: Step, tools: Mapping[str, ToolSpec], taken: set[str]) -> Step:
    """The step with what lies in it, and in its fallbacks, guarded."""
    if step.fallback is not None:
        step = replace(step, fallback=_within(step.fallback, tools, taken))
    match step:
        case Map() | Repeat():
            return replace(step, steps=_guarded(step.steps, tools, taken))
        case Branch():
            arms = tuple(_arm(arm, tools, taken) for arm in step.arms)
            default = _arm(step.default, tools, taken) if step.default else None
            return replace(step, arms=arms, default=default)
        case _:
            return step


def _arm(arm: Arm, tools: Mapping[str, ToolSpec], taken: set[str]) -> Arm:
    return replace(arm, steps=_guarded(arm.steps, tools, taken))
