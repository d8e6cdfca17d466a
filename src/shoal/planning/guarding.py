"""Puts a person's word before each call that changes something: for plans that a model wrote."""

from collections.abc import Iterable, Mapping, Sequence, Set

from msgspec.structs import replace

from shoal.planning.plan import ERROR, Approve, Arm, Branch, Map, Plan, Repeat, Step, Use
from shoal.planning.references import paths_in
from shoal.planning.shape import walk
from shoal.tools.tool import Json, ToolSpec

PREFIX = "approve_"
_LONGEST = 56  # of 64 characters that an id may have: more may have to tell it from others


def guarded(plan: Plan, tools: Mapping[str, ToolSpec]) -> Plan:
    """The plan in which a step ``approve_ID`` stands before each step ``ID`` that writes."""
    guard = Guard(tools, {step.id for step in walk(plan.steps)})
    return replace(plan, steps=guard.all(plan.steps))


def unguarded(plan: Plan) -> Plan:
    """The plan without the words that ``guarded`` puts into one: two plans that differ in these
    alone do the same."""
    words = {step.id for step in walk(plan.steps) if _is_word(step)}
    return replace(plan, steps=_without(plan.steps, words)) if words else plan


def _is_word(step: Step) -> bool:
    if not isinstance(step, Approve) or not step.id.startswith(PREFIX):
        return False
    show = step.show
    return (
        isinstance(show, dict)
        and show.keys() == {"tool", "arguments"}
        and step.question == f"Call {show['tool']}?"
    )


def _without(steps: Sequence[Step], words: Set[str]) -> tuple[Step, ...]:
    """Steps beside each other, without words of these ids."""
    return tuple(_bare(step, words) for step in steps if step.id not in words)


def _bare(step: Step, words: Set[str]) -> Step:
    step = replace(step, after=tuple(id for id in step.after if id not in words))
    if step.fallback is not None:
        step = replace(step, fallback=_bare(step.fallback, words))
    match step:
        case Map() | Repeat():
            return replace(step, steps=_without(step.steps, words))
        case Branch():
            arms = tuple(replace(arm, steps=_without(arm.steps, words)) for arm in step.arms)
            other = step.default
            other = other and replace(other, steps=_without(other.steps, words))
            return replace(step, arms=arms, default=other)
        case _:
            return step


class Guard:
    """Guards steps one after another; ``taken`` are ids that no word of its own may have."""

    def __init__(self, tools: Mapping[str, ToolSpec], taken: Iterable[str] = ()) -> None:
        self._tools, self._taken = tools, set(taken)

    def all(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Steps beside each other, with the words before them."""
        return tuple(one for step in steps for one in self.before(step))

    def before(self, step: Step) -> tuple[Step, ...]:
        """The words that a step waits for, and the step."""
        inner = self._within(step)
        words = [self._word(one) for one in _writing(inner, self._tools)]
        return (*words, replace(inner, after=(*inner.after, *(word.id for word in words))))

    def _word(self, step: Use) -> Approve:
        id = (PREFIX + step.id)[:_LONGEST]
        while id in self._taken:
            id += "_"
        self._taken.add(id)
        return Approve(
            id=id,
            after=step.after,
            question=f"Call {step.tool}?",
            show={"tool": step.tool, "arguments": _shown(dict(step.arguments))},
        )

    def _within(self, step: Step) -> Step:
        """The step with what lies in it, and in its fallbacks, guarded."""
        if step.fallback is not None:
            step = replace(step, fallback=self._within(step.fallback))
        match step:
            case Map() | Repeat():
                return replace(step, steps=self.all(step.steps))
            case Branch():
                arms = tuple(self._arm(arm) for arm in step.arms)
                return replace(step, arms=arms, default=step.default and self._arm(step.default))
            case _:
                return step

    def _arm(self, arm: Arm) -> Arm:
        return replace(arm, steps=self.all(arm.steps))


def _writing(step: Step, tools: Mapping[str, ToolSpec]) -> list[Use]:
    """The step itself and its fallbacks, as far as they write."""
    found = list[Use]()
    one: Step | None = step
    while one is not None:
        if isinstance(one, Use) and (one.tool not in tools or tools[one.tool].effects == "writes"):
            found.append(one)
        one = one.fallback
    return found


def _shown(value: Json) -> Json:
    """Arguments as a person is shown them before the call. What goes wrong with the step that it
    would stand in for is not known then: such a text is shown as the plan has it."""
    match value:
        case str():
            knows = all(path.root != ERROR for path in paths_in(value))
            return value if knows else value.replace("${", "$${")
        case list():
            return [_shown(one) for one in value]
        case dict():
            return {key: _shown(one) for key, one in value.items()}
        case _:
            return value
