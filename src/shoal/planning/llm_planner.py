"""The planner that asks a large model: one call, and one more if what it wrote cannot be run."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Answerer, AnswerStream, Message, Request, Streamer, Usage
from shoal.engines.written import WrittenStream
from shoal.errors import EngineRefused, MalformedRequest, Untranslatable
from shoal.planning.catalogue import Catalogue
from shoal.planning.checker import Checked, Problem
from shoal.planning.earlier import DONE, Earlier, schema_of, schemas_of
from shoal.planning.limits import Limits
from shoal.planning.menu import Embed
from shoal.planning.plan import INPUT, Plan, written
from shoal.planning.plan_schema import Structure, response_format
from shoal.planning.plan_stream import Check, PlanStream, checking, reserved
from shoal.planning.plan_text import plan_in
from shoal.planning.planner import NoPlan, Planned, goal_of
from shoal.planning.prompting import planning_messages, repair_messages
from shoal.planning.schemas import Schema
from shoal.tools.tool import Json

Price = Callable[[Usage | None], float | None]
"""USD for one answer, None if nobody knows."""

T = TypeVar("T")

_REFUSED_FORM = (400, 422)
_SHOWN = 5  # problems named in the error


class PlannerOptions(Struct, frozen=True, kw_only=True):
    """``model`` is the name in requests, "" for the answerer's own. ``structure`` is how the form
    is held to, ``characters`` the most of the catalogue that is sent, ``max_tokens`` (0: the
    engine's own) the longest plan, ``repairs`` how often a wrong one is sent back. ``limits`` are
    the run's, for the checker. ``temperature`` None leaves it to the engine."""

    model: str = ""
    structure: Structure = "schema"
    characters: int = 24_000
    max_tokens: int = 8_192
    repairs: int = 1
    temperature: float | None = 0.0
    limits: Limits = Limits()


class _Spent(Struct):
    """What the planning calls took so far."""

    usage: Usage = Usage()
    cost: float | None = 0.0
    call_ids: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens

    def add(self, answer: Answer, price: Price | None) -> None:
        usage = answer.usage
        if usage is not None:
            self.usage = Usage(
                input_tokens=self.usage.input_tokens + usage.input_tokens,
                output_tokens=self.usage.output_tokens + usage.output_tokens,
                cached_tokens=self.usage.cached_tokens + usage.cached_tokens,
                reasoning_tokens=self.usage.reasoning_tokens + usage.reasoning_tokens,
                estimated=self.usage.estimated or usage.estimated,
                cache_write_tokens=self.usage.cache_write_tokens + usage.cache_write_tokens,
            )
        cost = price(usage) if price else None
        self.cost = None if cost is None or self.cost is None else self.cost + cost
        if answer.id:
            self.call_ids += (answer.id,)


class LlmPlanner:
    """Has ``ask`` write plans with what a catalogue offers. A provider that refuses the form of
    the answer (Anthropic takes no schema that names itself) is asked again, and later, without.

    ``price`` says what an answer cost; without it nobody knows. ``embed`` finds, in a catalogue
    that is too large to send, what has to do with the goal.
    """

    def __init__(
        self,
        ask: Answerer,
        catalogue: Catalogue,
        options: PlannerOptions | None = None,
        price: Price | None = None,
        embed: Embed | None = None,
    ) -> None:
        self._ask, self._catalogue = ask, catalogue
        self._options = options or PlannerOptions()
        self._price, self._embed = price, embed
        self._structure: Structure = self._options.structure

    @property
    def name(self) -> str:
        """planner/ and who writes."""
        return f"planner/{self._ask.name}"

    async def plan(
        self, goal: str, given: Mapping[str, Json] | None = None, past: Earlier | None = None
    ) -> Planned:
        """A plan, as ``Planner`` says.

        Raises:
            NoPlan: what was written cannot be run, even after it was sent back.
            EngineError: nobody could be asked.
        """
        return await self._plan(goal, given or {}, past, _Spent())

    async def stream(
        self, goal: str, given: Mapping[str, Json] | None = None, past: Earlier | None = None
    ) -> PlanStream:
        """A plan that gives out its steps while it is written; it is not sent back if it is wrong.
        One whose answerer does not stream comes all at once.

        Raises:
            EngineError: nobody could be asked.
        """
        messages = self._messages(goal, given or {}, past)
        begun = await self._in_form(partial(self._stream, messages))
        return PlanStream(begun, self._checks(given or {}, past))

    def planned(self, stream: PlanStream) -> Planned:
        """What a stream that has ended came to, with what it took."""
        spent = _Spent()
        spent.add(stream.answer, self._price)
        warnings = tuple(map(str, stream.checked.warnings))
        return Planned(
            stream.plan,
            by=self.name,
            why="written",
            tokens=spent.tokens,
            cost=spent.cost,
            call_ids=spent.call_ids,
            warnings=warnings,
            output_tokens=spent.usage.output_tokens,
        )

    def unplanned(self, stream: PlanStream, why: str) -> NoPlan:
        """What a stream took that came to no plan."""
        spent = _Spent()
        spent.add(stream.answer, self._price)
        wrote = spent.usage.output_tokens
        return NoPlan(f"{self.name}: {why}", spent.tokens, spent.cost, spent.call_ids, wrote)

    async def answer(self, request: Request) -> Answer:
        """The plan for the goal that is the last message of the user, as JSON.

        Raises:
            MalformedRequest: there is no goal.
            NoPlan: what was written cannot be run.
            EngineError: nobody could be asked.
        """
        spent = _Spent()
        found = await self._plan(goal_of(request), {}, None, spent)
        return Answer(text=written(found.plan).decode(), model=self.name, usage=spent.usage)

    async def _plan(
        self, goal: str, given: Mapping[str, Json], past: Earlier | None, spent: _Spent
    ) -> Planned:
        messages, checks = self._messages(goal, given, past), self._checks(given, past)
        problems: list[Problem] = []
        for again in range(1 + self._options.repairs):
            answer = await self._in_form(partial(self._reply, messages))
            spent.add(answer, self._price)
            found = _read(answer, checks)
            if isinstance(found, tuple):
                plan, checked = found
                # What a model says of its input binds nobody: it is what the run was given.
                plan = replace(plan, input=dict(schema_of(dict(given), 1)) if given else {})
                why = "written" if not again else "written, and mended once it was sent back"
                return Planned(
                    plan,
                    given,
                    self.name,
                    why,
                    spent.tokens,
                    spent.cost,
                    spent.call_ids,
                    tuple(map(str, checked.warnings)),
                    spent.usage.output_tokens,
                )
            problems = found
            messages += repair_messages(answer.text, problems)
        told = "; ".join(map(str, problems[:_SHOWN]))
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise NoPlan(
            f"{self._ask.name} wrote no plan that can be run, in {1 + self._options.repairs} tries"
            f": {told}{more}. Say the goal more simply, or name a plan to run",
            spent.tokens,
            spent.cost,
            spent.call_ids,
            spent.usage.output_tokens,
        )

    async def _reply(self, messages: tuple[Message, ...]) -> Answer:
        return await self._ask.answer(self._request(messages))

    async def _stream(self, messages: tuple[Message, ...]) -> AnswerStream:
        if isinstance(self._ask, Streamer):
            return await self._ask.stream(self._request(messages, stream=True))
        return WrittenStream(await self._reply(messages))

    async def _in_form(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What is asked for, without a form for the answer where the provider refuses that."""
        try:
            return await ask()
        except (EngineRefused, Untranslatable) as error:
            if self._structure == "free" or error.status not in _REFUSED_FORM:
                raise
            self._structure = "free"
            return await ask()

    def _messages(
        self, goal: str, given: Mapping[str, Json], past: Earlier | None
    ) -> tuple[Message, ...]:
        return planning_messages(
            goal, given, self._catalogue, past, self._options.characters, self._embed
        )

    def _checks(self, given: Mapping[str, Json], past: Earlier | None) -> Check:
        known: dict[str, Schema] = {INPUT: schemas_of(given)}
        if past is None:
            return checking(self._catalogue, self._options.limits, known)
        known |= past.known()
        return reserved(checking(self._catalogue, self._options.limits, known), DONE)

    def _request(self, messages: tuple[Message, ...], stream: bool = False) -> Request:
        options = self._options
        params: dict[str, Json] = {}
        if options.max_tokens:
            params["max_tokens"] = options.max_tokens
        if options.temperature is not None:
            params["temperature"] = options.temperature
        return Request(
            model=options.model or self._ask.name,
            messages=messages,
            response_format=response_format(self._catalogue, self._structure),
            params=msgspec.json.encode(params).decode(),
            stream=stream,
        )


def _read(answer: Answer, checks: Check) -> tuple[Plan, Checked] | list[Problem]:
    """The plan that an answer holds, or what is wrong with it."""
    if answer.refusal:
        return [Problem("", f"you refused: {answer.refusal[:300]}")]
    if answer.finish_reason == "length":
        return [Problem("", "the answer was cut short at its most tokens: write a shorter plan")]
    try:
        plan = plan_in(answer.text)
    except MalformedRequest as error:
        return [Problem("", str(error))]
    checked = checks(plan, True)
    return list(checked.problems) or (plan, checked)
