"""What a step holds: values of its own, and blocks of further steps."""

from collections.abc import Iterator, Sequence

from msgspec import Struct, UnsetType

from shoal.planning.plan import (
    Approve,
    Arm,
    Ask,
    Branch,
    Condition,
    Map,
    Repeat,
    Retrieve,
    Say,
    Step,
    Use,
)
from shoal.planning.references import Path, paths_in
from shoal.tools.tool import Json


class Block(Struct, frozen=True):
    """Steps within a step: under what ``name`` they know an item or the round before ("" none), and
    the values that are filled in after them, with what they know."""

    steps: tuple[Step, ...]
    name: str
    after: tuple[tuple[str, Json], ...]


def own_values(step: Step) -> Iterator[tuple[str, Json]]:
    """Fields whose values are filled in before the step itself runs, by name."""
    match step:
        case Ask():
            yield from ((f"slots.{name}", value) for name, value in step.slots.items())
            yield from (("system", step.system), ("prompt", step.prompt))
        case Retrieve():
            yield from (("query", step.query), ("where", step.where))
        case Use():
            yield from ((f"arguments.{name}", value) for name, value in step.arguments.items())
        case Map():
            yield "over", step.over
        case Branch():
            for at, arm in enumerate(step.arms):
                yield from _conditions(f"arms[{at}].when", arm.when)
        case Repeat():
            yield "start", step.start
        case Approve():
            yield from (("question", step.question), ("show", step.show))
        case Say():
            yield "value", step.value
    if not isinstance(step.otherwise, UnsetType):
        yield "otherwise", step.otherwise


def blocks(step: Step) -> Iterator[Block]:
    """The steps within a step; its fallback is not among them."""
    match step:
        case Map():
            yield Block(step.steps, step.name, (("result", step.result),))
        case Repeat():
            until = tuple(_conditions("until", step.until))
            yield Block(step.steps, step.name, (("result", step.result), *until))
        case Branch():
            for arm in arms(step):
                yield Block(arm.steps, "", (("result", arm.result),))


def arms(step: Branch) -> tuple[Arm, ...]:
    """All ways of a branch, ``else`` last."""
    return (*step.arms, step.default) if step.default else step.arms


def walk(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, those within steps and the fallbacks too."""
    for step in steps:
        yield step
        if step.fallback is not None:
            yield from walk((step.fallback,))
        for block in blocks(step):
            yield from walk(block.steps)


def named_in(step: Step) -> Iterator[Path]:
    """All paths that a step names, those that lead to steps within it too."""
    for _, value in own_values(step):
        yield from paths_in(value)
    for block in blocks(step):
        for one in block.steps:
            yield from named_in(one)
        for _, value in block.after:
            yield from paths_in(value)
    if step.fallback is not None:
        yield from named_in(step.fallback)


def needs(step: Step) -> frozenset[str]:
    """The roots of its paths and what it is to run after; names from within it included."""
    return frozenset(path.root for path in named_in(step)) | frozenset(_after(step))


def ordered(steps: Sequence[Step]) -> list[Step]:
    """Each step after those of the same block that it needs.

    Raises:
        Circle: they wait for each other.
    """
    there = {step.id for step in steps}
    waits = {step.id: set(needs(step) & there) for step in steps}
    left, found = list(steps), list[Step]()
    while left:
        ready = [step for step in left if not waits[step.id]]
        if not ready:
            raise Circle(tuple(step.id for step in left))
        found += ready
        done = {step.id for step in ready}
        left = [step for step in left if step.id not in done]
        for step in left:
            waits[step.id] -= done
    return found


class Circle(Exception):
    """Steps that wait for each other, or for such; ``ids`` names them."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        super().__init__(", ".join(ids))
        self.ids = ids


def _after(step: Step) -> Iterator[str]:
    yield from step.after
    for block in blocks(step):
        for one in block.steps:
            yield from _after(one)
    if step.fallback is not None:
        yield from _after(step.fallback)


def _conditions(field: str, when: Sequence[Condition]) -> Iterator[tuple[str, Json]]:
    for at, one in enumerate(when):
        yield f"{field}[{at}].value", one.value
        yield f"{field}[{at}].than", one.than
