"""Fine-tuning for kind ``label``: cross-entropy over cosines, and a contrastive term.

Each label has a vector, at first the mean of its examples' vectors (Snell et al. 2017), and a
text's logits are its scaled cosines with them. The options are taken from an earlier measurement or
are usual ones; the weights of ``FEW_SHOT`` have not been measured.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from msgspec import Struct
from msgspec import json as msgspec_json
from scipy.optimize import minimize
from torch import Tensor, nn

from shoal.errors import LearningError
from shoal.specialists.confidence import Curve, fit_curve
from shoal.specialists.head import Floats, Head
from shoal.specialists.machine import KernelMachine
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_encoder import encoder_arrays
from shoal.specialists.tuned_label import Blend, TunedLabel
from shoal.tasks import Contract, Input, LabelContract, Output
from shoal.training.bert import Bert, kept_tensors, load, pooled
from shoal.training.guide import Guide
from shoal.training.hints import Aids, Hint, rationale_vectors, soft_targets
from shoal.training.loop import Learner, LoopOptions, fit
from shoal.training.losses import (
    contrastive,
    cosine_distance,
    cross_entropy,
    disagreement,
    smoothed,
)
from shoal.training.split import FEW, validation_rows
from shoal.training.texts import TokenisedTexts, in_order


class LabelOptions(Struct, frozen=True):
    """``contrastive``, ``r_drop`` and ``rationales`` are weights of losses added to the
    cross-entropy; one of weight 0 costs nothing."""

    loop: LoopOptions = LoopOptions()
    smoothing: float = 0.05
    scale: float = 20.0
    contrastive: float = 0.0
    temperature: float = 0.1
    r_drop: float = 0.0
    rationales: float = 0.3


FULL = LabelOptions()
FEW_SHOT = LabelOptions(LoopOptions(epochs=15, rate=1e-4), contrastive=1.0)


class LabelLearner(Learner):
    """An encoder and a vector for each of k labels; ``targets`` (n, k) are distributions."""

    def __init__(
        self,
        encoder: Bert,
        texts: TokenisedTexts,
        targets: Tensor,
        options: LabelOptions,
        rationales: Floats | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.texts, self.options = encoder, texts, options
        self.lengths = texts.lengths
        self.targets = targets
        self.rationales = None if rationales is None else torch.from_numpy(rationales)
        self.validation: tuple[TokenisedTexts, Tensor] | None = None
        told = hashlib.sha256(msgspec_json.encode([options, texts.ids]))
        told.update(targets.numpy().tobytes())
        if rationales is not None:
            told.update(rationales.tobytes())
        self.identity = told.hexdigest()
        means = nn.functional.normalize(targets.T @ self.vectors(texts), dim=-1)
        self.prototypes = nn.Parameter(means)
        self.says = (
            nn.Linear(encoder.size.dim, encoder.size.dim) if rationales is not None else None
        )

    def loss(self, rows: list[int]) -> Tensor:
        """Cross-entropy, and what the options add to it."""
        options, targets = self.options, self.targets[rows].to(self.device)
        vectors = self._encode(self.texts, rows)
        logits = self._logits(vectors)
        total = cross_entropy(logits, smoothed(targets, options.smoothing))
        if options.contrastive:
            apart = contrastive(vectors, targets.argmax(1), options.temperature)
            total = total + options.contrastive * apart
        if options.r_drop:
            again = self._logits(self._encode(self.texts, rows))
            total = total + cross_entropy(again, smoothed(targets, options.smoothing))
            total = total / 2 + options.r_drop * disagreement(logits, again)
        if self.says is not None and self.rationales is not None:
            wanted = self.rationales[rows].to(self.device)
            total = total + options.rationales * cosine_distance(self.says(vectors), wanted)
        return total

    def score(self) -> float | None:
        """Accuracy on the validation part, ties decided by the likelihood."""
        if self.validation is None:
            return None
        texts, wanted = self.validation
        logits = self._logits(self.vectors(texts).to(self.device)).cpu()
        right = (logits.argmax(1) == wanted).float().mean()
        likely = torch.log_softmax(logits.float(), -1)[torch.arange(len(wanted)), wanted].mean()
        return float(right + 1e-3 * likely)

    def vectors(self, texts: TokenisedTexts) -> Tensor:
        """Unit vectors (n, d) of texts, on the CPU."""
        found = torch.empty(len(texts), self.encoder.size.dim)
        was = self.encoder.training
        self.encoder.eval()
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            for rows in in_order(texts.lengths, 64):
                found[rows] = self._encode(texts, rows).float().cpu()
        self.encoder.train(was)
        return found

    def _encode(self, texts: TokenisedTexts, rows: list[int]) -> Tensor:
        ids, mask = texts.batch(rows, self.device)
        return pooled(self.encoder(ids, mask), mask)

    def _logits(self, vectors: Tensor) -> Tensor:
        unit = nn.functional.normalize(self.prototypes, dim=-1)
        return self.options.scale * (vectors.float() @ unit.float().T)


def tune_label(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses,
    options: LabelOptions | None = None,
    aids: Aids | None = None,
    show: bool = False,
    guide: Guide | None = None,
) -> TunedLabel:
    """Fine-tune on inputs (n,) and reference outputs (n,), None where the reference breaks the
    contract; such examples are left out. ``show`` draws a progress bar.

    Raises:
        LearningError: fewer than two labels occur.
    """
    assert isinstance(contract, LabelContract)
    aids = aids or Aids()
    kept = [row for row, output in enumerate(outputs) if isinstance(output, str)]
    texts = [inputs[row].text for row in kept]
    wanted = [str(outputs[row]) for row in kept]
    chosen_hints = [aids.hints[row] for row in kept] if aids.hints else []
    options = options or (FEW_SHOT if len(texts) < FEW else FULL)
    head = Head("label", tuple(label for label in contract.labels if label in set(wanted)))
    if len(head.values) < 2:
        raise LearningError("fewer than two labels occur: nothing to tell apart")
    validates = _validates(texts, wanted, chosen_hints)
    trains = [row for row in range(len(texts)) if row not in set(validates)]
    column = {value: at for at, value in enumerate(head.values)}
    hard = np.array([column[label] for label in wanted])
    targets = soft_targets(head, hard, chosen_hints)
    learner = LabelLearner(
        load(senses.encoder.weights.architecture(), senses.encoder.weights.tensors()),
        TokenisedTexts(senses.encoder, [texts[row] for row in trains]),
        torch.from_numpy(targets[trains]),
        options,
        rationale_vectors(chosen_hints, trains, senses),
    )
    if validates:
        validating = TokenisedTexts(senses.encoder, [texts[row] for row in validates])
        learner.validation = validating, torch.from_numpy(hard[validates])
    if guide is not None:
        guide.attach(learner)
    fit(learner, options.loop, aids.folder, show)
    # Beside a student a second encoder would cost more than it saves: words alone.
    light = KernelMachine.train(texts, head.targets(wanted), None if guide else senses)
    unit = nn.functional.normalize(learner.prototypes, dim=-1).detach().cpu().numpy()
    arrays = encoder_arrays(kept_tensors(learner.encoder, senses.encoder.weights)) | {
        "prototypes": unit
    }
    blend, curve = Blend(options.scale), Curve(0.0, 1.0)
    if validates:
        cosines = learner.vectors(learner.validation[0]).numpy() @ unit.T  # type: ignore[index]
        blend, curve = blended(head, cosines, light.left_out[validates], hard[validates])
    return TunedLabel(head, arrays, light.machine, blend, curve, senses)


def _validates(texts: Sequence[str], wanted: Sequence[str], hints: Sequence[Hint]) -> list[int]:
    """The validation rows, without what the LLM made up."""
    rows = validation_rows(texts)
    return [row for row in rows if not hints or not hints[row].augmented]


def blended(head: Head, cosines: Floats, light: Floats, wanted: np.ndarray) -> tuple[Blend, Curve]:
    """The blend of greatest likelihood on the validation part (stacking, Wolpert 1992), and how
    sure its margins are. ``cosines`` and ``light`` (n, k), ``wanted`` (n,) column numbers."""
    rows = np.arange(len(wanted))

    def loss(logs: np.ndarray) -> float:
        logits = Blend(*np.exp(logs)).logits(cosines, light).astype(np.float64)
        highest = logits.max(1, keepdims=True)
        total = np.log(np.exp(logits - highest).sum(1)) + highest[:, 0]
        return float((total - logits[rows, wanted]).mean())

    found = minimize(loss, np.log([20.0, 5.0]), method="Nelder-Mead", options={"maxiter": 80})
    blend = Blend(*map(float, np.exp(np.clip(found.x, -7, 7))))
    best, margins = head.decide(blend.logits(cosines, light))
    return blend, fit_curve(margins, best == wanted)
