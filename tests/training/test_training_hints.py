import math

import numpy as np
import pytest

from shoal.specialists.head import Head
from shoal.specialists.senses import Senses
from shoal.training.hints import Hint, rationale_vectors, soft_labels, soft_targets

LABELS = ("refund", "return", "cancel")


def test_tokens_that_begin_one_label_count_for_it() -> None:
    tokens = {" ref": math.log(0.6), "Cancel": math.log(0.2), "re": math.log(0.1), "x": -3.0}
    found = soft_labels(LABELS, tokens)
    assert found == pytest.approx({"refund": 0.75, "cancel": 0.25})


def test_tokens_that_say_nothing_give_no_soft_labels() -> None:
    assert soft_labels(LABELS, {"re": 0.0, "": -1.0, "zzz": -2.0}) == {}


def test_soft_targets_are_distributions_and_the_answer_where_nothing_was_told() -> None:
    head = Head("label", LABELS)
    hints = [Hint({"refund": 0.6, "return": 0.2, "unknown": 0.2}), Hint(), Hint({"unknown": 1.0})]
    targets = soft_targets(head, np.array([0, 1, 2]), hints)
    np.testing.assert_allclose(targets, [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 1]], atol=1e-6)


def test_a_rationale_that_was_not_told_has_no_vector(tuned_from: Senses) -> None:
    hints = [Hint(rationale="refund it"), Hint(), Hint(rationale="my order")]
    vectors = rationale_vectors(hints, [1, 2], tuned_from)
    assert vectors is not None
    np.testing.assert_allclose(vectors.norm(dim=1), [0, 1], atol=1e-5)
    assert rationale_vectors(hints, [1], tuned_from) is None
    assert rationale_vectors([], [0], tuned_from) is None
