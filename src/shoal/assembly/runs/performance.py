"""One run, from its plan to its last record."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from typing import Any, Protocol, runtime_checkable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.runs.journal import RunJournal
from shoal.errors import ShoalError
from shoal.formats.json_schema import breach
from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import Problem, RefusedPlan, check
from shoal.planning.earlier import DONE, Done, Earlier, schema_of
from shoal.planning.guarding import Guard, guarded, unguarded
from shoal.planning.hands import Hands
from shoal.planning.journal import WRITTEN, Entry, Past
from shoal.planning.limits import Limits
from shoal.planning.outcome import Outcome
from shoal.planning.plan import Ask, Plan, Retrieve, Step, Use
from shoal.planning.plan_stream import PlanStream
from shoal.planning.planner import NoPlan, Planned, Planner
from shoal.planning.run import Around, run_plan
from shoal.planning.stored_planner import STORED
from shoal.storage.run_records import RunState
from shoal.tools.tool import Json

log = logging.getLogger(__name__)

PLANNING, PLANNED = "planning", "planned"
"""Kinds of records: a planner is asked; its plan, of a run whose order holds none."""


class Course(Struct, frozen=True, omit_defaults=True):
    """The plan that a run goes by: what it is ``given``, what stands before the ``place`` of each
    step, and results of an earlier plan that it may name."""

    plan: Plan
    given: Mapping[str, Json] = {}
    place: str = ""
    done: Mapping[str, Json] = {}


@runtime_checkable
class Streaming(Protocol):
    """A planner that gives out steps while it writes."""

    @property
    def name(self) -> str:
        """Who plans."""

    async def stream(self, goal: str, given: Mapping[str, Json] | None = None) -> PlanStream:
        """A plan being written.

        Raises:
            ShoalError: nobody could be asked.
        """

    def planned(self, stream: PlanStream) -> Planned:
        """What a stream that has ended came to."""

    def unplanned(self, stream: PlanStream, why: str) -> NoPlan:
        """What one took that came to no plan."""


class Performance(Struct, frozen=True, kw_only=True):
    """What one run is performed with: the ``course`` it is on or, where that is to be planned, who
    plans for which ``goal``, the cheapest first, and how many plans were begun before.
    ``asks_first`` has a person asked before a planned call that changes something;
    ``begins_early`` has steps that only read begin while the plan is still being written;
    ``replans`` is how often a plan that failed is replaced. ``sampled``: its goal belongs to the
    unbiased sample; ``planned`` is told the plan that the run begins with, before it begins.
    ``kept`` are stored plans that people wrote, by name, which decide themselves when a person is
    asked. ``word_came`` says whether a person's
    word came meanwhile, with which a run that waits goes on at once."""

    run_id: str
    catalogue: Catalogue
    hands: Hands
    limits: Limits
    journal: RunJournal
    past: Past
    tell: Callable[[Entry], None]
    course: Course | None = None
    planners: tuple[Planner, ...] = ()
    goal: str = ""
    given: Mapping[str, Json] = {}
    begun: int = 0
    asks_first: bool = True
    begins_early: bool = False
    replans: int = 0
    sampled: bool = True
    planned: Callable[[Planned], None] = lambda found: None
    kept: Set[str] = frozenset()
    word_came: Callable[[], bool] = lambda: False


async def perform(what: Performance) -> Outcome:
    """Run it to its end, and write that down. Cancelled, it leaves the run to be gone on with.

    Raises:
        ShoalError: it cannot be written down.
    """
    act = _Act(what)
    try:
        outcome = await act.run()
    except ShoalError as error:
        outcome = act.failed(error)
    except Exception as error:  # a bug: the run must end, or it would be gone on with for ever
        log.exception("run %s broke", what.run_id)
        said = f"Shoal failed unexpectedly ({type(error).__name__}); its log says why"
        outcome = Outcome(state="failed", error=said)
    if outcome.state == "waiting" and what.word_came():
        await what.journal.kept()
        return outcome
    return await write_end(what.journal, outcome)


async def write_end(journal: RunJournal, outcome: Outcome) -> Outcome:
    """Write down how a run ended, or why it pauses.

    Raises:
        ShoalError: it cannot be written down.
    """
    kind, state = _last(outcome)
    journal.add(kind, outcome.step, _told(outcome), state)
    await journal.kept()
    return outcome


class _Act:
    """One performance, with what it has used so far."""

    def __init__(self, what: Performance) -> None:
        self._what, self._past, self._begun = what, what.past, what.begun
        self._seen: dict[str, Json] = dict(what.past.finished)

    def failed(self, error: ShoalError) -> Outcome:
        """How a run ended that nobody could plan."""
        past = self._past
        return Outcome(
            state="failed",
            error=str(error),
            steps=past.steps,
            tokens=past.tokens,
            output_tokens=past.output_tokens,
            usd=past.usd,
            seconds=past.seconds,
        )

    async def run(self) -> Outcome:
        what = self._what
        if what.course is not None:
            outcome, course = await self._go(what.course), what.course
        else:
            outcome, course = await self._planned_and_gone(None)
        for _ in range(what.replans if what.planners else 0):
            if outcome.state != "failed" or outcome.step in what.past.decisions:
                break  # what a person said no to is not tried another way
            earlier = _earlier(course, self._seen, outcome)
            try:
                outcome, course = await self._planned_and_gone(earlier)
            except ShoalError as error:  # there is no other plan: the first one's end holds
                what.tell(Entry("failed", "plan", {"error": str(error)}))
                break
        return outcome

    async def _planned_and_gone(self, earlier: Earlier | None) -> tuple[Outcome, Course]:
        """How the plan that is written for the goal ends, and which it was."""
        what = self._what
        assert what.planners, "a run has a plan or a planner"
        *cheaper, last = what.planners
        place, passed = self._begin(), list[str]()
        for planner in cheaper:
            try:
                return await self._gone_by(planner, place, earlier, passed)
            except NoPlan as error:
                passed.append(str(error))
        if what.begins_early and earlier is None and isinstance(last, Streaming):
            outcome, course = await self._gone_while_written(last, place, passed)
            if course is not None:
                return outcome, course
            place = self._begin()
        return await self._gone_by(last, place, earlier, passed)

    def _begin(self) -> str:
        """Write down that planning begins; returns what stands before the places of its steps."""
        place = f"{self._begun + 1}:" if self._begun else ""
        self._begun += 1
        self._what.journal.add(PLANNING, "", {"place": place})
        self._what.tell(Entry("started", "plan"))
        return place

    async def _gone_by(
        self, planner: Planner, place: str, earlier: Earlier | None, passed: Sequence[str]
    ) -> tuple[Outcome, Course]:
        """How the plan of a planner ends.

        Raises:
            NoPlan: it has none.
        """
        what = self._what
        try:
            found = await planner.plan(what.goal, what.given, earlier)
        except NoPlan as error:
            self._note_in_vain(planner.name, error)
            raise
        course = Course(self._safe(found), dict(found.given), place, _results(earlier))
        self._note(course, replace(found, why="; ".join((found.why, *passed))))
        if earlier is None:
            what.planned(found)
        return await self._go(course), course

    def _safe(self, found: Planned) -> Plan:
        """The plan, in which a person is asked before what writes, where that is to be."""
        what = self._what
        stored = found.by == STORED
        if not what.asks_first or (stored and found.plan.name in what.kept):
            return found.plan
        # One that was learned may have its words already, of a time when people were asked.
        bare = unguarded(found.plan) if stored else found.plan
        return guarded(bare, what.catalogue.tools)

    async def _gone_while_written(
        self, planner: Streaming, place: str, passed: Sequence[str]
    ) -> tuple[Outcome, Course | None]:
        """How a plan ends whose first steps begin before its last is written; no course, if what
        was written is no plan that can be run."""
        what, words = self._what, Guard(self._what.catalogue.tools)
        stream = await planner.stream(what.goal, what.given)
        whole: Course | None = None
        found: Planned | None = None

        async def coming() -> AsyncIterator[Step]:
            nonlocal whole
            steps = list[Step]()
            async for step in stream:
                for one in words.before(step) if what.asks_first else (step,):
                    steps.append(one)
                    yield one
            plan = replace(stream.plan, steps=tuple(steps), input={})
            whole = Course(plan, what.given, place)
            nonlocal found
            why = "; ".join(("written", *passed))
            found = replace(planner.planned(stream), plan=plan, why=why)
            self._note(whole, found)
            what.planned(found)

        empty = Course(Plan(name="being written", steps=()), what.given, place)
        try:
            outcome = await self._go(empty, coming())
        finally:
            await stream.aclose()
        if found is not None:  # what planning took was not known when the run began
            self._add(found)
            past = self._past
            outcome = replace(
                outcome, usd=past.usd, tokens=past.tokens, output_tokens=past.output_tokens
            )
        else:
            self._note_in_vain(planner.name, planner.unplanned(stream, outcome.error))
        return outcome, whole

    def _note(self, course: Course, found: Planned) -> None:
        usd = found.cost or 0.0
        told: dict[str, Any] = {"course": course, "by": found.by, "why": found.why}
        told |= {"warnings": found.warnings} if found.warnings else {}
        told |= {} if self._what.sampled else {"sampled": False}
        told |= {WRITTEN: found.output_tokens} if found.output_tokens else {}
        self._what.journal.add(PLANNED, "", told, None, usd, found.tokens)
        self._add(found)
        about: dict[str, Json] = {"by": found.by, "why": found.why, "value": course.plan.name}
        self._what.tell(Entry("finished", "plan", about, usd, found.tokens))

    def _note_in_vain(self, by: str, why: NoPlan) -> None:
        """Write down what planning took that came to no plan: it was paid for."""
        if why.tokens:
            told: dict[str, Any] = {"error": str(why), "by": by, WRITTEN: why.output_tokens}
            self._what.journal.add("failed", "", told, None, why.cost or 0.0, why.tokens)
            self._add(why)

    def _add(self, found: Planned | NoPlan) -> None:
        """Count what planning took."""
        past = self._past
        self._past = replace(
            past,
            usd=past.usd + (found.cost or 0.0),
            tokens=past.tokens + found.tokens,
            output_tokens=past.output_tokens + found.output_tokens,
        )

    async def _go(self, course: Course, coming: AsyncIterator[Step] | None = None) -> Outcome:
        """How a plan ends, whose steps may still be ``coming``; its results are in ``_seen``, by
        place."""
        what = self._what
        known: dict[str, Json] = {DONE: dict(course.done)} if course.done else {}
        schemas = {name: schema_of(value) for name, value in known.items()}
        checked = check(course.plan, what.catalogue, what.limits, schemas, coming is None)
        problems = [*checked.problems]
        if told := breach(msgspec.json.encode(course.plan.input).decode(), dict(course.given)):
            problems.append(Problem("", f"input: {told}"))
        if problems:
            raise RefusedPlan(problems)

        def tell(entry: Entry) -> None:
            if entry.kind == "finished":
                self._seen[entry.step] = entry.body.get("value")
            what.tell(entry)

        around = Around(
            run_id=what.run_id,
            hands=what.hands,
            catalogue=what.catalogue,
            limits=what.limits,
            journal=what.journal,
            past=self._past,
            tell=tell if what.replans else what.tell,
            place=course.place,
        )
        outcome = await run_plan(course.plan, course.given, around, known, coming)
        self._past = replace(
            self._past,
            steps=outcome.steps,
            usd=outcome.usd,
            tokens=outcome.tokens,
            output_tokens=outcome.output_tokens,
            seconds=outcome.seconds,
        )
        return outcome


def _results(earlier: Earlier | None) -> Mapping[str, Json]:
    return earlier.results if earlier else {}


def _earlier(course: Course, seen: Mapping[str, Json], outcome: Outcome) -> Earlier:
    """What the next plan is told of this one: the results of steps that lie in no other."""
    done = [Done(id, "result of an earlier plan", value) for id, value in course.done.items()]
    for step in course.plan.steps:
        place = course.place + step.id
        if place in seen and isinstance(step, Ask | Retrieve | Use):
            done.append(Done(step.id, _did(step), seen[place]))
    failed = outcome.step.removeprefix(course.place)
    return Earlier(tuple(done), failed, outcome.error, outcome.hint)


def _did(step: Ask | Retrieve | Use) -> str:
    match step:
        case Use():
            return f"tool {step.tool}"
        case Retrieve():
            return f"retrieve from {step.collection}"
        case _:
            return f"ask {step.task or step.model}"


def _last(outcome: Outcome) -> tuple[str, RunState]:
    """The kind of a run's last record for now, and the state that it leaves the run in."""
    match outcome.state:
        case "done" | "failed" | "cancelled" as state:
            return "ended", state
        case "waiting":
            return "paused", "waiting"
        case _:  # a person looks, or raises the budget, and has it gone on with
            return "paused", "stuck"


def _told(outcome: Outcome) -> dict[str, Any]:
    told = msgspec.to_builtins(outcome)
    return {key: value for key, value in told.items() if value not in ("", None)}
