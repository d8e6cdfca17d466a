"""Is the promise kept when every example both trains and calibrates? Simulated from end to end.

A specialist is trained, judged and given its threshold as the learner does it; then its true risk
on what it accepts is computed. The share of seeds in which that is above alpha must be at most
delta, plus three standard errors of so many seeds.

The true risk is the mean probability of an error over fresh messages. With few of them it scatters,
which can only make more promises look broken: the quick tests take few, the slow ones many.
"""

import gzip
import json
import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pytest
from message_source import LABELS, MessageSource
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from shoal.chat import Answer
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import Candidate, judge, prepare
from shoal.guarantees import Selection, lower_bound, select
from shoal.specialists.fields import train_fields
from shoal.specialists.label import KIND
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction
from shoal.tasks import Field, FieldsContract, Input, LabelContract, Output, Task

Flags = NDArray[np.bool_]

TERMS = KIND.recipes[0]
ALPHA, DELTA = 0.15, 0.1
FEW, MANY = 400, 1_500  # fresh messages over which the true risk is averaged
DATA = Path(os.environ.get("SHOAL_DATA", "../shared/data"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small lose by sharing."""
    with threadpool_limits(1):
        yield


class Outcome(NamedTuple):
    """What was certified on, and what was true: shares accepted, and the risk among these."""

    coverage: float
    true_coverage: float
    risk: float
    true_risk: float

    @classmethod
    def of(cls, chosen: Selection, accepted: Flags, wrong: NDArray[np.float64]) -> Self:
        """From a certified threshold and, of each fresh message, whether it is accepted and the
        probability that its answer is wrong."""
        return cls(
            chosen.coverage,
            float(accepted.mean()),
            chosen.errors / chosen.accepted,
            float(wrong[accepted].mean()) if accepted.any() else 0.0,
        )


@cache
def source(number: int) -> MessageSource:
    return MessageSource(number)


def lessons_of(texts: list[str], answers: list[str], labels: tuple[str, ...]) -> Lessons:
    task = Task(id="t", name="department", templates=(), contract=LabelContract(labels))
    lessons = tuple(
        Lesson(f"call-{number}", Input(text), answer, Answer(text=answer), None, sampled=True)
        for number, (text, answer) in enumerate(zip(texts, answers, strict=True))
    )
    return Lessons(task, "llm", lessons, None)


def certified(lessons: Lessons, held_out: bool, alpha: float, delta: float) -> Candidate | None:
    found = judge(prepare(lessons, TERMS, held_out, no_encoder), alpha, delta)
    return found if isinstance(found, Candidate) else None


def no_encoder() -> Senses:
    raise AssertionError("terms alone need no encoder")


def simulate(seed: int, n: int, held_out: bool, fresh: int) -> Outcome | None:
    messages, rng = source(seed % 5), np.random.default_rng(seed)
    past = messages.draw(n, rng)
    found = certified(lessons_of(past.texts, past.labels, LABELS), held_out, ALPHA, DELTA)
    if found is None:
        return None
    live = messages.draw(fresh, rng)
    predictions = [found.specialist.predict(Input(text)) for text in live.texts]
    accepted = np.array([p.signal >= found.selection.threshold for p in predictions])
    given = [LABELS.index(str(prediction.output)) for prediction in predictions]
    wrong = 1 - live.chances[np.arange(fresh), given]
    return Outcome.of(found.selection, accepted, wrong)


def assert_kept(outcomes: list[Outcome | None], alpha: float = ALPHA) -> None:
    broken = sum(outcome is not None and outcome.true_risk > alpha for outcome in outcomes)
    allowed = DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / len(outcomes))
    assert broken / len(outcomes) <= allowed, f"{broken} of {len(outcomes)} promises were broken"


def assert_certified(outcomes: list[Outcome | None], share: float) -> list[Outcome]:
    """A promise that is never made is never broken: most attempts must come to one."""
    made = [outcome for outcome in outcomes if outcome is not None]
    assert len(made) >= share * len(outcomes)
    return made


def test_the_promise_is_kept_in_150_seeds() -> None:
    outcomes = [simulate(seed, 150, held_out=False, fresh=FEW) for seed in range(150)]
    made = assert_certified(outcomes, share=0.8)
    assert_kept(outcomes)
    # New messages are accepted as often as left-out ones were. (With the terms that a message alone
    # has left out of its length, .84 and .87, and a promise in six was broken.)
    more = np.array([outcome.true_coverage - outcome.coverage for outcome in made])
    assert abs(more.mean()) <= 0.005 + 3 * more.std() / math.sqrt(len(more))


@pytest.mark.slow
@pytest.mark.parametrize("n", [150, 300])
def test_the_promise_is_kept_in_500_seeds(n: int) -> None:
    outcomes = [simulate(seed, n, held_out=False, fresh=MANY) for seed in range(1_000, 1_500)]
    assert_certified(outcomes, share=0.8)
    assert_kept(outcomes)


@pytest.mark.slow
def test_the_promise_is_kept_with_examples_held_out() -> None:
    outcomes = [simulate(seed, 300, held_out=True, fresh=MANY) for seed in range(500)]
    assert_certified(outcomes, share=0.5)
    assert_kept(outcomes)


def test_the_promise_is_kept_with_examples_held_out_in_50_seeds() -> None:
    outcomes = [simulate(seed, 300, held_out=True, fresh=FEW) for seed in range(50)]
    assert_certified(outcomes, share=0.5)
    assert_kept(outcomes)


def value_of(prediction: Prediction, name: str) -> str:
    assert isinstance(prediction.output, dict)
    return str(prediction.output[name])


def simulate_fields(seed: int, n: int, fresh: int, alpha: float) -> Outcome | None:
    """Two labels of one message, each stated in a half of it; both must be right."""
    halves, rng = (source(seed % 5), source(50 + seed % 5)), np.random.default_rng(seed)
    contract = FieldsContract(tuple(Field(name, "label", LABELS) for name in "ab"))
    a, b = (half.draw(n, rng) for half in halves)
    texts = [f"{first} / {second}" for first, second in zip(a.texts, b.texts, strict=True)]
    outputs: list[Output | None] = [
        {"a": first, "b": second} for first, second in zip(a.labels, b.labels, strict=True)
    ]
    trained = train_fields(contract, [*map(Input, texts)], outputs, None, TERMS)
    judged = list(zip(trained.left_out, outputs, strict=True))
    wrong = [prediction.output != output for prediction, output in judged]
    found = select([prediction.signal for prediction, _ in judged], wrong, alpha, DELTA)
    if not isinstance(found, Selection):
        return None
    a, b = (half.draw(fresh, rng) for half in halves)
    texts = [f"{first} / {second}" for first, second in zip(a.texts, b.texts, strict=True)]
    predictions = [trained.specialist.predict(Input(text)) for text in texts]
    accepted = np.array([prediction.signal >= found.threshold for prediction in predictions])
    right = np.ones(fresh)
    for name, half in (("a", a), ("b", b)):
        given = [LABELS.index(value_of(prediction, name)) for prediction in predictions]
        right *= half.chances[np.arange(fresh), given]
    return Outcome.of(found, accepted, 1 - right)


@pytest.mark.slow
def test_the_promise_is_kept_where_several_fields_must_be_right() -> None:
    outcomes = [simulate_fields(seed, 600, MANY, alpha=0.2) for seed in range(200)]
    assert_certified(outcomes, share=0.8)
    assert_kept(outcomes, alpha=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["urgency", "sentiment"])
def test_the_promise_is_kept_on_recorded_answers_of_an_llm(task: str) -> None:
    """Random halves of real calls, as past and live; 800 of the past train and calibrate.

    Disagreement realised on the live half scatters around the true one, so a promise counts as
    broken where the exact 95 % bound says so.
    """
    file = DATA / "support_desk" / "calls.jsonl.gz"
    if not file.exists():
        pytest.skip(f"{file} is absent: set SHOAL_DATA")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        calls = [json.loads(line) for line in lines]
    texts = [call["message"] for call in calls]
    answers = [call["llm"][task] for call in calls]
    made, over, broken = 0, 0, 0
    for seed in range(200):
        order = np.random.default_rng(seed).permutation(len(calls))
        past, live = order[:800], order[len(calls) // 2 :]
        lessons = lessons_of(
            [texts[i] for i in past], [answers[i] for i in past], tuple(sorted(set(answers)))
        )
        found = certified(lessons, held_out=False, alpha=0.1, delta=0.05)
        if found is None:
            continue
        predictions = [(i, found.specialist.predict(Input(texts[i]))) for i in live]
        wrong = [
            p.output != answers[i] for i, p in predictions if p.signal >= found.selection.threshold
        ]
        made += 1
        over += sum(wrong) > 0.1 * len(wrong)
        broken += lower_bound(sum(wrong), len(wrong), 0.05) > 0.1
    print(f"{task}: {made} of 200 certified, {over} over 10 % on the live half, {broken} clearly")
    assert made >= 150
    assert broken / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
