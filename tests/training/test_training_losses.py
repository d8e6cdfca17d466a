import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoal.training.losses import (
    contrastive,
    cosine_distance,
    cross_entropy,
    disagreement,
    smoothed,
)


def test_cross_entropy_is_torchs_for_hard_targets() -> None:
    logits, wanted = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    hard = torch.eye(4)[wanted]
    torch.testing.assert_close(
        cross_entropy(logits, hard), torch.nn.functional.cross_entropy(logits, wanted)
    )
    torch.testing.assert_close(
        cross_entropy(logits, smoothed(hard, 0.05)),
        torch.nn.functional.cross_entropy(logits, wanted, label_smoothing=0.05),
    )


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_a_soft_target_is_best_met_by_itself(values: list[float]) -> None:
    target = torch.softmax(torch.tensor([[1.0, 0.0, -1.0]]), -1)
    best = cross_entropy(target.log(), target)
    assert cross_entropy(torch.tensor([values]), target) >= best - 1e-6


def test_equal_labels_are_drawn_together() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    sorted_out = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    mixed = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    assert contrastive(sorted_out, labels, 0.1) < contrastive(mixed, labels, 0.1)


def test_labels_that_occur_once_give_no_contrast() -> None:
    vectors = torch.eye(3, requires_grad=True)
    loss = contrastive(vectors, torch.tensor([0, 1, 2]), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert float(vectors.grad.abs().sum()) == 0


def test_contrast_follows_the_formula() -> None:
    vectors = torch.tensor([[1.0, 0], [0.6, 0.8], [0, 1.0]])
    found = contrastive(vectors, torch.tensor([0, 0, 1]), 1.0)
    first = -math.log(math.exp(0.6) / (math.exp(0.6) + math.exp(0.0)))
    second = -math.log(math.exp(0.6) / (math.exp(0.6) + math.exp(0.8)))
    assert float(found) == pytest.approx((first + second) / 2, abs=1e-5)


def test_passes_that_agree_disagree_by_nothing() -> None:
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    assert float(disagreement(a, a)) == 0
    assert float(disagreement(a, b)) == pytest.approx(float(disagreement(b, a)))
    assert float(disagreement(a, b)) > 0


def test_rationales_that_were_not_told_are_left_out() -> None:
    found = torch.tensor([[1.0, 0], [1.0, 0]])
    assert float(cosine_distance(found, torch.tensor([[2.0, 0], [0, 0]]))) == pytest.approx(0)
    assert float(cosine_distance(found, torch.tensor([[0, 1.0], [0, 0]]))) == pytest.approx(1)
    assert float(cosine_distance(found, torch.zeros(2, 2))) == 0
