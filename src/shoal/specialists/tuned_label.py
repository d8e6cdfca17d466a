"""Kind ``label``, recipe ``tuned``: a fine-tuned encoder and the light recipe's machine, together.

A label's score is ``scale * cosine(text, the label's vector) + weight * the machine's score``. The
two err on different texts: one knows what labels mean, the other which words stand for them.
"""

from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from shoal.errors import ArtifactError
from shoal.specialists.confidence import Curve
from shoal.specialists.files import write_model
from shoal.specialists.head import Floats, Head
from shoal.specialists.machine import KernelMachine
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason
from shoal.specialists.tuned_encoder import TUNED, tuned_encoder
from shoal.tasks.input import Input


class Blend(Struct, frozen=True):
    """How much each of the two counts; scores (n, k) are logits."""

    scale: float = 20.0
    weight: float = 5.0

    def logits(self, cosines: Floats, light: Floats) -> Floats:
        """Both (n, k) -> logits (n, k)."""
        return np.asarray(self.scale * cosines + self.weight * light, np.float32)


class TunedLabel:
    """``arrays`` hold the tuned encoder and ``prototypes`` (k, d), a unit vector for each label."""

    kind, recipe = "label", TUNED

    def __init__(
        self,
        head: Head,
        arrays: dict[str, Any],
        machine: KernelMachine,
        blend: Blend,
        curve: Curve,
        senses: Senses | None,
    ) -> None:
        self._head, self._arrays, self._machine = head, arrays, machine
        self.blend, self._curve, self._senses = blend, curve, senses
        self._encoder = tuned_encoder(senses, arrays)
        self._prototypes = np.asarray(arrays["prototypes"], np.float32)
        if self._prototypes.shape != (len(head.values), self._encoder.dim):
            raise ArtifactError("the specialist's labels and vectors differ: train it again")

    def predict(self, given: Input) -> Prediction:
        """Predict one label; the time of two encodings, about 4 ms."""
        cosines = self._encoder.encode([given.text]) @ self._prototypes.T
        light = self._machine.scores(given.text, self._senses)[None, :]
        best, margin = self._head.decide(self.blend.logits(cosines, light))
        value = self._head.values[int(best[0])]
        assert isinstance(value, str)
        return Prediction(value, float(np.exp(self._curve.log_probability(float(margin[0])))))

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Nothing: an encoder's layers have no words to blame."""
        return ()

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "labels": self._head.values,
            "blend": [self.blend.scale, self.blend.weight],
            "curve": [self._curve.intercept, self._curve.slope],
            **self._machine.vocabulary(),
        }
        write_model(folder, model, self._arrays | self._machine.arrays())


def restore_tuned_label(
    model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> TunedLabel:
    """The specialist that ``save`` wrote."""
    head = Head("label", tuple(model["labels"]))
    machine = KernelMachine.restore(arrays, model, len(head.values))
    own = {n: a for n, a in arrays.items() if n == "prototypes" or n.startswith("encoder/")}
    return TunedLabel(head, own, machine, Blend(*model["blend"]), Curve(*model["curve"]), senses)
