"""The orchestra: begins runs, goes on with those that were broken off, and tells of them."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

import msgspec
import uuid_utils
from msgspec.structs import replace

from shoal.assembly.background import Missed
from shoal.assembly.runs.active import Tell
from shoal.assembly.runs.callers import caller_of, own_run, require_agent, require_word
from shoal.assembly.runs.ensemble import Ensemble, Planners
from shoal.assembly.runs.journal import DECIDED
from shoal.assembly.runs.keeper import Keeper
from shoal.assembly.runs.leases import Leases, Watch
from shoal.assembly.runs.order import Order, written_order
from shoal.assembly.runs.plan_witness import PlanWitness
from shoal.assembly.runs.redacting import Redacting
from shoal.assembly.runs.scene import Scenes
from shoal.assembly.runs.story import RESUMED, Story, story_of
from shoal.errors import Conflict, LeaseLost, MalformedRequest, NotFound, ShoalError
from shoal.formats.json_schema import breach
from shoal.planning.checker import RefusedPlan
from shoal.planning.journal import Decision
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Budget
from shoal.planning.rehearsal import Rehearsal, rehearse
from shoal.routing.caller import Caller
from shoal.storage import Entry, Run, RunRecord, RunState, Store
from shoal.tools.tool import Json

_PAGE = 1_000


class Orchestra:
    """Performs runs within one event loop. ``resumes``: it goes on with runs of gateways that
    another process left behind. Use it with ``async with``."""

    def __init__(
        self,
        store: Store,
        scenes: Scenes,
        planners: Planners,
        resumes: bool = False,
        watch: Watch | None = None,
        witness: PlanWitness | None = None,
    ) -> None:
        """``witness`` compares stored plans with what a model would have written; None: nobody
        does."""
        self._store, self._scenes, self._planners = store, scenes, planners
        self._witness = witness
        self._leases = Leases(store, watch or Watch())
        self._ensemble = Ensemble(store, scenes, planners, self._leases, witness)
        resume = partial(self.resume, caller=Caller()) if resumes else None
        self._redacting = Redacting(store, self._leases, scenes.journal_scrub)
        self._keeper = Keeper(store, self._leases, self._ensemble, self._redacting, resume)
        self._words = asyncio.Lock()  # of two words on one question the first holds

    async def __aenter__(self) -> Self:
        await self._keeper.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Runs that are under way are left to be gone on with."""
        await self._keeper.__aexit__()
        await self._ensemble.break_off()
        # A command's process may be the only one there is.
        await self._redacting.at_once(frozenset(self._ensemble.ended))
        if self._witness is not None:
            await self._witness.close()

    @property
    def audits(self) -> Missed:
        """The comparisons of plans that came to nothing."""
        return self._witness.background.missed if self._witness else Missed()

    async def compared(self) -> None:
        """Wait until comparisons of plans under way are done."""
        if self._witness is not None:
            await self._witness.background.settle()

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
        require_agent(order, caller)
        scene = await self._scenes.set(order, caller)
        plan = order.plan or scene.plan
        if plan is None:
            raise NotFound(f"{order.agent} has no plan of its own: it writes one for each goal")
        return rehearse(plan, scene.catalogue, scene.limits)

    async def begin(self, order: Order, caller: Caller, tell: Tell | None = None) -> str:
        """Begin a run; returns its id, once that is safe in the store.

        Raises:
            MalformedRequest: it is neither of a plan nor of an agent, or of both, or the plan is
                given what it does not take.
            RefusedPlan: its plan cannot be run; nothing was begun.
            UnknownModel: there is no such agent.
            NotFound: nobody plans for it.
            NotAllowed: the caller may not ask that agent.
            StoreError: it cannot be written down.
        """
        order = await self._ready(order, caller)
        now, run_id = time.time(), str(uuid_utils.uuid7())
        run = Run(
            id=run_id,
            name=order.name,
            goal=order.goal,
            agent=order.agent,
            key=caller.key,
            episode=order.episode or run_id,
            started_at=now,
            owner=self._leases.owner,
            lease_until=now + self._leases.watch.lease_s,
            left_to="gateways" if order.by == "gateway" else "people",
        )
        body = written_order(order)
        try:
            await self._leases.write(lambda conn: self._store.runs.start(conn, run, body))
        except (asyncio.CancelledError, ShoalError):  # once there, nobody would perform it
            self._submit_end(run, "cancelled", "its caller hung up before it began, or was told no")
            raise
        self._ensemble.perform(run, order, caller, tell)
        return run_id

    async def _ready(self, order: Order, caller: Caller) -> Order:
        """The order with the plan that its agent always runs, as it is now: its file may change
        while it runs."""
        if (order.plan is None) == (not order.agent):
            raise MalformedRequest("expected either a plan or an agent", "plan")
        if order.plan is None:
            own = self._scenes.agent(order.agent).plan
            require_agent(order, caller)
            if own is None:  # refused now if nobody plans
                scene = await self._scenes.set(order, caller)
                await asyncio.to_thread(self._planners, scene)
                return order
            order = replace(order, plan=own)
        if problems := (await self.rehearse(order, caller)).checked.problems:
            raise RefusedPlan(problems)
        assert order.plan is not None
        if told := breach(msgspec.json.encode(order.plan.input).decode(), dict(order.given)):
            raise MalformedRequest(f"input: {told}", "input")
        return order

    async def run(self, order: Order, caller: Caller, tell: Tell | None = None) -> Outcome:
        """Begin a run and wait for its end; cancelled, the run is cancelled too.

        Raises:
            MalformedRequest, RefusedPlan, UnknownModel, NotFound, StoreError: see ``begin``.
        """
        run_id = await self.begin(order, caller, tell)
        try:
            return await self.outcome(run_id)
        except asyncio.CancelledError:
            with suppress(Conflict, NotFound):  # it has ended by itself
                await self.cancel(run_id, caller)
            raise

    def ending(self, run_id: str) -> "asyncio.Task[Outcome]":
        """The end of a run that this process performs; not to be cancelled.

        Raises:
            NotFound: it does not perform it.
        """
        return self._ensemble.ending(run_id)

    async def outcome(self, run_id: str) -> Outcome:
        """How a run ends that this process performs.

        Raises:
            NotFound: it does not perform it.
            ShoalError: its end cannot be written down.
        """
        return await asyncio.shield(self.ending(run_id))

    def listen(self, run_id: str, tell: Tell) -> bool:
        """Have ``tell`` hear of a run from now on; false if this process does not perform it."""
        active = self._ensemble.active.get(run_id)
        if active is not None:
            active.listen(tell)
        return active is not None

    def leave(self, run_id: str, tell: Tell) -> None:
        """Have it hear no more."""
        if active := self._ensemble.active.get(run_id):
            active.leave(tell)

    async def resume(
        self, run_id: str, caller: Caller, raised: Budget | None = None, tell: Tell | None = None
    ) -> None:
        """Go on with a run that waits, is stuck, or was broken off; ``raised`` is what its
        budget is from here on, where it states something.

        Raises:
            NotFound: there is no such run of the caller's.
            Conflict: it has ended, or somebody performs it.
            NotAllowed: the key that it was begun with is in force no longer.
            StoreError: it cannot be written down.
        """
        run = await self._take(run_id, caller)
        told: dict[str, Any] = {"by": caller.name} if caller.name else {}
        told |= {"budget": raised} if raised else {}
        await self._with_record(run, RESUMED, "", told, tell)

    async def decide(
        self, run_id: str, step: str, word: Decision, caller: Caller, tell: Tell | None = None
    ) -> None:
        """Give a person's word on a question of a run, which goes on with it.

        Raises:
            NotFound: there is no such run of the caller's, or no such question.
            Conflict: the question was answered, the run has ended, or another process performs it.
            NotAllowed: the key that it was begun with is in force no longer, or its agent is
                not for the caller to approve.
            StoreError: it cannot be written down.
        """
        await self.require_word(run_id, caller)
        async with self._words:
            await self._open_question(run_id, step, caller)
            body = msgspec.to_builtins(word)
            active = self._ensemble.active.get(run_id)
            if active is not None:
                active.word_came = True  # before the run can end without knowing
                journal = self._ensemble.journal(run_id)
                journal.add(DECIDED, step, body, "running")
                try:
                    return await journal.kept()
                except LeaseLost as error:
                    raise Conflict(f"run {run_id} has ended meanwhile, or moved on") from error
            run = await self._take(run_id, caller)
            try:  # others may have been quicker before it was taken
                await self._open_question(run_id, step, caller)
            except ShoalError:
                self._leases.release(run_id)
                raise
            await self._with_record(run, DECIDED, step, body, tell)

    async def settle(
        self,
        run_id: str,
        step: str,
        caller: Caller,
        value: Json = None,
        again: bool = False,
        tell: Tell | None = None,
    ) -> Sequence[str]:
        """Say of a step at which a run is stuck what it gave, or that it is to be done ``again``.
        Returns the other steps at which it is stuck; the run goes on with the last of them.

        Raises:
            NotFound: there is no such run of the caller's, or it is not stuck at that step.
            Conflict: it has ended, or somebody performs it.
            NotAllowed: the key that it was begun with is in force no longer.
            StoreError: it cannot be written down.
        """
        run = await self._take(run_id, caller)
        story = await self.story(run_id, caller)
        if step not in story.past.begun:
            self._leases.release(run_id)
            stuck = ", ".join(sorted(story.past.begun)) or "none"
            raise NotFound(f"run {run_id}: not stuck at {step!r}; steps that are: {stuck}")
        by = caller.name or "a person"
        told: dict[str, Any] = {"value": value, "by": by}
        if again:
            told = {"error": "was not done: it is done again", "by": by}
        kind = "failed" if again else "finished"
        others = sorted(story.past.begun - {step})
        if not others:
            await self._with_record(run, kind, step, told, tell)
            return others
        journal = self._ensemble.journal(run_id)  # the others would end it before this one is done
        journal.add(kind, step, told)
        await journal.kept()
        self._leases.release(run_id)
        return others

    async def cancel(self, run_id: str, caller: Caller) -> None:
        """End a run for good, whoever performs it: what changes something may end first if it is
        under way here; another process begins nothing more.

        Raises:
            NotFound: there is no such run of the caller's.
            Conflict: it has ended.
            StoreError: it cannot be written down.
        """
        await self.get(run_id, caller)
        if active := self._ensemble.active.get(run_id):
            await active.stop(Outcome(state="cancelled", error="it was cancelled"))
        run = await self._take(run_id, caller, by_force=True)
        journal = self._ensemble.journal(run.id)
        journal.add("ended", "", {"by": caller.name or "a person"}, "cancelled")
        await journal.kept()

    async def list(
        self,
        caller: Caller,
        state: RunState | None = None,
        agent: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[Run]:
        """Runs that the caller may know of, newest first."""
        sees_all = not caller.key or "admin" in caller.spec.scopes
        key = None if sees_all else caller.key
        return await asyncio.to_thread(self._store.runs.list, state, agent, key, before, limit)

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

    async def require_word(self, run_id: str, caller: Caller) -> None:
        """Refuse who may not answer the questions of a run.

        Raises:
            NotFound: there is no such run of the caller's.
            NotAllowed: its agent has them answered by others; says by whom.
            UnknownModel: there is no such agent any more, so nobody knows by whom.
        """
        run = await self.get(run_id, caller)
        if run.agent:
            require_word(run, caller, self._scenes.agent(run.agent).options.approve_by)

    async def _open_question(self, run_id: str, step: str, caller: Caller) -> None:
        past = (await self.story(run_id, caller)).past
        if step not in past.asked:
            there = ", ".join(sorted(past.open)) or "none"
            raise NotFound(f"run {run_id}: no question at {step!r}; open questions: {there}")
        if step in past.decisions:
            raise Conflict(f"run {run_id}: {step} was answered already")

    async def _with_record(
        self, run: Run, kind: str, step: str, body: dict[str, Any], tell: Tell | None
    ) -> None:
        """Write down why a run goes on, and go on with it."""
        journal = self._ensemble.journal(run.id)
        journal.add(kind, step, body, "running")
        await journal.kept()
        story = await asyncio.to_thread(story_of, self._store, run.id)
        caller = await asyncio.to_thread(caller_of, self._store, run)
        self._ensemble.perform(run, story.order, caller, tell, story)

    async def _take(self, run_id: str, caller: Caller, by_force: bool = False) -> Run:
        """Have a run that is to go on; ``by_force`` one that another process performs, which finds
        that it has lost it when it next writes something down."""
        run = await self.get(run_id, caller)
        if run.state in ("done", "failed", "cancelled"):
            raise Conflict(f"run {run_id} has ended: it is {run.state}")
        if not by_force:
            await asyncio.to_thread(caller_of, self._store, run)
        if not await self._leases.claim(run_id, by_force):
            raise Conflict(f"run {run_id} is being performed; wait until it waits or ends")
        return run

    def _submit_end(self, run: Run, state: RunState, why: str) -> None:
        body = msgspec.json.encode({"state": state, "error": why})
        entry = Entry(kind="ended", at=time.time(), body=body, state=state)
        runs, owner = self._store.runs, self._leases.owner
        self._store.writer.submit(lambda conn: runs.extend(conn, run.id, owner, (entry,)))
