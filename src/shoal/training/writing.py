"""The decoders of ``specialists.writing`` with gradients, and what they learn from.

Teacher forcing (Williams & Zipser 1989): nothing of a step hangs on what the step before decided,
so each LSTM runs over a whole output at once. An output's probability sums over all ways to write
each unit: by its id, and by copying any word in any form that gives it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn

from shoal.specialists.writing.decoders import Floats
from shoal.specialists.writing.pieces import FORMS, Source
from shoal.specialists.writing.vocabulary import END, START, Unit
from shoal.training.bert import Dropout

_NEVER = -1e9
_LEAST_LIKELY = 1e-30  # probability: less has no logarithm in float32


class WriterSizes(Struct, frozen=True):
    """Of each of ``decoders``: see ``SHAPES``."""

    decoders: int = 3
    embedding: int = 128
    hidden: int = 256
    out: int = 192


class Example(NamedTuple):
    """An input and the units of its output, without START and END."""

    source: Source
    units: list[Unit]


class Targets(NamedTuple):
    """For b outputs of at most t units, END included, of inputs of at most s words."""

    before: Tensor  # (b, t) ids of what was written before; END for a piece that is no unit
    read: Tensor  # (b, t, s) the words it may have been copied from, weighted
    ids: Tensor  # (b, t) ids of what is written, -1 if it can only be copied
    copies: Tensor  # (m, 4): row, place, word and form of every copy that writes what is there
    real: Tensor  # (b, t) bool, False for padding


def targets(examples: Sequence[Example], words: int) -> Targets:
    """What is to be learned of ``examples`` whose inputs have at most so many words."""
    b, t = len(examples), 1 + max(len(example.units) for example in examples)
    before, ids = np.full((b, t), START, np.int64), np.full((b, t), END, np.int64)
    read = np.zeros((b, t, words), np.float32)
    copies: list[tuple[int, int, int, int]] = []
    real = np.zeros((b, t), bool)
    for row, (source, units) in enumerate(examples):
        real[row, : len(units) + 1] = True
        for at, unit in enumerate(units):
            ids[row, at] = unit.id
            before[row, at + 1] = unit.id if unit.id >= 0 else END
            copies += ((row, at, word, form) for word, form in source.places.get(unit.text, ()))
            reads = source.read(unit.text)
            if reads:
                read[row, at + 1, reads] = 1 / len(reads)
    placed = np.array(copies, np.int64).reshape(-1, 4)
    return Targets(*map(torch.from_numpy, (before, read, ids, placed, real)))


class Decoder(nn.Module):
    """One decoder for a vocabulary of so many units over an encoder's states of size ``dim``."""

    def __init__(self, units: int, dim: int, sizes: WriterSizes, dropout: float) -> None:
        super().__init__()
        d, e, o = sizes.hidden, sizes.embedding, sizes.out
        self.embedding = nn.Embedding(units, e)
        self.memory = nn.Linear(dim, d, bias=False)
        self.begin = nn.Linear(dim, 2 * d, bias=False)
        self.read = nn.Linear(d, e, bias=False)
        self.first = nn.LSTM(e, d, batch_first=True)
        self.second = nn.LSTM(2 * d, d, batch_first=True)
        self.look_first = nn.Linear(d, d, bias=False)
        self.look_second = nn.Linear(d, d, bias=False)
        self.out = nn.Linear(3 * d, o)
        self.units = nn.Linear(o, units)
        self.point = nn.Linear(o, d, bias=False)
        self.forms = nn.Linear(o, FORMS, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor, given: Targets, blank: Tensor) -> Tensor:
        """Log-probabilities (b, t) of what is written, and whether it was the likeliest, stacked
        (2, b, t). ``states`` (b, s, n) of words, ``mask`` (b, s); where ``blank`` (b, t) what was
        written before is not told."""
        states = self.dropout(states)
        memory = torch.tanh(self.memory(states))  # (b, s, d)
        share = mask / mask.sum(1, keepdim=True).clamp(min=1)
        mean = (states * share[:, :, None]).sum(1)
        h1, h2 = torch.tanh(self.begin(mean))[None].float().chunk(2, dim=2)
        zero = torch.zeros_like(h1)
        before = torch.where(blank, END, given.before)
        x = self.embedding(before) + self.read(given.read.to(memory.dtype) @ memory)
        first, _ = self.first(self.dropout(x).float(), (h1.contiguous(), zero))
        seen1 = self._attend(self.look_first(first), memory, mask)
        both = self.dropout(torch.cat([first, seen1.float()], 2))
        second, _ = self.second(both, (h2.contiguous(), zero))
        seen2 = self._attend(self.look_second(second), memory, mask)
        seen = torch.cat([second, seen1.float(), seen2.float()], 2)
        return self._judged(torch.tanh(self.out(self.dropout(seen))), memory, mask, given)

    def _attend(self, query: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        scores = (query.to(memory.dtype) @ memory.transpose(1, 2)).float() / memory.shape[2] ** 0.5
        scores = scores.masked_fill(~mask[:, None], _NEVER)
        found: Tensor = torch.softmax(scores, -1).to(memory.dtype) @ memory
        return found

    def _judged(self, out: Tensor, memory: Tensor, mask: Tensor, given: Targets) -> Tensor:
        units = self.units(self.dropout(out)).float()
        units[:, :, START] = _NEVER
        point = (self.point(out).to(memory.dtype) @ memory.transpose(1, 2)).float()
        words = (point / memory.shape[2] ** 0.5).masked_fill(~mask[:, None], _NEVER)
        forms = torch.log_softmax(self.forms(out).float(), -1)  # (b, t, f)
        total = torch.logsumexp(torch.cat([units, words], 2), -1)
        row, at, word, form = given.copies.unbind(1)
        each = (words[row, at, word] + forms[row, at, form] - total[row, at]).exp()
        copied = torch.zeros_like(total).flatten().index_add(0, row * total.shape[1] + at, each)
        named = units.gather(2, given.ids.clamp(min=0)[:, :, None])[:, :, 0] - total
        named = named.exp() * (given.ids >= 0)
        said = (named + copied.view_as(total)).clamp(min=_LEAST_LIKELY).log()
        with torch.no_grad():  # as near as matters: the likeliest copy in one form of one word
            copy = words.max(-1).values + forms.max(-1).values
            rival = torch.maximum(units.max(-1).values, copy) - total
            likeliest = said >= rival - 1e-4
        return torch.stack([said, likeliest.to(said.dtype)])

    def arrays(self) -> dict[str, Floats]:
        """As ``SHAPES`` has them, without the first axis."""

        def turned(layer: nn.Linear) -> Tensor:
            return layer.weight.T

        def gates(lstm: nn.LSTM) -> tuple[Tensor, Tensor]:
            weight = torch.cat([lstm.weight_ih_l0, lstm.weight_hh_l0], 1).T
            return weight, lstm.bias_ih_l0 + lstm.bias_hh_l0

        first, second = gates(self.first), gates(self.second)
        found = {
            "embedding": self.embedding.weight,
            "memory": turned(self.memory),
            "begin": turned(self.begin),
            "read": turned(self.read),
            "first": first[0],
            "first_bias": first[1],
            "second": second[0],
            "second_bias": second[1],
            "look_first": turned(self.look_first),
            "look_second": turned(self.look_second),
            "out": turned(self.out),
            "out_bias": self.out.bias,
            "units": turned(self.units),
            "units_bias": self.units.bias,
            "point": turned(self.point),
            "forms": turned(self.forms),
        }
        return {name: tensor.detach().float().cpu().numpy() for name, tensor in found.items()}
