"""A tuned specialist → a smaller one of the same kind: its encoder is cut, then healed.

Healing is the kind's own recipe, begun from the student, with the teacher as its guide
(``training.guide``). Of labels the teacher also tells how likely it finds each (Hinton et al.
2015): half the target is that, half the example's own label.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from msgspec import Struct

from shoal.encoder import Encoder
from shoal.encoder.student import Cut, student
from shoal.encoder.tuned import TunedWeights
from shoal.errors import LearningError
from shoal.specialists.head import Floats
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist
from shoal.specialists.tuned_encoder import encoder_of
from shoal.tasks import Contract, Input, Output
from shoal.training.bert import load
from shoal.training.fields import tune_fields
from shoal.training.guide import Guide
from shoal.training.hints import Aids, Hint
from shoal.training.label import FULL, tune_label
from shoal.training.match import tune_match
from shoal.training.shapes import Shape
from shoal.training.text import tune_text

_SOFT = 0.5  # of a label's target is the teacher's
_LEAST = 1e-3  # a smaller probability is left out


class Teacher(Struct, frozen=True):
    """A tuned specialist as its files have it."""

    model: dict[str, Any]
    arrays: dict[str, Any]

    def weights(self, senses: Senses) -> TunedWeights:
        """Its encoder, over the published one of ``senses``.

        Raises:
            LearningError: it has none of its own.
        """
        own = encoder_of(self.arrays)
        if not own:
            raise LearningError("it has no encoder of its own: there is nothing to make smaller")
        return TunedWeights(senses.encoder.weights.folder, own)


def shrink(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    teacher: Teacher,
    shape: Shape,
    senses: Senses,
    folder: Path | None = None,
    show: bool = False,
) -> Specialist:
    """Cut the teacher's encoder to ``shape`` and heal it on inputs (n,) and outputs (n,), which
    must be of the training part. With ``folder`` it can be resumed.

    Raises:
        LearningError: the teacher cannot be cut so, or nothing can be learned.
        ArtifactError: the teacher's files are damaged.
    """
    weights = teacher.weights(senses)
    size, tensors = weights.architecture(), weights.tensors()
    cut = Cut(shape.layers, shape.heads, shape.feed_forward)
    began = TunedWeights(senses.encoder.weights.folder, student(size, tensors, cut))
    if weights.own_words():
        raise LearningError("word pieces were dropped from it: train it anew before it is cut")
    guide = Guide(load(size, tensors, 0.0))
    with TemporaryDirectory() as cache:  # what it begins as is of no use afterwards
        start = Senses(Encoder(began, Path(cache)))
        return _healed(contract, inputs, outputs, teacher, senses, start, guide, folder, show)


def _healed(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    teacher: Teacher,
    senses: Senses,
    start: Senses,
    guide: Guide,
    folder: Path | None,
    show: bool,
) -> Specialist:
    match teacher.model["kind"]:
        case "label":
            hints = soft_hints(teacher, senses, inputs, outputs)
            aids = Aids(hints, folder)
            return tune_label(contract, inputs, outputs, start, aids=aids, show=show, guide=guide)
        case "fields":
            return tune_fields(contract, inputs, outputs, start, None, folder, show, guide)
        case "match":
            return tune_match(contract, inputs, outputs, start, None, folder, show, guide)
        case "text":
            return tune_text(contract, inputs, outputs, start, None, folder, show, guide)
        case kind:
            raise LearningError(f"a {kind} has no encoder that could be made smaller")


def soft_hints(
    teacher: Teacher,
    senses: Senses,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
) -> tuple[Hint, ...]:
    """Half the teacher's probabilities, half the label itself; nothing where there is none."""
    labels = [str(label) for label in teacher.model["labels"]]
    prototypes = np.asarray(teacher.arrays["prototypes"], np.float32)
    encoder = Encoder(teacher.weights(senses), senses.encoder.cache)
    chances = _chances(encoder.encode([given.text for given in inputs]) @ prototypes.T)
    found = []
    for row, output in zip(chances, outputs, strict=True):
        if not isinstance(output, str):
            found.append(Hint())
            continue
        soft = {labels[at]: _SOFT * float(row[at]) for at in np.flatnonzero(row > _LEAST)}
        soft[output] = soft.get(output, 0.0) + 1 - _SOFT
        found.append(Hint(soft))
    return tuple(found)


def _chances(cosines: Floats) -> Floats:
    """(n, k) -> (n, k), at the scale at which it was trained."""
    logits = FULL.scale * cosines
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))
