"""Stored plans, learned from examples and proven."""

import json

import pytest
from msgspec.structs import replace

from planning.stored_plans import PLANS, examples
from planning.worlds import CATALOGUE
from shoal.flywheel.plans import LearnedPlans, PlanTrial, learn_plans
from shoal.planning.plan_book import PlanBook
from shoal.planning.planner import Planned
from shoal.planning.recurring import OTHER, PlanExample
from shoal.planning.stored_planner import Declined, StoredPlanner
from shoal.routing.promise import PromiseOptions
from shoal.specialists.senses import Senses

BOOK = PlanBook(PLANS)
TRIAL = PlanTrial(promise=PromiseOptions(alpha=0.1), reference="large")


@pytest.fixture(scope="module")
def learned(senses: Senses) -> LearnedPlans:
    return learn_plans(BOOK, examples(500), lambda: senses, TRIAL)


def test_they_are_certified_on_goals_that_did_not_train(learned: LearnedPlans) -> None:
    certificate = learned.certificate
    assert certificate is not None
    assert learned.reason == ""
    assert (certificate.alpha, certificate.method, certificate.reference) == (
        0.1,
        "held-out",
        "large",
    )
    assert 100 < certificate.n < 250
    assert "the same plan" in certificate.describe()


def test_goals_are_answered_without_a_call_and_seldom_wrongly(learned: LearnedPlans) -> None:
    assert learned.specialist is not None
    assert learned.certificate is not None
    planner = StoredPlanner.certified(BOOK, learned.specialist, learned.certificate, CATALOGUE)
    answered = wrong = 0
    new = examples(300, seed=1)
    for example in new:
        found = planner.find(example.goal)
        if isinstance(found, Declined):
            continue
        answered += 1
        wrong += (found.plan.name, dict(found.given)) != (example.plan, dict(example.slots))
    known = sum(example.plan != OTHER for example in new)
    assert answered >= 0.6 * known
    assert wrong <= 0.15 * answered


def test_none_that_is_none_of_them_is_accepted_by_the_threshold(learned: LearnedPlans) -> None:
    assert learned.specialist is not None
    assert learned.certificate is not None
    assert learned.certificate.threshold > 0
    planner = StoredPlanner.certified(BOOK, learned.specialist, learned.certificate, CATALOGUE)
    others = [one.goal for one in examples(200, seed=2) if one.plan == OTHER]
    taken = [goal for goal in others if isinstance(planner.find(goal), Planned)]
    assert len(taken) <= 0.1 * len(others)


def test_a_certificate_that_has_lapsed_serves_nothing(learned: LearnedPlans) -> None:
    assert learned.specialist is not None
    assert learned.certificate is not None
    past = replace(learned.certificate, issued_at=0.0, lapses_at=1.0)
    planner = StoredPlanner.certified(BOOK, learned.specialist, past, CATALOGUE)
    found = planner.find(examples(1)[0].goal)
    assert isinstance(found, Declined)
    assert "no certificate holds" in found.reason


def test_too_few_examples_are_refused_in_plain_words(senses: Senses) -> None:
    found = learn_plans(BOOK, examples(40), lambda: senses, PlanTrial())
    assert found.certificate is None
    assert "more examples" in found.reason
    assert learn_plans(BOOK, [], lambda: senses).reason.startswith("there are no examples")


def test_answers_without_sense_are_refused(senses: Senses) -> None:
    new = examples(300)
    turned = [
        PlanExample(one.goal, other.plan, other.slots)
        for one, other in zip(new, reversed(new), strict=True)
    ]
    found = learn_plans(BOOK, turned, lambda: senses, TRIAL)
    assert found.certificate is None
    assert found.reason


def test_the_reference_is_what_the_contract_says(learned: LearnedPlans) -> None:
    assert json.loads(BOOK.written(PlanExample("g", OTHER))) == {"plan": "other"}
    assert learned.card is not None
    assert learned.card.contract == BOOK.contract
