"""Kind ``label``: one of a closed set.

The signal is the estimated probability that the input is in scope and the label right: it is small
for an input between two labels, and for one unlike all training texts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import LearningError
from shoal.specialists.attribution import reasons_for
from shoal.specialists.confidence import Curve, fit_curve
from shoal.specialists.conversations import left_out_together
from shoal.specialists.files import write_model
from shoal.specialists.head import Floats, Head
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.machine import KernelMachine, Told
from shoal.specialists.scope import Scope
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.tasks.contract import Contract, LabelContract, Output
from shoal.tasks.input import Input


class LabelSpecialist:
    """A kernel machine with one score a label; ``scope`` None: made before there were scopes."""

    kind = "label"

    def __init__(
        self,
        head: Head,
        machine: KernelMachine,
        curve: Curve,
        scope: Scope | None,
        recipe: str,
        senses: Senses | None,
    ) -> None:
        self.recipe = recipe
        self._head, self._machine, self._curve, self._scope = head, machine, curve, scope
        self._senses = senses

    def predict(self, given: Input) -> Prediction:
        """Predict one label; about 0.3 ms, and the encoder's time where the recipe has one."""
        scores, near = self._machine.look(given.text, self._senses)
        best, margin = self._head.decide(scores[None, :])
        logs = self._curve.log_probability(margin)
        if self._scope is not None:
            logs = logs + self._scope.log_probability(self._familiarity(scores, near))
        return Prediction(_output(self._head, int(best[0])), float(np.exp(logs[0])))

    def scope_rank(self, given: Input) -> float:
        """How usual an input is, 0 to 1: the share of training texts, each as if it were left out,
        that are less like the others than it is. 1 if that was not learned."""
        if self._scope is None:
            return 1.0
        scores, near = self._machine.look(given.text, self._senses)
        return float(self._scope.rank(self._familiarity(scores, near))[0])

    def familiarity(self, given: Input) -> float:
        """What ``scope_rank`` ranks: finer among inputs less usual than any training text."""
        return float(self._familiarity(*self._machine.look(given.text, self._senses))[0])

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "labels": self._head.values,
            "curve": [self._curve.intercept, self._curve.slope],
            **({"scope": self._scope.numbers()} if self._scope else {}),
            **self._machine.vocabulary(),
        }
        write_model(folder, model, self._machine.arrays())

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Which words decided for the label and against the next best."""
        scores = self._machine.scores(given.text, self._senses)
        if len(scores) < 2:
            return ()
        second, best = np.argsort(scores, kind="stable")[-2:]
        direction = np.zeros(len(scores), np.float32)
        direction[best], direction[second] = 1, -1
        return reasons_for(self._machine, given.text, direction, self._senses)

    def _familiarity(self, scores: Floats, near: float | None) -> NDArray[np.float64]:
        assert self._scope is not None
        return self._scope.familiarity(
            scores[None, :], None if near is None else np.array([near], np.float32)
        )


def restore_label(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> LabelSpecialist:
    """The specialist that ``save`` wrote."""
    head = Head("label", tuple(model["labels"]))
    machine = KernelMachine.restore(arrays, model, len(head.values))
    scope = Scope.restore(model["scope"]) if "scope" in model else None
    return LabelSpecialist(head, machine, Curve(*model["curve"]), scope, model["recipe"], senses)


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
    targets, names = head.targets(wanted), left_out_together(inputs)
    fitted = KernelMachine.train(texts, targets, senses, told=_told(head), apart=names)
    best, margins = head.decide(fitted.left_out)
    right = np.array([head.values[i] == output for i, output in zip(best, wanted, strict=True)])
    # One curve, fitted on all: it keeps the order of the margins, and only the order counts.
    curve = fit_curve(margins, right)
    scope = Scope.fit(fitted.left_out, fitted.nearness)
    known = scope.familiarity(fitted.left_out, fitted.nearness)
    signals = np.exp(curve.log_probability(margins) + scope.log_probability(known))
    left_out = [
        Prediction(_output(head, int(i)), float(signal))
        for i, signal in zip(best, signals, strict=True)
    ]
    specialist = LabelSpecialist(head, fitted.machine, curve, scope, recipe.name, senses)
    return Trained(specialist, left_out)


def _told(head: Head) -> Told:
    """A label's name as an example of it: worth most where other examples are few."""
    named = head.told()
    return Told([text for _, text in named], head.targets([head.values[i] for i, _ in named]))


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
