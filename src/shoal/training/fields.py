"""Fine-tuning for kind ``fields``: tags of tokens and labels of texts, with one encoder.

Two heads, a tag for each token and a value for each field of a closed set, teach the encoder what
the task is about. They are then dropped: the light recipe is fitted over the tuned encoder's
states, because it reads spelling too and searches the best path. Its curves rest on states that saw
the answers, so they look surer than they are; the certificate rests on held-out examples alone.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from msgspec import json as msgspec_json
from torch import Tensor, nn

from shoal.errors import LearningError
from shoal.specialists.chain import tags_in
from shoal.specialists.fields import KIND, FieldsSpecialist, train_fields
from shoal.specialists.places import locate
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_encoder import encoder_arrays, tuned_encoder
from shoal.specialists.tuned_fields import TunedFields
from shoal.tasks import Contract, Field, FieldsContract, Input, Output
from shoal.tasks.contract import COPIED_KINDS, Scalar
from shoal.training.bert import Bert, kept_tensors, load, pooled
from shoal.training.guide import Guide
from shoal.training.loop import Learner, LoopOptions, fit
from shoal.training.split import validation_rows
from shoal.training.texts import TokenisedTexts, in_order

_LIGHT = next(recipe for recipe in KIND.recipes if recipe.name == "terms+encoder")
_IGNORED = -100  # what torch's cross-entropy leaves out
_LENGTH = 16.0  # a unit vector's numbers are small; the heads' would have to grow first

Values = dict[str, Scalar]


class FieldsTargets(Struct, frozen=True):
    """``tags``: for each text a tag a token (t,), 0 outside, then begin and inside of each of
    ``keys`` fields. ``values`` (n, heads): the number of each head's value; ``sizes`` (heads,)."""

    tags: list[np.ndarray]
    values: Tensor
    sizes: list[int]
    keys: int

    def part(self, rows: Sequence[int]) -> "FieldsTargets":
        """Those of some texts."""
        tags = [self.tags[row] for row in rows]
        return FieldsTargets(tags, self.values[list(rows)], self.sizes, self.keys)

    def padded(self, rows: Sequence[int]) -> Tensor:
        """Tags (b, t) of some texts; padding is ignored."""
        longest = max(len(self.tags[row]) for row in rows)
        found = np.full((len(rows), longest), _IGNORED, np.int64)
        for at, row in enumerate(rows):
            found[at, : len(self.tags[row])] = self.tags[row]
        return torch.from_numpy(found)


class FieldsLearner(Learner):
    """An encoder, a tag for each token, and a value for each head."""

    def __init__(
        self, encoder: Bert, texts: TokenisedTexts, targets: FieldsTargets, options: LoopOptions
    ) -> None:
        super().__init__()
        self.encoder, self.texts, self.targets = encoder, texts, targets
        self.lengths = texts.lengths
        self.tagger = nn.Linear(encoder.size.dim, 1 + 2 * targets.keys)
        self.heads = nn.ModuleList(nn.Linear(encoder.size.dim, size) for size in targets.sizes)
        self.validation: tuple[TokenisedTexts, FieldsTargets] | None = None
        told = hashlib.sha256(msgspec_json.encode([options, texts.ids, targets.sizes]))
        told.update(np.concatenate(targets.tags).tobytes() + targets.values.numpy().tobytes())
        self.identity = told.hexdigest()

    def loss(self, rows: list[int]) -> Tensor:
        """Cross-entropy of the tags, and of each head."""
        tags, values = self._logits(self.texts, rows)
        wanted = self.targets.padded(rows).to(self.device)
        total = nn.functional.cross_entropy(tags.flatten(0, 1), wanted.flatten())
        for column, logits in enumerate(values):
            said = self.targets.values[rows, column].to(self.device)
            total = total + nn.functional.cross_entropy(logits, said)
        return total

    def score(self) -> float | None:
        """Share of the validation part of which every tag and every value is right."""
        if self.validation is None:
            return None
        texts, targets = self.validation
        right = 0
        for rows in in_order(texts.lengths, 32):
            tags, values = self._logits(texts, rows)
            wanted = targets.padded(rows).to(self.device)
            good = ((tags.argmax(-1) == wanted) | (wanted == _IGNORED)).all(1)
            for column, logits in enumerate(values):
                good &= logits.argmax(-1) == targets.values[rows, column].to(self.device)
            right += int(good.sum())
        return right / len(texts)

    def _logits(self, texts: TokenisedTexts, rows: list[int]) -> tuple[Tensor, list[Tensor]]:
        ids, mask = texts.batch(rows, self.device)
        states = self.encoder(ids, mask)
        whole = _LENGTH * pooled(states, mask)
        return self.tagger(states).float(), [head(whole).float() for head in self.heads]


def tune_fields(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses,
    options: LoopOptions | None = None,
    folder: Path | None = None,
    show: bool = False,
    guide: Guide | None = None,
) -> TunedFields:
    """Fine-tune on inputs (n,) and reference outputs (n,), None where the reference breaks the
    contract. With ``folder`` training can be resumed.

    Raises:
        LearningError: no reference keeps the contract.
    """
    assert isinstance(contract, FieldsContract)
    options = options or LoopOptions(epochs=5)
    kept = [(i.text, o) for i, o in zip(inputs, outputs, strict=True) if isinstance(o, dict)]
    if not kept:
        raise LearningError("none of the reference answers keeps the contract: nothing to learn")
    texts, rows = [text for text, _ in kept], [row for _, row in kept]
    tokenised = TokenisedTexts(senses.encoder, texts)
    targets = targets_of(contract.fields, texts, rows, tokenised)
    validates = validation_rows(texts)
    held = set(validates)
    trains = [row for row in range(len(texts)) if row not in held]
    torch.manual_seed(options.seed)
    learner = FieldsLearner(
        load(senses.encoder.weights.architecture(), senses.encoder.weights.tensors()),
        TokenisedTexts(senses.encoder, [texts[row] for row in trains]),
        targets.part(trains),
        options,
    )
    if validates:
        validating = TokenisedTexts(senses.encoder, [texts[row] for row in validates])
        learner.validation = validating, targets.part(validates)
    if guide is not None:
        guide.attach(learner)
    fit(learner, options, folder, show)
    arrays = encoder_arrays(kept_tensors(learner.encoder, senses.encoder.weights))
    seen = Senses(tuned_encoder(senses, arrays))
    light = train_fields(contract, inputs, outputs, seen, _LIGHT).specialist
    assert isinstance(light, FieldsSpecialist)
    return TunedFields(light, arrays)


def targets_of(
    fields: Sequence[Field], texts: Sequence[str], rows: Sequence[Values], tokens: TokenisedTexts
) -> FieldsTargets:
    """What is to be learned of ``texts`` (n,) whose fields are ``rows`` (n,)."""
    copied = [field for field in fields if field.kind in COPIED_KINDS]
    closed = [field.name for field in fields if field.kind not in COPIED_KINDS]
    tags = []
    for text, row, offsets in zip(texts, rows, tokens.offsets, strict=True):
        found = locate(text, copied, row)
        places = [(at, p) for at, field in enumerate(copied) for p in found.get(field.name, ())]
        tags.append(tags_in(offsets, places))  # [CLS] and [SEP] cover nothing: outside
    values_of = [sorted({row[name] for row in rows}, key=repr) for name in closed]
    heads = [*zip(closed, values_of, strict=True)]
    values = [[known.index(row[name]) for name, known in heads] for row in rows]
    numbers = torch.tensor(values, dtype=torch.int64).reshape(len(rows), len(closed))
    return FieldsTargets(tags, numbers, [len(known) for known in values_of], len(copied))
