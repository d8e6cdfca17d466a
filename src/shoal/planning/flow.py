"""Steps beside each other: each begins when what it needs is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn

from shoal.planning.outcome import RunStopped, StepFailed, Waiting
from shoal.planning.plan import Step
from shoal.tools.tool import Json

RunStep = Callable[[Step], Awaitable[Json]]


class Flow:
    """Runs the steps of one block once, and puts their results into ``scope``."""

    def __init__(
        self, scope: dict[str, Json], needs: Callable[[Step], frozenset[str]], run: RunStep
    ) -> None:
        self._scope, self._needs, self._run = scope, needs, run
        self._ids = set[str]()
        self._left = dict[str, set[str]]()  # step: those that it waits for
        self._steps = dict[str, Step]()  # that wait
        self._group = asyncio.TaskGroup()
        self._waits = False

    async def go(self, steps: Sequence[Step], more: AsyncIterator[Step] | None = None) -> None:
        """Run them, and those that come from ``more``, which need only what came before them. One
        that fails ends the others.

        Raises:
            StepFailed, RunStopped, Waiting: see ``Leaves.run``; the last after all others ended.
            ShoalError: what ``more`` or a journal raises.
        """
        try:
            async with self._group:
                self._ids |= {step.id for step in steps}
                for step in steps:
                    self._add(step)
                if more is not None:
                    async for step in more:
                        self._ids.add(step.id)
                        self._add(step)
        except BaseExceptionGroup as group:
            _raise_first(group)
        if self._waits or self._left:
            raise Waiting

    def _add(self, step: Step) -> None:
        waits = set((self._needs(step) & self._ids) - self._scope.keys())
        if waits:
            self._left[step.id], self._steps[step.id] = waits, step
        else:
            self._begin(step)

    async def _one(self, step: Step) -> None:
        try:
            value = await self._run(step)
        except Waiting:
            self._waits = True
            return
        self._scope[step.id] = value
        for name in [name for name, waits in self._left.items() if step.id in waits]:
            self._left[name].discard(step.id)
            if not self._left[name]:
                del self._left[name]
                self._begin(self._steps.pop(name))

    def _begin(self, step: Step) -> None:
        work = self._one(step)
        try:
            self._group.create_task(work)
        except RuntimeError:  # the group is ending: another step failed in the same moment
            work.close()


async def together(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do it beside each other; the first that fails ends the rest.

    Raises:
        Exception: what one raised; what ends the run before what only a step says.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as error:
        _raise_first(error)


def _raise_first(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """What ends the run outweighs what only one step says."""
    found = list[BaseException]()
    _flatten(group, found)
    for kind in (RunStopped, StepFailed):
        for one in found:
            if isinstance(one, kind):
                raise one from None
    raise found[0] from None


def _flatten(group: BaseExceptionGroup[BaseException], into: list[BaseException]) -> None:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            _flatten(one, into)
        else:
            into.append(one)
