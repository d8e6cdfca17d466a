"""Kind ``labels``: any number of a closed set.

One kernel machine scores all labels; each has a threshold of its own, the one that errs least on
left-out scores. The signal is the estimated probability that the whole set is right. A left-out
prediction goes by thresholds that were chosen without its example: with those chosen on all, errors
on the examples are fewer than on new inputs (1.8 points in a simulation of 400 examples).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ArtifactError, LearningError
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
from shoal.tasks.contract import Contract, LabelsContract, Output
from shoal.tasks.input import Input

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

_FOLDS = 5
_FEW = 5  # examples with and without a label that a threshold of its own takes


class Judgement(NamedTuple):
    """``thresholds`` (k,) and ``curves`` (k) of the labels, and the ``whole`` curve of the set."""

    thresholds: Floats
    curves: tuple[Curve, ...]
    whole: Curve

    def chosen(self, scores: Floats) -> Flags:
        """Scores (n, k) -> which labels apply (n, k)."""
        return np.asarray(scores >= self.thresholds)

    def log_probability(self, scores: Floats) -> Doubles:
        """Scores (n, k) -> log p(the whole set is right) (n,)."""
        return self.whole.log_probability(self.surety(scores))

    def surety(self, scores: Floats) -> Floats:
        """Half the log odds (n,) that all labels are right, if they erred independently."""
        distance = np.abs(scores - self.thresholds)
        logs = np.stack(
            [curve.log_probability(distance[:, i]) for i, curve in enumerate(self.curves)], axis=1
        ).sum(axis=1)
        odds = logs - np.log(-np.expm1(np.minimum(logs, -1e-9)))
        return np.asarray(odds / 2, np.float32)


class MultiLabelSpecialist:
    """A kernel machine with one score a label, and how scores are judged."""

    kind = "labels"

    def __init__(
        self,
        contract: LabelsContract,
        labels: tuple[str, ...],
        machine: KernelMachine,
        judgement: Judgement,
        scope: Scope,
        recipe: str,
        senses: Senses | None,
    ) -> None:
        self.recipe = recipe
        self._contract, self._labels, self._machine = contract, labels, machine
        self._judgement, self._scope, self._senses = judgement, scope, senses

    def predict(self, given: Input) -> Prediction:
        """Predict the set of labels of one input."""
        scores, near = self._machine.look(given.text, self._senses)
        known = None if near is None else np.array([near], np.float32)
        log = self._judgement.log_probability(scores[None, :])[0] + _in_scope(self._scope, known, 1)
        chosen = self._judgement.chosen(scores[None, :])[0]
        return Prediction(_output(self._contract, self._labels, chosen), float(np.exp(log[0])))

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Which words decided for the labels chosen; if there are none, against the likeliest."""
        scores = self._machine.scores(given.text, self._senses)
        direction = self._judgement.chosen(scores[None, :])[0].astype(np.float32)
        if not direction.any():
            direction[np.argmax(scores - self._judgement.thresholds)] = -1
        return reasons_for(self._machine, given.text, direction, self._senses)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        judged = self._judgement
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "labels": self._labels,
            "curves": [[c.intercept, c.slope] for c in (*judged.curves, judged.whole)],
            "scope": self._scope.numbers(),
            **self._machine.vocabulary(),
        }
        write_model(folder, model, self._machine.arrays() | {"thresholds": judged.thresholds})


def restore_labels(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> MultiLabelSpecialist:
    """The specialist that ``save`` wrote."""
    assert isinstance(contract, LabelsContract)
    labels = tuple(model["labels"])
    *curves, whole = (Curve(*numbers) for numbers in model["curves"])
    if not len(labels) == len(curves) == len(arrays["thresholds"]):
        raise ArtifactError("the specialist's labels and thresholds differ: train it again")
    return MultiLabelSpecialist(
        contract,
        labels,
        KernelMachine.restore(arrays, model, len(labels)),
        Judgement(arrays["thresholds"], tuple(curves), whole),
        Scope.restore(model["scope"]),
        model["recipe"],
        senses,
    )


def train_labels(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
) -> Trained:
    """Train on inputs and reference outputs; None where the reference breaks the contract: such an
    example has no label, and whatever is predicted for it is wrong.

    Raises:
        LearningError: no reference keeps the contract, or none has a label.
    """
    assert isinstance(contract, LabelsContract)
    kept = [set(output) if isinstance(output, tuple) else None for output in outputs]
    seen = {label for found in kept if found for label in found}
    labels = tuple(label for label in contract.labels if label in seen)
    if not labels:
        raise LearningError("none of the reference answers has a label: nothing to learn")
    wanted = np.array([[label in (found or ()) for label in labels] for found in kept])
    targets = np.where(wanted, np.float32(1), np.float32(-1))
    texts = [given.text for given in inputs]
    names = left_out_together(inputs)
    fitted = KernelMachine.train(texts, targets, senses, told=_told(labels), apart=names)
    scores = fitted.left_out
    broken = np.array([found is None for found in kept])
    judgement, chosen, logs = _left_out(scores, wanted, broken, _folds(texts))
    # By nearness alone: a low best score is nothing odd where no label need apply.
    scope = Scope.fit(np.zeros((len(texts), 1), np.float32), fitted.nearness)
    logs = logs + _in_scope(scope, fitted.nearness, len(texts))
    left_out = [
        Prediction(_output(contract, labels, found), float(np.exp(log)))
        for found, log in zip(chosen, logs, strict=True)
    ]
    specialist = MultiLabelSpecialist(
        contract, labels, fitted.machine, judgement, scope, recipe.name, senses
    )
    return Trained(specialist, left_out)


def _left_out(
    scores: Floats, wanted: Flags, broken: Flags, fold: NDArray[np.intp]
) -> tuple[Judgement, Flags, Doubles]:
    """The judgement from all left-out scores (n, k); and of each example, by one from the other
    folds, which labels are chosen (n, k) and log p(the whole set is right) (n,)."""
    chosen, logs = np.empty_like(wanted), np.empty(len(scores))
    for k in range(_FOLDS):
        inside = fold == k
        others = _judge(scores[~inside], wanted[~inside], broken[~inside])
        chosen[inside] = others.chosen(scores[inside])
        logs[inside] = others.log_probability(scores[inside])
    return _judge(scores, wanted, broken), chosen, logs


def _folds(texts: Sequence[str]) -> NDArray[np.intp]:
    """The fold of each example (n,), drawn; equal texts are in the same."""
    distinct = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    drawn = np.random.default_rng(0).permutation(len(distinct)) % _FOLDS
    return np.array([drawn[distinct[text]] for text in texts], dtype=np.intp)


def _judge(scores: Floats, wanted: Flags, broken: Flags) -> Judgement:
    """Thresholds and curves from left-out scores (n, k)."""
    thresholds = np.array(
        [least_errors(scores[:, i], wanted[:, i]) for i in range(scores.shape[1])], np.float32
    )
    right = (scores >= thresholds) == wanted
    distance = np.abs(scores - thresholds)
    curves = tuple(fit_curve(distance[:, i], right[:, i]) for i in range(scores.shape[1]))
    judgement = Judgement(thresholds, curves, Curve())
    whole = fit_curve(judgement.surety(scores), right.all(axis=1) & ~broken)
    return judgement._replace(whole=whole)


def least_errors(scores: Floats, wanted: Flags) -> float:
    """The threshold over scores (n,) that errs least on ``wanted`` (n,): of those that err as
    little, the one nearest 0, which it is where too few examples are either way."""
    if min(wanted.sum(), (~wanted).sum()) < _FEW:
        return 0.0
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    hits = np.concatenate([[0], np.cumsum(np.where(wanted[order], 1, -1))])
    middles = (ranked[:-1] + ranked[1:]) / 2
    cuts = np.concatenate([[ranked[0] + 0.5], middles, [ranked[-1] - 0.5]])
    apart = np.concatenate([[True], ranked[:-1] > ranked[1:], [True]])
    best = np.flatnonzero(apart & (hits == hits[apart].max()))
    return float(cuts[best[np.argmin(np.abs(cuts[best]))]])


def _in_scope(scope: Scope, near: Floats | None, count: int) -> Doubles:
    return scope.log_probability(scope.familiarity(np.zeros((count, 1), np.float32), near))


def _told(labels: tuple[str, ...]) -> Told:
    """A label's name as an example that has that label alone."""
    head = Head("labels", labels)
    named = head.told()
    return Told([text for _, text in named], head.targets([labels[i] for i, _ in named]))


def _output(
    contract: LabelsContract, labels: tuple[str, ...], chosen: Flags
) -> tuple[str, ...] | None:
    """The labels chosen; None (decline) if there are none and the LLM always gave one."""
    found = tuple(label for label, is_chosen in zip(labels, chosen, strict=True) if is_chosen)
    return found if found or not contract.separator or contract.none else None


def _fits(contract: Contract) -> bool:
    return isinstance(contract, LabelsContract)


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    return ""


KIND = Kind(
    "labels",
    (
        Recipe("labels", "terms", encoder=False, cost=0.3, share=0.2),
        Recipe("labels", "terms+encoder", encoder=True, cost=4, share=0.8),
    ),
    _fits,
    _refusal,
    train_labels,
    restore_labels,
)
