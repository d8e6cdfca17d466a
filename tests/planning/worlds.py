"""A world for runs: tools that count what they do, models that say what they are told to."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from shoal.errors import EngineUnreachable
from shoal.planning.catalogue import Catalogue, CollectionOffer, ModelOffer, TaskOffer
from shoal.planning.hands import Said
from shoal.planning.plan import Ask, Plan, read_plan
from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse, failed, schema

LOOK = ToolSpec(
    name="look",
    description="looks something up",
    takes=schema({"id": {"type": "integer"}}, ["id"]),
    gives=schema({"price": {"type": "number"}, "names": {"type": "array"}}),
    effects="reads",
    cost=0.01,
)
BOOK = ToolSpec(name="book", description="books", takes=schema({"id": {"type": "integer"}}, ["id"]))
SAFE = msgspec.structs.replace(BOOK, name="safe", repeatable=True)
SLOW = ToolSpec(name="slow", description="takes a while", effects="reads")
CATALOGUE = Catalogue(
    tasks={
        "intent": TaskOffer(
            name="intent",
            slots=("text",),
            gives={"type": "string", "enum": ["buy", "moan"]},
            cost=0,
        )
    },
    models={
        "big": ModelOffer(name="big", input_price=1e-6, output_price=1e-5),
        "huge": ModelOffer(name="huge", input_price=1e-5, output_price=1e-4),
        "free": ModelOffer(name="free", input_price=0, output_price=0),
    },
    tools={one.name: one for one in (LOOK, BOOK, SAFE, SLOW)},
    collections={"rules": CollectionOffer(name="rules")},
    withheld=frozenset({"fire"}),
)


class World:
    """What was asked of it stands in ``calls``, in order. ``says`` answers models, ``does`` tools,
    where they are to do something else than they usually do."""

    def __init__(
        self,
        says: Callable[[Ask], str] = lambda step: "said",
        does: Mapping[str, Callable[[Mapping[str, Json]], ToolResult]] | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.calls = list[tuple[str, Json]]()
        self.keys = list[str]()
        self._says, self._does, self._seconds = says, does or {}, seconds

    async def tokens(self, step: Ask) -> float:
        return 200

    async def ask(self, step: Ask, left_usd: float, left_tokens: float) -> Said:
        self.calls.append((step.task or step.model, step.prompt or dict(step.slots)))
        await asyncio.sleep(self._seconds)
        return Said(self._says(step), by=step.model or "specialist", tokens=10, cost=0.001)

    async def retrieve(
        self, collection: str, query: str, k: int, where: Mapping[str, Json]
    ) -> list[Json]:
        self.calls.append((collection, query))
        return [{"text": "the rule", "document": "rules.md", "headings": [], "score": 1.0}]

    async def use(self, tool: str, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        self.calls.append((tool, dict(arguments)))
        self.keys.append(use.key)
        await asyncio.sleep(self._seconds)
        if tool in self._does:
            return self._does[tool](arguments)
        return ToolResult({"price": 2.5, "names": ["a", "b"]})


def passing(times: int) -> Callable[[Mapping[str, Json]], ToolResult]:
    """Fails so many times, then works."""
    left = [times]

    def use(arguments: Mapping[str, Json]) -> ToolResult:
        left[0] -= 1
        return failed("busy", passing=True) if left[0] >= 0 else ToolResult({"price": 1.0})

    return use


def unreachable(step: Ask) -> str:
    raise EngineUnreachable("nobody listens")


def plan_of(*steps: Mapping[str, Json], **more: Json) -> Plan:
    """A plan of these steps, as it is read from JSON."""
    return read_plan(msgspec.json.encode({"name": "some plan", "steps": list(steps), **more}))


def answer(value: Json, **more: Json) -> dict[str, Json]:
    return {"do": "answer", "id": "end", "value": value, **more}


def tool(id: str, name: str = "look", arguments: Json = None, **more: Json) -> dict[str, Json]:
    given = {"id": 1} if arguments is None else arguments
    return {"do": "tool", "id": id, "tool": name, "arguments": given, **more}


def ask(id: str, prompt: str = "hello", model: str = "big", **more: Json) -> dict[str, Json]:
    return {"do": "ask", "id": id, "model": model, "prompt": prompt, **more}


def messages(problems: Sequence[object]) -> str:
    return "\n".join(map(str, problems))
