"""Plans of recorded models: does the executor reach exactly the calls that were valid?

    python -m benchmarks.orchestrator_planning [--models gpt-4o-2024-08-06,...]

The parallel categories of the Berkeley function-calling prompts: 400 questions, the recorded
answers of 71 models. The calls of an answer become a plan, a ``tool`` step each, none waiting for
another; that text is what the planner's model "said", played back by the recorded engine. Tools are
made from the prompt's function schemas, and note who calls them. Valid is what the benchmark's own
checker said of the answer. Answers whose calls cannot be read (prose, odd syntax) are left out.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from benchmarks.cascades_calls import Call, calls_in
from benchmarks.data import lines
from shoal.chat import Request
from shoal.engines.options import RecordedOptions
from shoal.engines.recorded import RecordedEngine
from shoal.formats.chat_completions import record_request
from shoal.formats.json_schema import TYPES
from shoal.guarantees import interval
from shoal.planning.catalogue import Catalogue
from shoal.planning.hands import Said
from shoal.planning.llm_planner import LlmPlanner, PlannerOptions
from shoal.planning.plan import Ask
from shoal.planning.plan_schema import response_format
from shoal.planning.planner import NoPlan
from shoal.planning.prompting import planning_messages
from shoal.planning.run import Around, run_plan
from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse

CATEGORIES = ("parallel_function", "parallel_multiple_function")


class Question(Struct, frozen=True):
    """A prompt, and its functions as tools."""

    goal: str
    catalogue: Catalogue


class Recorded(Struct, frozen=True):
    """One model's answer."""

    question: Question
    calls: tuple[Call, ...]
    valid: bool


class Noting:
    """Tools that do nothing but note who calls them."""

    def __init__(self) -> None:
        self.made: list[Call] = []

    async def tokens(self, step: Ask) -> float:
        raise AssertionError("no plan asks anybody")

    async def ask(self, step: Ask, left_usd: float, left_tokens: float) -> Said:
        raise AssertionError("no plan asks anybody")

    async def retrieve(
        self, collection: str, query: str, k: int, where: Mapping[str, Json]
    ) -> list[Json]:
        raise AssertionError("no plan retrieves")

    async def use(self, tool: str, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        self.made.append((tool, dict(arguments)))
        return ToolResult(value=True)


def questions() -> dict[tuple[str, int], Question]:
    """The prompts by category and number."""
    found = {}
    for row in lines("function_calling/prompts.jsonl.gz"):
        if row["category"] in CATEGORIES:
            told = row["function"]
            tools = [_tool(one) for one in (told if isinstance(told, list) else [told])]
            catalogue = Catalogue(tools={tool.name: tool for tool in tools})
            found[row["category"], row["idx"]] = Question(row["question"], catalogue)
    return found


def _tool(function: dict[str, Any]) -> ToolSpec:
    takes = _standard(function["parameters"]) | {"additionalProperties": False}
    return ToolSpec(
        name=_name(function["name"]),
        description=function.get("description", ""),
        takes=json.dumps(takes),
        effects="reads",
    )


def _name(name: str) -> str:
    """As most providers' interfaces want it, and offered it to the models: without points."""
    return name.replace(".", "_")


def _standard(schema: Any) -> Any:
    """The schema with JSON Schema's own names of types."""
    if isinstance(schema, list):
        return [_standard(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _standard(one) for key, one in schema.items() if key != "optional"}
    kind = found.get("type")
    if kind == "any":
        del found["type"]
    elif isinstance(kind, str):
        found["type"] = TYPES.get(kind, kind)
    return found


def answers(asked: Mapping[tuple[str, int], Question]) -> dict[str, list[Recorded]]:
    """What each model answered, as far as its calls can be read."""
    found: dict[str, list[Recorded]] = {}
    for model, category, at, _, text, *_, valid, _ in lines("function_calling/outputs.jsonl.gz"):
        if category not in CATEGORIES:
            continue
        rows = found.setdefault(model, [])
        calls = calls_in(str(text).replace("\\_", "_"))
        if calls:
            named = tuple((_name(name), given) for name, given in calls)
            rows.append(Recorded(asked[category, at], named, bool(valid)))
    return found


def plan_of(calls: tuple[Call, ...]) -> dict[str, Json]:
    """The calls as a plan's JSON."""
    steps: list[Json] = [
        {"do": "tool", "id": f"call_{at}", "tool": name, "arguments": _escaped(given)}
        for at, (name, given) in enumerate(calls)
    ]
    value: list[Json] = [f"${{call_{at}}}" for at in range(len(calls))]
    return {"name": "calls", "steps": [*steps, {"do": "answer", "id": "end", "value": value}]}


def _escaped(value: Any) -> Json:
    match value:
        case str():
            return value.replace("${", "$${")
        case dict():
            return {str(key): _escaped(one) for key, one in value.items()}
        case list() | tuple() | set():
            return [_escaped(one) for one in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return str(value)


def recording(model: str, rows: list[Recorded]) -> Iterator[str]:
    """The lines of a file for the recorded engine."""
    for row in rows:
        question = row.question
        request = Request(
            model,
            planning_messages(question.goal, {}, question.catalogue),
            response_format=response_format(question.catalogue, "schema"),
        )
        message = {"role": "assistant", "content": json.dumps(plan_of(row.calls))}
        response = {
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        told = {"request": json.loads(record_request(request)), "response": response}
        yield json.dumps(told) + "\n"


class Tally(Struct):
    """Answers by whether they were valid and what became of them; why plans were refused."""

    counts: Counter[tuple[bool, str]]
    why: Counter[tuple[bool, str]]
    unplanned: int = 0
    calls: int = 0


async def replay(model: str, rows: list[Recorded], folder: Path, tally: Tally) -> None:
    """Plan and run each answer of one model."""
    path = folder / "recorded.jsonl"
    path.write_text("".join(recording(model, rows)), encoding="utf-8")
    engine = RecordedEngine(model, RecordedOptions(engine="recorded", path=path))
    for row in rows:
        planner = LlmPlanner(engine, row.question.catalogue, PlannerOptions(repairs=0))
        hands = Noting()
        try:
            planned = await planner.plan(row.question.goal)
        except NoPlan as error:
            tally.counts[row.valid, "refused"] += 1
            tally.why[row.valid, _kind(str(error))] += 1
            continue
        around = Around(run_id="run", hands=hands, catalogue=row.question.catalogue)
        outcome = await run_plan(planned.plan, {}, around)
        meant, made = Counter(map(_told, row.calls)), Counter(map(_told, hands.made))
        exactly = meant == made and outcome.state == "done"
        tally.counts[row.valid, "reached" if exactly else "missed"] += 1
        tally.unplanned += (made - meant).total()
        tally.calls += made.total()


def _told(call: Call) -> str:
    return json.dumps([call[0], json.loads(json.dumps(call[1], default=str))], sort_keys=True)


def _kind(error: str) -> str:
    for part in ("takes no", "requires", "there is no", "is not of type", "is not one of"):
        if part in error:
            return part
    return "expected another type" if "expected" in error else "else"


def main() -> None:
    """All models, or some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="")
    options = parser.parse_args()
    asked = questions()
    recorded = answers(asked)
    chosen = options.models.split(",") if options.models else sorted(recorded)
    tally = Tally(Counter(), Counter())
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for model in chosen:
            asyncio.run(replay(model, recorded[model], Path(folder), tally))
    spent = time.process_time() - began
    total = sum(tally.counts.values())
    read = f"{total:,} readable of {len(chosen) * len(asked):,} answers of {len(chosen)} models"
    print(f"{read}, {tally.calls:,} calls made, {spent / max(1, total) * 1e3:.1f} ms CPU an answer")
    for valid, name in ((True, "valid"), (False, "not valid")):
        found = {what: tally.counts[valid, what] for what in ("reached", "refused", "missed")}
        n = sum(found.values())
        low, high = interval(found["reached"], max(1, n), 0.95)
        print(
            f"{name}: {n:,}; exactly the calls of the answer were made {found['reached']:,} "
            f"({found['reached'] / max(1, n):.2%}, {low:.2%} to {high:.2%}); plan refused before "
            f"the first call {found['refused']:,}; otherwise {found['missed']:,}"
        )
        why = {kind: count for (was, kind), count in tally.why.most_common() if was == valid}
        print(f"  refused for: {why}")
    print(f"calls that no plan had: {tally.unplanned}")


if __name__ == "__main__":
    main()
