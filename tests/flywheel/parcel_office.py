"""A task that is easy to learn: the contents of a parcel decide which desk handles it."""

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from shoal.chat import Answer, Message, Request, Usage
from shoal.flywheel.finding import task_row
from shoal.flywheel.lessons import Lessons, curate
from shoal.flywheel.options import LearnOptions
from shoal.guarantees import Certificate, assumptions_of, delta_at
from shoal.routing.promise import PromiseOptions
from shoal.storage import Audit, CallRecord, CardRow, CertificateRow, Example, Store
from shoal.tasks import LabelContract, Pattern, Task, Template
from shoal.tasks.template import skeleton_of

SYSTEM = "Which desk of the office handles this parcel? Say garden, kitchen or music."
CONTENTS = {
    "garden": ("a heavy spade", "two rakes", "some tulip bulbs", "a watering can"),
    "kitchen": ("a frying pan", "six plates", "one bread knife", "a copper kettle"),
    "music": ("a violin", "new guitar strings", "a snare drum", "three old flutes"),
}
DESKS = tuple(CONTENTS)
SENDERS = ("Ada", "Bo", "Cleo", "Dan", "Eve", "Finn", "Gus")
WHEN = ("came today", "was left at the door", "arrived by bicycle", "is here again", "leaks")
CONTRACT = LabelContract(DESKS)
PROMISE = PromiseOptions(alpha=0.1, confidence=0.95)
OPTIONS = LearnOptions(min_calls=20, min_examples=150, shadow_calls=10, promote="serve")
BEGAN = time.time() // 1 - 7 * 86_400  # not so long ago that calls expire
ODD = 50  # every fiftieth answer of the LLM is another desk's


def desk_of(number: int) -> str:
    """The desk that the contents decide."""
    return DESKS[number % 3]


def said_by_llm(number: int) -> str:
    """What the LLM says: the desk, but for 2 % of the calls."""
    return desk_of(number + 1) if number % ODD == ODD - 1 else desk_of(number)


def text_of(number: int) -> str:
    things = CONTENTS[desk_of(number)]
    sender, when = SENDERS[number % len(SENDERS)], WHEN[number // 7 % len(WHEN)]
    return f"{sender} sent {things[number // 3 % len(things)]} and it {when}, no. {number}"


def request_of(number: int, system: str = SYSTEM, model: str = "gpt") -> Request:
    return Request(model, (Message("system", system), Message("user", text_of(number))))


def make_task(**fields: Any) -> Task:
    template = Template(
        skeleton_of(request_of(0)),
        (Pattern("system", (SYSTEM,)), Pattern("user", ("", ""))),
        ("message",),
    )
    made: dict[str, Any] = {"contract": CONTRACT, "templates": (template,)}
    return Task(**({"id": "t-desk", "name": "desk"} | made | fields))


TASK = make_task()


def make_call(number: int, **fields: Any) -> CallRecord:
    """A call that the LLM answered."""
    call: dict[str, Any] = {
        "id": f"018bcfe5-6800-7000-8000-{number:012d}",
        "at": BEGAN + number,
        "request": request_of(number),
        "answer": Answer(said_by_llm(number), model="gpt-2026", usage=Usage(40, 2)),
        "answered_by": "gpt",
        "llm": "gpt",
        "sampled": True,
    }
    return CallRecord(**(call | fields))


def add_calls(store: Store, calls: Iterable[CallRecord]) -> None:
    with store.database.transaction() as conn:
        for call in calls:
            assert store.calls.insert(conn, call)


def add_task(store: Store, task: Task = TASK) -> None:
    with store.database.transaction() as conn:
        store.tasks.put(conn, task_row(task, BEGAN, BEGAN))


def fill(store: Store, numbers: Iterable[int], task: Task = TASK, **fields: Any) -> None:
    """Calls of the task, and the task itself."""
    add_task(store, task)
    add_calls(store, (make_call(number, task=task.id, **fields) for number in numbers))


def make_example(number: int, **fields: Any) -> Example:
    """An example of which only the LLM spoke."""
    answer = Answer(said_by_llm(number), usage=Usage(40, 2))
    example: dict[str, Any] = {
        "call_id": f"call-{number:04d}",
        "at": BEGAN + number,
        "request": request_of(number),
        "reference": answer,
        "by": "llm",
        "sampled": True,
        "llm_answer": answer,
    }
    return Example(**(example | fields))


def make_lessons(numbers: Iterable[int], task: Task = TASK) -> Lessons:
    return curate(task, [make_example(number) for number in numbers])


def make_certificate(number: int = 1, **fields: Any) -> Certificate:
    """A certificate of the task, in force for a week and for a long time."""
    certificate: dict[str, Any] = {
        "id": f"c-{number}",
        "task": "desk",
        "specialist": f"d-{number}",
        "alpha": 0.1,
        "confidence": 0.95,
        "delta_spent": delta_at(number, 0.05),
        "attempt": number,
        "threshold": 0.8,
        "n": 300,
        "accepted": 280,
        "errors": 4,
        "risk_bound": 0.05,
        "coverage": 280 / 300,
        "coverage_low": 0.9,
        "coverage_high": 0.96,
        "reference": "gpt",
        "comparator": "equal label",
        "method": "held-out",
        "data_digest": "sha256:0a",
        "assumptions": assumptions_of("held-out", "gpt"),
        "issued_at": BEGAN + number,
        "lapses_at": BEGAN + 100 * 365 * 86_400,
    }
    return Certificate(**(certificate | fields))


def add_certificate(store: Store, certificate: Certificate, task: Task = TASK) -> None:
    row = CertificateRow(
        id=certificate.id,
        task=task.id,
        card=certificate.specialist,
        alpha=certificate.alpha,
        spec=certificate.to_json(),
        issued_at=certificate.issued_at,
    )
    card = CardRow(
        id=certificate.specialist, task=task.id, spec=b"{}", created_at=certificate.issued_at
    )
    with store.database.transaction() as conn:
        store.cards.insert(conn, card)
        store.certificates.insert(conn, row, certificate.served_labels)


def audit(
    store: Store,
    certificate: str,
    agree: Iterable[bool],
    first: int = 50_000,
    task: Task = TASK,
) -> bool:
    """Record audits of calls that were answered small; whether any of them demoted the task."""
    demoted = [
        _audit(store, certificate, number, agrees, task.id)
        for number, agrees in enumerate(agree, first)
    ]
    return any(demoted)


def _audit(store: Store, certificate: str, number: int, agrees: bool, task: str) -> bool:
    said = desk_of(number) if agrees else desk_of(number + 1)
    now = time.time()
    call = make_call(number, at=now, task=task, answer=Answer(said), answered_by="specialist/desk")
    found = Audit(
        call_id=call.id,
        at=now,
        task=task,
        certificate=certificate,
        kind="audit",
        agrees=agrees,
        reference=Answer(desk_of(number)),
        label=said,
    )
    with store.database.transaction() as conn:
        store.calls.insert(conn, call)
        return store.audits.record(conn, found, PROMISE.delta)


def kinds(store: Store, task: Task = TASK) -> list[str]:
    """What happened to a task, oldest first."""
    return [event.kind for event in reversed(store.events.list(task.id))]


def stored_task(store: Store, task_id: str = TASK.id) -> Task:
    return msgspec.json.decode(store.tasks.get(task_id).spec, type=Task)
