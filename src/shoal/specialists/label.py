"""Kind ``label``: one of a closed set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shoal.errors import LearningError
from shoal.specialists.confidence import Curve, fit_curve
from shoal.specialists.files import write_model
from shoal.specialists.head import Head
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.machine import KernelMachine
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.tasks.contract import Contract, LabelContract, Output
from shoal.tasks.input import Input


class LabelSpecialist:
    """A kernel machine with one score a label; the signal is the margin, as a probability."""

    kind = "label"

    def __init__(
        self, head: Head, machine: KernelMachine, curve: Curve, recipe: str, senses: Senses | None
    ) -> None:
        self.recipe = recipe
        self._head, self._machine, self._curve, self._senses = head, machine, curve, senses

    def predict(self, given: Input) -> Prediction:
        """Predict one label; about 0.3 ms, and the encoder's time where the recipe has one."""
        best, margin = self._head.decide(self._machine.scores(given.text, self._senses)[None, :])
        signal = float(np.exp(self._curve.log_probability(float(margin[0]))))
        return Prediction(_output(self._head, int(best[0])), signal)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "labels": self._head.values,
            "curve": [self._curve.intercept, self._curve.slope],
            **self._machine.vocabulary(),
        }
        write_model(folder, model, self._machine.arrays())

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Which words decided."""
        return ()


def restore_label(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> LabelSpecialist:
    """The specialist that ``save`` wrote."""
    head = Head("label", tuple(model["labels"]))
    machine = KernelMachine.restore(arrays, model, len(head.values))
    return LabelSpecialist(head, machine, Curve(*model["curve"]), model["recipe"], senses)


def train_label(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
) -> Trained:
    """Train on inputs and reference outputs; None where the reference breaks the contract: such an
    example belongs to no label, and predicting any of them for it is wrong.

    Raises:
        LearningError: no reference keeps the contract.
    """
    assert isinstance(contract, LabelContract)
    texts = [given.text for given in inputs]
    wanted = [output if isinstance(output, str) else None for output in outputs]
    seen = set(wanted)
    head = Head("label", tuple(label for label in contract.labels if label in seen))
    if not head.values:
        raise LearningError("none of the reference answers keeps the contract: nothing to learn")
    fitted = KernelMachine.train(texts, head.targets(wanted), senses)
    best, margins = head.decide(fitted.left_out)
    right = np.array([head.values[i] == output for i, output in zip(best, wanted, strict=True)])
    # One curve, fitted on all: it keeps the order of the margins, and only the order counts.
    curve = fit_curve(margins, right)
    signals = np.exp(curve.log_probability(margins))
    left_out = [
        Prediction(_output(head, int(i)), float(signal))
        for i, signal in zip(best, signals, strict=True)
    ]
    return Trained(LabelSpecialist(head, fitted.machine, curve, recipe.name, senses), left_out)


def _fits(contract: Contract) -> bool:
    return isinstance(contract, LabelContract)


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    return ""


def _output(head: Head, index: int) -> Output:
    value = head.values[index]
    assert isinstance(value, str)
    return value


KIND = Kind(
    "label",
    (
        Recipe("label", "terms", encoder=False, cost=0.3, share=0.2),
        Recipe("label", "terms+encoder", encoder=True, cost=4, share=0.8),
    ),
    _fits,
    _refusal,
    train_label,
    restore_label,
)
