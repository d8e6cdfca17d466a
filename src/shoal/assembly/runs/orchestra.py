"""The orchestra: begins runs, goes on with those that were broken off, and tells of them."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar

import msgspec
import uuid_utils
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from shoal.assembly.runs.callers import caller_of, own_run
from shoal.assembly.runs.journal import DECIDED, RunJournal, past_of
from shoal.assembly.runs.order import Order, order_of, written_order
from shoal.assembly.runs.performance import PLANNED, PLANNING, Course, Performance, perform
from shoal.assembly.runs.scene import Scene, Scenes
from shoal.errors import Conflict, NotFound, ShoalError
from shoal.planning.checker import RefusedPlan
from shoal.planning.journal import Decision, Entry, Past
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Budget
from shoal.planning.planner import Planner
from shoal.planning.rehearsal import Rehearsal, rehearse
from shoal.routing.caller import Caller
from shoal.storage import Run, RunRecord, Store
from shoal.tools.tool import Json

log = logging.getLogger(__name__)
T = TypeVar("T")

Tell = Callable[[Entry], None]
Planners = Callable[[Scene], Planner]
"""Who plans in a scene whose agent has no plan of its own.

Raises:
    ShoalError: nobody can.
"""

_LEASE_S = 30.0
_LOOKS_EVERY_S = 5.0
_PAGE = 1_000
RESUMED = "resumed"


class _Active:
    """A run that this process performs."""

    def __init__(self, tell: Tell | None) -> None:
        self.task: asyncio.Task[Outcome] | None = None
        self.journal: RunJournal | None = None
        self.listeners: list[Tell] = [tell] if tell else []
        self.word_came = False

    def tell(self, entry: Entry) -> None:
        """Let all who listen know."""
        for listener in self.listeners:
            listener(entry)


class Story(Struct, frozen=True):
    """A run as its records tell it."""

    order: Order
    course: Course | None
    past: Past
    begun: int
    raised: Budget | None


class Orchestra:
    """Performs runs within one event loop. ``resumes``: it goes on with runs of gateways that
    another process left behind. Use it with ``async with``."""

    def __init__(
        self, store: Store, scenes: Scenes, planners: Planners, resumes: bool = False
    ) -> None:
        self._store, self._scenes, self._planners = store, scenes, planners
        self._resumes = resumes
        self._owner = f"{os.uname().nodename}:{os.getpid()}:{uuid_utils.uuid7()}"
        self._active = dict[str, _Active]()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Runs that are under way are left to be gone on with."""
        assert self._watching is not None
        self._watching.cancel()
        tasks = [active.task for active in self._active.values() if active.task]
        for task in tasks:
            task.cancel("the process stops")
        if tasks:
            await asyncio.wait(tasks)

    @property
    def scenes(self) -> Scenes:
        """Where its runs take place."""
        return self._scenes

    async def rehearse(self, order: Order, caller: Caller) -> Rehearsal:
        """What the plan of an order would call; nothing is.

        Raises:
            UnknownModel: there is no such agent.
            NotFound: its agent plans for each goal anew.
        """
        scene = await self._scenes.set(order, caller, "", None)
        plan = order.plan or scene.plan
        if plan is None:
            raise NotFound(f"{order.agent} has no plan of its own: it writes one for each goal")
        return rehearse(plan, scene.catalogue, scene.limits)

    async def begin(self, order: Order, caller: Caller, tell: Tell | None = None) -> str:
        """Begin a run; returns its id, once that is safe in the store.

        Raises:
            RefusedPlan: its plan cannot be run; nothing was begun.
            UnknownModel: there is no such agent.
            StoreError: it cannot be written down.
        """
        if order.plan is None and (own := self._scenes.agent(order.agent).plan) is not None:
            order = replace(order, plan=own)  # as it is now: its file may change meanwhile
        if order.plan is not None:
            problems = (await self.rehearse(order, caller)).checked.problems
            if problems:
                raise RefusedPlan(problems)
        now, run_id = time.time(), str(uuid_utils.uuid7())
        run = Run(
            id=run_id,
            name=order.name,
            goal=order.goal,
            agent=order.agent,
            key=caller.key,
            episode=order.episode or run_id,
            started_at=now,
            owner=self._owner,
            lease_until=now + _LEASE_S,
        )
        body = written_order(order)
        await self._write(lambda conn: self._store.runs.start(conn, run, body))
        self._perform(run, order, caller, tell)
        return run_id

    async def run(self, order: Order, caller: Caller, tell: Tell | None = None) -> Outcome:
        """Begin a run and wait for its end; cancelled, the run is cancelled too.

        Raises:
            RefusedPlan, UnknownModel, StoreError: see ``begin``.
        """
        run_id = await self.begin(order, caller, tell)
        try:
            return await self.outcome(run_id)
        except asyncio.CancelledError:
            await self.cancel(run_id, caller)
            raise

    async def outcome(self, run_id: str) -> Outcome:
        """How a run ends that this process performs.

        Raises:
            NotFound: it does not perform it.
            ShoalError: its end cannot be written down.
        """
        active = self._active.get(run_id)
        if active is None or active.task is None:
            raise NotFound(f"run {run_id!r} is not performed here now")
        return await asyncio.shield(active.task)

    def listen(self, run_id: str, tell: Tell) -> bool:
        """Have ``tell`` hear of a run from now on; false if this process does not perform it."""
        active = self._active.get(run_id)
        if active is not None:
            active.listeners.append(tell)
        return active is not None

    async def resume(
        self, run_id: str, caller: Caller, raised: Budget | None = None, tell: Tell | None = None
    ) -> None:
        """Go on with a run that waits, is stuck, or was broken off; ``raised`` is its budget from
        here on.

        Raises:
            NotFound: there is no such run of the caller's.
            Conflict: it has ended, or somebody performs it.
            StoreError: it cannot be written down.
        """
        run = await self._take(run_id, caller)
        journal = RunJournal(self._store, run_id, self._owner)
        told: dict[str, Any] = {"budget": raised} if raised else {}
        await self._with_record(run, journal, RESUMED, "", told, tell)

    async def decide(
        self, run_id: str, step: str, word: Decision, caller: Caller, tell: Tell | None = None
    ) -> None:
        """Give a person's word on a question of a run, which goes on with it.

        Raises:
            NotFound: there is no such run of the caller's, or no such question.
            Conflict: the question was answered, the run has ended, or another process performs it.
            StoreError: it cannot be written down.
        """
        story = await self.story(run_id, caller)
        if step not in story.past.asked:
            open_ = (
                ", ".join(sorted(story.past.asked.keys() - story.past.decisions.keys())) or "none"
            )
            raise NotFound(f"run {run_id}: no question at {step!r}; open questions: {open_}")
        if step in story.past.decisions:
            raise Conflict(f"run {run_id}: {step} was answered already")
        body = msgspec.to_builtins(word)
        active = self._active.get(run_id)
        if active is not None and active.journal is not None:
            active.word_came = True  # before the run can end without knowing
            active.journal.add(DECIDED, step, body)
            await active.journal.kept()
            return
        run = await self._take(run_id, caller)
        journal = RunJournal(self._store, run_id, self._owner)
        await self._with_record(run, journal, DECIDED, step, body, tell)

    async def settle(
        self,
        run_id: str,
        step: str,
        caller: Caller,
        value: Json = None,
        again: bool = False,
        tell: Tell | None = None,
    ) -> None:
        """Say of the step at which a run is stuck what it gave, or that it is to be done
        ``again``; the run goes on.

        Raises:
            NotFound: there is no such run of the caller's, or it is not stuck at that step.
            Conflict: it has ended, or somebody performs it.
            StoreError: it cannot be written down.
        """
        story = await self.story(run_id, caller)
        if step not in story.past.begun:
            stuck = ", ".join(sorted(story.past.begun)) or "none"
            raise NotFound(f"run {run_id}: not stuck at {step!r}; steps that are: {stuck}")
        run = await self._take(run_id, caller)
        journal = RunJournal(self._store, run_id, self._owner)
        by = caller.name or "a person"
        if again:
            body: dict[str, Any] = {"error": "was not done: it is done again", "by": by}
            return await self._with_record(run, journal, "failed", step, body, tell)
        body = {"value": value, "by": by}
        return await self._with_record(run, journal, "finished", step, body, tell)

    async def cancel(self, run_id: str, caller: Caller) -> None:
        """End a run for good; what is under way and changes something may end first.

        Raises:
            NotFound: there is no such run of the caller's.
            Conflict: it has ended, or another process performs it.
        """
        active = self._active.get(run_id)
        if active is not None and active.task is not None:
            own_run(self._store.runs.get(run_id), caller)
            active.task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([active.task])
        run = await self._take(run_id, caller)
        journal = RunJournal(self._store, run.id, self._owner)
        journal.add("ended", "", {"by": caller.name or "a person"}, "cancelled")
        await journal.kept()

    async def get(self, run_id: str, caller: Caller) -> Run:
        """A run.

        Raises:
            NotFound: there is no such run of the caller's.
        """
        return own_run(await asyncio.to_thread(self._store.runs.get, run_id), caller)

    async def records(
        self, run_id: str, caller: Caller, after: int = -1, limit: int = _PAGE
    ) -> Sequence[RunRecord]:
        """The records of a run after one, in order.

        Raises:
            NotFound: there is no such run of the caller's.
        """
        await self.get(run_id, caller)
        return await asyncio.to_thread(self._store.runs.records, run_id, after, limit)

    async def story(self, run_id: str, caller: Caller) -> Story:
        """What a run was asked to do, and what it did.

        Raises:
            NotFound: there is no such run of the caller's.
        """
        await self.get(run_id, caller)
        return await asyncio.to_thread(story_of, self._store, run_id)

    async def _with_record(
        self,
        run: Run,
        journal: RunJournal,
        kind: str,
        step: str,
        body: dict[str, Any],
        tell: Tell | None,
    ) -> None:
        """Write down why a run goes on, and go on with it."""
        journal.add(kind, step, body, "running")
        await journal.kept()
        story = await asyncio.to_thread(story_of, self._store, run.id)
        caller = await asyncio.to_thread(caller_of, self._store, run)
        self._perform(run, story.order, caller, tell, story)

    def _perform(
        self,
        run: Run,
        order: Order,
        caller: Caller,
        tell: Tell | None,
        story: Story | None = None,
    ) -> None:
        active = self._active[run.id] = _Active(tell)
        active.task = asyncio.create_task(self._performed(run, order, caller, active, story))
        active.task.add_done_callback(_seen)

    async def _performed(
        self, run: Run, order: Order, caller: Caller, active: _Active, story: Story | None
    ) -> Outcome:
        try:
            while True:
                outcome = await self._once(run, order, caller, active, story)
                if outcome.state != "waiting" or not active.word_came:
                    return outcome
                active.word_came = False
                story = await asyncio.to_thread(story_of, self._store, run.id)
        finally:
            self._active.pop(run.id, None)
            with suppress(ShoalError):
                owner, runs = self._owner, self._store.runs
                self._store.writer.submit(lambda conn: runs.release(conn, run.id, owner))

    async def _once(
        self, run: Run, order: Order, caller: Caller, active: _Active, story: Story | None
    ) -> Outcome:
        journal = active.journal = RunJournal(self._store, run.id, self._owner)
        raised = story.raised if story else None
        scene = await self._scenes.set(order, caller, run.episode, raised)
        with scene.regime.held():
            course = story.course if story else None
            if course is None and order.plan is not None:
                course = Course(order.plan, order.given)
            if course is not None and raised is not None:
                course = replace(course, plan=replace(course.plan, budget=raised))
            options = scene.agent.options if scene.agent else None
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
                    planner=None if order.plan is not None else self._planners(scene),
                    goal=order.goal,
                    given=order.given,
                    begun=story.begun if story else 0,
                    asks_first=options.ask_before_writing if options else True,
                    begins_early=options.begin_early if options else False,
                    replans=options.replans if options and order.plan is None else 0,
                )
            )

    async def _take(self, run_id: str, caller: Caller) -> Run:
        """Have a run that is to go on."""
        run = await self.get(run_id, caller)
        if run.state in ("done", "failed", "cancelled"):
            raise Conflict(f"run {run_id} has ended: it is {run.state}")
        owner, now = self._owner, time.time()
        if not await self._write(
            lambda conn: self._store.runs.claim(conn, run_id, owner, _LEASE_S, now)
        ):
            raise Conflict(f"run {run_id} is being performed; wait until it waits or ends")
        return run

    async def _watch(self) -> None:
        """Keep the leases of what runs, and pick up what others left."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            try:
                await self._renew()
                if self._resumes:
                    await self._pick_up()
            except ShoalError as error:
                log.warning("runs are not looked after now: %s", error)

    async def _renew(self) -> None:
        names, owner, now = list(self._active), self._owner, time.time()
        if not names:
            return
        runs = self._store.runs
        kept = await self._write(
            lambda conn: [runs.renew(conn, one, owner, _LEASE_S, now) for one in names]
        )
        for name, is_kept in zip(names, kept, strict=True):
            active = self._active.get(name)
            if not is_kept and active and active.task:
                log.warning("run %s is another process's by now", name)
                active.task.cancel("the lease was lost")

    async def _pick_up(self) -> None:
        for run in await asyncio.to_thread(self._store.runs.unfinished, time.time()):
            if run.id in self._active:
                continue
            story = await asyncio.to_thread(story_of, self._store, run.id)
            if story.order.by != "gateway":
                continue
            with suppress(Conflict):  # another gateway was quicker
                caller = await asyncio.to_thread(caller_of, self._store, run)
                log.info("going on with run %s", run.id)
                await self.resume(run.id, caller)

    async def _write(self, operation: Callable[[Connection], T]) -> T:
        return await asyncio.wrap_future(self._store.writer.submit(operation, urgent=True))


def story_of(store: Store, run_id: str) -> Story:
    """A run as its records tell it.

    Raises:
        NotFound: there is none.
        StoreDamaged: its first record holds no order.
    """
    records, after = list[RunRecord](), -1
    while page := store.runs.records(run_id, after, _PAGE):
        records += page
        after = page[-1].seq
    if not records:
        raise NotFound(f"no run of id {run_id!r}: it was never started here, or has expired")
    course, raised, begun = None, None, 0
    for one in records:
        if one.kind == PLANNED:
            course = msgspec.convert(msgspec.json.decode(one.body)["course"], Course)
        elif one.kind == RESUMED:
            told = msgspec.json.decode(one.body).get("budget")
            raised = msgspec.convert(told, Budget) if told else raised
        begun += one.kind == PLANNING
    return Story(order_of(records[0]), course, past_of(records), begun, raised)


def _seen(task: "asyncio.Task[Outcome]") -> None:
    """What a run raised nobody may ask for."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a run could not be written down: %s", error)
