"""Fine-tuning for kind ``text``: the encoder, and decoders that write, trained together.

Every other time an example is drawn, one of its values is put in place of another's (``swapping``).
A part of the examples is held out, to learn how sure the drafts' own numbers make one; then all of
them train for some more epochs.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct, structs
from msgspec import json as msgspec_json
from torch import Tensor, nn

from shoal.errors import LearningError
from shoal.specialists.senses import Senses
from shoal.specialists.text import TextSpecialist, texts_of
from shoal.specialists.tuned_encoder import encoder_arrays
from shoal.specialists.writing.decoders import SHAPES
from shoal.specialists.writing.pieces import Source, pooling
from shoal.specialists.writing.sureness import Sureness
from shoal.specialists.writing.vocabulary import Vocabulary
from shoal.tasks import Contract, Input, Output
from shoal.training.bert import Bert, kept_tensors, load
from shoal.training.guide import Guide
from shoal.training.loop import Learner, LoopOptions, fit
from shoal.training.split import validation_rows
from shoal.training.swapping import Swapper
from shoal.training.texts import TokenisedTexts, in_order
from shoal.training.writing import Decoder, Example, Targets, WriterSizes, targets

MOST_WORD_PIECES = 256  # that the encoder reads, [CLS] and [SEP] included
MOST_UNITS = 400  # that are written for one answer
_LEAST = 30  # examples
_STEPS = 1_500  # of one batch, about: more epochs where examples are few
_MOST_VALIDATE = 300


class TextOptions(Struct, frozen=True):
    """``blank``: the share of units written before that are not told. ``swaps``: the share of
    examples in which a value is swapped. ``whole``: epochs in which all examples train, as a share
    of the others. ``least``: see ``Vocabulary.learn``."""

    loop: LoopOptions = LoopOptions(rate=3e-4, head_rate=2e-3, average=0.995, patience=1_000)
    epochs: int = 0  # 0: by the number of examples
    sizes: WriterSizes = WriterSizes()
    dropout: float = 0.2
    blank: float = 0.1
    swaps: float = 0.5
    smoothing: float = 0.0
    whole: float = 0.15
    least: int = 12

    def epochs_of(self, examples: int) -> int:
        """How many epochs so many examples take."""
        fitting = round(_STEPS * self.loop.batch / max(1, examples))
        return self.epochs or min(60, max(6, fitting))


class TextLearner(Learner):
    """An encoder and decoders for ``examples`` (n,)."""

    def __init__(
        self,
        encoder: Bert,
        senses: Senses,
        vocabulary: Vocabulary,
        examples: Sequence[Example],
        options: TextOptions,
    ) -> None:
        super().__init__()
        self.encoder, self.options, self.senses = encoder, options, senses
        self.decoders = nn.ModuleList(
            Decoder(len(vocabulary), encoder.size.dim, options.sizes, options.dropout)
            for _ in range(options.sizes.decoders)
        )
        self.validation: list[Example] = []
        self.teach(examples, "")

    def teach(self, examples: Sequence[Example], stage: str) -> None:
        """Learn these from now on."""
        self.examples = list(examples)
        self.swapper = Swapper(self.examples)
        self.tokenised = TokenisedTexts(self.senses.encoder, [e.source.text for e in examples])
        # Of a batch the longest output counts: an LSTM takes as long for a step of one as of all.
        self.lengths = self.tokenised.lengths + 3 * np.array([len(e.units) for e in self.examples])
        said = [[list(unit) for unit in e.units] for e in self.examples]
        told = [stage, self.options, self.tokenised.ids, said]
        self.identity = hashlib.sha256(msgspec_json.encode(told)).hexdigest()

    def loss(self, rows: list[int]) -> Tensor:
        """The mean of the decoders' cross-entropies, per output."""
        drawn, texts = [self.examples[row] for row in rows], self.tokenised
        if self.options.swaps:
            swaps = torch.rand(len(rows)) < self.options.swaps
            drawn = [
                self.swapper.swapped(row, each, _below) if swap else each
                for row, each, swap in zip(rows, drawn, swaps.tolist(), strict=True)
            ]
            texts = TokenisedTexts(self.senses.encoder, [each.source.text for each in drawn])
            rows = list(range(len(drawn)))
        said, real = self._judged(drawn, texts, rows)
        count = real.sum()
        return -(said[:, 0] * real).sum() / count / said.shape[0] * 4

    def score(self) -> float | None:
        """Share of the validation part that the decoders, on average, would write word for word;
        ties decided by the likelihood."""
        if not self.validation:
            return None
        texts = TokenisedTexts(self.senses.encoder, [e.source.text for e in self.validation])
        right = likely = 0.0
        for rows in in_order(texts.lengths, 32):
            said, real = self._judged([self.validation[row] for row in rows], texts, rows)
            whole = ((said[:, 1] > 0) | ~real).all(2).float().mean(0)
            right += float(whole.sum())
            likely += float((said[:, 0] * real).sum() / said.shape[0])
        return (right + 1e-3 * likely) / len(self.validation)

    def _judged(
        self, examples: Sequence[Example], texts: TokenisedTexts, rows: list[int]
    ) -> tuple[Tensor, Tensor]:
        """(k, 2, b, t) as the decoders have it, and which are real (b, t)."""
        ids, mask = texts.batch(rows, self.device)
        most = max(1, *(len(example.source) for example in examples))
        pool = np.zeros((len(rows), most, ids.shape[1]), np.float32)
        for at, (row, example) in enumerate(zip(rows, examples, strict=True)):
            each = pooling(example.source.spans, texts.offsets[row])
            pool[at, : each.shape[0], : each.shape[1]] = each
        pools = torch.from_numpy(pool).to(self.device)
        states = self.encoder(ids, mask).float()
        words = pools @ states
        inside = torch.zeros(len(rows), most, dtype=torch.bool)
        for at, example in enumerate(examples):
            inside[at, : len(example.source)] = True
        given = Targets(*(each.to(self.device) for each in targets(examples, most)))
        blank = torch.zeros_like(given.before, dtype=torch.bool)
        if self.training and self.options.blank:
            blank = torch.rand(blank.shape, device=self.device) < self.options.blank
        inside = inside.to(self.device)
        said = torch.stack([decoder(words, inside, given, blank) for decoder in self.decoders])
        return said, given.real


def _below(most: int) -> int:
    return int(torch.randint(most, (1,)))


def tune_text(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses,
    options: TextOptions | None = None,
    folder: Path | None = None,
    show: bool = False,
    guide: Guide | None = None,
) -> TextSpecialist:
    """Fine-tune on inputs (n,) and reference outputs (n,), None where the reference breaks the
    contract. Inputs of more than 256 word pieces are left out. With ``folder`` training can be
    resumed.

    Raises:
        LearningError: too few examples are left.
    """
    options = options or TextOptions()
    given, said = _usable(contract, inputs, outputs, senses)
    vocabulary = Vocabulary.learn([*map(Source, given)], said, options.least)
    given, said, examples = _written(given, said, vocabulary)
    validates = set(validation_rows(given, one_in=10, few=100)[:_MOST_VALIDATE])
    trains = [example for row, example in enumerate(examples) if row not in validates]
    epochs = options.epochs_of(len(trains))
    loop = structs.replace(options.loop, epochs=epochs)
    torch.manual_seed(loop.seed)
    weights = senses.encoder.weights
    learner = TextLearner(
        load(weights.architecture(), weights.tensors()), senses, vocabulary, trains, options
    )
    learner.validation = [examples[row] for row in sorted(validates)]
    if guide is not None:
        guide.attach(learner)
    fit(learner, loop, folder, show)
    longest = 10 + round(1.5 * max(len(example.units) for example in examples))
    first = _specialist(contract, learner, vocabulary, longest, Sureness(), senses)
    rows = sorted(validates)
    sureness = first.learned([given[row] for row in rows], [said[row] for row in rows])
    if validates and options.whole:
        learner.teach(examples, "whole")
        learner.validation = []
        more = structs.replace(
            loop,
            epochs=max(1, round(epochs * options.whole)),
            rate=loop.rate / 3,
            head_rate=loop.head_rate / 3,
        )
        fit(learner, more, folder and folder / "whole", show)
    return _specialist(contract, learner, vocabulary, longest, sureness, senses)


def _usable(
    contract: Contract, inputs: Sequence[Input], outputs: Sequence[Output | None], senses: Senses
) -> tuple[list[str], list[str]]:
    """The texts of inputs and outputs that can be learned from."""
    pairs = [
        (given.text, said)
        for given, said in zip(inputs, texts_of(contract, outputs), strict=True)
        if said is not None and Source(given.text).spans
    ]
    if pairs:
        lengths = senses.encoder.lengths([text for text, _ in pairs])
        pairs = [p for p, n in zip(pairs, lengths, strict=True) if n < MOST_WORD_PIECES]
    _require(len(pairs))
    return [text for text, _ in pairs], [said for _, said in pairs]


def _written(
    given: Sequence[str], said: Sequence[str], vocabulary: Vocabulary
) -> tuple[list[str], list[str], list[Example]]:
    """Those that are not too long, and what they are to train."""
    found = []
    for text, output in zip(given, said, strict=True):
        source = Source(text)
        units = vocabulary.encode(source, output)
        if units is not None and len(units) <= MOST_UNITS:
            found.append((text, output, Example(source, units)))
    _require(len(found))
    return [f[0] for f in found], [f[1] for f in found], [f[2] for f in found]


def _require(count: int) -> None:
    if count < _LEAST:
        raise LearningError(
            f"{count} answers can be learned from: writing takes {_LEAST} at least, none empty, "
            f"none of more than {MOST_UNITS} units, and inputs of fewer than {MOST_WORD_PIECES} "
            "word pieces"
        )


def _specialist(
    contract: Contract,
    learner: TextLearner,
    vocabulary: Vocabulary,
    longest: int,
    sureness: Sureness,
    senses: Senses,
) -> TextSpecialist:
    each = [decoder.arrays() for decoder in learner.decoders]
    arrays = {name: np.stack([one[name] for one in each]).astype(np.float16) for name in SHAPES}
    arrays |= encoder_arrays(kept_tensors(learner.encoder, senses.encoder.weights))
    return TextSpecialist(contract, arrays, vocabulary, longest, sureness, senses)
