"""The learner: whole turns over a store, from recorded calls to serving and back."""

import threading
import time
from collections.abc import Iterable
from typing import Any, cast

import pytest
from msgspec.structs import replace
from parcel_office import (
    DESKS,
    OPTIONS,
    PROMISE,
    TASK,
    add_calls,
    add_task,
    audit,
    fill,
    kinds,
    make_call,
    make_task,
)

from shoal.chat import Answer
from shoal.encoder import Encoder
from shoal.errors import LearningError, StoreError
from shoal.flywheel.finding import known_tasks
from shoal.flywheel.learner import Learner
from shoal.flywheel.promotion import demote, promote
from shoal.guarantees import Certificate
from shoal.routing.cascade_options import CascadeOptions
from shoal.routing.filing import agreement_id
from shoal.routing.promise import PromiseOptions
from shoal.storage import Asking, Feedback, Standing, Store, Try
from shoal.tasks import Task, TextContract
from tiny_encoder import TinyEncoder


def make_learner(store: Store, **options: Any) -> Learner:
    encoder = cast(Encoder, TinyEncoder())
    return Learner(store, OPTIONS.model_copy(update=options), {}, PROMISE, encoder=encoder)


def standing_of(store: Store, task: Task = TASK) -> Standing | None:
    return store.standings.get(task.id)


def stage(store: Store, task: Task = TASK) -> str:
    standing = standing_of(store, task)
    return standing.stage if standing else "observe"


def certificates(store: Store, task: Task = TASK) -> list[Certificate]:
    """Oldest first."""
    rows = reversed(store.certificates.list(task.id))
    return [Certificate.from_json(row.spec) for row in rows]


def more(store: Store, numbers: Iterable[int], **fields: Any) -> None:
    add_calls(store, (make_call(number, task=TASK.id, **fields) for number in numbers))


def attempts(store: Store) -> int:
    return len(store.attempts.list(TASK.id))


def test_from_recorded_calls_to_serving(store: Store) -> None:
    learner = make_learner(store)
    add_calls(store, (make_call(number) for number in range(180)))
    found = learner.turn()
    (task,) = found.new
    assert found.assigned == 180
    assert sorted(task.contract.labels) == sorted(DESKS)  # type: ignore[union-attr]
    (certificate,) = certificates(store, task)
    assert (certificate.alpha, certificate.n) == (PROMISE.alpha, 180)
    standing = standing_of(store, task)
    assert standing is not None
    assert (standing.stage, standing.certificate) == ("shadow", certificate.id)
    audit(store, certificate.id, [True] * OPTIONS.shadow_calls, task=task)
    learner.turn()
    assert stage(store, task) == "serve"
    assert kinds(store, task) == ["discovered", "certified", "promoted", "promoted"]


def test_one_turn_over_nothing_does_nothing(store: Store) -> None:
    learner = make_learner(store)
    assert learner.turn().assigned == 0
    assert store.events.list() == []


def test_a_task_is_not_tried_before_there_are_enough_examples(store: Store) -> None:
    fill(store, range(OPTIONS.min_examples - 1))
    learner = make_learner(store)
    learner.turn()
    assert attempts(store) == 0
    more(store, range(OPTIONS.min_examples - 1, OPTIONS.min_examples))
    learner.turn()
    assert attempts(store) == 1


def test_the_next_attempt_waits_for_growth(store: Store) -> None:
    fill(store, range(160))
    make_learner(store).turn()
    more(store, range(160, 319))
    make_learner(store).turn()
    assert attempts(store) == 1
    more(store, range(319, 320))
    make_learner(store).turn()
    assert [certificate.attempt for certificate in certificates(store)] == [1, 2]
    assert certificates(store)[1].n == 320


def test_what_was_not_tried_again_spends_nothing(store: Store) -> None:
    fill(store, range(160))
    learner = make_learner(store)
    for _ in range(4):
        learner.turn()
    assert attempts(store) == 1


def test_a_task_that_serves_goes_on_with_its_new_certificate(store: Store) -> None:
    fill(store, range(160))
    make_learner(store).turn()
    promote(store, TASK.id, "serve", "person", "")
    more(store, range(160, 320))
    make_learner(store).turn()
    first, second = certificates(store)
    standing = standing_of(store)
    assert standing is not None
    assert (standing.stage, standing.certificate) == ("serve", second.id)
    assert standing.card == second.specialist != first.specialist


def test_a_new_certificate_does_not_undo_a_persons_demotion(store: Store) -> None:
    fill(store, range(160))
    make_learner(store).turn()
    demote(store, TASK.id, "person", "not yet")
    more(store, range(160, 320))
    make_learner(store).turn()
    assert len(certificates(store)) == 2
    assert stage(store) == "observe"


def test_an_old_certificate_is_renewed_without_growth(store: Store) -> None:
    fill(store, range(160))
    learner = make_learner(store, lapse_days=1e-6)  # 0.09 s
    learner.turn()
    time.sleep(0.1)
    make_learner(store).watch.turn()
    assert stage(store) == "observe"
    make_learner(store, lapse_days=1e-6).turn()
    assert attempts(store) == 2


def test_after_an_audits_demotion_only_newer_examples_count(store: Store) -> None:
    fill(store, range(160))
    make_learner(store).turn()
    (first,) = certificates(store)
    promote(store, TASK.id, "serve", "person", "")
    assert audit(store, first.id, [False] * 12)
    assert stage(store) == "observe"
    later = time.time() + 1
    more(store, range(1_000, 1_120), at=later)
    make_learner(store).turn()
    assert (attempts(store), stage(store)) == (1, "observe")
    more(store, range(1_120, 1_160), at=later)
    make_learner(store).turn()
    _, second = certificates(store)
    assert second.attempt == 2
    assert 160 <= second.n < 160 + 12
    standing = standing_of(store)
    assert standing is not None
    assert (standing.stage, standing.certificate) == ("shadow", second.id)


def test_promises_are_made_by_the_tasks_name(store: Store) -> None:
    mild = PromiseOptions(alpha=0.2)
    learner = Learner(store, OPTIONS, {"desk": mild}, PROMISE)
    assert learner.promise(TASK) == mild
    assert learner.promise(replace(TASK, name="other")) == PROMISE
    fill(store, range(160))
    learner.turn()
    assert certificates(store)[0].alpha == 0.2


def test_another_promise_is_tried_without_growth(store: Store) -> None:
    fill(store, range(160))
    make_learner(store).turn()
    mild = PromiseOptions(alpha=0.2)
    Learner(store, OPTIONS, {"desk": mild}, PROMISE).turn()
    assert [certificate.alpha for certificate in certificates(store)] == [0.1, 0.2]


def test_one_task_that_breaks_training_does_not_stop_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, range(160))
    learner = make_learner(store)

    def broken(task: Task) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(learner.examiner, "lessons", broken)
    learner.turn()
    assert attempts(store) == 0
    assert "task desk could not be tended" in caplog.text


def test_ignored_tasks_are_not_learned(store: Store) -> None:
    fill(store, range(160), replace(TASK, ignored=True))
    make_learner(store).turn()
    assert attempts(store) == 0


def test_what_no_specialist_learns_costs_no_attempt(store: Store) -> None:
    fill(store, range(160), make_task(contract=TextContract(), pinned=True))
    make_learner(store).turn()
    assert attempts(store) == 0


def test_promote_observe_certifies_and_stays(store: Store) -> None:
    fill(store, range(160))
    make_learner(store, promote="observe").turn()
    assert len(certificates(store)) == 1
    assert store.standings.list() == []


class TestByHand:
    def test_ripe_or_not(self, store: Store) -> None:
        fill(store, range(120))
        assert make_learner(store).certify(TASK).certificate is not None

    def test_what_cannot_be_learned_is_refused_and_spends_nothing(self, store: Store) -> None:
        task = make_task(contract=TextContract())
        fill(store, range(30), task)
        with pytest.raises(LearningError, match=r"task desk: .*no specialist learns"):
            make_learner(store).certify(task)
        assert attempts(store) == 0

    def test_without_examples_nothing_is_spent(self, store: Store) -> None:
        add_task(store)
        with pytest.raises(LearningError, match="desk has no examples"):
            make_learner(store).certify(TASK)
        assert attempts(store) == 0


def test_running_goes_on_after_a_turn_that_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, range(160))
    learner = make_learner(store, every_s=0.01)
    turn, fails, stop = Learner.turn, [StoreError("locked")], threading.Event()

    def shaky(self: Learner) -> object:
        if fails:
            raise fails.pop()
        stop.set()
        return turn(self)

    monkeypatch.setattr(Learner, "turn", shaky)
    running = threading.Thread(target=learner.run, args=(stop,))
    running.start()
    running.join(timeout=20)
    assert not running.is_alive()
    assert attempts(store) == 1
    assert "locked" in caplog.text


def test_old_calls_expire_with_a_turn(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def expire(self: Store, now: float, people: dict[str, Asking]) -> int:
        assert people == {}
        asked.append(now)
        return 0

    monkeypatch.setattr(Store, "expire", expire)
    learner = make_learner(store)
    learner.turn()
    learner.turn()
    assert len(asked) == 1
    assert asked[0] == pytest.approx(time.time(), abs=5)
    assert known_tasks(store) == []


def test_what_expires_while_people_are_asked_about_it_is_minded(store: Store) -> None:
    fill(store, range(3), at=time.time() - 1_000 * 86_400)
    fill(store, range(10, 13))
    asked = [make_call(number).id for number in (0, 1, 2, 10, 11, 12)]
    with store.database.transaction() as conn:
        for call_id in (asked[1], asked[3]):
            store.feedback.insert(conn, Feedback(call_id=call_id, at=1.0, verdict="right"))
    people = PROMISE.model_copy(update={"reference": "people", "audit_rate": 1.0})
    Learner(store, OPTIONS, {TASK.name: people}, PROMISE).turn()
    queue = store.reviews.queue(TASK.id, 1.0)
    assert (queue.counts, queue.waits) == ((), tuple(asked[4:]))


def try_on(store: Store, numbers: Iterable[int], said: Answer | None = None) -> None:
    """Both small models were asked beside these calls, and said this, or what the LLM did."""
    for number in numbers:
        call = make_call(number, task=TASK.id)
        assert call.answer is not None
        for model in ("ann", "bob"):
            tried = Try(
                call_id=call.id,
                model=model,
                after="",
                at=call.at,
                answer=said or call.answer,
                cost=0.0,
                latency_ms=1.0,
            )
            with store.database.transaction() as conn:
                store.tries.insert(conn, tried)


def test_an_agreement_is_certified_when_enough_was_tried(store: Store) -> None:
    contract = TextContract()
    task = make_task(contract=contract)
    add_task(store, task)
    learner = Learner(
        store,
        OPTIONS.model_copy(update={"promote": "serve"}),
        {},
        PROMISE,
        encoder=cast(Encoder, TinyEncoder()),
        cascade=CascadeOptions(models=("ann", "bob"), tries=180),
    )
    more(store, range(180))
    try_on(store, range(60))
    learner.turn()
    assert not store.attempts.list(agreement_id(task.id))
    try_on(store, range(60, 180))
    learner._counted.clear()
    learner.turn()
    (row,) = store.certificates.list(agreement_id(task.id))
    certificate = Certificate.from_json(row.spec)
    assert (certificate.models, certificate.n, certificate.accepted) == (("ann", "bob"), 180, 180)
    assert certificate.confidence == pytest.approx(1 - (1 - PROMISE.confidence) / 2)
    learner.turn()
    standing = store.standings.get(agreement_id(task.id))
    assert standing is not None
    assert standing.stage == "serve"
    assert len(store.attempts.list(agreement_id(task.id))) == 1


def small_models_learner(store: Store, promise: PromiseOptions = PROMISE) -> Learner:
    return Learner(
        store,
        OPTIONS,
        {},
        promise,
        encoder=cast(Encoder, TinyEncoder()),
        cascade=CascadeOptions(models=("ann", "bob"), tries=100),
    )


def agreement_attempts(store: Store, learner: Learner) -> int:
    """After several turns that look at everything again."""
    for _ in range(3):
        learner._counted.clear()
        learner.turn()
    return len(store.attempts.list(agreement_id(TASK.id)))


def test_what_was_refused_is_not_tried_again_on_the_same_tries(store: Store) -> None:
    fill(store, range(400))
    try_on(store, range(100), Answer("neither"))
    assert agreement_attempts(store, small_models_learner(store)) == 1


def test_a_specialist_in_shadow_changes_nothing_of_what_comes_to_the_models(store: Store) -> None:
    learner = small_models_learner(store)
    fill(store, range(400))
    try_on(store, range(100))
    assert agreement_attempts(store, learner) == 1
    assert certificates(store)
    promote(store, TASK.id, "shadow", "test", "for a test")
    assert agreement_attempts(store, learner) == 1


def test_where_each_label_is_promised_no_models_agree(store: Store) -> None:
    fill(store, range(200))
    try_on(store, range(100))
    each = PROMISE.model_copy(update={"per_label": True})
    learner = small_models_learner(store, each)
    assert agreement_attempts(store, learner) == 0
    assert learner.promise(TASK) == each


def test_models_are_not_promoted_on_a_certificate_for_other_calls(store: Store) -> None:
    learner = small_models_learner(store)
    fill(store, range(400))
    try_on(store, range(100))
    assert agreement_attempts(store, learner) == 1
    promote(store, TASK.id, "serve", "test", "for a test")
    with pytest.raises(LearningError, match="certified on other calls"):
        promote(store, agreement_id(TASK.id), "serve", "test", "for a test")


def test_fine_tuning_without_its_extra_is_told(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    make_learner(store, fine_tune=True)
    assert "shoal[train]" in caplog.text


@pytest.mark.parametrize(
    ("error", "looks"), [(StoreError("locked"), 3), (ValueError("singular matrix"), 1)]
)
def test_what_may_pass_is_tried_again_and_what_the_data_does_is_not(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, looks: int
) -> None:
    learner, asked = make_learner(store), list[Task]()
    fill(store, range(400))

    def fail(task: Task, volume: object) -> None:
        asked.append(task)
        raise error

    monkeypatch.setattr(learner, "_certify_if_ripe", fail)
    for _ in range(3):
        learner.turn()
    assert len(asked) == looks
