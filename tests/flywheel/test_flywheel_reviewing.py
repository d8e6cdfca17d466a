"""People as the promised reference: what they said of calls drawn for them is what judges."""

import time
from collections.abc import Callable, Iterable

import pytest
from parcel_office import DESKS, OPTIONS, TASK, desk_of, fill, make_call

from shoal.chat import Answer
from shoal.errors import LearningError
from shoal.flywheel.certification import Examiner
from shoal.flywheel.learner import Learner
from shoal.flywheel.overview import proof_of
from shoal.flywheel.reviewing import review_needs
from shoal.flywheel.trial import Prepared, judge
from shoal.flywheel.watch import Watch
from shoal.guarantees import Certificate, Refusal, clean_examples_needed, delta_at, draw
from shoal.routing.promise import PromiseOptions
from shoal.specialists.label import KIND
from shoal.specialists.specialist import Prediction
from shoal.storage import Feedback, Store

RATE = 0.6
PROMISE = PromiseOptions(alpha=0.1, confidence=0.95, audit_rate=RATE, reference="people")
COUNT = 400


def call_id(number: int) -> str:
    return make_call(number).id


def drawn(store: Store, numbers: Iterable[int]) -> list[int]:
    secret = store.database.secret()
    return [number for number in numbers if draw(call_id(number), RATE, secret)]


def review(store: Store, numbers: Iterable[int], right: Callable[[int], str] = desk_of) -> None:
    with store.database.transaction() as conn:
        for number in numbers:
            word = Feedback(
                call_id=call_id(number), at=time.time(), verdict="answer", answer=right(number)
            )
            store.feedback.insert(conn, word)


@pytest.fixture
def learner(store: Store) -> Learner:
    fill(store, range(COUNT))
    return Learner(store, OPTIONS, {}, PROMISE)


def test_reviewed_calls_certify_and_the_certificate_says_so(store: Store, learner: Learner) -> None:
    asked = drawn(store, range(COUNT))[:200]
    review(store, asked)
    certificate = learner.certify(TASK).certificate
    assert certificate is not None
    assert (certificate.reference, certificate.by_people) == ("people", True)
    assert certificate.n == 200
    assert certificate.errors <= certificate.accepted * PROMISE.alpha
    said = certificate.describe()
    assert "at most 10 % differ from people, with 95 % confidence" in said
    assert "The reference is what people said of calls drawn at random for them." in said
    assert "- that people are right" in said
    assert "biased sample" not in said
    assert "agrees with itself" not in said
    assert Certificate.from_json(certificate.to_json()) == certificate


def test_what_differs_from_people_is_wrong_whatever_the_llm_says(
    store: Store, learner: Learner
) -> None:
    """The LLM and the specialist agree on desks; people have another opinion."""
    others = dict(zip(DESKS, (*DESKS[1:], DESKS[0]), strict=True))
    review(store, drawn(store, range(COUNT))[:200], lambda number: others[desk_of(number)])
    verdict = learner.certify(TASK)
    assert verdict.certificate is None
    assert "disagrees" in verdict.reason
    by_llm = Examiner(store, OPTIONS, learner.senses)
    lessons = by_llm.lessons(TASK)
    assert not lessons.by_people
    assert lessons.size == COUNT


def test_volunteered_corrections_train_and_do_not_judge(store: Store, learner: Learner) -> None:
    asked = drawn(store, range(COUNT))
    volunteered = [number for number in range(COUNT) if number not in asked]
    review(store, volunteered)
    review(store, asked[50:])  # drawn, but those before them still wait
    lessons = learner.examiner.lessons(TASK, PROMISE)
    assert lessons.size == 0
    assert sum(lesson.people is not None for lesson in lessons.lessons) == COUNT - 50
    with pytest.raises(LearningError, match="shoal review desk"):
        learner.certify(TASK)
    review(store, asked[:40])
    judging = [
        one.call_id for one in learner.examiner.lessons(TASK, PROMISE).lessons if one.sampled
    ]
    assert judging == [call_id(number) for number in asked[:40]]


def test_too_few_reviews_are_refused_in_plain_words_and_cost_nothing(
    store: Store, learner: Learner
) -> None:
    needs = review_needs(TASK, PROMISE, OPTIONS, 1)
    review(store, drawn(store, range(COUNT))[:10])
    said = f"need about {needs.wanted - 10} more reviewed calls: shoal review desk"
    with pytest.raises(LearningError, match=said):
        learner.certify(TASK)
    assert proof_of(store, TASK, OPTIONS, PROMISE).why_not == said
    assert "not tried yet" in proof_of(store, TASK, OPTIONS).why_not
    learner.turn()
    assert store.attempts.list(TASK.id) == []


def test_a_refusal_asks_for_reviewed_calls(store: Store, learner: Learner) -> None:
    """As many as would do for the candidate with the largest share, if it served all of them."""
    needed = review_needs(TASK, PROMISE, OPTIONS, 1).fewest
    review(store, drawn(store, range(COUNT))[:needed])
    verdict = learner.certify(TASK)
    assert verdict.certificate is None
    assert verdict.by_people
    assert verdict.examples == needed
    assert "more reviewed calls (shoal review desk)" in verdict.reason


def test_reviews_wanted_are_for_what_calibrates_and_for_each_share() -> None:
    """Of label recipes the smallest share is a fifth, the largest four."""
    delta = delta_at(2, PROMISE.delta)
    needs = review_needs(TASK, PROMISE, OPTIONS, 2)
    assert needs.fewest == clean_examples_needed(PROMISE.alpha, delta * 0.8)
    assert needs.wanted == 2 * clean_examples_needed(PROMISE.alpha, delta * 0.2)
    apart = OPTIONS.model_copy(update={"calibration": "held-out"})
    assert review_needs(TASK, PROMISE, apart, 2).fewest == 3 * needs.fewest
    assert review_needs(TASK, PROMISE, apart, 2).wanted == 3 * needs.wanted


def test_no_attempt_is_spent_on_too_few_that_are_held_out(store: Store) -> None:
    fill(store, range(COUNT))
    review(store, drawn(store, range(COUNT))[:100])
    apart = OPTIONS.model_copy(update={"calibration": "held-out", "max_examples": 100})
    learner = Learner(store, apart, {}, PROMISE)
    learner.turn()  # a third is fewer than needed, and more than 100 are never read
    with pytest.raises(LearningError, match="more reviewed calls"):
        learner.certify(TASK)
    assert store.attempts.list(TASK.id) == []


def test_reviewed_calls_judge_however_many_came_since(store: Store, learner: Learner) -> None:
    asked = drawn(store, range(COUNT))[:120]
    review(store, asked)
    few = OPTIONS.model_copy(update={"max_examples": 150})
    lessons = Examiner(store, few, learner.senses).lessons(TASK, PROMISE)
    assert lessons.size == 120
    assert len(lessons.lessons) == 150


def test_what_people_only_call_wrong_counts_and_counts_as_wrong(store: Store) -> None:
    """Whether they called it right before or not, and whether the LLM was asked or not."""
    fill(store, range(200))
    fill(store, range(200, COUNT), answered_by="specialist/desk")
    learner = Learner(store, OPTIONS, {}, PROMISE)
    asked = drawn(store, range(COUNT))
    review(store, asked)
    before = learner.examiner.lessons(TASK, PROMISE)
    with store.database.transaction() as conn:
        for number in asked[::2]:
            word = Feedback(call_id=call_id(number), at=time.time(), verdict="wrong")
            store.feedback.insert(conn, word)
    lessons = learner.examiner.lessons(TASK, PROMISE)
    assert lessons.size == before.size == len(asked)
    assert sum(lesson.output is None for lesson in lessons.lessons) == len(asked[::2])
    pairs = tuple((one, Prediction(desk_of(0), 0.9)) for one in lessons.lessons if one.sampled)
    contract, recipe = TASK.contract, KIND.recipes[0]
    refused = judge(Prepared(recipe, contract, None, pairs, 0.0, by_people=True), 0.1, 0.05)  # type: ignore[arg-type]
    assert isinstance(refused, Refusal)
    right = sum(number % 3 == 0 for number in asked if number not in asked[::2])
    assert (refused.n, refused.errors) == (len(asked), len(asked) - right)
    by_llm = learner.examiner.lessons(TASK)
    assert all(lesson.output is not None for lesson in by_llm.lessons)


def test_the_learner_certifies_when_enough_is_reviewed(store: Store, learner: Learner) -> None:
    review(store, drawn(store, range(COUNT))[:150])
    learner.turn()
    (row,) = store.certificates.list(TASK.id)
    assert Certificate.from_json(row.spec).by_people
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert standing.stage == "serve"  # no shadow: nobody would say what people would have
    assert "no shadow is compared" in store.events.list(TASK.id)[0].reason
    learner.turn()
    assert len(store.certificates.list(TASK.id)) == 1


def test_another_version_of_the_llm_does_not_end_what_people_certified(
    store: Store, learner: Learner
) -> None:
    review(store, drawn(store, range(COUNT))[:150])
    learner.turn()
    fill(store, range(1_000, 1_100), at=time.time(), answer=Answer("another", model="gpt-9"))
    Watch(store, OPTIONS).turn()
    standing = store.standings.get(TASK.id)
    assert standing is not None
    assert standing.stage == "serve"
