"""The encoder as a torch module: what ``shoal.encoder`` serves in int8, here with gradients.

Written out, without transformers: the one architecture that ``shoal.encoder`` can serve is a
hundred lines, tensors keep their published names, and an import costs 1 s instead of 5.

Attention is written as two matrix products: in bfloat16 on a CPU that was 2.4 times as fast as
torch's own fused attention. What it does not know: token types (a text is all of type 0, and the
vector of type 0 is part of the positions', as in ``encoder.conversion``).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shoal.encoder.weights import Architecture, Array, Weights

_NORMS = (("norm_attended", "attention.output.LayerNorm"), ("norm_outer", "output.LayerNorm"))
_LINEARS = (
    ("attended", "attention.output.dense"),
    ("inner", "intermediate.dense"),
    ("outer", "output.dense"),
)
_SELF = ("query", "key", "value")


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) with a share rounded to 1/256: a random byte a number.

    torch's own draws a random float for each, which took 30 % of a training step on a CPU.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.cut = round(256 * share)

    def forward(self, values: Tensor) -> Tensor:
        """``values`` of any shape; in training some are 0 and the others grow to make up."""
        if not self.training or self.cut == 0:
            return values
        count = values.numel()
        words = torch.empty((count + 7) // 8, dtype=torch.int64, device=values.device)
        words.random_(-(2**63), None)  # all 64 bits
        kept = words.view(torch.uint8)[:count].view(values.shape) >= self.cut
        return values * kept.to(values.dtype).mul_(256 / (256 - self.cut))


class Block(nn.Module):
    """One layer: attention, then a feed-forward part, each added to what came in and normalised."""

    def __init__(self, size: Architecture, dropout: float) -> None:
        super().__init__()
        self.heads, self.width = size.heads, size.head_width
        inside = size.heads * size.head_width  # ``dim``, but where heads were taken out
        self.qkv = nn.Linear(size.dim, 3 * inside)  # query, key and value in one product
        self.attended = nn.Linear(inside, size.dim)
        self.norm_attended = nn.LayerNorm(size.dim, size.norm_epsilon)
        self.inner = nn.Linear(size.dim, size.feed_forward)
        self.outer = nn.Linear(size.feed_forward, size.dim)
        self.norm_outer = nn.LayerNorm(size.dim, size.norm_epsilon)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """``states`` (b, t, d) and ``bias`` (b, 1, 1, t), 0 or very small for padding."""
        states = self.norm_attended(states + self.dropout(self._attend(states, bias)))
        inner = nn.functional.gelu(self.inner(states))
        found: Tensor = self.norm_outer(states + self.dropout(self.outer(inner)))
        return found

    def _attend(self, states: Tensor, bias: Tensor) -> Tensor:
        b, t, _ = states.shape
        qkv = self.qkv(states).view(b, t, 3, self.heads, self.width)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (b, heads, t, width)
        weights = query @ key.transpose(-1, -2) / math.sqrt(self.width)
        weights = self.dropout(torch.softmax(weights + bias, dim=-1))
        mixed = (weights @ value).transpose(1, 2).reshape(b, t, self.heads * self.width)
        found: Tensor = self.attended(mixed)
        return found


class Bert(nn.Module):
    """The encoder of ``size``. Its word vectors stay as published: of all its numbers the half,
    and seldom-used rows would drift apart from the rest."""

    def __init__(self, size: Architecture, dropout: float = 0.1) -> None:
        super().__init__()
        self.size = size
        self.words = nn.Embedding(size.vocabulary, size.dim)
        self.words.weight.requires_grad_(False)
        self.positions = nn.Embedding(size.positions, size.dim)
        self.norm = nn.LayerNorm(size.dim, size.norm_epsilon)
        self.layers = nn.ModuleList(Block(size, dropout) for _ in range(size.layers))
        self.dropout = Dropout(dropout)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """``ids`` (b, t) int64, ``mask`` (b, t) bool, False for padding -> states (b, t, d)."""
        states = self.words(ids) + self.positions.weight[: ids.shape[1]]
        states = self.dropout(self.norm(states))
        bias = torch.zeros(mask.shape, dtype=states.dtype, device=ids.device)
        bias = bias.masked_fill(~mask, -1e4)[:, None, None, :]
        for layer in self.layers:
            states = layer(states, bias)
        return states

    def depth(self, name: str) -> int:
        """How many layers lie above the parameter of that name: the embeddings have them all."""
        parts = name.split(".")
        return len(self.layers) - (int(parts[1]) + 1 if parts[0] == "layers" else 0)


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """Unit rows (b, d) float32: the mean over all tokens of ``states`` (b, t, d), as served."""
    total = (states.float() * mask[:, :, None]).sum(1)
    return nn.functional.normalize(total, dim=-1)


def load(size: Architecture, tensors: Mapping[str, Array], dropout: float = 0.1) -> Bert:
    """The module with the published tensors."""
    model = Bert(size, dropout)

    def put(target: Tensor, *names: str) -> None:
        parts = [torch.from_numpy(tensors[name].copy()) for name in names]
        target.copy_(torch.cat(parts) if len(parts) > 1 else parts[0])

    with torch.no_grad():
        table = "embeddings.{}_embeddings.weight"
        put(model.words.weight, table.format("word"))
        put(model.positions.weight, table.format("position"))
        model.positions.weight += torch.from_numpy(tensors[table.format("token_type")][0])
        put(model.norm.weight, "embeddings.LayerNorm.weight")
        put(model.norm.bias, "embeddings.LayerNorm.bias")
        for number, layer in enumerate(model.layers):
            start = f"encoder.layer.{number}"
            for part in ("weight", "bias"):
                names = [f"{start}.attention.self.{name}.{part}" for name in _SELF]
                put(layer.qkv.get_parameter(part), *names)
                for own, published in (*_LINEARS, *_NORMS):
                    target = layer.get_submodule(own).get_parameter(part)
                    put(target, f"{start}.{published}.{part}")
    return model


def tuned_tensors(model: Bert) -> dict[str, Array]:
    """What was trained, under the published names, float32: all but the word vectors.

    Positions hold the vector of token type 0, so the types' own are zero.
    """
    size, table = model.size, "embeddings.{}_embeddings.weight"
    found: dict[str, Tensor] = {
        table.format("position"): model.positions.weight,
        table.format("token_type"): torch.zeros(size.token_types, size.dim),
        "embeddings.LayerNorm.weight": model.norm.weight,
        "embeddings.LayerNorm.bias": model.norm.bias,
    }
    for number, layer in enumerate(model.layers):
        start = f"encoder.layer.{number}"
        for part in ("weight", "bias"):
            thirds = layer.qkv.get_parameter(part).chunk(3)
            for name, third in zip(_SELF, thirds, strict=True):
                found[f"{start}.attention.self.{name}.{part}"] = third
            for own, published in (*_LINEARS, *_NORMS):
                found[f"{start}.{published}.{part}"] = layer.get_submodule(own).get_parameter(part)
    return {name: tensor.detach().float().cpu().clone().numpy() for name, tensor in found.items()}


def kept_tensors(model: Bert, start: Weights) -> dict[str, Any]:
    """What a specialist keeps of an encoder that was trained from ``start``: what was trained, and
    the word pieces that were left, where not all were."""
    return tuned_tensors(model) | start.own_words()
