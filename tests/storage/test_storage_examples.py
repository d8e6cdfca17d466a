from collections.abc import Callable
from typing import Literal

import pytest

from shoal.chat import Answer, Usage
from shoal.errors import NotFound
from shoal.storage import Audit, CallRecord, CertificateRow, Example, Feedback, Store

MakeCall = Callable[..., CallRecord]
Record = Callable[..., None]
Verdict = Literal["right", "wrong", "answer"]


@pytest.fixture
def examples(store: Store) -> Callable[..., list[Example]]:
    return lambda limit=None: list(store.examples.of("t", limit))


@pytest.fixture
def judge(store: Store, make_call: MakeCall) -> Callable[..., None]:
    def give(number: int, verdict: Verdict, answer: str = "", at: float = 1.0) -> None:
        word = Feedback(call_id=make_call(number).id, at=at, verdict=verdict, answer=answer)
        with store.database.transaction() as conn:
            store.feedback.insert(conn, word)

    return give


@pytest.fixture
def audit(store: Store, make_call: MakeCall) -> Callable[[int, str], None]:
    def compare(number: int, reference: str) -> None:
        made = Audit(
            call_id=make_call(number).id,
            at=2.0,
            task="t",
            certificate="c",
            kind="audit",
            agrees=False,
            reference=Answer(reference),
        )
        with store.database.transaction() as conn:
            store.audits.record(conn, made, delta=1e-9)

    certificate = CertificateRow(id="c", task="t", card="d", alpha=0.1, spec=b"", issued_at=1.0)
    with store.database.transaction() as conn:
        store.certificates.insert(conn, certificate)
    return compare


def served_small(make_call: MakeCall, number: int) -> CallRecord:
    return make_call(number, task="t", answered_by="label-1", answer=Answer("billing"))


def test_the_llms_own_answers_are_references(
    store: Store, make_call: MakeCall, record: Record, examples: Callable[..., list[Example]]
) -> None:
    call = make_call(1, task="t", sampled=True)
    record(call, make_call(2, task="other"), make_call(3))
    assert examples() == [
        Example(
            call_id=call.id,
            at=call.at,
            request=call.request,
            reference=Answer("shipping", model="gpt", usage=Usage(200, 2)),
            by="llm",
            sampled=True,
            llm_answer=call.answer,
            episode=call.episode,
        )
    ]


def test_calls_without_a_reference_are_left_out(
    make_call: MakeCall, record: Record, examples: Callable[..., list[Example]]
) -> None:
    record(
        served_small(make_call, 1),
        make_call(2, task="t", answer=None, error="down"),
        make_call(3, task="t", error="broke off"),
        make_call(4, task="t", answer=Answer("ship", complete=False)),
        make_call(5, task="t", answered_by="", llm=""),
    )
    assert examples() == []


def test_an_audit_gives_a_served_call_its_reference(
    make_call: MakeCall,
    record: Record,
    examples: Callable[..., list[Example]],
    audit: Callable[[int, str], None],
) -> None:
    record(served_small(make_call, 1))
    audit(1, "returns")
    (example,) = examples()
    assert (example.reference, example.by) == (Answer("returns"), "llm")
    assert example.llm_answer == Answer("returns")


@pytest.mark.parametrize(
    ("verdict", "reference", "by"),
    [("right", "billing", "people"), ("answer", "legal", "people"), ("wrong", "returns", "llm")],
)
def test_people_come_before_audits(
    make_call: MakeCall,
    record: Record,
    examples: Callable[..., list[Example]],
    audit: Callable[[int, str], None],
    judge: Callable[..., None],
    verdict: Verdict,
    reference: str,
    by: str,
) -> None:
    record(served_small(make_call, 1))
    audit(1, "returns")
    judge(1, verdict, "legal" if verdict == "answer" else "")
    (example,) = examples()
    assert (example.reference, example.by) == (Answer(reference), by)
    assert example.llm_answer == Answer("returns")


def test_a_person_alone_is_enough(
    make_call: MakeCall,
    record: Record,
    examples: Callable[..., list[Example]],
    judge: Callable[..., None],
) -> None:
    record(served_small(make_call, 1), served_small(make_call, 2), served_small(make_call, 3))
    judge(1, "right")
    judge(2, "answer", "legal")
    judge(3, "wrong")
    assert [(e.reference.text, e.by, e.llm_answer) for e in examples()] == [
        ("legal", "people", None),
        ("billing", "people", None),
    ]


def test_the_newest_word_counts(
    store: Store,
    make_call: MakeCall,
    record: Record,
    examples: Callable[..., list[Example]],
    judge: Callable[..., None],
) -> None:
    record(make_call(1, task="t"), make_call(2, task="t"))
    judge(1, "answer", "late", at=9.0)
    judge(1, "answer", "early", at=3.0)  # arrives later, but is older
    judge(1, "answer", "late, corrected", at=9.0)
    assert examples()[1].reference == Answer("late, corrected")
    found = store.feedback.newest([make_call(1).id, make_call(2).id])
    assert list(found) == [make_call(1).id]
    assert found[make_call(1).id].answer == "late, corrected"


def test_feedback_on_an_unknown_call_is_refused(judge: Callable[..., None]) -> None:
    with pytest.raises(NotFound, match="no call of id"):
        judge(99, "right")


def test_the_latest_come_first_and_the_limit_counts_examples(
    make_call: MakeCall, record: Record, examples: Callable[..., list[Example]]
) -> None:
    record(
        *(
            make_call(number, task="t") if number % 2 else served_small(make_call, number)
            for number in range(1200)
        )
    )
    expected = [make_call(number).id for number in range(1199, 0, -2)]
    assert [example.call_id for example in examples()] == expected
    assert [example.call_id for example in examples(7)] == expected[:7]
    assert examples(0) == []
