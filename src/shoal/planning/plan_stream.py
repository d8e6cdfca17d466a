"""A plan while it is being written: its steps, as soon as each is whole and can be run.

So what only reads can start before the plan is finished (LLMCompiler; Kim et al. 2024, streamed
dispatch). A step that names one further down is held back until that is there. What the end of the
plan shows to be wrong, a step without an answer say, comes out at the end: by then steps may have
run, which is why only those that ``is_read_only`` should.
"""

from collections.abc import AsyncIterator, Callable, Mapping

from msgspec.structs import replace

from shoal.chat import Answer, AnswerStream
from shoal.errors import MalformedRequest
from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import Checked, Problem, RefusedPlan, check
from shoal.planning.limits import Limits
from shoal.planning.plan import Approve, Plan, Say, Step, Use, read_step
from shoal.planning.plan_text import plan_in
from shoal.planning.schemas import Schema
from shoal.planning.shape import walk
from shoal.planning.step_scanner import StepScanner

Check = Callable[[Plan, bool], Checked]
"""A plan, and whether it is whole, -> what is wrong with it."""


def is_read_only(step: Step, catalogue: Catalogue) -> bool:
    """Whether a step, those within it included, changes nothing, waits for nobody and says
    nothing: it may run though the plan may turn out wrong."""
    return not any(
        isinstance(one, Say | Approve)
        or (
            isinstance(one, Use)
            and (one.tool not in catalogue.tools or catalogue.tools[one.tool].effects == "writes")
        )
        for one in walk((step,))
    )


def checking(
    catalogue: Catalogue,
    limits: Limits | None = None,
    known: Mapping[str, Schema] | None = None,
) -> Check:
    """``check`` against this catalogue."""
    return lambda plan, whole: check(plan, catalogue, limits, known, whole)


class PlanStream:
    """Iterate over it once for the steps, in the plan's order; then ``plan`` is all of it.

    ``checked`` tells of its warnings and estimates, ``answer`` what the stream came to.
    """

    def __init__(self, stream: AnswerStream, check: Check) -> None:
        self._stream, self._check = stream, check
        self._scanner = StepScanner()
        self._steps: list[Step] = []
        self._given_out, self._next_look = 0, 1
        self._plan: Plan | None = None
        self.checked = Checked(())

    @property
    def plan(self) -> Plan:
        """The whole plan.

        Raises:
            RuntimeError: the stream has not ended yet.
        """
        if self._plan is None:
            raise RuntimeError("the plan is still being written: iterate over its steps first")
        return self._plan

    @property
    def answer(self) -> Answer:
        """What has been written so far."""
        return self._stream.answer

    async def __aiter__(self) -> AsyncIterator[Step]:
        """The steps, each once, as they can be run.

        Raises:
            RefusedPlan: the whole plan will not do.
            MalformedRequest: what was written is no plan.
            EngineError: the stream broke off.
        """
        async for piece in self._stream:
            for delta in piece.deltas:
                for text in self._scanner.feed(delta.text):
                    self._steps.append(read_step(text))
                for step in self._ready():
                    yield step
        rest = self._finished()
        for step in rest:
            yield step

    async def aclose(self) -> None:
        """Stop, upstream too."""
        await self._stream.aclose()

    def _ready(self) -> list[Step]:
        """Steps not given out yet that, with all before them, can be run as they stand."""
        written = len(self._steps)
        if written < self._next_look or written == self._given_out:
            return []
        # Looking at each of a long plan's beginnings would take time that is quadratic in it.
        self._next_look = written + 1 + written // 16
        begun = Plan(name="being written", steps=tuple(self._steps))
        if self._check(begun, False).problems:
            return []
        return self._give_out()

    def _finished(self) -> list[Step]:
        answer = self._stream.answer
        if answer.refusal:
            raise MalformedRequest(f"no plan: the model refused: {answer.refusal[:300]}")
        if answer.finish_reason == "length":
            raise MalformedRequest("no plan: the answer was cut short at its most tokens")
        plan = plan_in(self._scanner.text)
        if plan.steps[: self._given_out] != tuple(self._steps[: self._given_out]):
            raise MalformedRequest("no plan: it names its steps twice, differently")
        self.checked = self._check(plan, True)
        if self.checked.problems:
            raise RefusedPlan(self.checked.problems)
        self._plan, self._steps = plan, list(plan.steps)
        return self._give_out()

    def _give_out(self) -> list[Step]:
        new = self._steps[self._given_out :]
        self._given_out = len(self._steps)
        return new


def reserved(check: Check, name: str) -> Check:
    """``check``, and that no step takes this name, which is a root of paths already."""

    def checked(plan: Plan, whole: bool) -> Checked:
        found = check(plan, whole)
        taken = [
            Problem(step.id, f"id: {name!r} is the name of the results so far")
            for step in walk(plan.steps)
            if step.id == name
        ]
        return replace(found, problems=(*taken, *found.problems)) if taken else found

    return checked
