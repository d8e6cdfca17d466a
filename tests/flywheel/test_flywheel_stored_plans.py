"""Which plans an agent's runs needed, as its records tell."""

from typing import Any

import msgspec

from shoal.flywheel.stored_plans import planned_runs
from shoal.storage import Run, Store
from shoal.storage.run_records import Entry


def planned(name: str, **more: Any) -> tuple[str, object]:
    plan = {"name": name, "steps": [{"do": "answer", "id": "end", "value": 1}]}
    return "planned", {"by": "planner/gpt", "course": {"plan": plan, **more}}


def run_of(store: Store, goal: str, *told: tuple[str, object]) -> None:
    run = Run(id=goal, goal=goal, agent="desk", started_at=1.0, owner="x", lease_until=2.0)
    entries = [Entry(kind=kind, at=1.0, body=msgspec.json.encode(body)) for kind, body in told]
    entries.append(Entry(kind="ended", at=2.0, state="done"))
    with store.database.transaction() as conn:
        store.runs.start(conn, run)
        store.runs.extend(conn, run.id, "x", entries)


def test_the_last_plan_of_a_run_counts_however_long_the_run_was(store: Store) -> None:
    run_of(store, "long", planned("failed"), *[("finished", {})] * 1_200, planned("worked"))
    run_of(store, "short", planned("worked too"))
    run_of(store, "stored", ("planned", {"by": "planner/stored", "course": {}}))
    run_of(store, "unplanned")
    found = [(goal, plan.name) for goal, plan in planned_runs(store, "desk")]
    assert found == [("short", "worked too"), ("long", "worked")]


def test_a_plan_that_goes_on_from_another_ones_results_is_none_to_keep(store: Store) -> None:
    run_of(store, "mended", planned("first"), planned("second", done={"a": 1}))
    assert list(planned_runs(store, "desk")) == []
