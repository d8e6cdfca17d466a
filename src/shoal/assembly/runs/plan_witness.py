"""Compares stored plans with what the agent's model would have written: audits and shadows.

A plan is compared after the run got its own, and beside it: no run waits, and nothing of the other
plan is run. What is found goes into the store together with the certificate's e-process; when that
crosses, the demotion is in the same transaction.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from shoal.assembly.background import Background
from shoal.assembly.commission import Commission
from shoal.assembly.purse import Purse
from shoal.assembly.runs.planners import paying, planner_by
from shoal.assembly.runs.scene import Scene
from shoal.assembly.runs.stored import Ready
from shoal.chat import Answer
from shoal.errors import StoreError
from shoal.guarantees import draw
from shoal.planning.options import plans_id
from shoal.planning.plan import Plan, written
from shoal.planning.planner import Planned
from shoal.planning.stored_planner import STORED, Declined
from shoal.storage import Audit, Store
from shoal.tasks import Task
from shoal.tools.tool import Json

log = logging.getLogger(__name__)


class Concern(Struct, frozen=True):
    """A run whose goal is planned, and what stands for stored plans then."""

    run_id: str
    goal: str
    given: Mapping[str, Json]
    scene: Scene
    ready: Ready | None


class PlanWitness:
    """Runs comparisons in the background of an event loop."""

    def __init__(self, store: Store, purse: Purse) -> None:
        self._store, self._purse = store, purse
        self._secret = store.database.secret()
        self.background = Background("a comparison of plans")

    def is_sampled(self, concern: Concern) -> bool:
        """Whether the goal belongs to the unbiased sample: all do until stored plans serve. Drawn
        by the run's id, whoever then plans."""
        agent, ready = concern.scene.agent, concern.ready
        if agent is None or ready is None or ready.stage != "serve":
            return True
        rate = concern.scene.regime.promise(plans_id(agent.name)).audit_rate
        return draw(concern.run_id, rate, self._secret)

    def after(self, concern: Concern, found: Planned) -> None:
        """Start the comparison that is due for the plan that a run begins with, if any."""
        agent, ready = concern.scene.agent, concern.ready
        if agent is None or ready is None or ready.certificate.by_people:
            return  # no model knows what people would say
        regime, model = concern.scene.regime, agent.options.planner
        if found.by == STORED and model is not None and self.is_sampled(concern):
            self.background.start(regime, self._audit(concern, ready, model))
        elif found.by != STORED and ready.stage == "shadow":
            self.background.start(regime, self._compare(concern, ready, found.plan, "shadow"))

    async def close(self) -> None:
        """Stop what is running."""
        await self.background.close()

    async def _audit(self, concern: Concern, ready: Ready, model: str) -> None:
        scene = concern.scene
        assert scene.agent is not None
        name = plans_id(scene.agent.name)
        task = Task(name, name, (), ready.book.contract)
        asking = Commission(
            self._store, scene.regime, self._purse, task, paying(scene, model), "audit"
        )
        try:
            planner = planner_by(model, asking, scene)
            # One that comes to no plan says nothing: a model that fails is no reference.
            reference = await planner.plan(concern.goal, concern.given)
        finally:
            asking.close()
        await self._compare(concern, ready, reference.plan, "audit")

    async def _compare(
        self, concern: Concern, ready: Ready, reference: Plan, kind: Literal["audit", "shadow"]
    ) -> None:
        agrees = await asyncio.to_thread(_agrees, concern, ready, reference)
        if agrees is None:
            return
        assert concern.scene.agent is not None
        audit = Audit(
            call_id=concern.run_id,
            at=time.time(),
            task=plans_id(concern.scene.agent.name),
            certificate=ready.certificate.id,
            kind=kind,
            agrees=agrees,
            reference=Answer(text=await asyncio.to_thread(_kept, concern, reference)),
        )
        delta = 1 - ready.certificate.confidence
        done = self._store.writer.submit(
            lambda conn: self._store.audits.record(conn, audit, delta), urgent=True
        )
        try:
            demoted = await asyncio.wrap_future(done)
        except StoreError as error:
            raise StoreError(f"an audit of run {audit.call_id} was not written: {error}") from error
        if demoted:
            log.warning("%s were taken back: audits broke their promise", audit.task)


def _kept(concern: Concern, reference: Plan) -> str:
    """The reference as it may be stored: what it has of the goal goes where the privacy rules say
    so, as it goes from the run's journal."""
    text = written(reference).decode()
    scrub = concern.scene.regime.discretion.journal_scrub()
    if scrub is None:
        return text
    scrub.look(text)
    return scrub.apply(text)


def _agrees(concern: Concern, ready: Ready, reference: Plan) -> bool | None:
    """Whether the stored plan for a goal is the reference's; None if there is none."""
    found = ready.planner.considered(concern.goal, concern.given)
    if isinstance(found, Declined):
        return None
    return ready.book.agrees(concern.goal, found[1], reference)
