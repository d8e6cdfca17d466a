"""The plan that the docs show can be run, and shows every kind of step but one."""

import re
from pathlib import Path

import msgspec

from shoal.planning.catalogue import Catalogue, CollectionOffer, ModelOffer, TaskOffer
from shoal.planning.checker import check
from shoal.planning.plan import Repeat, Step, read_plan
from shoal.planning.shape import walk
from shoal.tools.tool import ToolSpec, schema

PAGE = Path(__file__).parents[2] / "docs" / "runs.md"
NUMBER, TEXT = {"type": "integer"}, {"type": "string"}
LINES = {"type": "array", "items": {"type": "object", "properties": {"item": TEXT}}}
CATALOGUE = Catalogue(
    tasks={"intent": TaskOffer(name="intent", slots=("text",), cost=0.0)},
    models={
        name: ModelOffer(name=name, input_price=1e-7, output_price=1e-6) for name in ("gpt", "big")
    },
    tools={
        one.name: one
        for one in (
            ToolSpec(
                name="orders",
                description="",
                takes=schema({"number": NUMBER}, ["number"]),
                gives=schema({"lines": LINES}),  # type: ignore[dict-item]
                effects="reads",
            ),
            ToolSpec(name="stock", description="", takes=schema({"item": TEXT}), effects="reads"),
            ToolSpec(
                name="pay",
                description="",
                takes=schema({"number": NUMBER, "amount": {"type": "number"}}),
            ),
        )
    },
    collections={"handbook": CollectionOffer(name="handbook")},
)


def test_it_can_be_run() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    plan = read_plan(text)
    found = check(plan, CATALOGUE)
    assert found.problems == ()
    kinds = {type(step) for step in walk(plan.steps)}
    assert kinds == set(Step.__args__) - {Repeat}
    assert read_plan(msgspec.json.encode(plan)) == plan
