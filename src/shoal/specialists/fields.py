"""Kind ``fields``: a JSON object of labels, booleans, and what the input states: verbatim spans,
lists of them, numbers and dates.

Labels and booleans are heads of one kernel machine, so all of them cost one factorisation; what is
stated comes from one tagger. The signal is the estimated probability that every field is right.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ArtifactError, LearningError
from shoal.specialists.attribution import reasons_for
from shoal.specialists.confidence import Curve, cross_fitted, fit_curve
from shoal.specialists.conversations import left_out_together
from shoal.specialists.copied import CopiedFields, Values
from shoal.specialists.files import write_model
from shoal.specialists.head import Head
from shoal.specialists.kind import BY_TUNING, Kind, Recipe
from shoal.specialists.machine import KernelMachine
from shoal.specialists.notation import Finding
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.tasks.comparator import same_value
from shoal.tasks.contract import COPIED_KINDS, Contract, Field, FieldsContract, Output, Scalar
from shoal.tasks.input import Input

CHAIN = "crf+encoder"
"""The recipe whose tagger is a conditional random field."""


class FieldsSpecialist:
    """Heads over ``machine``, and what is ``copied``; either may be missing."""

    kind = "fields"

    def __init__(
        self,
        fields: tuple[Field, ...],
        heads: tuple[Head, ...],
        machine: KernelMachine | None,
        copied: CopiedFields | None,
        curves: dict[str, Curve],
        recipe: str,
        senses: Senses | None,
    ) -> None:
        self.recipe = recipe
        self._fields, self._heads = fields, heads
        self._machine, self._copied, self._curves = machine, copied, curves
        self._senses = senses

    def predict(self, given: Input) -> Prediction:
        """Predict every field of one input."""
        findings = self._labels(given.text) | (
            self._copied.find(given.text) if self._copied else {}
        )
        log_probability = sum(
            float(self._curves[name].log_probability(found.margin))
            for name, found in findings.items()
        )
        return Prediction(_output(self._fields, findings), float(np.exp(log_probability)))

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        machine, copied = self._machine, self._copied
        model: dict[str, Any] = {
            "kind": self.kind,
            "recipe": self.recipe,
            "heads": [[head.name, head.values] for head in self._heads],
            **(copied.model() if copied else {"keys": []}),
            "curves": {name: [c.intercept, c.slope] for name, c in self._curves.items()},
            **(machine.vocabulary() if machine else {}),
        }
        arrays = machine.arrays() if machine else {}
        write_model(folder, model, arrays | (copied.arrays() if copied else {}))

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Which words decided each field, as "field: word": for a label and against the next best,
        or for a word's part in a value. Weights compare within one field only."""
        reasons = self._copied.reasons(given.text) if self._copied else []
        reasons += self._label_reasons(given.text)
        return tuple(sorted(reasons, key=lambda reason: (-abs(reason.weight), reason.what)))

    def _label_reasons(self, text: str) -> list[Reason]:
        if self._machine is None:
            return []
        scores, start, reasons = self._machine.scores(text, self._senses), 0, []
        for head in self._heads:
            end = start + len(head.values)
            if end - start > 1:
                second, best = start + np.argsort(scores[start:end], kind="stable")[-2:]
                direction = np.zeros(len(scores), np.float32)
                direction[best], direction[second] = 1, -1
                found = reasons_for(self._machine, text, direction, self._senses)
                reasons += [Reason(f"{head.name}: {each.what}", each.weight) for each in found]
            start = end
        return reasons

    def _labels(self, text: str) -> dict[str, Finding]:
        if self._machine is None:
            return {}
        scores = self._machine.scores(text, self._senses)
        found = {}
        for head, part in _columns(self._heads, scores[None, :]):
            best, margin = head.decide(part)
            found[head.name] = Finding(head.values[best[0]], float(margin[0]))
        return found


def restore_fields(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> FieldsSpecialist:
    """The specialist that ``save`` wrote."""
    assert isinstance(contract, FieldsContract)
    heads = tuple(Head(name, tuple(values)) for name, values in model["heads"])
    curves = {name: Curve(*numbers) for name, numbers in model["curves"].items()}
    targets = sum(len(head.values) for head in heads)
    stated, copied = _copied(contract.fields), None
    if stated and senses is None:
        raise ArtifactError("this specialist needs the encoder it was trained with")
    if stated and senses is not None:
        copied = CopiedFields.restore(stated, model, arrays, senses)
    return FieldsSpecialist(
        contract.fields,
        heads,
        KernelMachine.restore(arrays, model, targets) if heads else None,
        copied,
        curves,
        model["recipe"],
        senses,
    )


def train_fields(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
) -> Trained:
    """Train on inputs and reference outputs; None where the reference breaks the contract.

    Raises:
        LearningError: no reference keeps the contract, or a field needs the encoder.
    """
    assert isinstance(contract, FieldsContract)
    texts = [given.text for given in inputs]
    rows: list[Values | None] = [o if isinstance(o, dict) else None for o in outputs]
    if not any(rows):
        raise LearningError("none of the reference answers keeps the contract: nothing to learn")
    headed = [field for field in contract.fields if field.kind in ("label", "boolean")]
    stated, copied = _copied(contract.fields), None
    if stated and senses is None:
        raise LearningError(f"field {stated[0].name} is copied from the input: needs the encoder")
    findings: dict[str, list[Finding]] = {}
    heads, machine = _train_heads(headed, inputs, rows, senses, findings)
    if stated and senses is not None:
        copied, found = CopiedFields.train(stated, texts, rows, senses, recipe.name == CHAIN)
        findings |= found
    curves, signals = _confidence(contract.fields, rows, findings)
    left_out = [
        Prediction(
            _output(contract.fields, {name: column[i] for name, column in findings.items()}),
            float(signals[i]),
        )
        for i in range(len(texts))
    ]
    specialist = FieldsSpecialist(
        contract.fields, heads, machine, copied, curves, recipe.name, senses
    )
    return Trained(specialist, left_out)


def _train_heads(
    fields: Sequence[Field],
    inputs: Sequence[Input],
    rows: Sequence[Values | None],
    senses: Senses | None,
    findings: dict[str, list[Finding]],
) -> tuple[tuple[Head, ...], KernelMachine | None]:
    if not fields:
        return (), None
    heads = tuple(_head(field, rows) for field in fields)
    targets = [
        head.targets([row[head.name] if row else _NOTHING for row in rows]) for head in heads
    ]
    texts, names = [given.text for given in inputs], left_out_together(inputs)
    fitted = KernelMachine.train(texts, np.hstack(targets), senses, apart=names)
    for head, part in _columns(heads, fitted.left_out):
        best, margins = head.decide(part)
        findings[head.name] = [
            Finding(head.values[i], float(margin)) for i, margin in zip(best, margins, strict=True)
        ]
    return heads, fitted.machine


def _confidence(
    fields: Sequence[Field],
    rows: Sequence[Values | None],
    findings: dict[str, list[Finding]],
) -> tuple[dict[str, Curve], NDArray[np.float64]]:
    """A curve a field, and for each example the cross-fitted probability that all are right."""
    curves: dict[str, Curve] = {}
    log_probability = np.zeros(len(rows))
    for field in fields:
        found = findings[field.name]
        margins = np.array([each.margin for each in found], dtype=np.float32)
        right = np.array(
            [
                row is not None
                and not each.unread
                and same_value(field, row[field.name], each.value)
                for row, each in zip(rows, found, strict=True)
            ]
        )
        curves[field.name] = fit_curve(margins, right)
        log_probability += cross_fitted(margins, right)
    return curves, np.exp(log_probability)


_NOTHING = "\0"  # stands for no value at all, where None means "has no value"


def _head(field: Field, rows: Sequence[Values | None]) -> Head:
    seen = {row[field.name] for row in rows if row is not None}
    values: tuple[Scalar, ...] = (False, True) if field.kind == "boolean" else field.labels
    kept: list[Scalar] = [value for value in values if value in seen]
    return Head(field.name, (*kept, None) if None in seen else tuple(kept))


def _columns(heads: Sequence[Head], scores: Any) -> list[tuple[Head, Any]]:
    """Each head with its own columns of scores (n, sum of k)."""
    parts, start = [], 0
    for head in heads:
        parts.append((head, scores[:, start : start + len(head.values)]))
        start += len(head.values)
    return parts


def _copied(fields: Sequence[Field]) -> list[Field]:
    return [field for field in fields if field.kind in COPIED_KINDS]


def _output(fields: Sequence[Field], findings: Mapping[str, Finding]) -> Output | None:
    """The values, or None (decline) if one is missing that the contract does not let miss, or is
    stated in a way that cannot be read."""
    for field in fields:
        found = findings[field.name]
        if found.unread or (found.value is None and not field.may_miss):
            return None
    return {field.name: findings[field.name].value for field in fields}


def _fits(contract: Contract) -> bool:
    return isinstance(contract, FieldsContract)


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    assert isinstance(contract, FieldsContract)
    for field in contract.fields:
        if field.kind in ("text", "json"):
            return (
                f"field {field.name!r} holds {field.kind}, which is neither a label nor copied "
                f"from the input: {BY_TUNING}"
            )
        if field.kind in COPIED_KINDS and not recipe.encoder:
            return f"field {field.name!r} is copied from the input, which takes the encoder"
    if recipe.name == CHAIN and not _copied(contract.fields):
        return "no field is copied from the input: there is nothing to tag"
    return ""


KIND = Kind(
    "fields",
    (
        Recipe("fields", "terms", encoder=False, cost=0.3, share=0.2),
        Recipe("fields", "terms+encoder", encoder=True, cost=5, share=0.8),
        Recipe("fields", CHAIN, encoder=True, cost=6, share=1.6),
    ),
    _fits,
    _refusal,
    train_fields,
    restore_fields,
)
