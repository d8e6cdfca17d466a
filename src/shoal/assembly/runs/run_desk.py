"""The desk of runs that the gateway asks."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from shoal.assembly.runs.agents import given_of
from shoal.assembly.runs.following import Follower, outcome_in
from shoal.assembly.runs.orchestra import Orchestra
from shoal.assembly.runs.order import Order, event_of
from shoal.assembly.runs.story import Story
from shoal.assembly.runs.telling import outcome_json
from shoal.errors import MalformedRequest, NotFound
from shoal.formats.runs import (
    NewRun,
    Outline,
    Question,
    Resumption,
    RunBudget,
    RunDetail,
    RunList,
    RunsAsked,
    RunView,
    Settlement,
    Word,
)
from shoal.planning.checker import RefusedPlan
from shoal.planning.drawing import drawn
from shoal.planning.estimate import Estimate
from shoal.planning.journal import Decision
from shoal.planning.plan import Budget, Plan, read_plan
from shoal.planning.references import as_text
from shoal.routing.caller import Caller
from shoal.storage import Run, RunRecord

_PAGE_BYTES = 8_000_000  # of bodies in one reply


class Runs:
    """What gateways tell callers of runs, and begin for them."""

    def __init__(self, orchestra: Orchestra) -> None:
        self._orchestra = orchestra

    async def outline(self, new: NewRun, caller: Caller) -> Outline:
        """What a run would call: see ``RunDesk``."""
        found = await self._orchestra.rehearse(self._order(new), caller)
        checked = found.checked
        if checked.problems:
            raise RefusedPlan(checked.problems)
        calls = [
            {
                "step": one.step,
                "calls": one.what,
                "times": one.times,
                "most": _known(one.most),
                "asked": one.asked,
            }
            for one in found.calls
        ]
        warnings = [str(one) for one in checked.warnings]
        return Outline(
            calls=calls,
            least=_known(checked.least),
            usual=_known(checked.usual),
            most=_known(checked.most),
            warnings=warnings,
        )

    async def begin(self, new: NewRun, caller: Caller) -> str:
        """Begin a run: see ``RunDesk``."""
        return await self._orchestra.begin(self._order(new), caller)

    async def outcome(self, run_id: str, caller: Caller) -> bytes:
        """How it ended: see ``RunDesk``."""
        return outcome_json(run_id, await self._orchestra.outcome(run_id))

    def follow(
        self, run_id: str, caller: Caller, after: int, to_its_end: bool
    ) -> AsyncIterator[bytes]:
        """Its events: see ``RunDesk``."""
        return Follower(self._orchestra, run_id, caller, after, to_its_end).events()

    async def list(self, asked: RunsAsked, caller: Caller) -> RunList:
        """Runs: see ``RunDesk``."""
        found = await self._orchestra.list(
            caller, asked.state, asked.agent, asked.before, asked.limit + 1
        )
        data = [_view(run) for run in found[: asked.limit]]
        last = data[-1].id if data else None
        return RunList(data=data, last_id=last, has_more=len(found) > asked.limit)

    async def get(self, run_id: str, caller: Caller, after: int, limit: int) -> RunDetail:
        """One run: see ``RunDesk``."""
        run = await self._orchestra.get(run_id, caller)
        story = await self._orchestra.story(run_id, caller)
        records = await self._orchestra.records(run_id, caller, after, limit)
        last = await self._orchestra.records(run_id, caller, run.records - 2, 1)
        return await asyncio.to_thread(_detail, run, story, records, last)

    async def drawing(self, run_id: str, caller: Caller) -> str:
        """Its plan as SVG: see ``RunDesk``."""
        story = await self._orchestra.story(run_id, caller)
        if story.plan is None:
            raise NotFound(f"run {run_id} has no plan yet")
        return await asyncio.to_thread(drawn, story.plan, story.past)

    async def decide(self, run_id: str, word: Word, caller: Caller) -> None:
        """A person's word: see ``RunDesk``."""
        said = Decision(word.approved, caller.name, word.note)
        await self._orchestra.decide(run_id, word.step, said, caller)

    async def resume(self, run_id: str, how: Resumption, caller: Caller) -> None:
        """Go on: see ``RunDesk``."""
        raised = _budget(how.budget) if how.budget else None
        await self._orchestra.resume(run_id, caller, raised)

    async def settle(self, run_id: str, said: Settlement, caller: Caller) -> None:
        """What became of a step: see ``RunDesk``."""
        if (said.value is msgspec.UNSET) != said.again:
            raise MalformedRequest("expected either 'value', what the step gave, or 'again': true")
        value = None if said.value is msgspec.UNSET else said.value
        await self._orchestra.settle(run_id, said.step, caller, value, said.again)

    async def cancel(self, run_id: str, caller: Caller) -> None:
        """End it: see ``RunDesk``."""
        await self._orchestra.cancel(run_id, caller)

    def _order(self, new: NewRun) -> Order:
        if (new.plan is None) == (new.agent is None):
            raise MalformedRequest("expected either 'plan' or 'agent'", "plan")
        about: dict[str, Any] = {"budget": _budget(new.budget), "episode": new.episode}
        if new.plan is not None:
            if new.goal:
                raise MalformedRequest("goal: a plan has its own; an agent takes one", "goal")
            plan = read_plan(msgspec.json.encode(new.plan))
            return Order(plan=plan, given=new.input, by="gateway", **about)
        assert new.agent is not None
        plan_of_agent = self._orchestra.scenes.agent(new.agent).plan
        given = _given(plan_of_agent, new)
        return Order(agent=new.agent, goal=new.goal, given=given, by="gateway", **about)


def _given(plan: Plan | None, new: NewRun) -> dict[str, Any]:
    if plan is None:
        if not new.goal.strip():
            raise MalformedRequest("goal: expected what the agent is to reach, found none", "goal")
        return new.input
    return new.input or (dict(given_of(plan, new.goal, "goal")) if new.goal else {})


def _detail(
    run: Run, story: Story, records: Sequence[RunRecord], last: Sequence[RunRecord]
) -> RunDetail:
    shown, size = list[dict[str, Any]](), 0
    for one in records:
        size += len(one.body)
        if shown and size > _PAGE_BYTES:
            break
        shown.append(event_of(one))
    past = story.past
    plan = None if story.plan is None else msgspec.to_builtins(story.plan)
    questions = [
        Question(
            step=step,
            question=as_text(past.asked[step].get("question")),
            show=past.asked[step].get("show"),
        )
        for step in sorted(past.open)
    ]
    given = story.course.given if story.course else story.order.given
    paused = bool(last) and last[0].kind in ("ended", "paused")
    seq = shown[-1]["seq"] if shown else run.records - 1
    return RunDetail(
        run=_view(run),
        plan=plan,
        input=dict(given),
        questions=questions,
        unsettled=sorted(past.begun),
        outcome=outcome_in(last[0]) if paused else None,
        records=shown,
        last_seq=seq,
        has_more=seq < run.records - 1,
    )


def _view(run: Run) -> RunView:
    return RunView(
        id=run.id,
        name=run.name,
        goal=run.goal,
        agent=run.agent,
        episode=run.episode,
        state=run.state,
        started_at=run.started_at,
        updated_at=run.updated_at,
        cost=run.cost,
        tokens=run.tokens,
        records=run.records,
    )


def _budget(asked: RunBudget) -> Budget:
    return Budget(steps=asked.steps, tokens=asked.tokens, usd=asked.usd, seconds=asked.seconds)


def _known(estimate: Estimate) -> dict[str, float | None]:
    told = msgspec.structs.asdict(estimate)
    return {name: None if math.isinf(value) else value for name, value in told.items()}
