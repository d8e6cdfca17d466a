"""Is the promise kept by a memo, whose examples of one input are not independent? Simulated.

Inputs recur with frequencies after Zipf. To each the LLM has a usual answer, which it gives with a
probability of its own: 1 for most, less for some. The true risk of an accepted input is then known
exactly, and averaged over the calls that are accepted.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal.chat import Answer
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import Candidate, judge, prepare
from shoal.specialists.memo import KIND
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract, Task

ALPHA, DELTA = 0.1, 0.1
LABELS = tuple("abcde")
TASK = Task(id="t", name="letters", templates=(), contract=LabelContract(LABELS))


class Source(NamedTuple):
    """``share`` (m,) of the calls, and how ``stable`` (m,) its answer is, of each of m inputs;
    the usual answer to input i is letter i mod 5."""

    share: NDArray[np.float64]
    stable: NDArray[np.float64]

    @classmethod
    def of(cls, inputs: int, unstable: float, rng: np.random.Generator) -> "Source":
        share = 1 / np.arange(1, inputs + 1)
        stable = np.where(rng.random(inputs) < unstable, rng.uniform(0.4, 0.95, inputs), 1.0)
        return cls(share / share.sum(), stable)

    def answer(self, number: int, rng: np.random.Generator) -> str:
        shift = 0 if rng.random() < self.stable[number] else int(rng.integers(1, 5))
        return LABELS[(number + shift) % 5]

    def risk(self, number: int, said: str) -> float:
        usual = said == LABELS[number % 5]
        return float(1 - self.stable[number] if usual else 1 - (1 - self.stable[number]) / 4)


def no_senses() -> Senses:
    raise AssertionError("a memo needs no encoder")


def true_risk(found: Candidate, source: Source) -> float:
    """The mean risk over the calls that are accepted; 0 if none is."""
    accepted = risk = 0.0
    for number, share in enumerate(source.share):
        prediction = found.specialist.predict(Input(f"input {number}"))
        if prediction.signal >= found.selection.threshold:
            accepted += share
            risk += share * source.risk(number, str(prediction.output))
    return risk / accepted if accepted else 0.0


def broken(seeds: range, inputs: int, unstable: float, calls: int = 600) -> tuple[int, int]:
    """How many seeds were certified, and how many of these were promised too much."""
    certified = over = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        source = Source.of(inputs, unstable, rng)
        lessons = []
        for at, number in enumerate(rng.choice(inputs, calls, p=source.share)):
            said = source.answer(int(number), rng)
            given = Input(f"input {number}")
            lessons.append(Lesson(f"call-{at}", given, said, Answer(text=said), None, sampled=True))
        made = prepare(
            Lessons(TASK, "llm", tuple(lessons), None), KIND.recipes[0], False, no_senses
        )
        found = judge(made, ALPHA, DELTA)
        if isinstance(found, Candidate):
            certified += 1
            over += true_risk(found, source) > ALPHA
    return certified, over


def allowed(seeds: int) -> float:
    """Broken promises: delta, and three standard errors of so many seeds."""
    return seeds * DELTA + 3 * math.sqrt(seeds * DELTA * (1 - DELTA))


@pytest.mark.parametrize(("inputs", "unstable"), [(30, 0.3), (100, 0.1), (400, 0.1)])
def test_a_memo_keeps_its_promise(inputs: int, unstable: float) -> None:
    certified, over = broken(range(40), inputs, unstable)
    assert certified  # else nothing was put to the test
    assert over <= allowed(40)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [30, 100, 400])
@pytest.mark.parametrize("unstable", [0.1, 0.3, 0.5, 1.0])
def test_a_memo_keeps_its_promise_over_many_seeds(inputs: int, unstable: float) -> None:
    _, over = broken(range(500), inputs, unstable)
    assert over <= allowed(500)


def test_an_llm_that_throws_dice_is_not_remembered() -> None:
    certified, _ = broken(range(20), 50, 1.0)
    assert certified == 0
