"""Pairs of a record that does not come again, as a trial splits and judges them."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from shoal.chat import Answer
from shoal.flywheel import trial
from shoal.flywheel.lessons import Lesson, Lessons
from shoal.flywheel.trial import Candidate, Prepared, judge, prepare, training_part
from shoal.guarantees import Refusal
from shoal.specialists import label, match
from shoal.specialists.kind import Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.tasks import Input, LabelContract, Task

TASK = Task("t-pairs", "pairs", (), LabelContract(("no", "yes")))
LIGHT = match.KIND.recipes[0]


class Agreeing:
    kind, recipe = "match", "agreeing"

    def predict(self, given: Input) -> Prediction:
        return Prediction("yes", 0.9)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        return ()

    def save(self, folder: Path) -> None: ...


def lesson(offer: int, product: int) -> Lesson:
    left, right = json.dumps({"name": f"offer {offer}"}), json.dumps({"name": f"item {product}"})
    given = Input(f"left: {left}\nright: {right}", (("left", left), ("right", right)))
    answer = Answer("yes")
    return Lesson(f"call-{offer}-{product}", given, "yes", answer, None, True)


def in_bursts(offers: int) -> Lessons:
    """Each offer beside four of twenty products, and never again."""
    found = [lesson(offer, (offer + 5 * at) % 20) for offer in range(offers) for at in range(4)]
    return Lessons(TASK, "gpt", tuple(found), None)


def offer_of(one: Lesson) -> str:
    return one.input.slots[0][1]


def test_what_is_held_out_is_held_out_with_all_pairs_of_its_record() -> None:
    lessons = in_bursts(60)
    kept = {offer_of(one) for one in training_part(lessons, LIGHT).lessons}
    apart = {offer_of(one) for one in lessons.lessons} - kept
    assert apart
    assert kept
    assert len(training_part(lessons, LIGHT).lessons) == 4 * len(kept)
    plain = training_part(lessons, label.KIND.recipes[0])
    assert len({offer_of(one) for one in plain.lessons}) > len(kept) + 10


def taught(lessons: Lessons, recipe: Recipe, senses: Senses | None) -> Trained:
    return Trained(Agreeing(), [Prediction("yes", 0.9)] * len(lessons.lessons))


@pytest.mark.parametrize("held_out", [False, True])
def test_they_are_one_piece_of_evidence(held_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 29 right answers follows 10 %, of fewer not."""
    monkeypatch.setattr(trial, "train", taught)

    def found(offers: int) -> Prepared:
        return prepare(in_bursts(offers), LIGHT, held_out, lambda: pytest.fail("no encoder"))

    few, many = found(24), found(150)
    assert isinstance(judge(few, 0.1, 0.05), Refusal)
    assert isinstance(judge(many, 0.1, 0.05), Candidate)
    if not held_out:
        assert isinstance(judge(replace(few, together={}), 0.1, 0.05), Candidate)


def test_pairs_of_records_that_come_again_stand_alone() -> None:
    again = in_bursts(60).lessons
    lessons = Lessons(TASK, "gpt", (*again[::4], *again[1::4], *again[2::4], *again[3::4]), None)
    assert match.KIND.together(lessons.inputs) is None
    odd = [Input("no pair"), *in_bursts(60).inputs]
    names = match.KIND.together(odd)
    assert names is not None
    assert names[0] == "no pair"
    assert len(set(names)) == 61
