"""One run, from its plan to its last record."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.runs.agent import Agent
from shoal.assembly.runs.journal import RunJournal
from shoal.assembly.runs.order import Order
from shoal.errors import ShoalError
from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import require
from shoal.planning.hands import Hands
from shoal.planning.journal import Entry, Past
from shoal.planning.limits import Limits
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Plan
from shoal.planning.run import Around, run_plan
from shoal.storage.run_records import RunState
from shoal.tools.tool import Json

PLANNED = "planned"


class Planned(Struct, frozen=True):
    """A plan that was written or chosen for a goal: what it is ``given``, who planned and what that
    took; ``place`` stands before the places of its steps, ``done`` are results that it may name."""

    plan: Plan
    given: Mapping[str, Json]
    by: str = ""
    why: str = ""
    place: str = ""
    done: Mapping[str, Json] = {}
    usd: float = 0.0
    tokens: int = 0


class Trouble(Struct, frozen=True):
    """What became of a plan: how it ended, and the results it had by then."""

    outcome: Outcome
    done: Mapping[str, Json]
    count: int


class Plans(Protocol):
    """Who has a plan for an agent's goal."""

    async def plan(
        self, agent: Agent, order: Order, catalogue: Catalogue, trouble: Trouble | None
    ) -> Planned:
        """A checked plan; ``trouble`` is what became of the one before.

        Raises:
            ShoalError: there is none, or nobody could write one.
        """


class Performance(Struct, frozen=True, kw_only=True):
    """What one run is performed with. ``planned`` is the plan that it went by before."""

    run_id: str
    order: Order
    agent: Agent | None
    catalogue: Catalogue
    hands: Hands
    limits: Limits
    journal: RunJournal
    past: Past
    planned: Planned | None
    plans: Plans
    tell: Callable[[Entry], None]


async def perform(what: Performance) -> Outcome:
    """Run it to its end, and write that down. Cancelled, it leaves the run to be gone on with.

    Raises:
        ShoalError: it cannot be written down.
    """
    try:
        outcome = await _planned_and_run(what)
    except ShoalError as error:
        outcome = Outcome(state="failed", error=str(error))
    kind, state = _last(outcome)
    what.journal.add(kind, outcome.step, _told(outcome), state)
    await what.journal.kept()
    return outcome


async def _planned_and_run(what: Performance) -> Outcome:
    planned, count, spent = what.planned, 0, _Spent(what.past)
    if planned is None:
        planned = await _plan(what, None, spent)
    replans = what.agent.options.replans if what.agent and not what.agent.plan else 0
    while True:
        seen = dict(what.past.finished)
        outcome = await _run(what, planned, spent, seen)
        count += 1
        if outcome.state != "failed" or count > replans or what.agent is None:
            return outcome
        done = {**planned.done, **_results(seen, planned.place)}
        spent.add(outcome)
        try:
            planned = await _plan(what, Trouble(outcome, done, count), spent)
        except ShoalError as error:
            what.tell(Entry("failed", "plan", {"error": str(error)}))
            return outcome


async def _plan(what: Performance, trouble: Trouble | None, spent: "_Spent") -> Planned:
    if what.order.plan is not None:
        return Planned(what.order.plan, what.order.given)
    assert what.agent is not None
    planned = await what.plans.plan(what.agent, what.order, what.catalogue, trouble)
    if planned.by or planned.place:
        body: dict[str, Any] = {"plan": planned.plan, "given": planned.given, "by": planned.by}
        body |= {"why": planned.why, "place": planned.place, "done": planned.done}
        what.journal.add(PLANNED, "", body, None, planned.usd, planned.tokens)
        what.tell(Entry("finished", "plan", {"by": planned.by, "name": planned.plan.name}))
    spent.usd += planned.usd
    spent.tokens += planned.tokens
    return planned


async def _run(
    what: Performance, planned: Planned, spent: "_Spent", seen: dict[str, Json]
) -> Outcome:
    require_known(planned, what.catalogue, what.limits)

    def tell(entry: Entry) -> None:
        if entry.kind == "finished":
            seen[entry.step] = entry.body.get("value")
        what.tell(entry)

    past = replace(what.past, usd=spent.usd, tokens=spent.tokens, seconds=spent.seconds)
    around = Around(
        run_id=what.run_id,
        hands=what.hands,
        catalogue=what.catalogue,
        limits=what.limits,
        journal=what.journal,
        past=past,
        tell=tell,
        place=planned.place,
    )
    return await run_plan(planned.plan, planned.given, around, {"done": dict(planned.done)})
