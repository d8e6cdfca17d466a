"""Steps that ask somebody outside: models, collections, tools, people.

Each knows whether it was done before, has a time limit and tries again what passes. What changes
something is written down before it is begun, and when it ended: if only the first is there, nobody
knows whether it was done, and it is begun again only if its tool does such a call once.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from shoal.encoder.encoder import SURROGATE
from shoal.errors import EngineError, EngineRefused, NotRecorded, RateLimited, ShoalError
from shoal.formats.json_schema import breach
from shoal.planning.catalogue import Catalogue
from shoal.planning.estimate import Estimator, escalations, longest_pause_s
from shoal.planning.hands import Hands, Said, TooLittleLeft
from shoal.planning.journal import WRITTEN, Entry, Journal, Past
from shoal.planning.limits import Limits
from shoal.planning.outcome import RunStopped, StepFailed, Waiting
from shoal.planning.plan import Approve, Ask, Retrieve, Say, Step, Use
from shoal.planning.references import as_text, filled
from shoal.planning.spending import Holding, Spending
from shoal.tools.tool import Json, ToolSpec, ToolUse

_T = TypeVar("_T")
Scope = Mapping[str, Json]

_GRACE_S = 5.0  # that a call which changes something may go on when the run is cancelled


class Circumstances(msgspec.Struct, frozen=True):
    """What all steps of one run share. ``whole`` is set once the plan is complete and checked:
    until then nothing is changed and nobody is asked for a word. ``tell`` hears of everything."""

    run_id: str
    hands: Hands
    catalogue: Catalogue
    limits: Limits
    journal: Journal
    past: Past
    spending: Spending
    whole: asyncio.Event
    slots: asyncio.Semaphore
    tell: Callable[[Entry], None]


class Leaves:
    """Runs steps that hold no others."""

    def __init__(self, around: Circumstances) -> None:
        self._around = around
        self._estimator = Estimator(around.catalogue, around.limits)

    async def run(self, step: Step, scope: Scope, place: str) -> Json:
        """The result of a step.

        Raises:
            StepFailed: it has none.
            RunStopped: the run may not go on.
            Waiting: a person has not said their word.
            MalformedRequest: a path leads nowhere.
        """
        past = self._around.past
        if place in past.finished:
            return past.finished[place]
        self._around.spending.begin(place)
        while self._around.journal.presses:
            await self._around.journal.kept()
        match step:
            case Ask():
                return await self._ask(step, scope, place)
            case Retrieve():
                return await self._retrieve(step, scope, place)
            case Use():
                return await self._use(step, scope, place)
            case Approve():
                return await self._approve(step, scope, place)
            case Say():
                value = filled(step.value, scope)
                self._note(Entry("finished", place, {"value": value}))
                return value
            case _:
                raise AssertionError(f"{type(step).__name__} holds steps")

    async def _ask(self, step: Ask, scope: Scope, place: str) -> Json:
        prompt, system = as_text(filled(step.prompt, scope)), as_text(filled(step.system, scope))
        slots = {name: filled(value, scope) for name, value in step.slots.items()}
        length = len(prompt) + len(system) + sum(len(as_text(one)) for one in slots.values())
        if length > self._around.limits.prompt_characters:
            raise StepFailed(
                place,
                f"its prompt has {length:,} characters, at most "
                f"{self._around.limits.prompt_characters:,} are sent",
                "send less of what it names, or split that with a map",
            )
        ready = replace(step, prompt=prompt, system=system, slots=slots)
        told: dict[str, Json] = {"prompt": _short(prompt), "slots": slots}
        broken, heard, began = StepFailed(place, "nobody was asked"), list[Said](), _now()
        for asked in escalations(ready):
            try:
                upper = self._estimator.filled_usd(asked)
                tokens = await self._tokens(asked, place)
                work = partial(self._said, asked, place, heard)
                said = await self._tried(step, place, upper, work, tokens=tokens)
                value = self._read(asked, said.text, place)
            except StepFailed as error:
                broken = error
                continue
            except RunStopped as stopped:  # what it heard so far was paid for
                if heard:
                    self._fail(StepFailed(place, stopped.message), began, heard, told)
                raise
            if step.receipt:
                value = {"value": value, "by": said.by, "why": said.why, "call_id": said.call_id}
            self._finish(place, value, began, heard, told)
            return value
        self._fail(broken, began, heard, told)
        raise broken

    async def _tokens(self, asked: Ask, place: str) -> float:
        if not asked.task:
            return self._estimator.filled_tokens(asked)
        try:
            return await self._around.hands.tokens(asked)
        except ShoalError as error:
            raise StepFailed(place, str(error), passing=_passes(error)) from error

    async def _said(self, asked: Ask, place: str, heard: list[Said], holding: Holding) -> Said:
        """What was said; added to ``heard``, since all of it costs."""
        try:
            said = await self._around.hands.ask(asked, holding.left_usd, holding.left_tokens)
        except TooLittleLeft as error:
            hint = "raise the run's budget, and resume it"
            raise RunStopped("over budget", place, str(error), hint) from error
        except ShoalError as error:
            raise StepFailed(place, str(error), passing=_passes(error)) from error
        said = replace(said, text=SURROGATE.sub("\ufffd", said.text))
        holding.took(said.cost, said.tokens, said.output_tokens)
        heard.append(said)
        if said.trouble:
            raise StepFailed(place, said.trouble, passing=True)
        return said

    def _read(self, asked: Ask, text: str, place: str) -> Json:
        """What the text says, by the step's contract."""
        gives: Mapping[str, Json] = asked.output
        if asked.task:
            gives = self._around.catalogue.tasks[asked.task].gives
        if not gives or gives.get("type") == "string":
            value: Json = text.strip()
        else:
            try:
                value = msgspec.json.decode(_unfenced(text))
            except (msgspec.DecodeError, RecursionError):
                raise StepFailed(place, f"expected JSON, the answer was {_short(text)!r}") from None
        told = breach(msgspec.json.encode(gives).decode(), value) if gives else ""
        if told:
            raise StepFailed(place, f"the answer breaks its contract: {told}")
        return value

    async def _retrieve(self, step: Retrieve, scope: Scope, place: str) -> Json:
        query, where = as_text(filled(step.query, scope)), filled(step.where, scope)
        assert isinstance(where, dict)
        began, asked = _now(), {"query": _short(query)}

        async def search(_: Holding) -> list[Json]:
            try:
                return await self._around.hands.retrieve(step.collection, query, step.k, where)
            except ShoalError as error:
                raise StepFailed(place, str(error), passing=_passes(error)) from error

        found = await self._tried(step, place, 0.0, search)
        self._finish(place, found, began, [Said("", by=step.collection)], asked)
        return found

    async def _use(self, step: Use, scope: Scope, place: str) -> Json:
        arguments = filled(step.arguments, scope)
        assert isinstance(arguments, dict)
        spec = self._around.catalogue.tools[step.tool]
        if spec.effects == "writes":
            return await self._change(step, arguments, place, spec)
        work = partial(self._call, step, arguments, place, True)
        return await self._tried(step, place, spec.cost, work)

    async def _change(
        self, step: Use, arguments: dict[str, Json], place: str, spec: ToolSpec
    ) -> Json:
        """A call that changes something."""
        around, may_repeat = self._around, spec.may_repeat
        await around.whole.wait()
        if place in around.past.begun and not may_repeat:
            raise _stuck(place, step.tool)
        is_noted = False

        async def once(holding: Holding) -> Json:
            nonlocal is_noted
            if not is_noted:  # not before: until it has its turn and its money, nothing is begun
                self._note(Entry("started", place, {"tool": step.tool, "arguments": arguments}))
                is_noted = True
                await around.journal.kept()
            limit = min(step.timeout_s or around.limits.step_timeout_s, around.spending.left_s)
            try:
                call = self._call(step, arguments, place, may_repeat, holding)
                return await _to_its_end(call, limit + _GRACE_S)
            except TimeoutError:
                if may_repeat:
                    raise
                raise _stuck(place, step.tool, "it took too long") from None

        began = _now()
        try:  # how it ended is noted at once, and waited for where something else is to be changed
            return await self._tried(step, place, spec.cost, once, slack_s=3 * _GRACE_S)
        except StepFailed as error:
            self._fail(error, began, (), {"arguments": arguments})
            raise

    async def _call(
        self,
        step: Use,
        arguments: dict[str, Json],
        place: str,
        may_repeat: bool,
        holding: Holding,
    ) -> Json:
        """Call the tool, and write down what it gave."""
        around = self._around
        left = min(step.timeout_s or around.limits.step_timeout_s, around.spending.left_s)
        began = _now()
        result = await around.hands.use(step.tool, arguments, ToolUse(self._key(place), left))
        holding.took(result.cost)
        if result.ok:
            said = Said("", by=step.tool, cost=result.cost)
            self._finish(place, result.value, began, [said], {"arguments": arguments})
            return result.value
        if result.unsure and not may_repeat:
            raise _stuck(place, step.tool, result.error)
        raise StepFailed(place, result.error, result.hint, result.passing or result.unsure)

    async def _approve(self, step: Approve, scope: Scope, place: str) -> Json:
        around = self._around
        await around.whole.wait()
        decision = around.past.decisions.get(place)
        if decision is None:
            if place not in around.past.asked:
                question = as_text(filled(step.question, scope))
                shown = filled(step.show, scope)
                self._note(Entry("waiting", place, {"question": question, "show": shown}))
            raise Waiting(place)
        if not (decision.approved or step.go_on):
            why = f": {decision.note}" if decision.note else ""
            raise RunStopped("failed", place, f"{decision.by or 'a person'} said no{why}")
        value: Json = msgspec.to_builtins(decision)
        self._note(Entry("finished", place, {"value": value}))
        return value

    async def _tried(
        self,
        step: Step,
        place: str,
        upper: float,
        work: Callable[[Holding], Awaitable[_T]],
        slack_s: float = 0.0,
        tokens: float = 0.0,
    ) -> _T:
        """What ``work`` gives, tried again where the trouble may pass; a try costs ``upper`` USD
        and ``tokens`` at most. ``slack_s`` seconds beyond its limit are for who keeps that limit
        itself. Waiting for money, and for its turn, counts as the run's time and not as the
        step's."""
        around = self._around
        timeout = step.timeout_s or around.limits.step_timeout_s
        for count in range(step.retries + 1):
            try:
                async with around.spending.holding(place, upper, tokens) as holding, around.slots:
                    left = min(timeout, around.spending.left_s)
                    around.tell(Entry("started", place, {"try": count + 1}))
                    async with asyncio.timeout(left + slack_s):
                        return await work(holding)
            except TimeoutError:
                if left < timeout:  # the run's own time was up
                    raise around.spending.out_of_time(place) from None
                failed = StepFailed(place, f"no result within {left:g} seconds", passing=True)
            except StepFailed as error:
                failed = error
            if not failed.passing or count == step.retries:
                raise failed
            pause = longest_pause_s(count) * random.uniform(0.5, 1.0)
            await asyncio.sleep(min(pause, around.spending.left_s))
        raise AssertionError("the last try returns or raises")

    def _finish(
        self,
        place: str,
        value: Json,
        began: float,
        heard: Sequence[Said],
        asked: Mapping[str, Json],
    ) -> None:
        last = heard[-1]
        body: dict[str, Json] = {"value": value, "ms": _ms(began), "by": last.by, **asked}
        body |= {key: told for key, told in (("why", last.why), ("call_id", last.call_id)) if told}
        body |= _wrote(heard)
        self._note(Entry("finished", place, body, *_taken(heard)))

    def _fail(
        self, error: StepFailed, began: float, heard: Sequence[Said], asked: Mapping[str, Json]
    ) -> None:
        body = {"error": error.message, "hint": error.hint, "ms": _ms(began), **asked}
        body |= _wrote(heard)
        self._note(Entry("failed", error.step, body, *_taken(heard)))

    def _note(self, entry: Entry) -> None:
        self._around.journal.note(entry)
        self._around.tell(entry)

    def _key(self, place: str) -> str:
        """The same for each try of the call at this place, in this run alone."""
        return hashlib.sha256(f"{self._around.run_id}\n{place}".encode()).hexdigest()[:32]


async def _to_its_end(work: Coroutine[Any, Any, Json], limit_s: float) -> Json:
    """What changes something, and is under way when the run is cancelled, is given a while to end:
    so its outcome is written down.

    Raises:
        TimeoutError: it took longer than it may.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=limit_s)
    except asyncio.CancelledError:
        try:
            await asyncio.wait((task,), timeout=_GRACE_S)
        finally:  # also where it is cancelled once more
            _drop(task)
        raise
    if task.done():
        return task.result()
    _drop(task)
    raise TimeoutError


def _drop(task: "asyncio.Task[Json]") -> None:
    """Nobody waits for it any more, nor for what it raises."""
    task.cancel()
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _taken(heard: Sequence[Said]) -> tuple[float, int]:
    """USD and tokens of all that was said."""
    return sum(one.cost for one in heard), sum(one.tokens for one in heard)


def _wrote(heard: Sequence[Said]) -> dict[str, Json]:
    written = sum(one.output_tokens for one in heard)
    return {WRITTEN: written} if written else {}


def _now() -> float:
    return time.perf_counter()


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1e3, 3)


def _stuck(place: str, tool: str, why: str = "") -> RunStopped:
    return RunStopped(
        "stuck",
        place,
        f"nobody knows whether {tool} has done its work{f' ({why})' if why else ''}, and it may be "
        "done once only",
        "look there, and say whether it was: resume the run with what it gave, or have it done "
        "again",
    )


def _passes(error: ShoalError) -> bool:
    return isinstance(error, EngineError | RateLimited) and not isinstance(
        error, EngineRefused | NotRecorded
    )


def _unfenced(text: str) -> str:
    told = text.strip()
    if told.startswith("```") and told.endswith("```"):
        return told[3:-3].removeprefix("json").strip()
    return told


def _short(text: str, most: int = 500) -> str:
    return text if len(text) <= most else text[:most] + " …"
