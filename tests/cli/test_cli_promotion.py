import json

import pytest
from command_line import Desk
from support_desk import add_certificate, add_tasks, make_certificate

from shoal.flywheel.promotion import promote
from shoal.storage import Standing


def standing_of(desk: Desk) -> Standing:
    with desk.store() as store:
        found = store.standings.get("t-department")
    assert found is not None
    return found


@pytest.fixture
def certified_desk(desk: Desk) -> Desk:
    with desk.store() as store:
        add_tasks(store, "department")
        add_certificate(store, make_certificate())
    return desk


@pytest.mark.parametrize(("args", "stage"), [([], "shadow"), (["--to", "serve"], "serve")])
def test_promoting_by_hand_is_written_down(
    certified_desk: Desk, args: list[str], stage: str
) -> None:
    said = certified_desk.printed("promote", "department", "--reason", "looks good", *args)
    assert said == f"department: {stage}, on certificate c-1.\n"
    standing = standing_of(certified_desk)
    assert (standing.stage, standing.certificate, standing.card) == (stage, "c-1", "d-1")
    (event,) = json.loads(certified_desk.printed("log", "--json"))
    assert (event["kind"], event["by"], event["reason"]) == ("promoted", "person", "looks good")
    assert event["detail"]["to"] == stage


def test_demoting_by_hand_is_written_down(certified_desk: Desk) -> None:
    certified_desk.printed("promote", "department")
    certified_desk.printed("demote", "department", "--reason", "too terse")
    assert standing_of(certified_desk).stage == "observe"
    newest = json.loads(certified_desk.printed("log", "--json"))[0]
    assert (newest["kind"], newest["by"], newest["reason"]) == ("demoted", "person", "too terse")


def test_nothing_is_promoted_without_a_certificate(desk: Desk) -> None:
    with desk.store() as store:
        add_tasks(store, "department")
    said = desk.refused("promote", "department")
    assert said == (
        "department cannot be promoted: it has no certificate yet: run `shoal certify TASK`"
    )
    assert desk.printed("log") == "Nothing has happened yet.\n"


def test_an_ignored_task_is_not_promoted(certified_desk: Desk) -> None:
    certified_desk.printed("tasks", "ignore", "department")
    said = certified_desk.refused("promote", "department")
    assert said == "department is ignored: `shoal tasks unignore department` first"


def test_there_is_no_other_stage(certified_desk: Desk) -> None:
    assert certified_desk.run("promote", "department", "--to", "observe").exit_code == 2


def test_the_log_reads_well(certified_desk: Desk) -> None:
    certified_desk.printed("promote", "department", "--to", "serve", "--reason", "looks good")
    certified_desk.printed("tasks", "pin", "department")
    head, pinned, promoted, why = certified_desk.printed("log").splitlines()
    assert head.split() == ["AT", "(UTC)", "TASK", "WHAT", "BY"]
    assert pinned.split()[2:] == ["department", "pinned", "person"]
    assert promoted.split()[2:] == ["department", "promoted", "to", "serve", "person"]
    assert why == "  looks good"
    assert len(certified_desk.printed("log", "--limit", "1").splitlines()) == 2


def test_the_log_of_one_task_and_of_one_that_is_gone(certified_desk: Desk) -> None:
    with certified_desk.store() as store:
        add_tasks(store, "reply")
        promote(store, "t-department", "shadow", "learner", "certified")
        with store.database.transaction() as conn:
            store.tasks.delete(conn, "t-department")
    assert certified_desk.printed("log", "--task", "reply") == "Nothing has happened yet.\n"
    assert "t-department" in certified_desk.printed("log")
