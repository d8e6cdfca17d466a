"""Two small tasks and their calls, as rows of a store and as lines of a file."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from shoal.chat import Answer, Message, Request, Usage
from shoal.flywheel.certification import Verdict
from shoal.flywheel.finding import task_row
from shoal.guarantees import Certificate, assumptions_of, delta_at
from shoal.storage import Audit, CallRecord, CertificateRow, Store
from shoal.tasks import Contract, LabelContract, Pattern, Task, Template, TextContract
from shoal.tasks.template import skeleton_of

SYSTEMS = {
    "department": "Which department answers this? Say returns, delivery or payments.",
    "reply": "Write a short, friendly reply to the customer.",
}
CONTRACTS: dict[str, Contract] = {
    "department": LabelContract(("delivery", "payments", "returns")),
    "reply": TextContract(),
}
WORDS = {"returns": "broken lamp", "delivery": "late parcel", "payments": "wrong invoice"}
LABELS = tuple(WORDS)
BEGAN = 1_700_000_000.0


def text_of(number: int) -> str:
    return f"Order {number}: the {WORDS[LABELS[number % 3]]} again, what now?"


def request_of(task: str, number: int) -> Request:
    return Request("gpt", (Message("system", SYSTEMS[task]), Message("user", text_of(number))))


def make_call(task: str, number: int, **fields: Any) -> CallRecord:
    """A call of a task, answered right by the LLM."""
    answer = LABELS[number % 3] if task == "department" else f"Dear customer {number}, sorry!"
    call: dict[str, Any] = {
        "id": f"018bcfe5-6800-7000-8{('department', 'reply').index(task):03d}-{number:012d}",
        "at": BEGAN + number,
        "request": request_of(task, number),
        "answer": Answer(answer, model="gpt-2026", usage=Usage(60, 3)),
        "task": make_task(task).id,
        "answered_by": "gpt",
        "reason": "no known task",
        "llm": "gpt",
        "sampled": True,
        "cost": 0.002,
        "llm_cost": 0.002,
        "latency_ms": 700.0,
    }
    return CallRecord(**(call | fields))


def make_task(name: str) -> Task:
    template = Template(
        skeleton_of(request_of(name, 0)),
        (Pattern("system", (SYSTEMS[name],)), Pattern("user", ("", ""))),
        ("message",),
    )
    return Task(f"t-{name}", name, (template,), CONTRACTS[name])


def make_certificate(number: int = 1, **fields: Any) -> Certificate:
    """A certificate of the task department, in force for a long time."""
    certificate: dict[str, Any] = {
        "id": f"c-{number}",
        "task": "department",
        "specialist": f"d-{number}",
        "alpha": 0.05,
        "confidence": 0.95,
        "delta_spent": delta_at(number, 0.05),
        "attempt": number,
        "threshold": 0.8,
        "n": 900,
        "accepted": 640,
        "errors": 12,
        "risk_bound": 0.031,
        "coverage": 0.711,
        "coverage_low": 0.68,
        "coverage_high": 0.74,
        "reference": "gpt (recorded)",
        "comparator": "equal label",
        "method": "held-out",
        "data_digest": "sha256:0a",
        "assumptions": assumptions_of("held-out", "gpt (recorded)"),
        "issued_at": BEGAN + number,
        "lapses_at": BEGAN + 100 * 365 * 86_400,
    }
    return Certificate(**(certificate | fields))


def add_certificate(store: Store, certificate: Certificate) -> None:
    """Store a certificate of the task department, as an attempt that succeeded."""
    row = CertificateRow(
        id=certificate.id,
        task="t-department",
        card=certificate.specialist,
        alpha=certificate.alpha,
        spec=certificate.to_json(),
        issued_at=certificate.issued_at,
    )
    verdict = Verdict("t-department", certificate.n, certificate=certificate)
    with store.database.transaction() as conn:
        store.certificates.insert(conn, row, certificate.served_labels)
        store.attempts.insert(
            conn, "t-department", certificate.issued_at, msgspec.json.encode(verdict)
        )


def add_audits(store: Store, certificate: str, label: str, agree: Iterable[bool]) -> None:
    """Audits of answers of the task department that said this label."""
    with store.database.transaction() as conn:
        for number, agrees in enumerate(agree):
            made = Audit(
                call_id=f"audited-{label}-{number}",
                at=BEGAN + number,
                task="t-department",
                certificate=certificate,
                kind="audit",
                agrees=agrees,
                reference=Answer(label if agrees else "payments"),
                label=label,
            )
            store.audits.record(conn, made, 0.05)


def add_refusal(store: Store, reason: str, examples: int = 210, at: float = BEGAN) -> None:
    """Store an attempt to certify the task department that was refused."""
    verdict = Verdict("t-department", examples, reason, alpha=0.05, confidence=0.95)
    with store.database.transaction() as conn:
        store.attempts.insert(conn, "t-department", at, msgspec.json.encode(verdict))


def add_tasks(store: Store, *names: str) -> None:
    with store.database.transaction() as conn:
        for name in names:
            store.tasks.put(conn, task_row(make_task(name), BEGAN, BEGAN))


def add_calls(store: Store, *calls: CallRecord) -> None:
    with store.database.transaction() as conn:
        for call in calls:
            assert store.calls.insert(conn, call)


def line(task: str, number: int, **more: Any) -> dict[str, Any]:
    """A line of a log, without an id."""
    call = make_call(task, number)
    assert call.answer is not None
    return {
        "request": {
            "model": "gpt",
            "messages": [{"role": m.role, "content": m.text} for m in call.request.messages],
        },
        "response": {
            "id": "chatcmpl-1",
            "created": int(call.at),
            "model": "gpt-2026",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": call.answer.text},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 60, "completion_tokens": 3, "total_tokens": 63},
        },
        **more,
    }


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
