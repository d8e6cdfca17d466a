"""The learner learns stored plans by itself, spends for each attempt, and goes as far as it may."""

import time
from typing import Any

import msgspec
import pytest
import uuid_utils

from shoal.chat import Answer
from shoal.flywheel.learner import Learner
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.plan_learner import AgentPlans, PlanLearner
from shoal.flywheel.stored_plans import drop_plans, plans_before
from shoal.flywheel.watch import Watch
from shoal.guarantees import Certificate
from shoal.routing.promise import PromiseOptions
from shoal.storage import Audit, Run, Store
from shoal.storage.run_records import Entry
from tiny_encoder import TinyEncoder, tiny_senses

TASK = "plans:desk"
ENCODER = TinyEncoder()
PROMISE = PromiseOptions(alpha=0.2)
DESK = AgentPlans("desk", "gpt", (), PROMISE)
OPTIONS = LearnOptions(min_examples=120, promote="serve", shadow_calls=5)
ASKS = ("please refund {}", "I want a refund of {}", "order {} for me", "could you order {} now")


def runs(store: Store, count: int, first: int = 0, by: str = "planner/gpt") -> None:
    with store.database.transaction() as conn:
        for at in range(first, first + count):
            goal, kind = ASKS[at % 4].format(100 + 7 * at), "refund" if at % 4 < 2 else "order"
            step = {"do": "answer", "id": "end", "value": {kind: 100 + 7 * at}}
            told = {"by": by, "course": {"plan": {"name": kind, "steps": [step]}}}
            now, id = time.time(), str(uuid_utils.uuid7())
            run = Run(id=id, goal=goal, agent="desk", started_at=now, owner="x", lease_until=now)
            ended = Entry(kind="ended", at=now, state="done")
            store.runs.start(conn, run)
            entries = [Entry(kind="planned", at=now, body=msgspec.json.encode(told)), ended]
            store.runs.extend(conn, id, "x", entries)


def learner(store: Store, agent: AgentPlans = DESK, **options: Any) -> PlanLearner:
    return PlanLearner(
        store, OPTIONS.model_copy(update=options), [agent], lambda: tiny_senses(ENCODER)
    )


def attempts(store: Store) -> int:
    return len(store.attempts.list(TASK))


def stage(store: Store) -> str:
    standing = store.standings.get(TASK)
    return standing.stage if standing else "observe"


def audits(store: Store, agrees: bool, count: int, kind: Any = "audit") -> None:
    certificate = store.certificates.list(TASK)[0]
    for _ in range(count):
        audit = Audit(
            call_id=str(uuid_utils.uuid7()),
            at=time.time(),
            task=TASK,
            certificate=certificate.id,
            kind=kind,
            agrees=agrees,
            reference=Answer(text='{"version": 1, "name": "a", "steps": []}'),
        )
        with store.database.transaction() as conn:
            store.audits.record(conn, audit, 0.05)


@pytest.fixture
def certified(store: Store) -> PlanLearner:
    runs(store, 120)
    one = learner(store)
    one.turn()
    return one


def test_it_waits_for_enough_runs_and_spends_for_each_attempt(store: Store) -> None:
    one = learner(store, min_examples=60, growth=2)
    runs(store, 59)
    one.turn()
    assert attempts(store) == 0
    runs(store, 1, 59)
    one.turn()
    one.turn()
    assert attempts(store) == 1
    runs(store, 40, 60)
    one.turn()
    assert attempts(store) == 1, "not twice as many yet"
    runs(store, 20, 100)
    one.turn()
    assert attempts(store) == 2
    kinds = [event.kind for event in store.events.list(TASK)]
    assert kinds[0] == "certified"
    (newest, *_) = store.certificates.list(TASK)
    proof = Certificate.from_json(newest.spec)
    assert (proof.attempt, proof.reference, proof.alpha) == (2, "gpt", 0.2)
    assert proof.delta_spent < 0.05 / 2
    assert stage(store) == "observe", "who proves does not promote"


def test_runs_of_another_model_and_goals_that_do_not_recur_are_no_attempt(store: Store) -> None:
    runs(store, 120, by="planner/big")
    learner(store).turn()
    assert attempts(store) == 0
    learner(store, AgentPlans("desk", "", (), PROMISE)).turn()
    assert attempts(store) == 0, "nobody plans whom it could be compared with"


def test_the_watch_goes_as_far_as_it_may(store: Store, certified: PlanLearner) -> None:
    assert attempts(store) == 1
    observing = OPTIONS.model_copy(update={"promote": "observe"})
    Watch(store, observing, certified.rungs).turn()
    assert stage(store) == "observe"
    eye = Watch(store, OPTIONS, certified.rungs)
    eye.turn()
    assert stage(store) == "shadow"
    audits(store, True, OPTIONS.shadow_calls, "shadow")
    eye.turn()
    assert stage(store) == "serve"
    runs(store, 120, 120)
    certified.turn()
    assert (attempts(store), stage(store)) == (2, "serve"), "it goes on with what is newer"
    standing = store.standings.get(TASK)
    assert standing is not None
    assert standing.certificate == store.certificates.list(TASK)[0].id


def test_what_audits_broke_is_learned_from_what_came_since_alone(
    store: Store, certified: PlanLearner
) -> None:
    eye = Watch(store, OPTIONS.model_copy(update={"shadow_calls": 1}), certified.rungs)
    eye.turn()
    audits(store, False, 10)
    assert stage(store) == "observe"
    eye.turn()
    assert stage(store) == "observe"
    runs(store, 100, 120)
    learner(store).turn()
    assert attempts(store) == 1, "the runs from before count no more"
    runs(store, 20, 220)
    learner(store).turn()
    assert attempts(store) == 2
    eye.turn()
    assert stage(store) == "shadow"


def test_a_certificate_that_lapsed_is_taken_back_and_renewed(store: Store) -> None:
    runs(store, 120)
    one = learner(store, lapse_days=1e-9)
    one.turn()
    eye = Watch(store, OPTIONS, one.rungs)
    eye.turn()
    assert stage(store) == "observe", "it may not be served on"
    one = learner(store)
    one.turn()
    assert attempts(store) == 1
    one = learner(store, lapse_days=1e-9)
    one.turn()
    assert attempts(store) == 2


def test_what_a_person_dropped_stays_so(store: Store, certified: PlanLearner) -> None:
    eye = Watch(store, OPTIONS, certified.rungs)
    eye.turn()
    drop_plans(store, "desk")
    eye.turn()
    assert stage(store) == "observe"


def test_one_that_breaks_hinders_nobody(store: Store) -> None:
    runs(store, 120)

    def broken() -> Any:
        raise RuntimeError("no encoder today")

    one = PlanLearner(store, OPTIONS, [DESK], broken)
    one.turn()
    assert attempts(store) == 0
    learner(store).turn()
    assert attempts(store) == 1


def test_the_learner_has_it_done(store: Store) -> None:
    runs(store, 120)
    one = Learner(store, OPTIONS, {}, PROMISE, encoder=ENCODER, agents=[DESK])  # type: ignore[arg-type]
    one.turn()
    assert (attempts(store), stage(store)) == (1, "shadow")


def test_what_was_learned_stays_in_the_book_and_files_come_and_go(store: Store) -> None:
    runs(store, 120)
    learner(store).turn()
    names = {plan.name for plan in plans_before(store, "desk", ())}
    assert names == {"refund", "order"}
    (refund,) = (plan for plan in plans_before(store, "desk", ()) if plan.name == "refund")
    runs(store, 120, 120)
    learner(store, AgentPlans("desk", "gpt", (refund,), PROMISE)).turn()
    assert attempts(store) == 2
    assert [plan.name for plan in plans_before(store, "desk", ())] == ["order"]
    assert {plan.name for plan in plans_before(store, "desk", (refund,))} == names
