"""A place to perform runs in: tools that write down what they do, a model that says what it is told
to, agents, and Shoal over a store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from shoal.assembly import Model, Models, Purse, Regime, Shoal
from shoal.assembly.library import Library
from shoal.assembly.loader import Loader
from shoal.assembly.runs.agent import Agent
from shoal.assembly.runs.agents import Agents
from shoal.assembly.runs.hands import World
from shoal.assembly.runs.leases import Watch
from shoal.assembly.runs.orchestra import Orchestra
from shoal.assembly.runs.order import Order
from shoal.assembly.runs.plan_witness import PlanWitness
from shoal.assembly.runs.planners import AgentPlanners
from shoal.assembly.runs.prompts import TaskRequests
from shoal.assembly.runs.run_desk import Runs
from shoal.assembly.runs.scene import Scenes
from shoal.assembly.runs.stored import StoredPlans
from shoal.assembly.runs.streams import stream_one
from shoal.chat import Answer, Request, Usage
from shoal.engines import Engine, WrittenStream
from shoal.planning.options import AgentOptions
from shoal.planning.plan import Plan, read_plan
from shoal.routing.budget import Budgets
from shoal.routing.prices import Tariff
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store
from shoal.tools.python import FunctionAbout, FunctionTool
from shoal.tools.tool import Json, Tool, ToolUse
from shoal.tools.toolbox import Toolbox
from shoal.tools.toolset import Toolset

QUICK = Watch(lease_s=1.0, every_s=0.05)
SLOW = Watch(lease_s=60.0, every_s=0.05)


class Scribe:
    """A model that says what a function makes of its request."""

    def __init__(self, name: str, says: Callable[[Request], str]) -> None:
        self.name, self.says, self.asked = name, says, list[Request]()

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        return Answer(self.says(request), model=self.name, usage=Usage(10, 5))

    async def stream(self, request: Request) -> WrittenStream:
        return WrittenStream(await self.answer(request))

    async def aclose(self) -> None: ...


class Ledger:
    """Tools that write down, and wait where a test says so."""

    def __init__(self) -> None:
        self.done = list[str]()
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    def tools(self) -> list[Tool]:
        """``look`` reads, ``pay`` writes and may be done once only, ``safe`` may be repeated."""

        async def look(what: str) -> str:
            self.begun.set()
            await self.go.wait()
            return f"seen {what}"

        async def pay(amount: int, use: ToolUse) -> str:
            self.begun.set()
            await self.go.wait()
            self.done.append(use.key)
            return f"paid {amount}"

        async def safe(amount: int, use: ToolUse) -> str:
            self.begun.set()
            await self.go.wait()
            if use.key not in self.done:
                self.done.append(use.key)
            return f"paid {amount}"

        return [
            FunctionTool(look, FunctionAbout(effects="reads")),
            FunctionTool(pay, FunctionAbout()),
            FunctionTool(safe, FunctionAbout(repeatable=True)),
        ]


class Stage(Struct):
    """All that stands on it."""

    store: Store
    shoal: Shoal
    orchestra: Orchestra
    scenes: Scenes
    runs: Runs
    scribes: Mapping[str, Scribe]


def plan_of(*steps: Mapping[str, Any], **more: Any) -> Plan:
    """A plan of these steps, as it is read from JSON."""
    return read_plan(msgspec.json.encode({"name": "some plan", "steps": list(steps), **more}))


def answer(value: Json, **more: Json) -> dict[str, Json]:
    return {"do": "answer", "id": "end", "value": value, **more}


def use(id: str, tool: str = "look", **more: Any) -> dict[str, Json]:
    given = {"what": "it"} if tool == "look" else {"amount": 1}
    return {"do": "tool", "id": id, "tool": tool, "arguments": given, **more}


def ask(id: str, prompt: str = "hello", model: str = "gpt", **more: Json) -> dict[str, Json]:
    return {"do": "ask", "id": id, "model": model, "prompt": prompt, **more}


def approve(id: str = "word", question: str = "Pay?", **more: Json) -> dict[str, Json]:
    return {"do": "approve", "id": id, "question": question, **more}


PAYING = plan_of(
    approve(),
    use("paid", "pay", after=["word"]),
    answer("${paid}"),
)


def order_of(plan: Plan | None = None, **fields: Any) -> Order:
    """An order of gateways."""
    return Order(plan=plan, by="gateway", **fields)


def agent_of(name: str, plan: Plan | None = None, **options: Any) -> Agent:
    """An agent that always runs a plan, or has the model ``gpt`` plan."""
    how: dict[str, Any] = {"planner": "gpt"} if plan is None else {"plan": Path("plan.json")}
    return Agent(name, AgentOptions.model_validate(how | options), plan, {})


@asynccontextmanager
async def stage(
    store: Store,
    tools: Iterable[Tool] = (),
    says: Callable[[Request], str] = lambda request: "said",
    agents: Iterable[Agent] = (),
    library: Library | None = None,
    watch: Watch = SLOW,
    resumes: bool = False,
    models: Iterable[str] = ("gpt", "big"),
    loader: Loader | None = None,
    promise: PromiseOptions | None = None,
    privacy: PrivacyOptions | None = None,
) -> AsyncIterator[Stage]:
    scribes = {name: Scribe(name, says) for name in models}
    known = {
        name: Model(name, _engine(one), Tariff(model=name, input=1.0, output=2.0))
        for name, one in scribes.items()
    }
    regime = Regime(
        Models(known),
        {},
        promise or PromiseOptions(),
        privacy=privacy,
        agents={one.name: one for one in agents},
        tools=Toolset(Toolbox(tools)),
    )
    async with Shoal(store, regime, library=library) as shoal:
        world = World(
            shoal.answer_one,
            partial(stream_one, shoal),
            lambda: shoal.roster,
            TaskRequests(store),
            library,
        )
        scenes = Scenes(lambda: shoal.regime, lambda: shoal.roster, world, library)
        planners = AgentPlanners(StoredPlans(store, loader or Loader(store)))
        purse = Purse(Budgets(store.spend.between, {}), 4_096)
        witness = PlanWitness(store, purse)
        async with Orchestra(store, scenes, planners.of, resumes, watch, witness) as orchestra:
            shoal.join(Agents(orchestra, scenes))
            yield Stage(store, shoal, orchestra, scenes, Runs(orchestra), scribes)
            await orchestra.compared()
            await shoal.settle()


def _engine(scribe: Scribe) -> Engine:
    return scribe


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until that is so; the test fails when it takes too long."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
