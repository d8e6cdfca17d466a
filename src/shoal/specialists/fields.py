"""Kind ``fields``: a JSON object whose fields are labels, booleans, numbers or verbatim spans.

Labels and booleans are heads of one kernel machine, so all of them cost one factorisation; spans
and numbers come from one tagger. The signal is the estimated probability that every field is right.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import LearningError
from shoal.specialists.confidence import Curve, cross_fitted, fit_curve
from shoal.specialists.files import write_model
from shoal.specialists.head import Head
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.machine import KernelMachine
from shoal.specialists.places import as_number, locate
from shoal.specialists.senses import Senses
from shoal.specialists.spans import Span, SpanTagger
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.tasks.comparator import same_value
from shoal.tasks.contract import Contract, Field, FieldsContract, Output, Scalar
from shoal.tasks.input import Input

Values = dict[str, Scalar]


class FieldsSpecialist:
    """Heads over ``machine`` and spans from ``tagger``; either may be missing."""

    kind = "fields"

    def __init__(
        self,
        fields: tuple[Field, ...],
        heads: tuple[Head, ...],
        machine: KernelMachine | None,
        tagger: SpanTagger | None,
        curves: dict[str, Curve],
        recipe: str,
        senses: Senses | None,
    ) -> None:
        self.recipe = recipe
        self._fields, self._heads = fields, heads
        self._machine, self._tagger, self._curves = machine, tagger, curves
        self._senses = senses

    def predict(self, given: Input) -> Prediction:
        """Predict every field of one input."""
        values: Values = {}
        log_probability = 0.0
        text = given.text
        for name, (value, margin) in (self._labels(text) | self._spans(text)).items():
            values[name] = value
            curve = self._curves[name]
            log_probability += float(curve.log_probability(margin))
        return Prediction(_output(self._fields, values), float(np.exp(log_probability)))

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        machine, tagger = self._machine, self._tagger
        model: dict[str, Any] = {
            "kind": self.kind,
            "recipe": self.recipe,
            "heads": [[head.name, head.values] for head in self._heads],
            "keys": list(tagger.keys) if tagger else [],
            "curves": {name: [c.intercept, c.slope] for name, c in self._curves.items()},
            **(machine.vocabulary() if machine else {}),
        }
        arrays = machine.arrays() if machine else {}
        write_model(folder, model, arrays | ({"tags": tagger.weights} if tagger else {}))

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Which words decided."""
        return ()

    def _labels(self, text: str) -> dict[str, tuple[Scalar, float]]:
        if self._machine is None:
            return {}
        scores = self._machine.scores(text, self._senses)
        found = {}
        for head, part in _columns(self._heads, scores[None, :]):
            best, margin = head.decide(part)
            found[head.name] = (head.values[best[0]], float(margin[0]))
        return found

    def _spans(self, text: str) -> dict[str, tuple[Scalar, float]]:
        if self._tagger is None or self._senses is None:
            return {}
        spans = self._tagger.find(text, self._senses.tokenise([text])[0])
        kinds = {field.name: field.kind for field in self._fields}
        return {key: (_value(kinds[key], span), span.margin) for key, span in spans.items()}


def restore_fields(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> FieldsSpecialist:
    """The specialist that ``save`` wrote."""
    assert isinstance(contract, FieldsContract)
    heads = tuple(Head(name, tuple(values)) for name, values in model["heads"])
    curves = {name: Curve(*numbers) for name, numbers in model["curves"].items()}
    targets = sum(len(head.values) for head in heads)
    return FieldsSpecialist(
        contract.fields,
        heads,
        KernelMachine.restore(arrays, model, targets) if heads else None,
        SpanTagger.restore(model["keys"], arrays["tags"]) if model["keys"] else None,
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
    tagged = [field for field in contract.fields if field.kind in ("span", "number")]
    if tagged and senses is None:
        raise LearningError(f"field {tagged[0].name} is copied from the input: needs the encoder")
    findings: dict[str, list[tuple[Scalar, float]]] = {}
    heads, machine = _train_heads(headed, texts, rows, senses, findings)
    tagger = _train_tagger(tagged, texts, rows, senses, findings) if senses and tagged else None
    curves, signals = _confidence(contract.fields, rows, findings)
    left_out = [
        Prediction(
            _output(contract.fields, {name: column[i][0] for name, column in findings.items()}),
            float(signals[i]),
        )
        for i in range(len(texts))
    ]
    specialist = FieldsSpecialist(
        contract.fields, heads, machine, tagger, curves, recipe.name, senses
    )
    return Trained(specialist, left_out)


def _train_heads(
    fields: Sequence[Field],
    texts: Sequence[str],
    rows: Sequence[Values | None],
    senses: Senses | None,
    findings: dict[str, list[tuple[Scalar, float]]],
) -> tuple[tuple[Head, ...], KernelMachine | None]:
    if not fields:
        return (), None
    heads = tuple(_head(field, rows) for field in fields)
    targets = [
        head.targets([row[head.name] if row else _NOTHING for row in rows]) for head in heads
    ]
    fitted = KernelMachine.train(texts, np.hstack(targets), senses)
    for head, part in _columns(heads, fitted.left_out):
        best, margins = head.decide(part)
        findings[head.name] = [
            (head.values[i], float(margin)) for i, margin in zip(best, margins, strict=True)
        ]
    return heads, fitted.machine


def _train_tagger(
    fields: Sequence[Field],
    texts: Sequence[str],
    rows: Sequence[Values | None],
    senses: Senses,
    findings: dict[str, list[tuple[Scalar, float]]],
) -> SpanTagger:
    kinds = {field.name: field.kind for field in fields}
    places = [
        locate(text, {field.name: row[field.name] for field in fields} if row else {})
        for text, row in zip(texts, rows, strict=True)
    ]
    fitted = SpanTagger.train(list(kinds), texts, places, senses)
    for key, kind in kinds.items():
        spans = [spans[key] for spans in fitted.left_out]
        findings[key] = [(_value(kind, span), span.margin) for span in spans]
    return fitted.tagger


def _confidence(
    fields: Sequence[Field],
    rows: Sequence[Values | None],
    findings: dict[str, list[tuple[Scalar, float]]],
) -> tuple[dict[str, Curve], NDArray[np.float64]]:
    """A curve a field, and for each example the cross-fitted probability that all are right."""
    curves: dict[str, Curve] = {}
    log_probability = np.zeros(len(rows))
    for field in fields:
        found = findings[field.name]
        margins = np.array([margin for _, margin in found], dtype=np.float32)
        right = np.array(
            [
                row is not None and same_value(field, row[field.name], value)
                for row, (value, _) in zip(rows, found, strict=True)
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


def _value(kind: str, span: Span) -> Scalar:
    return as_number(span.value) if kind == "number" and span.value else span.value


def _output(fields: Sequence[Field], values: Values) -> Output | None:
    """The values, or None (decline) if one is missing that the contract does not let miss."""
    if any(values[field.name] is None and not field.may_miss for field in fields):
        return None
    return {field.name: values[field.name] for field in fields}


def _fits(contract: Contract) -> bool:
    return isinstance(contract, FieldsContract)


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    assert isinstance(contract, FieldsContract)
    for field in contract.fields:
        if field.kind in ("text", "json"):
            return (
                f"field {field.name!r} holds {field.kind}, which is neither a label nor copied "
                "from the input: no specialist learns that yet"
            )
        if field.kind in ("span", "number") and not recipe.encoder:
            return f"field {field.name!r} is copied from the input, which takes the encoder"
    return ""


KIND = Kind(
    "fields",
    (
        Recipe("fields", "terms", encoder=False, cost=0.3, share=0.2),
        Recipe("fields", "terms+encoder", encoder=True, cost=5, share=0.8),
    ),
    _fits,
    _refusal,
    train_fields,
    restore_fields,
)
