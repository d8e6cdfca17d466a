"""``shoal agents list``, and what else is told of stored plans."""

import json
import time

import pytest
from command_line import Desk

from planned_desk import PLANS, promoted
from shoal.chat import Answer
from shoal.flywheel.stored_plans import plans_before
from shoal.storage import Audit

SETTINGS = """
[agents.desk]
planner = "gpt"
"""
TASK = "plans:desk"


@pytest.fixture
def planning_desk(desk: Desk) -> Desk:
    desk.add_settings(SETTINGS)
    return desk


def test_how_far_stored_plans_have_got(planning_desk: Desk) -> None:
    before = planning_desk.printed("agents", "list")
    assert "not tried yet: the learner does so at 200 runs" in before
    with planning_desk.store() as store:
        certificate = promoted(store)
    printed = planning_desk.printed("agents", "list")
    assert "serve" in printed
    assert json.loads(planning_desk.printed("agents", "show", "desk", "refund"))["name"] == "refund"
    assert "there are: refund, status" in planning_desk.refused("agents", "show", "desk", "pay")
    assert "with no planning call, at most 20 % of these wrong" in printed
    with planning_desk.store() as store, store.database.transaction() as conn:
        for at in range(12):
            audit = Audit(
                call_id=f"run-{at}",
                at=time.time(),
                task=TASK,
                certificate=certificate,
                kind="audit",
                agrees=at < 2,
                reference=Answer(text="{}"),
            )
            store.audits.record(conn, audit, 0.05)
    (told,) = json.loads(planning_desk.printed("agents", "list", "--json"))
    assert (told["stage"], told["certificate"]) == ("observe", "")
    assert told["proven"] == ["refund", "status"]
    assert "audits broke its certificate" in told["why_not"]
    assert "audited answers were wrong" in planning_desk.printed("log", "--task", TASK)


def test_stored_plans_are_moved_and_shown_as_tasks_are(planning_desk: Desk) -> None:
    assert "no task" in planning_desk.refused("promote", TASK)
    with planning_desk.store() as store:
        promoted(store, "shadow")
    assert planning_desk.printed("promote", TASK, "--to", "serve").startswith(f"{TASK}: serve")
    assert "at most 20 %" in planning_desk.printed("certificate", TASK)
    planning_desk.printed("demote", TASK)
    (told,) = json.loads(planning_desk.printed("agents", "list", "--json"))
    assert (told["stage"], told["audits"], told["certificate"] != "") == ("observe", 0, True)
    planning_desk.printed("promote", TASK, "--to", "serve")
    assert "no stored plan" in planning_desk.printed("agents", "learn", "desk", "--drop").lower()
    (told,) = json.loads(planning_desk.printed("agents", "list", "--json"))
    assert told["stage"] == "observe"


def test_too_little_to_learn_from_is_said(planning_desk: Desk) -> None:
    result = planning_desk.run("agents", "learn", "desk")
    assert (result.exit_code, "No plan recurs yet" in result.stdout) == (2, True)
    assert "no agent named 'nobody'" in planning_desk.refused("agents", "learn", "nobody")


def test_damaged_files_are_told_in_the_list(planning_desk: Desk) -> None:
    with planning_desk.store() as store:
        promoted(store)
        for file in (store.options.path / "artifacts").rglob("plans.json"):
            file.chmod(0o600)
            file.write_text("{}")
        (kept,) = plans_before(store, "desk", (PLANS[0],))
        assert kept == PLANS[0], "the others are found anew"
    (told,) = json.loads(planning_desk.printed("agents", "list", "--json"))
    assert (told["stage"], told["certificate"], told["why_not"] != "") == ("serve", "", True)
