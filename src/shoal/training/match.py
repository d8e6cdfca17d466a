"""Fine-tuning for kind ``match``: a cross-encoder over "left [SEP] right", blended with the trees.

The blend and the cut are fitted on the validation part, which trained neither: the trees' words on
it are cross-fitted.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from msgspec import json as msgspec_json
from scipy.optimize import minimize
from torch import Tensor, nn

from shoal.errors import LearningError
from shoal.specialists import match
from shoal.specialists.match import MatchSpecialist, Scale, train_match
from shoal.specialists.pairs import find_pair
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_encoder import encoder_arrays
from shoal.specialists.tuned_match import PairBlend, TunedMatch, joined, light_log_odds
from shoal.tasks import Contract, Input, Output
from shoal.training.bert import Bert, kept_tensors, load, pooled
from shoal.training.guide import Guide
from shoal.training.loop import Learner, LoopOptions, fit
from shoal.training.split import validation_rows
from shoal.training.texts import TokenisedTexts, in_order

_FEWEST = 200  # pairs: of fewer the validation part would say nothing
_ONE_IN = 6  # validates: matches are few, and the cut rests on them
_LENGTH = 16.0  # a unit vector's numbers are small; the head's would have to grow first


class MatchOptions(Struct, frozen=True):
    """``positive`` is how much more a match weighs in the loss than none."""

    loop: LoopOptions = LoopOptions(epochs=5, rate=1e-4)
    positive: float = 2.0


class MatchLearner(Learner):
    """An encoder and one direction in its space; ``targets`` (n,) are 1 for a match, else 0."""

    def __init__(
        self, encoder: Bert, texts: TokenisedTexts, targets: Tensor, options: MatchOptions
    ) -> None:
        super().__init__()
        self.encoder, self.texts, self.targets, self.options = encoder, texts, targets, options
        self.lengths = texts.lengths
        self.head = nn.Linear(encoder.size.dim, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, float(torch.logit(targets.mean().clamp(0.01, 0.99))))
        self.validation: tuple[TokenisedTexts, np.ndarray] | None = None
        told = hashlib.sha256(msgspec_json.encode([options, texts.ids]))
        told.update(targets.numpy().tobytes())
        self.identity = told.hexdigest()

    def loss(self, rows: list[int]) -> Tensor:
        """Binary cross-entropy."""
        targets = self.targets[rows].to(self.device)
        weights = 1 + (self.options.positive - 1) * targets
        logits = self._logits(self.texts, rows)
        return nn.functional.binary_cross_entropy_with_logits(logits, targets, weights)

    def score(self) -> float | None:
        """Average precision on the validation part."""
        if self.validation is None:
            return None
        texts, wanted = self.validation
        return average_precision(self.log_odds(texts), wanted)

    def log_odds(self, texts: TokenisedTexts) -> np.ndarray:
        """Of a match, (n,)."""
        found = np.empty(len(texts))
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16):
            for rows in in_order(texts.lengths, 32):
                found[rows] = self._logits(texts, rows).float().cpu().numpy()
        return found

    def _logits(self, texts: TokenisedTexts, rows: list[int]) -> Tensor:
        ids, mask = texts.batch(rows, self.device)
        vectors = pooled(self.encoder(ids, mask), mask)
        found: Tensor = self.head(_LENGTH * vectors)[:, 0].float()
        return found


def average_precision(scores: np.ndarray, wanted: np.ndarray) -> float:
    """The mean precision at each match, by falling score; 0 if there is no match."""
    hits = wanted[np.argsort(-scores, kind="stable")] == 1
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()) if hits.any() else 0.0


def tune_match(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses,
    options: MatchOptions | None = None,
    folder: Path | None = None,
    show: bool = False,
    guide: Guide | None = None,
) -> TunedMatch:
    """Fine-tune on inputs (n,) and reference outputs (n,), None where the reference breaks the
    contract; such examples are left out. With ``folder`` training can be resumed.

    Raises:
        LearningError: too few pairs, no pairs at all, or all alike.
    """
    options = options or MatchOptions()
    trained = train_match(contract, inputs, outputs, None, match.KIND.recipes[0])
    light = trained.specialist
    assert isinstance(light, MatchSpecialist)
    found = [find_pair(given, light.way) for given in inputs]
    kept = [row for row, pair in enumerate(found) if pair is not None and outputs[row] is not None]
    texts = [joined(pair) for row in kept if (pair := found[row]) is not None]
    wanted = np.array([int(outputs[row] == light.labels[1]) for row in kept])
    validates = validation_rows(texts, _ONE_IN, _FEWEST)
    if len(set(wanted[validates])) < 2:
        raise LearningError(
            f"{len(kept)} pairs: too few to fine-tune; at least {_FEWEST} are needed, with both "
            "answers among them"
        )
    held = set(validates)
    trains = [row for row in range(len(texts)) if row not in held]
    torch.manual_seed(options.loop.seed)
    learner = MatchLearner(
        load(senses.encoder.weights.architecture(), senses.encoder.weights.tensors()),
        TokenisedTexts(senses.encoder, [texts[row] for row in trains]),
        torch.from_numpy(wanted[trains].astype(np.float32)),
        options,
    )
    validating = TokenisedTexts(senses.encoder, [texts[row] for row in validates])
    learner.validation = validating, wanted[validates]
    if guide is not None:
        guide.attach(learner)
    fit(learner, options.loop, folder, show)
    cross = learner.log_odds(validating)
    unseen = [trained.left_out[kept[row]] for row in validates]
    trees = np.array([light_log_odds(light.labels, said) for said in unseen])
    blend = blended(trees, cross, wanted[validates])
    scores = blend.light * trees + blend.cross * cross + blend.constant
    arrays = encoder_arrays(kept_tensors(learner.encoder, senses.encoder.weights)) | {
        "direction": (_LENGTH * learner.head.weight[0]).detach().float().cpu().numpy(),
        "bias": learner.head.bias.detach().float().cpu().numpy(),
    }
    return TunedMatch(light, arrays, blend, Scale.of(scores, wanted[validates]), senses)


def blended(light: np.ndarray, cross: np.ndarray, wanted: np.ndarray) -> PairBlend:
    """Logistic regression of ``wanted`` (n,) on the two log-odds (n,), neither weight below 0."""

    def loss(at: np.ndarray) -> float:
        logits = at[0] * light + at[1] * cross + at[2]
        return float(
            (np.logaddexp(0, logits) - wanted * logits).mean() + 1e-3 * (at[:2] ** 2).sum()
        )

    bounds = [(0.0, 10.0), (0.0, 10.0), (-10.0, 10.0)]
    found = minimize(loss, np.array([0.5, 0.5, 0.0]), method="L-BFGS-B", bounds=bounds)
    return PairBlend(*map(float, found.x))
