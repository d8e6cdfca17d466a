"""How often the reference agrees with itself: estimated rightly, and told as it is."""

from collections.abc import Sequence

import numpy as np
import pytest
from parcel_office import (
    DESKS,
    OPTIONS,
    PROMISE,
    TASK,
    add_calls,
    add_task,
    desk_of,
    make_call,
)

from shoal.chat import Answer
from shoal.flywheel.certification import Examiner, Verdict
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.routing.promise import PromiseOptions
from shoal.specialists.senses import Senses
from shoal.storage import Store
from shoal.tasks import Input


def lessons_of(asked: Sequence[int], said: Sequence[str]) -> Lessons:
    """Lessons of inputs by number, and what the LLM said to each."""
    lessons = tuple(
        Lesson(f"call-{at}", Input(f"box {number}"), desk, Answer(desk), None, sampled=True)
        for at, (number, desk) in enumerate(zip(asked, said, strict=True))
    )
    return Lessons(TASK, "gpt", lessons, None)


def said_to(number: int, shaky: float, rng: np.random.Generator) -> str:
    """Of inputs with an even number always the same, else with that probability another desk's."""
    shift = int(rng.integers(1, 3)) if number % 2 and rng.random() < shaky else 0
    return DESKS[(number + shift) % 3]


@pytest.mark.parametrize("shaky", [0.0, 0.1, 0.5])
def test_a_known_rate_is_estimated_rightly(shaky: float) -> None:
    """Two answers to a shaky input agree if both are usual, or both the same other one. Inputs
    recur; half of the calls are of shaky ones."""
    rate = (1 + (1 - shaky) ** 2 + shaky**2 / 2) / 2
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        asked = rng.integers(40, size=400)
        found.append(lessons_of(asked, [said_to(n, shaky, rng) for n in asked]).self_agreement())
    assert None not in found
    estimates = np.array(found, dtype=float)
    assert abs(estimates.mean() - rate) <= 4 * estimates.std() / np.sqrt(60)
    assert estimates.std() <= 2 * np.sqrt(rate * (1 - rate) / 180)  # of about 180 pairs


@pytest.mark.parametrize(("pairs", "told"), [(0, None), (19, None), (20, 1.0)])
def test_fewer_than_twenty_pairs_say_nothing(pairs: int, told: float | None) -> None:
    asked = [*range(pairs), *range(pairs), *range(100, 150)]  # fifty were asked once
    assert lessons_of(asked, [desk_of(n) for n in asked]).self_agreement() == told


def test_an_answer_gives_evidence_in_one_pair_only() -> None:
    """Three times the same and once another are two pairs, of which one agrees."""
    asked = [n for n in range(10) for _ in range(4)]
    said = [desk for n in range(10) for desk in (*[desk_of(n)] * 3, desk_of(n + 1))]
    assert lessons_of(asked, said).self_agreement() == 0.5


@pytest.fixture
def examiner(store: Store, senses: Senses) -> Examiner:
    """With 250 inputs asked twice, of which one was answered in two ways: 99.6 %."""
    add_task(store)
    add_calls(store, (make_call(n, task=TASK.id, answer=Answer(desk_of(n))) for n in range(250)))
    again = [(n, desk_of(n + (n == 0))) for n in range(250)]
    add_calls(
        store,
        (
            make_call(n, task=TASK.id, answer=Answer(desk), id=make_call(1_000 + n).id)
            for n, desk in again
        ),
    )
    return Examiner(store, OPTIONS, lambda: senses, lambda model: f"{model} (recorded)")


def certify(examiner: Examiner, promise: PromiseOptions) -> Verdict:
    return examiner.certify(examiner.lessons(TASK), promise)


def test_a_certificate_tells_it(examiner: Examiner) -> None:
    found = certify(examiner, PROMISE).certificate
    assert found is not None
    assert found.self_agreement == 0.996
    assert "gpt (recorded) agrees with itself 99.6 % of the time." in found.describe()


def test_a_refusal_tells_it(examiner: Examiner) -> None:
    """Nearly always is not told as always."""
    refused = certify(examiner, PromiseOptions(alpha=0.001, confidence=0.95))
    assert refused.certificate is None
    assert "the LLM agrees with itself only 99.6" in refused.reason
