import json
import time

import pytest
from command_line import Desk
from support_desk import (
    BEGAN,
    add_audits,
    add_calls,
    add_certificate,
    add_refusal,
    add_tasks,
    make_call,
    make_certificate,
)

from shoal.errors import LearningError, NotFound
from shoal.flywheel.promotion import promote
from shoal.guarantees import Certificate, LabelProof
from shoal.storage import Event, Standing


@pytest.fixture
def ripe_desk(desk: Desk) -> Desk:
    """Calls enough for a certificate."""
    with desk.store() as store:
        add_tasks(store, "department", "reply")
        add_calls(store, *(make_call("department", number) for number in range(240)))
        add_calls(store, make_call("reply", 1))
    return desk


def test_certifying_prints_the_certificate_and_what_it_cost(ripe_desk: Desk) -> None:
    printed = ripe_desk.printed("certify", "department")
    assert printed.startswith(
        "Attempt 1: it spent 3.04 % of the 5 % error budget, which leaves 1.96 % for all later "
    )
    assert "Promise: of the answers it gives itself, at most 5 % differ from gpt" in printed
    assert "`shoal promote department` has it shadow the LLM" in printed
    with ripe_desk.store() as store:
        (row,) = store.certificates.list("t-department")
        assert Certificate.from_json(row.spec).describe() in printed
    assert ripe_desk.printed("certificate", "department").startswith(f"Certificate {row.id}:")
    again = ripe_desk.printed("certify", "department")
    assert again.startswith("Attempt 2: it spent 0.76 %")


def test_a_task_that_serves_keeps_its_certificate_until_told(ripe_desk: Desk) -> None:
    with ripe_desk.store() as store:
        add_certificate(store, make_certificate())
        promote(store, "t-department", "shadow", "learner", "")
    printed = ripe_desk.printed("certify", "department")
    assert "goes on with its earlier certificate (shadow)" in printed
    assert "`shoal promote department --to shadow` takes this one" in printed


def test_what_cannot_be_learned_spends_nothing(ripe_desk: Desk) -> None:
    result = ripe_desk.run("certify", "reply")
    assert result.exit_code == 1
    with ripe_desk.store() as store:
        assert not store.attempts.list("t-reply")
    shown = ripe_desk.run("certificate", "reply")
    assert shown.exit_code == 2
    assert "reply has no certificate in force: its answers are free text" in shown.stdout


def test_too_few_examples_say_how_many_are_missing(desk: Desk) -> None:
    with desk.store() as store:
        add_tasks(store, "department")
        add_calls(store, *(make_call("department", number) for number in range(40)))
    result = desk.run("certify", "department")
    assert result.exit_code == 2
    assert "more examples" in result.stdout
    assert "- terms: need about" in result.stdout
    assert "- terms+encoder: need about" in result.stdout


def test_without_examples_nothing_is_spent(desk: Desk) -> None:
    with desk.store() as store:
        add_tasks(store, "department")
    result = desk.run("certify", "department")
    assert isinstance(result.exception, LearningError)
    assert "has no examples" in str(result.exception)
    with desk.store() as store:
        assert store.attempts.list("t-department") == []


@pytest.mark.parametrize("command", ["certify", "certificate", "promote", "demote", "log"])
def test_an_unknown_task(busy_desk: Desk, command: str) -> None:
    task = ["--task", "mood"] if command == "log" else ["mood"]
    result = busy_desk.run(command, *task)
    assert isinstance(result.exception, NotFound)
    assert "department, reply" in str(result.exception)


def test_never_tried(busy_desk: Desk) -> None:
    result = busy_desk.run("certificate", "department")
    assert result.exit_code == 2
    assert result.stdout.startswith("department has no certificate in force: not tried yet")


def test_a_certificate_as_json(busy_desk: Desk) -> None:
    certificate = make_certificate()
    with busy_desk.store() as store:
        add_certificate(store, certificate)
        add_refusal(store, "the surest tenth disagrees")
    shown = json.loads(busy_desk.printed("certificate", "department", "--json"))
    assert Certificate.from_json(json.dumps(shown["certificate"])) == certificate
    assert [attempt["reason"] for attempt in shown["attempts"]] == [
        "",
        "the surest tenth disagrees",
    ]
    assert shown["why_not"] == ""
    plain = busy_desk.printed("certificate", "department")
    assert "Attempt 2 (2023-11-14 22:13:20 UTC, 210 examples) was refused: the surest" in plain
    none = busy_desk.run("certificate", "reply", "--json")
    assert none.exit_code == 2
    assert json.loads(none.stdout)["certificate"] is None


def test_audits_are_told_by_label_where_each_is_promised(busy_desk: Desk) -> None:
    proofs = tuple(LabelProof(label, 0.8, 300, 200, 2, 0.03) for label in ("returns", "delivery"))
    with busy_desk.store() as store:
        add_certificate(store, make_certificate())
        assert (
            json.loads(busy_desk.printed("certificate", "department", "--json"))["label_audits"]
            == []
        )
        add_certificate(store, make_certificate(2, labels=proofs))
    shown = busy_desk.printed("certificate", "department")
    assert "Audits by label" not in shown
    assert "None of its answers has been audited yet." in shown
    with busy_desk.store() as store:
        add_audits(store, "c-2", "returns", [True, True, False])
    shown = busy_desk.printed("certificate", "department")
    assert "Audits by label; evidence of 80 against any takes the specialist back:" in shown
    assert "Audits: 1 of 3 answers differed, evidence " in shown
    assert "; at 40 it is taken back." in shown
    assert "- returns: 1 of 3 differed, evidence " in shown
    assert "- delivery" not in shown
    found = json.loads(busy_desk.printed("certificate", "department", "--json"))["label_audits"]
    assert [(one["label"], one["n"], one["errors"]) for one in found] == [
        ("returns", 3, 1),
        ("delivery", 0, 0),
    ]
    assert [one["limit"] for one in found] == pytest.approx([80, 80])


def test_earlier_certificates_are_shown_when_asked(busy_desk: Desk) -> None:
    with busy_desk.store() as store:
        add_certificate(store, make_certificate(1, lapses_at=BEGAN + 10))
        add_certificate(store, make_certificate(2))
    assert "Certificate c-1:" not in busy_desk.printed("certificate", "department")
    both = busy_desk.printed("certificate", "department", "--all")
    assert both.index("Certificate c-2:") < both.index("Lapsed. Certificate c-1:")


def test_a_lapsed_and_a_broken_certificate_are_not_in_force(busy_desk: Desk) -> None:
    with busy_desk.store() as store:
        add_certificate(store, make_certificate(1, lapses_at=BEGAN + 10))
    assert "its certificate has lapsed" in busy_desk.run("certificate", "department").stdout
    with busy_desk.store() as store:
        add_certificate(store, make_certificate(2))
        broken = Event(at=time.time(), task="t-department", kind="demoted", by="audit")
        standing = Standing(task="t-department", stage="observe", since=1.0)
        with store.database.transaction() as conn:
            store.standings.set(conn, standing, broken)
    assert "audits broke its certificate" in busy_desk.run("certificate", "department").stdout


def test_an_attempt_that_cannot_be_read_is_a_damaged_store(busy_desk: Desk) -> None:
    with busy_desk.store() as store, store.database.transaction() as conn:
        store.attempts.insert(conn, "t-department", 1.0, b'{"task": 3}')
    assert "attempt 1 of task t-department cannot be read" in busy_desk.refused(
        "certificate", "department"
    )
