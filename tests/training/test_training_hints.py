import math

import numpy as np
import pytest
from msgspec.structs import replace

from shoal.chat import Alternatives, Answer
from shoal.specialists.head import Head
from shoal.specialists.senses import Senses
from shoal.tasks import FieldsContract, LabelContract
from shoal.training.hints import Hint, hint_of, rationale_vectors, soft_labels, soft_targets

LABELS = ("refund", "return", "cancel")


def place(at: int, token: str, own: float, **others: float) -> Alternatives:
    tokens = ((token, own), *others.items())
    return Alternatives(at, token, tuple((name, math.log(p)) for name, p in tokens))


def test_a_token_counts_for_the_one_label_that_it_begins() -> None:
    told = [place(0, "ref", 0.6, Cancel=0.2, re=0.1, x=0.05)]
    found = soft_labels(LABELS, "refund", 0, told)
    assert found == pytest.approx({"refund": 0.75, "cancel": 0.25})


def test_labels_that_begin_alike_are_told_apart_later() -> None:
    told = [place(7, " re", 0.8, cancel=0.2), place(10, "fund", 0.75, turn=0.25)]
    found = soft_labels(LABELS, "refund", 8, told)
    assert found == pytest.approx({"refund": 0.6, "return": 0.2, "cancel": 0.2})


@pytest.mark.parametrize(
    "told",
    [[], [place(0, "re", 0.9, zzz=0.1)], [place(9, "cancel", 0.5, refund=0.5)]],
)
def test_tokens_that_say_nothing_give_no_soft_labels(told: list[Alternatives]) -> None:
    assert soft_labels(LABELS, "refund", 0, told) == {}


def test_what_an_answer_tells_of_an_example() -> None:
    contract = LabelContract(LABELS, "The answer is ", reasoned=True)
    told = (place(0, "Money", 0.5, Parcel=0.5), place(25, " refund", 0.75, cancel=0.25))
    answer = Answer("Money back. The answer is refund.", alternatives=told)
    found = hint_of(contract, "refund", answer)
    assert found.soft == pytest.approx({"refund": 0.75, "cancel": 0.25})
    assert found.rationale == "Money back."
    changed = replace(answer, text="Some money back. The answer is refund.")
    found = hint_of(contract, "refund", changed)  # what was told is of another text
    assert found == Hint(rationale="Some money back.")


def test_where_a_person_knew_better_the_llm_is_not_heard() -> None:
    answer = Answer("refund", alternatives=(place(0, "refund", 0.5, cancel=0.5),))
    contract = LabelContract(LABELS)
    assert hint_of(contract, "refund", answer).soft
    assert hint_of(contract, "cancel", answer) == Hint()
    assert hint_of(contract, None, answer) == hint_of(contract, "refund", None) == Hint()
    assert hint_of(FieldsContract(()), {}, answer) == Hint()


def test_soft_targets_are_distributions_and_the_answer_where_nothing_was_told() -> None:
    head = Head("label", LABELS)
    hints = [Hint({"refund": 0.6, "return": 0.2, "unknown": 0.2}), Hint(), Hint({"unknown": 1.0})]
    targets = soft_targets(head, np.array([0, 1, 2]), hints)
    np.testing.assert_allclose(targets, [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 1]], atol=1e-6)


def test_a_rationale_that_was_not_told_has_no_vector(tuned_from: Senses) -> None:
    hints = [Hint(rationale="refund it"), Hint(), Hint(rationale="my order")]
    vectors = rationale_vectors(hints, [1, 2], tuned_from)
    assert vectors is not None
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0, 1], atol=1e-5)
    assert rationale_vectors(hints, [1], tuned_from) is None
    assert rationale_vectors([], [0], tuned_from) is None
