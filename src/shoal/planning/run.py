"""Runs a plan: its steps in parallel as what they need arrives, within limits, written down.

A run that was killed goes on by running the plan again: what the journal holds is taken from
there, so that nothing is asked or done twice, and each branch is taken as it was.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from msgspec import Struct, UnsetType

from shoal.errors import MalformedRequest, ShoalError
from shoal.planning.catalogue import Catalogue
from shoal.planning.conditions import all_hold
from shoal.planning.flow import Flow, together
from shoal.planning.hands import Hands
from shoal.planning.journal import Entry, Journal, NoJournal, Past
from shoal.planning.leaves import Circumstances, Leaves
from shoal.planning.limits import Limits
from shoal.planning.outcome import Outcome, RunStopped, State, StepFailed, Waiting
from shoal.planning.plan import ERROR, INPUT, Arm, Branch, Map, Plan, Repeat, Say, Step
from shoal.planning.references import filled
from shoal.planning.shape import named_in, needs, walk
from shoal.planning.spending import Spending
from shoal.tools.tool import Json

_EVERY = 200  # entries after which a loop lets the journal catch up
_MOST_TURNS = 1_000_000  # rounds and items of a run: those without a step in them count for nothing
_MOST_AT_ONCE = 1_000  # items of a list that are begun beside each other
_LONGEST_TURN_S = 0.005  # that loops may keep the event loop for themselves


def _nobody(entry: Entry) -> None:
    """Hears of what happens, where nobody wants to."""


class Around(Struct, frozen=True, kw_only=True):
    """What a run stands in: who does what its steps ask for, what they may call, within what
    limits, where it is written down, what it did before, who hears of it. ``place`` stands before
    the places of all steps: "" but for a plan that replaced another."""

    run_id: str
    hands: Hands
    catalogue: Catalogue
    limits: Limits = Limits()
    journal: Journal = NoJournal()
    past: Past = Past()
    tell: Callable[[Entry], None] = _nobody
    place: str = ""


async def run_plan(
    plan: Plan,
    given: Mapping[str, Json],
    around: Around,
    known: Mapping[str, Json] | None = None,
    coming: AsyncIterator[Step] | None = None,
) -> Outcome:
    """Run a plan that was checked, for an input that keeps its schema. ``known`` are more roots of
    paths. Steps that are ``coming``, each checked, may begin before the plan is whole if they
    change nothing; when the last is there, the plan has been checked whole.

    Cancelling it stops the run; what was done is written down. Raises nothing else.
    """
    return await _Run(plan, given, around, known or {}, coming).go()


class _Run:
    def __init__(
        self,
        plan: Plan,
        given: Mapping[str, Json],
        around: Around,
        known: Mapping[str, Json],
        coming: AsyncIterator[Step] | None,
    ) -> None:
        self._plan, self._around, self._coming = plan, around, coming
        self._scope: dict[str, Json] = {INPUT: dict(given), **known}
        self._limits = around.limits.within(plan.budget)
        past = around.past
        self._spending = Spending(self._limits, past)
        self._whole = asyncio.Event()
        self._answers = dict[str, Json]()  # by place, as they are reached
        self._turns, self._breathed = 0, time.monotonic()
        self._needed, self._held = dict[int, frozenset[str]](), list[Step]()
        self._used = frozenset(path.root for step in walk(plan.steps) for path in named_in(step))
        self._leaves = Leaves(
            Circumstances(
                around.run_id,
                around.hands,
                around.catalogue,
                self._limits,
                around.journal,
                past,
                self._spending,
                self._whole,
                asyncio.Semaphore(self._limits.at_once),
                around.tell,
            )
        )

    async def go(self) -> Outcome:
        """The whole run."""
        try:
            async with asyncio.timeout(self._spending.left_s if self._limits.seconds else None):
                flow = self._flow(self._scope, self._around.place)
                if self._coming is None:
                    self._whole.set()
                await flow.go(self._plan.steps, self._coming and self._arriving(self._coming))
                await self._around.journal.kept()
        except TimeoutError:
            limit = f"the run has used its {self._limits.seconds:g} seconds"
            return self._ended("over budget", limit, hint="raise its budget, and resume it")
        except Waiting:
            return await self._kept(self._ended("waiting"))
        except StepFailed as error:
            return self._ended("failed", error.message, error.hint, error.step)
        except RunStopped as error:
            return self._ended(error.state, error.message, error.hint, error.step)
        except ShoalError as error:  # of the journal, or of who writes the plan
            return self._ended("failed", str(error))
        if not self._answers:
            return self._ended("failed", "no step that answers was reached")
        return self._ended("done")

    async def _kept(self, outcome: Outcome) -> Outcome:
        try:
            await self._around.journal.kept()
        except ShoalError as error:
            return self._ended("failed", str(error))
        return outcome

    async def _arriving(self, coming: AsyncIterator[Step]) -> AsyncIterator[Step]:
        async for step in coming:
            yield step
        self._whole.set()

    def _ended(self, state: State, error: str = "", hint: str = "", step: str = "") -> Outcome:
        spending = self._spending
        return Outcome(
            state=state,
            value=self._first_answer() if state == "done" else None,
            error=error,
            hint=hint,
            step=step,
            steps=spending.steps,
            tokens=spending.tokens,
            output_tokens=spending.output_tokens,
            usd=spending.usd,
            seconds=spending.seconds,
        )

    def _first_answer(self) -> Json:
        """The first reached; those of before a kill were, in the order of the journal."""
        before = (place for place in self._around.past.finished if place in self._answers)
        return self._answers[next(before, next(iter(self._answers)))]

    async def _step(self, step: Step, scope: Mapping[str, Json], before: str) -> Json:
        """The result of a step, or of what stands in its place."""
        place = before + step.id
        known = self._around.past.failed.get(place)
        try:
            if known is not None:
                raise StepFailed(place, known.message, known.hint)
            return await self._of_kind(step, scope, place)
        except MalformedRequest as error:
            failed = StepFailed(place, str(error))
        except StepFailed as error:
            failed = error
        is_set = not isinstance(step.otherwise, UnsetType)
        if step.fallback is None and not is_set:
            raise failed
        if known is None:
            self._handled(place, failed)
        wrong: Json = {"step": step.id, "message": failed.message, "hint": failed.hint}
        informed = {**scope, ERROR: wrong}
        if step.fallback is not None:
            return await self._step(step.fallback, informed, before)
        assert not isinstance(step.otherwise, UnsetType)
        return self._filled(step.otherwise, informed, place)

    async def _of_kind(self, step: Step, scope: Mapping[str, Json], place: str) -> Json:
        match step:
            case Map():
                return await self._map(step, scope, place)
            case Repeat():
                return await self._repeat(step, scope, place)
            case Branch():
                return await self._branch(step, scope, place)
            case Say():
                value = await self._leaves.run(step, scope, place)
                self._answers[place] = value
                return value
            case _:
                return await self._leaves.run(step, scope, place)

    async def _block(self, steps: Sequence[Step], scope: dict[str, Json], before: str) -> None:
        if len(steps) == 1:
            scope[steps[0].id] = await self._step(steps[0], scope, before)
        elif steps:
            await self._flow(scope, before).go(steps)

    def _flow(self, scope: dict[str, Json], before: str) -> Flow:
        return Flow(scope, self._needs, lambda step: self._step(step, scope, before))

    def _needs(self, step: Step) -> frozenset[str]:
        """Kept, as steps within loops are run many times."""
        found = self._needed.get(id(step))
        if found is None:
            found = self._needed[id(step)] = needs(step)
            self._held.append(step)  # so that no other step gets its id
        return found

    async def _map(self, step: Map, scope: Mapping[str, Json], place: str) -> Json:
        items = self._filled(step.over, scope, place)
        if not isinstance(items, list):
            raise StepFailed(place, f"over: expected a list, found {type(items).__name__}")
        if len(items) > step.at_most:
            raise StepFailed(
                place,
                f"over: the list has {len(items):,} items, at most {step.at_most:,} are taken",
            )
        keeps = self._coming is not None or step.id in self._used
        results: list[Json] = [None] * len(items) if keeps else []
        left, waits = iter(range(len(items))), False

        async def work() -> None:
            nonlocal waits
            for at in left:
                try:
                    value = await self._item(step, scope, items[at], f"{place}[{at}]")
                except Waiting:
                    waits = True
                    continue
                if keeps:
                    results[at] = value
                await self._breathe(place)

        at_once = min(step.at_once, len(items), _MOST_AT_ONCE)
        await together([work() for _ in range(at_once)])
        if waits:
            raise Waiting
        return results

    async def _item(self, step: Map, scope: Mapping[str, Json], item: Json, place: str) -> Json:
        known = self._around.past.failed.get(place)
        if known is not None:
            return None
        inner = {**scope, step.name: item}
        try:
            await self._block(step.steps, inner, f"{place}.")
            return self._filled(step.result, inner, place)
        except StepFailed as failed:
            if not step.skip:
                raise
            self._handled(place, failed)
            return None

    async def _repeat(self, step: Repeat, scope: Mapping[str, Json], place: str) -> Json:
        last = self._filled(step.start, scope, place)
        for count in range(step.at_most):
            inner = {**scope, step.name: last}
            await self._block(step.steps, inner, f"{place}#{count + 1}.")
            last = self._filled(step.result, inner, place)
            if all_hold(step.until, inner):
                break
            await self._breathe(place)
        return last

    async def _branch(self, step: Branch, scope: Mapping[str, Json], place: str) -> Json:
        for at, arm in enumerate(step.arms):
            if all_hold(arm.when, scope):
                return await self._arm(arm, scope, f"{place}:{at}")
        if step.default is not None:
            return await self._arm(step.default, scope, f"{place}:else")
        return None

    async def _arm(self, arm: Arm, scope: Mapping[str, Json], place: str) -> Json:
        inner = dict(scope)
        await self._block(arm.steps, inner, f"{place}.")
        return self._filled(arm.result, inner, place)

    def _filled(self, value: Json, scope: Mapping[str, Json], place: str) -> Json:
        try:
            return filled(value, scope)
        except MalformedRequest as error:
            raise StepFailed(place, str(error)) from error

    def _handled(self, place: str, failed: StepFailed) -> None:
        """Write down that something else stands in the place of a step that failed."""
        told: dict[str, Json] = {"error": failed.message, "hint": failed.hint, "handled": True}
        entry = Entry("failed", place, told)
        self._around.journal.note(entry)
        self._around.tell(entry)

    async def _breathe(self, place: str) -> None:
        """Let the journal and others catch up now and then: a long loop must not outrun them.

        Raises:
            RunStopped: the loops of this run have gone round too often.
        """
        self._turns += 1
        if self._turns > _MOST_TURNS:
            told = f"the run has used its {_MOST_TURNS:,} rounds and items"
            raise RunStopped("over budget", place, told, "loop less; this limit cannot be raised")
        if self._turns % _EVERY == 0:
            await self._around.journal.kept()
        if time.monotonic() - self._breathed > _LONGEST_TURN_S:
            await asyncio.sleep(0)
            self._breathed = time.monotonic()
