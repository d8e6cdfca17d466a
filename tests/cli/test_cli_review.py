import json

import pytest
from command_line import Desk
from support_desk import add_calls, add_certificate, add_tasks, make_call, make_certificate

from shoal.errors import ConfigError, NotFound
from shoal.flywheel.promotion import promote
from shoal.guarantees import assumptions_of
from shoal.storage import Store

SETTINGS = '[tasks.department]\nreference = "people"\naudit_rate = 1.0\n'


@pytest.fixture
def reviewing(desk: Desk) -> Desk:
    desk.add_settings(SETTINGS)
    with desk.store() as store:
        add_tasks(store, "department", "reply")
        add_calls(store, *(make_call("department", number) for number in range(12)))
        add_calls(store, make_call("reply", 1))
    return desk


def test_what_waits_is_listed_and_words_are_taken(reviewing: Desk) -> None:
    found = json.loads(reviewing.printed("review", "department", "--json", "--limit", "3"))
    assert (found["task"], found["count"], found["waiting"]) == ("department", 0, 12)
    first, second, third = found["calls"]
    assert first["call_id"] == make_call("department", 0).id
    assert first["input"] == "Order 0: the broken lamp again, what now?"
    assert (first["answer"], first["answered_by"]) == ("returns", "gpt")
    shown = reviewing.printed("review", "department", "--call", first["call_id"], "--right")
    assert "department: 1 reviewed calls count, 11 wait." in shown
    assert first["call_id"] not in shown
    assert f"shoal review department --call {second['call_id']} --right" in shown
    reviewing.printed("review", "department", "--call", third["call_id"], "--answer", "payments")
    found = json.loads(reviewing.printed("review", "department", "--json"))
    assert (found["count"], found["waiting"]) == (1, 10)  # the third waits for the second
    reviewing.printed("review", "department", "--call", second["call_id"], "--right")
    assert json.loads(reviewing.printed("review", "department", "--json"))["count"] == 3
    with reviewing.store() as store:
        words = store.feedback.newest([third["call_id"]])
    assert words[third["call_id"]].answer == "payments"


def test_how_many_are_missing_is_told(reviewing: Desk) -> None:
    said = "more reviewed calls: shoal review department"
    assert said in reviewing.refused("certify", "department")
    assert said in reviewing.run("certificate", "department").stdout
    assert said in reviewing.printed("tasks", "show", "department")
    assert said in reviewing.printed("tasks", "list")


def test_what_cannot_be_said_is_refused(reviewing: Desk) -> None:
    call_id = make_call("department", 0).id
    assert "either --right or --answer" in reviewing.refused(
        "review", "department", "--call", call_id
    )
    both = "--call", call_id, "--right", "--answer", "payments"
    assert "either --right or --answer" in reviewing.refused("review", "department", *both)
    assert "need --call" in reviewing.refused("review", "department", "--right")
    other = reviewing.run("review", "department", "--call", make_call("reply", 1).id, "--right")
    assert isinstance(other.exception, NotFound)
    llm = reviewing.run("review", "reply")
    assert isinstance(llm.exception, ConfigError)
    assert 'reference = "people"' in str(llm.exception)


def test_words_that_break_a_promise_say_so(reviewing: Desk) -> None:
    with reviewing.store() as store:
        serve(store)
        ids = [f"018bcfe5-6900-7000-8000-{number:012d}" for number in range(12)]
        calls = [
            make_call(
                "department",
                number,
                id=call_id,
                answered_by="specialist/department",
                receipt=b'{"certificate": "c-1"}',
                sampled=True,
            )
            for number, call_id in enumerate(ids)
        ]
        add_calls(store, *calls)
    said = ""
    for call_id in ids:
        said = reviewing.printed("review", "department", "--call", call_id, "--answer", "nothing")
        if "observes" in said:
            break
    assert "department observes: what people said broke its promise." in said
    log = reviewing.printed("log", "--task", "department")
    assert "audited answers were wrong" in log


def serve(store: Store) -> None:
    import msgspec
    from support_desk import BEGAN, CONTRACTS

    from shoal.specialists.card import Card
    from shoal.storage import CardRow

    assumptions = assumptions_of("held-out", "people", by_people=True)
    made = make_certificate(
        reference="people", by_people=True, assumptions=assumptions, issued_at=BEGAN - 1
    )
    card = Card(
        id=made.specialist,
        task="t-department",
        kind="label",
        recipe="terms",
        contract=CONTRACTS["department"],
        llm="gpt",
        encoder="",
        artifact="",
        examples=1,
        agreement=1.0,
        data_digest="",
        trained_at=BEGAN,
        cpu_seconds=0.0,
        rates=None,
    )
    row = CardRow(id=card.id, task="t-department", spec=msgspec.json.encode(card), created_at=BEGAN)
    with store.database.transaction() as conn:
        store.cards.insert(conn, row)
    add_certificate(store, made)
    promote(store, "t-department", "serve", "person", "")
