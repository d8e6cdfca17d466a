"""What training makes small."""

import torch
from torch import Tensor, nn


def smoothed(targets: Tensor, smoothing: float) -> Tensor:
    """Label smoothing (Szegedy et al. 2016) of distributions (b, k): some weight to every label."""
    return targets * (1 - smoothing) + smoothing / targets.shape[1]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of ``logits`` (b, k) against distributions ``targets`` (b, k): soft labels
    carry what the LLM was in two minds about (Hinton et al. 2015)."""
    return -(targets * torch.log_softmax(logits.float(), -1)).sum(-1).mean()


def contrastive(vectors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, L_out) of unit ``vectors`` (b, d) with
    ``labels`` (b,): equal labels are drawn together, others apart. 0 where no label occurs twice.
    """
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    cosines = (vectors.float() @ vectors.float().T / temperature).masked_fill(itself, -1e9)
    alike = (labels[:, None] == labels[None, :]) & ~itself
    log_share = torch.log_softmax(cosines, -1)
    count = alike.sum(-1)
    each = -(log_share * alike).sum(-1) / count.clamp(min=1)
    some = count > 0
    return each[some].mean() if bool(some.any()) else vectors.sum() * 0


def disagreement(a: Tensor, b: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence of two passes' logits (n, k), whose dropout differs:
    R-Drop (Liang et al. 2021)."""
    first, second = torch.log_softmax(a.float(), -1), torch.log_softmax(b.float(), -1)
    return ((first.exp() - second.exp()) * (first - second)).sum(-1).mean() / 2


def cosine_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean 1 - cosine of rows (b, d); rows of ``wanted`` that are all 0 are left out."""
    known = wanted.abs().sum(-1) > 0
    if not bool(known.any()):
        return found.sum() * 0
    return 1 - nn.functional.cosine_similarity(found[known].float(), wanted[known]).mean()
