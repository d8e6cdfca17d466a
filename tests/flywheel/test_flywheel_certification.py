"""Certification: what an attempt writes, whatever comes of it, and what it spends."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from parcel_office import (
    CONTRACT,
    OPTIONS,
    PROMISE,
    TASK,
    add_calls,
    add_task,
    audit,
    desk_of,
    fill,
    kinds,
    make_call,
    make_task,
    text_of,
)

from shoal.chat import Answer
from shoal.errors import ArtifactError, LearningError
from shoal.flywheel.certification import Examiner, Verdict
from shoal.flywheel.promotion import promote, redraw
from shoal.guarantees import Certificate, delta_at, percent
from shoal.specialists.card import Card
from shoal.specialists.label import LabelSpecialist
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.storage import Event, Store
from shoal.tasks import Input, LabelContract, TextContract


@pytest.fixture
def examiner(store: Store, senses: Senses) -> Examiner:
    return Examiner(store, OPTIONS, lambda: senses, lambda model: f"{model} (recorded)")


def certify(examiner: Examiner) -> Verdict:
    return examiner.certify(examiner.lessons(TASK), PROMISE)


def granted(verdict: Verdict) -> Certificate:
    assert verdict.certificate is not None, verdict.reason
    return verdict.certificate


def fill_at_random(store: Store, count: int) -> None:
    """Answers that nothing explains."""
    add_task(store)
    draw = np.random.default_rng(1)
    answers = [Answer(desk_of(int(number))) for number in draw.integers(3, size=count)]
    add_calls(store, (make_call(n, task=TASK.id, answer=a) for n, a in enumerate(answers)))


def test_a_certificate_says_what_it_rests_on(store: Store, examiner: Examiner) -> None:
    fill(store, range(250))
    before = time.time()
    verdict = certify(examiner)
    certificate = granted(verdict)
    assert (verdict.task, verdict.examples, verdict.reason) == (TASK.id, 250, "")
    assert (certificate.task, certificate.alpha, certificate.n) == ("desk", 0.1, 250)
    assert certificate.reference == "gpt (recorded)"
    assert certificate.comparator == "equal label"
    assert certificate.method == "cross-fitted"
    assert certificate.data_digest == examiner.lessons(TASK).digest
    assert certificate.risk_bound <= 0.1
    assert certificate.coverage > 0.8
    assert before <= certificate.issued_at <= time.time()
    assert certificate.lapses_at - certificate.issued_at == pytest.approx(90 * 86_400)


def test_held_out_is_named_and_keeps_a_part_away(store: Store, senses: Senses) -> None:
    fill(store, range(300))
    options = OPTIONS.model_copy(update={"calibration": "held-out"})
    examiner = Examiner(store, options, lambda: senses)
    certificate = granted(certify(examiner))
    assert certificate.method == "held-out"
    assert 60 < certificate.n < 140
    assert certificate.reference == "gpt"


def test_a_promise_for_each_label_is_watched_by_label(store: Store, examiner: Examiner) -> None:
    fill(store, range(400))
    promise = PROMISE.model_copy(update={"per_label": True})
    certificate = granted(examiner.certify(examiner.lessons(TASK), promise))
    watch = store.audits.watch(certificate.id)
    assert certificate.labels is not None
    assert set(watch.labels) == set(certificate.served_labels) > {"garden"}
    assert {process.alpha for process in watch.labels.values()} == {PROMISE.alpha}
    average = granted(certify(examiner))
    assert store.audits.watch(average.id).labels == {}


def test_card_and_artifact_are_stored_and_serve(store: Store, examiner: Examiner) -> None:
    fill(store, range(250))
    certificate = granted(certify(examiner))
    (row,) = store.certificates.list(TASK.id)
    assert Certificate.from_json(row.spec) == certificate
    card = msgspec.json.decode(store.cards.get(certificate.specialist).spec, type=Card)
    assert row.card == card.id == certificate.specialist
    assert (card.task, card.kind, card.recipe, card.llm) == (TASK.id, "label", "terms", "gpt")
    assert (card.contract, card.encoder, card.examples) == (CONTRACT, "", 250)
    assert card.agreement > 0.9
    assert card.cpu_seconds > 0
    assert card.rates is not None
    assert card.rates.output == 2
    specialist = load_specialist(card, store.artifacts.open(card.artifact), None)
    said = [specialist.predict(Input(text_of(number))) for number in range(1_000, 1_060)]
    assert [p.output for p in said] == [desk_of(number) for number in range(1_000, 1_060)]
    assert np.mean([p.signal >= certificate.threshold for p in said]) > 0.8
    assert kinds(store) == ["certified"]


def test_attempts_are_numbered_and_their_deltas_stay_in_the_budget(
    store: Store, examiner: Examiner
) -> None:
    fill(store, range(250))
    found = [granted(certify(examiner)) for _ in range(3)]
    assert [certificate.attempt for certificate in found] == [1, 2, 3]
    spent = [certificate.delta_spent for certificate in found]
    assert spent == [delta_at(nth, PROMISE.delta) for nth in (1, 2, 3)]
    assert sum(spent) < PROMISE.delta
    attempts = store.attempts.list(TASK.id)
    assert [attempt.nth for attempt in attempts] == [1, 2, 3]
    stored = [msgspec.json.decode(attempt.outcome, type=Verdict) for attempt in attempts]
    assert [verdict.certificate for verdict in stored] == found


def test_a_refusal_spends_too(store: Store, examiner: Examiner) -> None:
    fill(store, range(20))
    refused = certify(examiner)
    assert refused.certificate is None
    add_calls(store, (make_call(n, task=TASK.id) for n in range(20, 260)))
    certificate = granted(certify(examiner))
    assert certificate.attempt == 2
    assert certificate.delta_spent == delta_at(2, PROMISE.delta)
    assert kinds(store) == ["refused", "certified"]


def test_too_few_examples_are_refused_with_how_many_are_missing(
    store: Store, examiner: Examiner
) -> None:
    fill(store, range(30))
    verdict = certify(examiner)
    assert verdict.certificate is None
    assert verdict.reason.startswith("need about ")
    assert "more examples" in verdict.reason
    assert [name for name, _ in verdict.refusals] == ["terms", "terms+encoder"]
    assert store.cards.list() == []
    assert store.certificates.list() == []
    assert store.artifacts.list() == []
    (event,) = store.events.list(TASK.id)
    assert (event.kind, event.reason, event.by) == ("refused", verdict.reason, "learner")


def test_what_cannot_be_predicted_is_refused(store: Store, examiner: Examiner) -> None:
    fill_at_random(store, 200)
    verdict = certify(examiner)
    assert verdict.certificate is None
    assert "disagree" in verdict.reason
    assert "10 %" in verdict.reason


def test_a_refusal_tells_that_the_llm_differs_from_itself(store: Store, examiner: Examiner) -> None:
    add_task(store)
    draw = np.random.default_rng(1)
    calls = []
    for number in range(60):
        answers = [desk_of(int(n)) for n in draw.integers(3, size=2)]
        for copy, answer in enumerate(answers):
            again = {"id": make_call(1_000 * (copy + 1) + number).id, "answer": Answer(answer)}
            calls.append(make_call(number, task=TASK.id, **again))
    add_calls(store, calls)
    agreement = examiner.lessons(TASK).self_agreement()
    assert agreement is not None
    assert agreement < 0.6
    assert f"the LLM agrees with itself only {percent(agreement)}" in certify(examiner).reason


@pytest.mark.parametrize(
    ("contract", "reason"),
    [
        (TextContract(), "no specialist learns that"),
        (LabelContract(("roof",)), "keeps the contract"),
    ],
)
def test_what_no_specialist_learns_is_refused_in_plain_words(
    store: Store, senses: Senses, contract: TextContract | LabelContract, reason: str
) -> None:
    task = make_task(contract=contract)
    fill(store, range(100), task)
    examiner = Examiner(store, OPTIONS, lambda: senses)
    verdict = examiner.certify(examiner.lessons(task), PROMISE)
    assert verdict.certificate is None
    assert reason in verdict.reason
    assert len(store.attempts.list(task.id)) == 1


def test_another_attempt_meanwhile_leaves_nothing_behind(
    store: Store, senses: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(250))
    intrude(store, monkeypatch, lambda: certify(Examiner(store, OPTIONS, lambda: senses)))
    with pytest.raises(LearningError, match=r"another certification .* try again"):
        certify(Examiner(store, OPTIONS, lambda: senses))
    assert len(store.attempts.list(TASK.id)) == 1
    assert len(store.certificates.list(TASK.id)) == len(store.cards.list(TASK.id)) == 1
    assert kinds(store) == ["certified"]


def intrude(store: Store, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Have something happen once, between training and writing."""
    put, left = store.artifacts.put, [meanwhile]

    def slow(folder: object) -> str:
        if left:
            left.pop()()
        return put(folder)  # type: ignore[arg-type]

    monkeypatch.setattr(store.artifacts, "put", slow)


def test_at_most_so_many_examples_are_read(store: Store, senses: Senses) -> None:
    fill(store, range(140))
    examiner = Examiner(store, OPTIONS.model_copy(update={"max_examples": 100}), lambda: senses)
    texts = [lesson.text for lesson in examiner.lessons(TASK).lessons]
    assert texts == [text_of(number) for number in range(40, 140)]


def test_what_was_recorded_before_audits_broke_the_promise_is_not_learned_again(
    store: Store, examiner: Examiner
) -> None:
    fill(store, range(250))
    certificate = granted(certify(examiner))
    promote(store, TASK.id, "serve", "a person", "")
    assert audit(store, certificate.id, [False] * 12)
    later = time.time() + 5
    add_calls(store, (make_call(n, task=TASK.id, at=later + n) for n in range(300, 320)))
    texts = {lesson.text for lesson in examiner.lessons(TASK).lessons}
    assert texts >= {text_of(number) for number in range(300, 320)}
    assert not texts & {text_of(number) for number in range(250)}


def test_a_task_redrawn_meanwhile_is_not_certified(
    store: Store, senses: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(250))

    def split() -> None:
        event = Event(at=time.time(), task=TASK.id, kind="split", by="person")
        with store.database.transaction() as conn:
            redraw(store, conn, event)

    intrude(store, monkeypatch, split)
    with pytest.raises(LearningError, match="while it was being certified"):
        certify(Examiner(store, OPTIONS, lambda: senses))
    assert store.attempts.list(TASK.id) == []
    assert store.certificates.list(TASK.id) == []
    assert store.cards.list(TASK.id) == []


def test_a_disk_that_is_full_when_all_is_proven_costs_no_attempt(
    store: Store, examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(250))

    def full(_: object, folder: Path) -> None:
        assert folder.is_relative_to(store.options.path)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LabelSpecialist, "save", full)
        with pytest.raises(ArtifactError, match="No space left"):
            certify(examiner)
    assert store.attempts.list(TASK.id) == []
    assert [*store.options.path.glob(".saving-*")] == []
    assert granted(certify(examiner))
