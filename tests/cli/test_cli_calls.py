import json
from collections.abc import Callable

import msgspec
import pytest
from command_line import Desk
from msgspec.structs import replace
from support_desk import BEGAN, add_calls, add_certificate, make_call, make_certificate

from shoal.chat import Answer, Message, Request
from shoal.errors import NotFound
from shoal.routing.receipt import Receipt, Tried
from shoal.storage import Audit, Feedback

SMALL = make_call("department", 99)
RECEIPT = Receipt(
    SMALL.id,
    SMALL.at,
    "gpt",
    "specialist/department",
    "signal 0.9312 reaches the certified threshold 0.8000",
    task="department",
    task_id="t-department",
    tried=(
        Tried("specialist/old", False, "the certificate has lapsed"),
        Tried("specialist/department", True, "enough", 0.9312, 0.8, "c-1", 3.9),
    ),
    certificate="c-1",
    cost=0.0,
    llm_cost=0.000412,
    llm_cost_estimated=True,
    latency_ms=4.1,
)


@pytest.fixture
def served_desk(busy_desk: Desk) -> Desk:
    """One more call, served small, audited and judged."""
    call = replace(
        SMALL,
        answered_by="specialist/department",
        reason=RECEIPT.reason,
        latency_ms=4.1,
        cost=0.0,
        llm_cost=0.000412,
        receipt=msgspec.json.encode(RECEIPT),
    )
    audit = Audit(
        call_id=call.id,
        at=BEGAN,
        task="t-department",
        certificate="c-1",
        kind="audit",
        agrees=False,
        reference=Answer("delivery"),
    )
    word = Feedback(call_id=call.id, at=BEGAN, verdict="answer", answer="payments")
    with busy_desk.store() as store:
        add_calls(store, call)
        add_certificate(store, make_certificate())
        with store.database.transaction() as conn:
            store.audits.record(conn, audit, 0.05)
            store.feedback.insert(conn, word)
    return busy_desk


def test_nothing_recorded_yet(desk: Desk) -> None:
    assert desk.printed("calls", "list") == "No calls.\n"
    assert desk.printed("calls", "list", "--json") == "[]\n"


def test_the_newest_come_first(busy_desk: Desk) -> None:
    head, first, second, *rest = busy_desk.printed("calls", "list", "--limit", "3").splitlines()
    assert head.split() == ["AT", "(UTC)", "TASK", "ANSWERED", "BY", "MS", "ID"]
    assert make_call("department", 29).id in first
    assert make_call("department", 28).id in second
    assert len(rest) == 1
    assert first.split()[:4] == ["23-11-14", "department", "gpt", "700"]


def test_the_list_can_be_narrowed(served_desk: Desk) -> None:
    def found(*args: str) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = json.loads(
            served_desk.printed("calls", "list", "--json", "--limit", "99", *args)
        )
        return listed

    assert len(found()) == 37
    assert {call["task"] for call in found("--task", "reply")} == {"reply"}
    assert len(found("--task", "reply")) == len(found("--task", "t-reply")) == 6
    assert found("--task", "") == []
    (small,) = found("--answered-by", "specialist/department")
    assert small["id"] == SMALL.id
    assert small["cost"] == 0.0
    assert small["llm_cost"] == 0.000412
    assert served_desk.printed("calls", "list", "--answered-by", "nobody") == "No such calls.\n"


def test_an_episode_can_be_listed_and_is_shown(busy_desk: Desk) -> None:
    call = make_call("reply", 1)
    with busy_desk.store() as store:
        add_calls(store, replace(call, id=SMALL.id, episode="morning"))
    listed = json.loads(busy_desk.printed("calls", "list", "--json", "--episode", "morning"))
    assert [one["id"] for one in listed] == [SMALL.id]
    assert "\nEpisode: morning\n" in busy_desk.printed("calls", "show", SMALL.id)
    assert busy_desk.printed("calls", "list", "--episode", "noon") == "No such calls.\n"


def test_an_unknown_task_is_answered_with_those_there_are(busy_desk: Desk) -> None:
    for command in ("list", "export"):
        assert "department, reply" in busy_desk.refused("calls", command, "--task", "mood")


def test_a_failed_call_says_so(desk: Desk) -> None:
    with desk.store() as store:
        add_calls(store, make_call("reply", 1, answer=None, error="gpt: timed out"))
    assert " failed " in desk.printed("calls", "list")
    assert "Error: gpt: timed out" in desk.printed("calls", "show", make_call("reply", 1).id)


@pytest.mark.parametrize("width", [80, 100])
def test_the_list_fits_a_terminal(
    served_desk: Desk, terminal: Callable[[int], None], width: int
) -> None:
    long_name = "what-department-is-meant-by-the-customer"
    served_desk.printed("tasks", "rename", "department", long_name)
    plain = served_desk.printed("calls", "list")
    assert long_name in plain
    terminal(width)
    lines = served_desk.printed("calls", "list").splitlines()
    assert max(map(len, lines)) <= width
    assert all(call_id in line for call_id, line in zip([SMALL.id], lines[1:], strict=False))
    assert "what-de" in lines[2]
    assert "…" in lines[2]


def test_the_receipt_reads_well(served_desk: Desk) -> None:
    shown = served_desk.printed("calls", "show", SMALL.id)
    for line in (
        f"Call {SMALL.id}, 2023-11-14 22:14:59 UTC",
        "Task: department",
        "Answered by: specialist/department, in 4.1 ms",
        "Cost: $0.00; gpt would have cost $0.000412, estimated from the task's earlier calls",
        "Certificate: c-1: at most 5 % differ from gpt (recorded), with 95 % confidence",
        "- specialist/old went on: the certificate has lapsed",
        "- specialist/department answered, signal 0.9312 ≥ threshold 0.8000, 3.9 ms: enough",
        "Audit: served, and compared with the reference: it differs, the reference said 'delivery'",
        "Feedback: wrong, the right answer is 'payments'",
        "[user]",
        "Order 99: the broken lamp again, what now?",
        "returns",
    ):
        assert line in shown.splitlines()


def test_a_receipt_of_a_forwarded_call(busy_desk: Desk) -> None:
    shown = busy_desk.printed("calls", "show", make_call("reply", 3).id)
    assert "Cost: $0.002000\n" in shown
    assert "Certificate: none was needed" in shown
    assert "Audit: none\nFeedback: none" in shown


def test_a_call_as_json_is_the_whole_of_it(served_desk: Desk) -> None:
    shown = json.loads(served_desk.printed("calls", "show", SMALL.id, "--json"))
    assert msgspec.convert(shown["receipt"], Receipt) == RECEIPT
    assert shown["audit"]["agrees"] is False
    assert shown["feedback"]["answer"] == "payments"


def test_an_unknown_call(desk: Desk) -> None:
    assert "'nope'" in desk.refused("calls", "show", "nope")
    assert isinstance(desk.run("calls", "show", "nope").exception, NotFound)


def test_what_callers_sent_cannot_steer_the_terminal(desk: Desk) -> None:
    request = Request("gpt", (Message("user", "\x1b]0;pwned\x07\u202ehidden"),))
    call = make_call("reply", 1, request=request, error="\x1b[2J")
    with desk.store() as store:
        add_calls(store, call)
    shown = desk.printed("calls", "show", call.id)
    assert r"\x1b]0;pwned\x07\u202ehidden" in shown
    assert "\x1b" not in shown
