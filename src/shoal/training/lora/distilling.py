"""Learning from a local teacher: not only what the answer is, but how sure of each token it was.

The loss is the generalised Jensen–Shannon divergence between the two models' next tokens (Agarwal
et al. 2023), trl's own, on the recorded answers; a share of it is the plain loss on these.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl import DistillationTrainer, SFTTrainer
from trl.experimental.gkd import GKDTrainer

from shoal.errors import LearningError
from shoal.training.lora.keeping import Keeping

_BETA = 0.5


class Distiller(Keeping, SFTTrainer):
    """``teacher`` stays as it is; ``share`` of the loss is its own."""

    def __init__(
        self, *args: Any, teacher: Any, share: float, temperature: float, **named: Any
    ) -> None:
        super().__init__(*args, **named)
        self._teacher = teacher.eval().requires_grad_(False)
        self._share, self._temperature = share, temperature

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The mean over the tokens that the loss is on."""
        labels: Tensor = inputs["labels"][:, 1:]
        asked = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**asked, use_cache=False)
        student = outputs.logits[:, :-1].float()
        with torch.no_grad():
            teacher = self._teacher(**asked, use_cache=False).logits[:, :-1].float()
        count = (labels != -100).sum() if num_items_in_batch is None else num_items_in_batch
        own = torch.nn.functional.cross_entropy(
            student.flatten(0, 1), labels.flatten(), reduction="sum"
        )
        theirs = GKDTrainer.generalized_jsd_loss(
            student, teacher, labels, _BETA, self._temperature, reduction="sum"
        )
        loss = ((1 - self._share) * own + self._share * theirs) / count
        return (loss, outputs) if return_outputs else loss


class OnPolicyDistiller(Keeping, DistillationTrainer):
    """trl's own: the student writes, the teacher says token by token how it would have gone on."""


def same_tokens(student: Any, teacher: Any, folder: Path) -> None:
    """That both models write with the same tokens.

    Raises:
        LearningError: they do not, so their sureness cannot be compared.
    """
    if student.get_vocab() != teacher.get_vocab():
        raise LearningError(
            f"{folder}: the teacher has other tokens than the student; logits can only be learned "
            "from a model of the same family. Learn from its answers instead (recipe 'supervised')"
        )
