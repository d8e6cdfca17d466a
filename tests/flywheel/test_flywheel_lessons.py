"""Lessons: which examples are learned from, and what is known of each."""

import pytest
from parcel_office import (
    BEGAN,
    CONTENTS,
    TASK,
    add_calls,
    add_certificate,
    add_task,
    desk_of,
    fill,
    make_call,
    make_certificate,
    make_example,
    request_of,
    text_of,
)

from shoal.chat import Answer, Message, Request, Usage
from shoal.flywheel.lessons import curate
from shoal.storage import Audit, Feedback, Store


def say(store: Store, call_id: str, verdict: str, answer: str = "") -> None:
    word = Feedback(call_id=call_id, at=BEGAN, verdict=verdict, answer=answer)  # type: ignore[arg-type]
    with store.database.transaction() as conn:
        store.feedback.insert(conn, word)


def test_a_lesson_is_the_input_and_the_llms_answer_oldest_first() -> None:
    lessons = curate(TASK, [make_example(2), make_example(0), make_example(1)])
    assert lessons.model == "gpt"
    assert [lesson.text for lesson in lessons.lessons] == [text_of(number) for number in (0, 1, 2)]
    assert lessons.outputs == ["garden", "kitchen", "music"]
    assert all(lesson.people is None and lesson.refuted is None for lesson in lessons.lessons)


def test_people_teach_and_the_llm_is_what_is_certified_against(store: Store) -> None:
    fill(store, range(3))
    say(store, make_call(1).id, "answer", "music")
    lesson = curate(TASK, store.examples.of(TASK.id)).lessons[1]
    assert lesson.output == "music"
    assert lesson.people == Answer("music")
    assert lesson.llm is not None
    assert lesson.llm.text == "kitchen"


def test_an_answer_called_wrong_is_kept_as_refuted_and_still_learned(store: Store) -> None:
    fill(store, range(3))
    say(store, make_call(1).id, "wrong")
    lesson = curate(TASK, store.examples.of(TASK.id)).lessons[1]
    assert lesson.refuted is not None
    assert lesson.refuted.text == "kitchen"
    assert lesson.people is None
    assert lesson.output == "kitchen"


def test_a_refuted_small_answer_is_learned_as_the_audit_had_it(store: Store) -> None:
    add_task(store)
    small = {"answer": Answer("music"), "answered_by": "specialist/desk"}
    add_calls(store, [make_call(0, task=TASK.id, **small)])
    reference = Answer("garden")
    audit = Audit(
        call_id=make_call(0).id,
        at=BEGAN,
        task=TASK.id,
        certificate="c-1",
        kind="audit",
        agrees=False,
        reference=reference,
    )
    add_certificate(store, make_certificate())
    with store.database.transaction() as conn:
        store.audits.record(conn, audit, 0.05)
    say(store, make_call(0).id, "wrong")
    (lesson,) = curate(TASK, store.examples.of(TASK.id)).lessons
    assert lesson.output == "garden"
    assert lesson.llm == reference
    assert lesson.refuted == Answer("music")


def test_a_small_answer_that_people_call_right_has_no_llm(store: Store) -> None:
    add_task(store)
    small = {"answer": Answer("garden"), "answered_by": "specialist/desk", "sampled": False}
    add_calls(store, [make_call(0, task=TASK.id, **small)])
    say(store, make_call(0).id, "right")
    (lesson,) = curate(TASK, store.examples.of(TASK.id)).lessons
    assert lesson.output == "garden"
    assert lesson.people == Answer("garden")
    assert lesson.llm is None
    assert not lesson.sampled


def test_only_the_model_that_answered_most_is_learned() -> None:
    others = [make_example(n, request=request_of(n, model="claude")) for n in range(10, 14)]
    lessons = curate(TASK, [*(make_example(n) for n in range(5)), *others])
    assert lessons.model == "gpt"
    assert [lesson.text for lesson in lessons.lessons] == [text_of(number) for number in range(5)]
    more = [make_example(n, request=request_of(n, model="claude")) for n in range(14, 17)]
    assert curate(TASK, [*(make_example(n) for n in range(5)), *others, *more]).model == "claude"


def test_what_was_recorded_before_since_is_left_out() -> None:
    lessons = curate(TASK, [make_example(n) for n in range(9)], since=BEGAN + 6)
    assert [lesson.text for lesson in lessons.lessons] == [text_of(number) for number in (6, 7, 8)]


def test_calls_of_other_templates_are_left_out() -> None:
    stray = Request("gpt", (Message("system", "Translate."), Message("user", "Bonjour")))
    lessons = curate(TASK, [make_example(0), make_example(1, request=stray)])
    assert [lesson.text for lesson in lessons.lessons] == [text_of(0)]


def test_without_examples_there_are_no_lessons() -> None:
    lessons = curate(TASK, [])
    assert (lessons.model, lessons.lessons, lessons.rates) == ("", (), None)


def test_a_reference_that_breaks_the_contract_has_no_output() -> None:
    (lesson,) = curate(TASK, [make_example(0, reference=Answer("I cannot say"))]).lessons
    assert lesson.output is None


def again(number: int, count: int, said: str) -> list[object]:
    """The same input, ``count`` times."""
    request = Request("gpt", (*request_of(0).messages[:1], Message("user", f"box {number}")))
    answer = Answer(said)
    return [
        make_example(1_000 * number + k, request=request, reference=answer, llm_answer=answer)
        for k in range(count)
    ]


def test_self_agreement_is_over_pairs_of_equal_inputs() -> None:
    examples = [example for n in range(1, 16) for example in again(n, 2, "garden")]
    for n in range(16, 21):
        first, second = again(n, 1, "garden"), again(n, 2, "music")[1:]
        examples += first + second
    assert curate(TASK, examples).self_agreement() == pytest.approx(15 / 20)  # type: ignore[arg-type]


def test_self_agreement_of_few_pairs_is_not_told() -> None:
    examples = [example for n in range(1, 20) for example in again(n, 2, "garden")]
    examples += again(20, 1, "garden")  # alone: no pair
    assert curate(TASK, examples).self_agreement() is None  # type: ignore[arg-type]


def test_an_answer_in_another_spelling_agrees_with_itself() -> None:
    examples = [example for n in range(1, 11) for example in again(n, 2, "garden")]
    for n in range(11, 21):
        examples += again(n, 1, "garden") + again(n, 2, "Garden.")[1:]
    assert curate(TASK, examples).self_agreement() == 1  # type: ignore[arg-type]


def test_the_digest_changes_with_input_reference_and_identity() -> None:
    plain = [make_example(n) for n in range(4)]
    variants = [
        [*plain, make_example(4)],
        plain[:3],
        [*plain[:3], make_example(3, call_id="another")],
        [*plain[:3], make_example(3, reference=Answer("music"))],
        [*plain[:3], make_example(3, request=request_of(33))],
    ]
    digests = {curate(TASK, examples).digest for examples in (plain, *variants)}
    assert len(digests) == 6
    assert curate(TASK, plain[::-1]).digest == curate(TASK, plain).digest
    assert curate(TASK, plain).digest.startswith("sha256:")


def test_token_rates_are_from_the_llms_own_counts() -> None:
    used = [Usage(100, 2), Usage(50, 4), Usage(999, 99, estimated=True), None]
    examples = [
        make_example(n, llm_answer=Answer(desk_of(n), usage=usage)) for n, usage in enumerate(used)
    ]
    characters = sum(len(message.text) for n in (0, 1) for message in request_of(n).messages)
    rates = curate(TASK, examples).rates
    assert rates is not None
    assert rates.per_character == pytest.approx(150 / characters)
    assert rates.output == 3


def test_without_counts_there_are_no_rates() -> None:
    assert curate(TASK, [make_example(0, llm_answer=Answer("garden"))]).rates is None


def test_the_office_is_what_its_tests_take_it_for() -> None:
    """Every text names something of its desk and of no other's."""
    for number in range(300):
        desks = [
            desk for desk, things in CONTENTS.items() if any(t in text_of(number) for t in things)
        ]
        assert desks == [desk_of(number)]
