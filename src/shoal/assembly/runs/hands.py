"""The hands of one run: models, tasks, collections and tools, as its caller may use them."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.library import Library
from shoal.assembly.regime import Regime
from shoal.assembly.roster import Roster
from shoal.assembly.runs.grants import Grants
from shoal.assembly.runs.prompts import TaskRequests, to_model
from shoal.chat import Answer, AnswerStream, Request
from shoal.errors import MaxCostExceeded, NotFound, UnknownModel
from shoal.planning.hands import Said, TooLittleLeft
from shoal.planning.plan import Ask
from shoal.retrieval.filters import filter_from_json
from shoal.retrieval.search import SearchOptions
from shoal.routing.caller import Caller
from shoal.routing.estimate import tokens_at_most
from shoal.routing.receipt import Receipt
from shoal.tasks import Task
from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse
from shoal.tools.toolbox import digest_of

Serve = Callable[[Request, str, Caller], Awaitable[tuple[Answer, Receipt]]]
"""Has a request of an episode answered and recorded, on a caller's behalf."""


Stream = Callable[[Request, str, Caller], Awaitable[AnswerStream]]
"""Begins to have one answered, and has it recorded when it ends."""


class World(Struct, frozen=True):
    """What all runs share. ``roster`` is that of now."""

    serve: Serve
    stream: Stream
    roster: Callable[[], Roster]
    requests: TaskRequests
    library: Library | None


class RunHands:
    """Does what the steps of one run ask for."""

    def __init__(
        self,
        world: World,
        regime: Regime,
        caller: Caller,
        grants: Grants,
        tools: Iterable[ToolSpec],
        episode: str,
        on_behalf: bool,
    ) -> None:
        """``tools`` are what plans are checked against: one that has changed since is not called.
        ``on_behalf``: an agent asks models for a caller who may ask the agent; else the caller
        asks, and may ask what their key is for."""
        self._world, self._regime = world, regime
        self._caller, self._grants, self._episode = caller, grants, episode
        self._on_behalf = on_behalf
        self._digests = {spec.name: digest_of(spec) for spec in tools}

    async def tokens(self, step: Ask) -> float:
        """The tokens that a step of a task takes at most: see ``Hands``."""
        return tokens_at_most(await self._request(step))

    async def ask(self, step: Ask, left_usd: float, left_tokens: float) -> Said:
        """Have a step answered: see ``Hands``."""
        request, caller = await self._request(step), self._caller
        if (most := tokens_at_most(request)) > left_tokens:
            raise TooLittleLeft(
                f"of the run's tokens {left_tokens:,.0f} are left, and this call may take {most:,}"
            )
        if not math.isinf(left_usd):
            caller = replace(caller, max_cost=left_usd)
        if self._on_behalf:
            caller = caller.allowed(request.model)
        try:
            answer, receipt = await self._world.serve(request, self._episode, caller)
        except MaxCostExceeded as error:
            raise TooLittleLeft(str(error)) from error
        usage = answer.usage
        return Said(
            answer.text,
            by=receipt.answered_by,
            why=receipt.reason,
            call_id=receipt.call_id,
            tokens=usage.input_tokens + usage.output_tokens if usage else 0,
            cost=receipt.cost or 0.0,
            output_tokens=usage.output_tokens if usage else 0,
            trouble=_trouble(answer, receipt.answered_by),
        )

    async def retrieve(
        self, collection: str, query: str, k: int, where: Mapping[str, Json]
    ) -> list[Json]:
        """The best passages: see ``Hands``."""
        library = self._world.library
        if library is None:
            raise NotFound(f"no collection {collection!r}: this process has none open")
        self._caller.require_collection(collection)
        chosen = filter_from_json(dict(where)) if where else None
        return await asyncio.to_thread(
            _search, library, collection, query, SearchOptions(k=k, where=chosen)
        )

    async def use(self, tool: str, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Call a tool: see ``Hands``."""
        granted = self._grants.tools
        names = None if granted is None else tuple(granted)
        return await self._regime.tools.call(
            tool, arguments, use, names, self._digests.get(tool, "")
        )

    async def _request(self, step: Ask) -> Request:
        if not step.task:
            return to_model(step)
        task = self._task(step.task)
        return await asyncio.to_thread(self._world.requests.of, task, step)

    def _task(self, name: str) -> Task:
        for post in self._world.roster().posts.values():
            if post.task.name == name:
                return post.task
        raise UnknownModel(f"no task named {name!r} any more")


def _trouble(answer: Answer, by: str) -> str:
    if answer.refusal:
        return f"{by} refused: {answer.refusal[:200]}"
    return "" if answer.complete else f"{by} broke off"


def _search(library: Library, name: str, query: str, options: SearchOptions) -> list[Json]:
    with library.using(name) as collection:
        hits = collection.search(query, options)
    return [
        {
            "text": hit.passage.text,
            "document": hit.document.name,
            "headings": list(hit.passage.headings),
            "score": round(hit.score, 6),
        }
        for hit in hits
    ]
