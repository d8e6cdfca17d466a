"""``shoal run`` and ``shoal runs``."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import uuid_utils
from command_line import Desk

from shoal.assembly.runs.order import Order, written_order
from shoal.planning.plan import read_plan
from shoal.storage import Run

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
ECHO: dict[str, Any] = {
    "name": "echo it",
    "input": SCHEMA,
    "steps": [
        {"do": "ask", "id": "said", "model": "gpt", "prompt": "${input.text}"},
        {"do": "answer", "id": "end", "value": {"it": "${said}"}},
    ],
}
ASKS: dict[str, Any] = {
    "name": "asks",
    "steps": [
        {"do": "approve", "id": "word", "question": "Go on?", "show": {"a": 1}},
        {"do": "ask", "id": "said", "model": "gpt", "prompt": "hello", "after": ["word"]},
        {"do": "answer", "id": "end", "value": "${said}"},
    ],
}
TRUE = {"value": 1, "op": "equals", "than": 1}
POOR = ASKS | {
    "name": "poor",
    "budget": {"steps": 1},
    "steps": [
        {"do": "branch", "id": "b", "arms": [{"when": [TRUE], "steps": [
            {"do": "ask", "id": "x", "model": "gpt", "prompt": "hello"},
            {"do": "ask", "id": "y", "model": "gpt", "prompt": "again"},
        ], "result": "${y}"}], "else": {"result": 1}},
        {"do": "answer", "id": "end", "value": "${b}"},
    ],
}  # fmt: skip


def plan(desk: Desk, told: object, name: str = "plan.json") -> str:
    (desk.folder / name).write_bytes(msgspec.json.encode(told))
    return name


def run_id(desk: Desk) -> str:
    """The newest run's."""
    with desk.store() as store:
        return store.runs.list(limit=1)[0].id


def test_a_plan_is_run_with_its_input(desk: Desk) -> None:
    file = plan(desk, ECHO)
    result = desk.run("run", file, "--input", '{"text": "hello"}')
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"it": "hello"})
    assert re.search(r"^said: done by gpt in \d+ ms$", result.stderr, re.MULTILINE)
    assert desk.run("run", file, "--input", "hello", "--quiet").stderr == ""
    told = json.loads(desk.printed("run", file, "--input", "hello", "--json"))
    assert (told["state"], told["value"], told["run"]) == ("done", {"it": "hello"}, run_id(desk))


def test_what_cannot_be_run_is_refused_and_nothing_begun(desk: Desk) -> None:
    file = plan(desk, ECHO)
    assert "input: " in desk.refused("run", file)
    assert "--input: expected a JSON object" in desk.refused("run", file, "--input", "{")
    assert "nothing.json: No such file" in desk.refused("run", "nothing.json")
    assert "[agents.NAME]" in desk.refused("run", "do something")
    wrong = ECHO | {"steps": [ECHO["steps"][0] | {"model": "big"}, ECHO["steps"][1]]}
    assert "said: model: there is no 'big'; there are: gpt" in desk.refused(
        "run", plan(desk, wrong), "--input", "x"
    )
    two = wrong | {"steps": [*wrong["steps"], {"do": "tool", "id": "t", "tool": "fly"}]}
    refused = desk.refused("run", plan(desk, two), "--input", "x")
    assert [line.split(":")[0] for line in refused.splitlines()[1:]] == ["  said", "  t"]
    assert "plan.json: no plan: " in desk.refused("run", plan(desk, []))
    with desk.store() as store:
        assert store.runs.list() == []


def test_an_input_that_does_not_fit_is_told_as_one_of_the_command(desk: Desk) -> None:
    more = SCHEMA | {"properties": {"text": {"type": "string"}, "n": {"type": "integer"}}}
    refused = desk.refused("run", plan(desk, ECHO | {"input": more}), "--input", "hello")
    assert "--input: echo it takes text, n: send them as one JSON object" in refused


def test_a_dry_run_calls_nothing(desk: Desk) -> None:
    shown = desk.printed("run", plan(desk, ASKS), "--dry-run")
    assert "a person" in shown
    assert "Nothing was called." in shown
    told = json.loads(desk.printed("run", plan(desk, ASKS), "--dry-run", "--json"))
    assert [one["step"] for one in told["calls"]] == ["word", "said"]
    with desk.store() as store:
        assert (store.runs.list(), store.calls.list()) == ([], [])


def test_a_run_waits_is_approved_and_goes_on(desk: Desk) -> None:
    result = desk.run("run", plan(desk, ASKS))
    assert result.exit_code == 3
    name = run_id(desk)
    assert f"`shoal runs approve {name}` answers" in result.stdout
    assert "waiting" in desk.printed("runs", "list", "--state", "waiting")
    assert 'asks: Go on? {"a":1}' in desk.printed("runs", "show", name)
    assert desk.printed("runs", "approve", name[-8:], "--note", "fine").strip() == "hello"
    tree = desk.printed("runs", "show", name)
    assert re.search(r"word +.* said yes: fine", tree)
    assert "done" in tree
    assert "Conflict" in type(desk.run("runs", "approve", name, "word").exception).__name__


def test_a_no_ends_the_run(desk: Desk) -> None:
    desk.run("run", plan(desk, ASKS))
    result = desk.run("runs", "approve", run_id(desk), "--no", "--note", "too dear")
    assert result.exit_code == 1
    assert "has failed at word" in result.stdout
    assert "said no: too dear" in result.stdout
    with desk.store() as store:
        assert store.calls.list() == []


def test_a_budget_that_is_used_up_is_raised(desk: Desk) -> None:
    result = desk.run("run", plan(desk, POOR))
    assert (result.exit_code, "raise its budget" in result.stdout) == (5, True)
    name = run_id(desk)
    assert "stuck" in desk.printed("runs", "list")
    assert desk.printed("runs", "resume", name, "--steps", "10").strip() == "again"
    assert "has ended: it is done" in desk.refused("runs", "resume", name)


def test_runs_are_told_of(desk: Desk) -> None:
    assert "No runs" in desk.printed("runs", "list")
    desk.run("run", plan(desk, ASKS))
    name = run_id(desk)
    (listed,) = json.loads(desk.printed("runs", "list", "--json"))
    assert (listed["id"], listed["state"], listed["name"]) == (name, "waiting", "asks")
    told = json.loads(desk.printed("runs", "show", name, "--json"))
    assert [one["kind"] for one in told["records"]] == ["run", "waiting", "paused"]
    drawing = desk.folder / "plan.svg"
    desk.printed("runs", "show", name, "--svg", str(drawing))
    assert ElementTree.parse(drawing).getroot().tag.endswith("svg")
    assert "--state: expected one of running" in desk.refused("runs", "list", "--state", "asleep")
    assert "no run of id" in desk.refused("runs", "show", "nothing")


def test_a_run_is_cancelled(desk: Desk) -> None:
    desk.run("run", plan(desk, ASKS))
    name = run_id(desk)
    assert desk.printed("runs", "cancel", name).strip() == f"Cancelled {name}."
    assert "it is cancelled" in desk.refused("runs", "approve", name)
    assert "cancelled" in desk.printed("runs", "show", name)


def test_what_is_said_of_a_step_that_is_not_stuck_is_refused(desk: Desk) -> None:
    desk.run("run", plan(desk, ASKS))
    name = run_id(desk)
    assert "either --gave JSON" in desk.refused("runs", "settle", name, "said")
    assert "--gave: expected JSON" in desk.refused("runs", "settle", name, "said", "--gave", "{")
    assert "not stuck at 'said'; steps that are: none" in desk.refused(
        "runs", "settle", name, "said", "--again"
    )
    with desk.store() as store:  # it can be gone on with as before
        assert (store.runs.get(name).state, store.runs.get(name).owner) == ("waiting", "")


def test_an_agent_runs_its_plan_for_a_goal(desk: Desk, tmp_path: Path) -> None:
    file = plan(desk, ECHO, "echo.json")
    desk.add_settings(f'[agents.echo]\nplan = "{file}"\n')
    assert json.loads(desk.printed("run", "hello")) == {"it": "hello"}
    assert json.loads(desk.printed("run", "hello", "--agent", "echo")) == {"it": "hello"}
    assert "no agent named 'other'" in desk.refused("run", "hello", "--agent", "other")
    (first, _) = json.loads(desk.printed("runs", "list", "--json"))
    assert (first["agent"], first["goal"]) == ("echo", "hello")


def test_a_question_is_asked_on_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter([True])
    monkeypatch.setattr("shoal.cli.run.typer.confirm", lambda text: next(words))
    monkeypatch.setattr("shoal.cli.run._on_terminal", lambda: True)
    assert desk.printed("run", plan(desk, ASKS)).splitlines() == ["Go on?", '{"a":1}', "hello"]


def test_a_key_is_for_tools(desk: Desk) -> None:
    tools = "--tool", "look", "--tool", "see"
    made = json.loads(desk.printed("keys", "create", "app", *tools, "--json"))
    assert made["spec"]["tools"] == ["look", "see"]
    assert "tool look, tool see" in desk.printed("keys", "show", "app")


def test_a_budget_in_money_does_not_stop_the_echo_which_costs_nothing(desk: Desk) -> None:
    desk.add_settings('[models.free]\nengine = "echo"\n')
    said = ECHO["steps"][0] | {"model": "free"}
    paid = ECHO | {"steps": [said, ECHO["steps"][1]], "budget": {"usd": 0.01}}
    assert json.loads(desk.printed("run", plan(desk, paid), "--input", "hi")) == {"it": "hi"}


def test_several_steps_are_settled_one_after_the_other(desk: Desk) -> None:
    (desk.folder / "paying.py").write_text("def pay(amount: int) -> str:\n    return 'paid'\n")
    desk.add_settings(
        '[tools.pay]\nkind = "python"\nfunction = "paying.py:pay"\neffects = "writes"\n'
    )
    pays = [{"do": "tool", "id": name, "tool": "pay", "arguments": {"amount": 1}} for name in "ab"]
    end = {"do": "answer", "id": "end", "value": ["${a}", "${b}"]}
    told = {"name": "pays", "steps": [*pays, end]}
    order = Order(plan=read_plan(msgspec.json.encode(told)))
    run = Run(id=str(uuid_utils.uuid7()), started_at=1.0, owner="x", lease_until=1.0)
    with desk.store() as store, store.database.transaction() as conn:
        store.runs.start(conn, run, written_order(order))  # killed while it called both
        for name in "ab":
            store.runs.append(conn, run.id, "x", "started", name, b"{}", 2.0)
    result = desk.run("runs", "settle", run.id, "a", "--gave", "1")
    assert (result.exit_code, "once these are, too: b" in result.stdout) == (4, True)
    assert desk.printed("runs", "settle", run.id, "b", "--again").strip() == '[1,"paid"]'


def test_a_no_on_a_terminal_ends_the_questions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter([False])
    monkeypatch.setattr("shoal.cli.run.typer.confirm", lambda text: next(words))
    monkeypatch.setattr("shoal.cli.run._on_terminal", lambda: True)
    second = {"do": "approve", "id": "second", "question": "Sure?"}
    result = desk.run("run", plan(desk, ASKS | {"steps": [second, *ASKS["steps"]]}))
    assert (result.exit_code, "said no" in result.stdout) == (1, True)


def test_an_agent_whose_questions_are_for_others_is_not_approved_here(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = plan(desk, ASKS, "asks.json")
    desk.add_settings(f'[agents.asks]\nplan = "{file}"\napprove_by = ["anna"]\n')
    monkeypatch.setattr("shoal.cli.run._on_terminal", lambda: True)  # and nobody is asked there
    result = desk.run("run", "go")
    assert (result.exit_code, "only anna" in result.stderr) == (3, True)
    assert "agents.asks.approve_by" in desk.refused("runs", "approve", run_id(desk))
    desk.config.write_text(desk.config.read_text().replace('"anna"', '"operator"'))
    monkeypatch.setattr("shoal.cli.run._on_terminal", lambda: False)
    assert desk.printed("runs", "approve", run_id(desk)).strip() == "hello"
