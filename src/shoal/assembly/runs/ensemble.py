"""The runs that this process performs, each in a task of its own, and who listens to them."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from shoal.assembly.runs.active import Active, Tell, look_at
from shoal.assembly.runs.journal import RunJournal
from shoal.assembly.runs.leases import Leases
from shoal.assembly.runs.order import Order
from shoal.assembly.runs.performance import Course, Performance, perform, write_end
from shoal.assembly.runs.plan_witness import Concern, PlanWitness
from shoal.assembly.runs.planners import Authors
from shoal.assembly.runs.scene import Scene, Scenes
from shoal.assembly.runs.story import Story, story_of
from shoal.errors import LeaseLost, NotFound, ShoalError
from shoal.planning.journal import Past
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Budget
from shoal.planning.planner import Planned
from shoal.routing.caller import Caller
from shoal.storage import Run, Store
from shoal.tools.tool import Json

_LAST = 1_000  # runs that ended, whose ids are kept

Planners = Callable[[Scene], Authors]
"""Who plans in a scene whose agent has no plan of its own. Not for event loops.

Raises:
    ShoalError: nobody can.
"""


class Ensemble:
    """Performs runs that this process has the lease of, and lets that go when they end."""

    def __init__(
        self,
        store: Store,
        scenes: Scenes,
        planners: Planners,
        leases: Leases,
        witness: PlanWitness | None = None,
    ) -> None:
        self._store, self._scenes, self._planners = store, scenes, planners
        self._leases, self._witness = leases, witness
        self._active = dict[str, Active]()
        self._ended = deque[str](maxlen=_LAST)

    @property
    def active(self) -> Mapping[str, Active]:
        """What is performed now, by the run's id."""
        return self._active

    @property
    def ended(self) -> Sequence[str]:
        """The last runs that were performed here, and are no more."""
        return tuple(self._ended)

    def perform(
        self,
        run: Run,
        order: Order,
        caller: Caller,
        tell: Tell | None,
        story: Story | None = None,
    ) -> None:
        """Begin to; ``story`` is what it did before."""
        active = self._active[run.id] = Active(run, tell)
        active.task = asyncio.create_task(self._performed(run, order, caller, active, story))
        active.task.add_done_callback(look_at)

    def ending(self, run_id: str) -> "asyncio.Task[Outcome]":
        """The end of a run; not to be cancelled.

        Raises:
            NotFound: this process does not perform it.
        """
        active = self._active.get(run_id)
        if active is None or active.task is None:
            raise NotFound(f"run {run_id!r} is not performed here now")
        return active.task

    def journal(self, run_id: str) -> RunJournal:
        """The journal of a run, for who has its lease."""
        return RunJournal(self._store, run_id, self._leases.owner)

    async def break_off(self) -> None:
        """Leave all that is under way to be gone on with."""
        stops = [active.stop() for active in self._active.values()]
        await asyncio.gather(*stops, return_exceptions=True)

    async def _performed(
        self, run: Run, order: Order, caller: Caller, active: Active, story: Story | None
    ) -> Outcome:
        try:
            while True:
                outcome = await self._once(run, order, caller, active, story)
                if outcome.state != "waiting" or not active.word_came:
                    return outcome
                active.word_came = False
                story = await asyncio.to_thread(story_of, self._store, run.id)
        except LeaseLost:
            now = await asyncio.to_thread(self._store.runs.get, run.id)
            if now.state == "cancelled":  # by another process
                return Outcome(state="cancelled", error="it was cancelled")
            raise
        except asyncio.CancelledError:
            if active.ended is None:
                raise
            return active.ended  # whoever waits for it is not cancelled with it
        finally:
            self._active.pop(run.id, None)
            self._ended.append(run.id)
            self._leases.release(run.id)

    async def _once(
        self, run: Run, order: Order, caller: Caller, active: Active, story: Story | None
    ) -> Outcome:
        journal = self.journal(run.id)
        raised = story.raised if story else Budget()
        try:
            scene = await self._scenes.set(order, caller, run.episode, raised)
            authors = Authors()
            if order.plan is None:
                authors = await asyncio.to_thread(self._planners, scene)
        except ShoalError as error:  # the settings have changed since it began
            hint = "put that back into shoal.toml and resume the run, or cancel it"
            return await write_end(journal, Outcome(state="stuck", error=str(error), hint=hint))
        course = story.course if story else None
        if course is None and order.plan is not None:
            given: dict[str, Json] = dict(order.given)
            course = Course(order.plan, given)
        if course is not None:
            plan = replace(course.plan, budget=course.plan.budget.raised(raised))
            course = replace(course, plan=plan)
        options = scene.agent.options if scene.agent else None
        concern = Concern(run.id, order.goal, dict(order.given), scene, authors.ready)
        with scene.regime.held():
            return await perform(
                Performance(
                    run_id=run.id,
                    catalogue=scene.catalogue,
                    hands=scene.hands,
                    limits=scene.limits,
                    journal=journal,
                    past=story.past if story else Past(),
                    tell=active.tell,
                    course=course,
                    planners=authors.planners,
                    goal=order.goal,
                    given=dict(order.given),
                    begun=story.begun if story else 0,
                    asks_first=options.ask_before_writing if options else True,
                    begins_early=options.begin_early if options else False,
                    replans=options.replans if options and order.plan is None else 0,
                    sampled=self._witness is None or self._witness.is_sampled(concern),
                    planned=partial(self._planned, concern),
                    kept=scene.agent.stored.keys() if scene.agent else frozenset(),
                    word_came=lambda: active.word_came,
                )
            )

    def _planned(self, concern: Concern, found: Planned) -> None:
        if self._witness is not None:
            self._witness.after(concern, found)
