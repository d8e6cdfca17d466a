"""Support triage: up to the question, on after the word, and never two replies."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import Pipeline

Prepared = Callable[[str], Pipeline]


def message(here: Pipeline, id: str) -> dict[str, Any]:
    lines = (here.folder / "new.jsonl").read_text(encoding="utf-8").splitlines()
    return next(found for found in map(json.loads, lines) if found["id"] == id)


def test_a_reply_waits_for_a_word_and_is_sent_once(pipeline: Prepared) -> None:
    here = pipeline("support_triage")
    given = message(here, "d1303")
    first = here.run("plan.json", given, ends=3)
    shown = json.loads(here.shoal("runs", "show", first["run"], "--json").stdout)
    asked = next(one for one in shown["records"] if one["kind"] == "waiting")["body"]["show"]
    assert asked["order"][0][0] == "PH-77045"
    assert asked["policy"][0]["document"].endswith("account.md")
    assert here.rows("outbox.db", "SELECT * FROM outbox") == []

    done = json.loads(here.shoal("runs", "approve", first["run"], "--json").stdout)
    assert done["state"] == "done"
    assert done["value"]["state"] == "replied"
    sent = here.rows("outbox.db", "SELECT message, reply FROM outbox")
    assert sent == [("d1303", asked["reply"])]
    assert here.shoal("runs", "approve", first["run"], ends=1)

    again = here.run("plan.json", given, ends=3)
    here.shoal("runs", "approve", again["run"])
    assert here.rows("outbox.db", "SELECT message, reply FROM outbox") == sent


def test_no_word_no_reply_and_no_number_no_look_up(pipeline: Prepared) -> None:
    here = pipeline("support_triage")
    waiting = here.run("plan.json", message(here, "d1300"), ends=3)
    shown = json.loads(here.shoal("runs", "show", waiting["run"], "--json").stdout)
    steps = {one.get("step") for one in shown["records"] if one["kind"] == "finished"}
    assert {"details", "policy"} <= steps
    assert "order:0.found" not in steps
    told = here.shoal("runs", "approve", waiting["run"], "--no", "--note", "call her", "--json")
    assert json.loads(told.stdout)["value"]["state"] == "left to a person"
    assert json.loads(told.stdout)["value"]["note"] == "call her"
    assert here.rows("outbox.db", "SELECT * FROM outbox") == []


@pytest.mark.slow
def test_specialists_take_steps_over(pipeline: Prepared, tmp_path: Path) -> None:
    here = pipeline("support_triage")
    here.shoal("calls", "import", "recorded/past.jsonl")
    here.learn()
    for task in ("department", "result"):
        here.shoal("promote", task, "--to", "serve")
    _, count = asyncio.run(here.module("replay").replay(tmp_path, 60))
    for step, least in (("department", 0.25), ("details", 0.75)):
        small = sum(n for who, n in count.by[step].items() if who.startswith("specialist/"))
        assert small / count.by[step].total() > least
    assert set(count.by["urgency"]) == {"desk-llm"}

    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    slots = {"message": "${input.message}"}
    by_task = {"do": "ask", "id": "department", "task": "department", "slots": slots}
    told = {"do": "answer", "id": "end", "value": "${department}"}
    (tmp_path / "task.json").write_text(json.dumps(plan | {"steps": [by_task, told]}))
    asked = {"id": "m1", "message": "My parcel has not arrived, where is it?"}
    assert here.run("task.json", asked)["value"] == "delivery"
