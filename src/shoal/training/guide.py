"""Healing by distillation: a student's encoder is drawn to the states of its teacher's.

Whatever a specialist learns, its encoder must come to the same state for each token as the teacher
did, in direction (the cosine loss of Sanh et al. 2019, DistilBERT), and to the same mean. That is
added to the specialist's own loss, on the same batches of training examples.

The teacher's states do not change, so they are kept, up to a bound, and cost one pass.
"""

import hashlib
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from shoal.training.bert import Bert, pooled

_KEPT_TOKENS = 350_000  # of 384 float16 numbers each: 270 MB
_Seen = tuple[Tensor, Tensor, Tensor]


class Guided(Protocol):
    """What can be guided: its encoder is, and its identity tells so."""

    encoder: Bert
    identity: str
    guide: "Guide | None"


class Guide:
    """``teacher`` reads what the student read; ``weight`` is that of the loss."""

    def __init__(self, teacher: Bert, weight: float = 2.0) -> None:
        self._teacher, self._weight = teacher.eval(), weight
        self._seen: list[_Seen] = []
        self._kept: dict[bytes, Tensor] = {}
        self._tokens = 0

    def attach(self, learner: Guided) -> None:
        """Guide it from now on."""
        learner.guide = self
        told = f"{learner.identity} guided {self._weight}"
        learner.identity = hashlib.sha256(told.encode()).hexdigest()
        learner.encoder.register_forward_hook(self._note)

    def loss(self) -> Tensor:
        """For all batches that the encoder read since the last call; 0 for none."""
        seen, self._seen = self._seen, []
        total = sum((self._distance(*batch) for batch in seen), torch.zeros(()))
        return self._weight * total / max(1, len(seen))

    def _note(self, encoder: nn.Module, given: Any, states: Tensor) -> None:
        if encoder.training:
            ids, mask = given
            self._seen.append((ids, mask, states))

    def _distance(self, ids: Tensor, mask: Tensor, states: Tensor) -> Tensor:
        wanted = self._states(ids, mask)
        near = nn.functional.cosine_similarity(states.float(), wanted, dim=-1)
        tokens = ((1 - near) * mask).sum() / mask.sum()
        means = (pooled(states, mask) * pooled(wanted, mask)).sum(-1)
        return tokens + (1 - means).mean()

    def _states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The teacher's (b, t, d); whatever stands for padding."""
        keys = [row[real].cpu().numpy().tobytes() for row, real in zip(ids, mask, strict=True)]
        if all(key in self._kept for key in keys):
            rows = [self._kept[key].to(ids.device) for key in keys]
            return nn.utils.rnn.pad_sequence(rows, batch_first=True).float()
        self._teacher.to(ids.device)
        with torch.no_grad():
            states: Tensor = self._teacher(ids, mask).float()
        for key, row, real in zip(keys, states, mask, strict=True):
            if key not in self._kept and self._tokens + len(row) <= _KEPT_TOKENS:
                kept = row[real].half().cpu()
                self._kept[key], self._tokens = kept, self._tokens + len(kept)
        return states
