import json
import time
from collections.abc import Callable

import pytest
from command_line import Desk
from support_desk import (
    add_calls,
    add_certificate,
    add_refusal,
    add_tasks,
    make_call,
    make_certificate,
)

from shoal.cli.context import new_learner
from shoal.config import read_config
from shoal.errors import NotFound, RequestError
from shoal.flywheel.promotion import promote
from shoal.storage import Event


def events_of(desk: Desk) -> list[Event]:
    with desk.store() as store:
        return store.events.list()


def counts(desk: Desk) -> dict[str, int]:
    listed = json.loads(desk.printed("tasks", "list", "--json"))
    return {task["name"]: task["calls"] for task in listed}


@pytest.fixture
def serving_desk(busy_desk: Desk) -> Desk:
    """The task department serves, and has answered ten calls small."""
    with busy_desk.store() as store:
        add_certificate(store, make_certificate())
        promote(store, "t-department", "serve", "learner", "certified")
        small = {"answered_by": "specialist/department", "cost": 0.0}
        add_calls(store, *(make_call("department", n, **small) for n in range(30, 40)))
    return busy_desk


def test_no_task_yet(desk: Desk) -> None:
    assert "No tasks yet" in desk.printed("tasks", "list")
    assert desk.printed("tasks", "list", "--json") == "[]\n"


def test_the_list_says_where_each_task_stands(serving_desk: Desk) -> None:
    head, department, certified, reply, why_not = serving_desk.printed("tasks", "list").splitlines()
    assert head.split() == ["TASK", "STAGE", "ANSWER", "CALLS", "SMALL", "LLM", "COST"]
    assert department.split() == ["department", "serve", "3", "labels", "40", "25", "%", "$0.08"]
    assert certified == (
        "  certified: at most 5 % differ from gpt (recorded), on about 71.1 % of the calls, until "
        "2123-10-21"
    )
    assert reply.split() == ["reply", "observe", "free", "text", "6", "0", "%", "$0.01"]
    assert why_not == (
        "  its answers are free text: no specialist learns that yet without fine-tuning "
        "(fine_tune = true under [learn])"
    )


def test_why_a_task_has_no_certificate(busy_desk: Desk) -> None:
    assert "not tried yet: the learner does so at 200 examples" in busy_desk.printed(
        "tasks", "list"
    )
    with busy_desk.store() as store:
        add_refusal(store, "need about 240 more examples")
    assert "  refused: need about 240 more examples\n" in busy_desk.printed("tasks", "list")


def test_a_price_that_is_not_known_for_all_calls(desk: Desk) -> None:
    with desk.store() as store:
        add_tasks(store, "reply")
        add_calls(store, make_call("reply", 1, cost=None, llm_cost=None))
    assert "unknown" in desk.printed("tasks", "list")
    with desk.store() as store:
        add_calls(store, make_call("reply", 2))
    assert "> $0.002" in desk.printed("tasks", "list")


def test_settings_of_a_task_that_is_not_there_are_told(busy_desk: Desk) -> None:
    busy_desk.add_settings("[tasks.department]\nalpha = 0.1\n[tasks.departement]\nalpha = 0.1\n")
    shown = busy_desk.run("tasks", "list")
    assert "speaks of [tasks.departement], and no task has that name now" in shown.stderr


def test_the_last_days_only(busy_desk: Desk) -> None:
    listed = json.loads(busy_desk.printed("tasks", "list", "--days", "1", "--json"))
    assert [task["calls"] for task in listed] == [0, 0]


def test_the_list_as_json(serving_desk: Desk) -> None:
    department, reply = json.loads(serving_desk.printed("tasks", "list", "--json"))
    assert (department["calls"], department["small"], department["stage"]) == (40, 10, "serve")
    assert department["certificate"]["alpha"] == 0.05
    assert department["why_not"] == ""
    assert department["llm_cost"] == pytest.approx(0.08)
    assert reply["certificate"] is None


def test_the_list_fits_a_terminal(serving_desk: Desk, terminal: Callable[[int], None]) -> None:
    name = "the department that should answer the customer's message now"[:58].replace("'", "")
    serving_desk.printed("tasks", "rename", "department", name)
    terminal(80)
    lines = serving_desk.printed("tasks", "list").splitlines()
    assert max(map(len, lines)) <= 80
    assert any("…" in line for line in lines)
    assert len(lines) > 5


def test_a_task_is_explained(busy_desk: Desk) -> None:
    shown = busy_desk.printed("tasks", "show", "department")
    for text in (
        "task department (t-department)",
        "calls: 30 recorded",
        "$0.0600",
        "one of 3 labels: delivery, payments, returns",
        "  system: Which department answers this?",
        "  user: «message»",
        "the broken lamp again, what now?\n    → returns",
        "stage: observe",
        "served small: 0 % of the calls",
        "certificate: not tried yet",
    ):
        assert text in shown
    as_json = json.loads(busy_desk.printed("tasks", "show", "department", "--json"))
    assert as_json["task"]["templates"][0]["slots"] == ["message"]
    assert {example["answer"] for example in as_json["examples"]} == {
        "returns",
        "delivery",
        "payments",
    }


@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["rename", "mood2"],
        ["split", "x", "--contains", "y"],
        ["merge", "reply"],
        ["pin"],
        ["unpin"],
        ["ignore"],
        ["unignore"],
    ],
)
def test_an_unknown_task(busy_desk: Desk, command: list[str]) -> None:
    result = busy_desk.run("tasks", command[0], "mood", *command[1:])
    assert isinstance(result.exception, NotFound)
    assert "department, reply" in str(result.exception)
    assert events_of(busy_desk) == []


def test_renaming(busy_desk: Desk) -> None:
    busy_desk.add_settings("\n[tasks.department]\nalpha = 0.1\n")
    result = busy_desk.run("tasks", "rename", "department", "desk")
    assert result.stdout == "department is named desk now.\n"
    assert "[tasks.department] holds for no task now" in result.stderr
    assert counts(busy_desk) == {"desk": 30, "reply": 6}
    (event,) = events_of(busy_desk)
    assert (event.kind, event.by, event.reason) == ("renamed", "person", "it was department")
    with busy_desk.store() as store:
        assert store.tasks.named("desk").id == "t-department"


def test_a_name_that_is_taken(busy_desk: Desk) -> None:
    result = busy_desk.run("tasks", "rename", "department", "reply")
    assert isinstance(result.exception, RequestError)
    assert counts(busy_desk) == {"department": 30, "reply": 6}


@pytest.mark.parametrize("word", ["pin", "ignore"])
def test_pinning_and_ignoring(busy_desk: Desk, word: str) -> None:
    flag = {"pin": "pinned", "ignore": "ignored"}[word]

    def state() -> bool:
        listed = json.loads(busy_desk.printed("tasks", "list", "--json"))
        with busy_desk.store() as store:
            row = store.tasks.named("department")
        assert listed[0][flag] is getattr(row, flag)
        return bool(listed[0][flag])

    assert not state()
    busy_desk.printed("tasks", word, "department")
    assert state()
    busy_desk.printed("tasks", f"un{word}", "department")
    assert not state()
    assert [event.kind for event in events_of(busy_desk)] == [f"un{flag}", flag]


def test_splitting_takes_the_calls_along(serving_desk: Desk) -> None:
    said = serving_desk.printed("tasks", "split", "department", "lamps", "--contains", "lamp")
    assert said.startswith("14 calls of department are lamps's now.")
    assert counts(serving_desk) == {"department": 26, "lamps": 14, "reply": 6}
    with serving_desk.store() as store:
        lamps = store.tasks.named("lamps").id
        assert {store.calls.get(make_call("department", n).id).task for n in (0, 3)} == {lamps}
        standing = store.standings.get("t-department")
    assert standing is not None
    assert (standing.stage, standing.certificate) == ("observe", "")


def test_what_was_split_cannot_be_served_on_what_was_proven_before(serving_desk: Desk) -> None:
    serving_desk.printed("tasks", "split", "department", "lamps", "--contains", "lamp")
    said = serving_desk.refused("promote", "department")
    assert "it was split, merged or widened since it was certified" in said
    assert "it was split, merged or widened" in serving_desk.printed("tasks", "list")


def test_the_learner_certifies_anew_what_was_split(busy_desk: Desk) -> None:
    with busy_desk.store() as store:
        add_calls(store, *(make_call("department", number) for number in range(30, 330)))
        add_refusal(store, "need about 9,000 more examples", 10_000, at=time.time())
        learner = new_learner(read_config(busy_desk.config), store)
        learner.turn()
        assert len(store.attempts.list("t-department")) == 1  # waits for twice 10,000
        busy_desk.printed("tasks", "split", "department", "lamps", "--contains", "Order 7:")
        learner = new_learner(read_config(busy_desk.config), store)
        learner.turn()
        assert len(store.attempts.list("t-department")) == 2


def test_a_split_that_says_nothing(busy_desk: Desk) -> None:
    assert "'equals' or 'contains'" in busy_desk.refused("tasks", "split", "department", "x")
    said = busy_desk.refused(
        "tasks", "split", "department", "x", "--slot", "mood", "--equals", "bad"
    )
    assert "slots: message" in said
    assert counts(busy_desk) == {"department": 30, "reply": 6}
    assert events_of(busy_desk) == []


def test_merging_takes_calls_and_ends_what_stood(serving_desk: Desk) -> None:
    serving_desk.printed("tasks", "split", "department", "lamps", "--contains", "lamp")
    said = serving_desk.printed("tasks", "merge", "lamps", "department")
    assert said.startswith("14 calls of lamps are department's now.")
    assert counts(serving_desk) == {"department": 40, "reply": 6}
    with serving_desk.store() as store:
        assert store.calls.get(make_call("department", 0).id).task == "t-department"
    kinds = [event.kind for event in events_of(serving_desk)]
    assert kinds == ["merged", "merged", "discovered", "split", "promoted"]


def test_answers_of_different_form_cannot_be_merged(busy_desk: Desk) -> None:
    said = busy_desk.refused("tasks", "merge", "reply", "department")
    assert "different form (label and text)" in said
    assert counts(busy_desk) == {"department": 30, "reply": 6}


def test_a_task_that_cannot_be_read_is_a_damaged_store(busy_desk: Desk) -> None:
    with busy_desk.store() as store, store.database.transaction() as conn:
        conn.exec_driver_sql("UPDATE tasks SET spec = '{\"id\": 3}' WHERE id = 't-reply'")
    assert "a stored task cannot be read" in busy_desk.refused("tasks", "list")
