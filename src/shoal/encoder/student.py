"""A student: an encoder with layers, heads or inner numbers taken out of another.

What is left is the teacher's, unchanged; it has to be healed by training before it is of use.
Layers are evenly spaced, the first and the last among them (Sanh et al. 2019 take every other one).
Heads and inner numbers are chosen by their magnitude, the product of the norms of what leads in and
of what leads out (as Li et al. 2017 choose filters), as many of each layer; no gradient is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shoal.encoder.tuned import WORDS
from shoal.encoder.weights import Architecture, Array
from shoal.errors import LearningError

_SELF = ("query", "key", "value")


@dataclass(frozen=True)
class Cut:
    """What is left: ``layers`` (0: all), shares of each layer's ``heads`` and inner numbers
    (``feed_forward``)."""

    layers: int = 0
    heads: float = 1.0
    feed_forward: float = 1.0


def student(size: Architecture, tensors: Mapping[str, Array], cut: Cut) -> dict[str, Array]:
    """The tensors of the student by their published names, without word vectors: those stay.

    Raises:
        LearningError: the teacher has not as many layers, or nothing would be left.
    """
    layers = cut.layers or size.layers
    if not 1 <= layers <= size.layers:
        raise LearningError(f"{layers} layers: the encoder has {size.layers}")
    for name, share in (("heads", cut.heads), ("feed-forward", cut.feed_forward)):
        if not 0 < share <= 1:
            raise LearningError(f"{name}: a share over 0, at most 1, not {share}")
    found = {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith("embeddings.") and name != WORDS
    }
    for new, old in enumerate(spaced(size.layers, layers)):
        for name, tensor in _layer(size, tensors, old, cut).items():
            found[f"encoder.layer.{new}.{name}"] = tensor
    return found


def spaced(of: int, count: int) -> list[int]:
    """``count`` of the layers 0 … ``of`` - 1, evenly spaced.

    >>> spaced(6, 3), spaced(6, 1), spaced(12, 6)
    ([0, 2, 5], [5], [0, 2, 4, 7, 9, 11])
    """
    if count == 1:
        return [of - 1]
    return [(2 * at * (of - 1) + count - 2) // (2 * (count - 1)) for at in range(count)]


def _layer(
    size: Architecture, tensors: Mapping[str, Array], number: int, cut: Cut
) -> dict[str, Array]:
    start = f"encoder.layer.{number}."
    layer = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
    if cut.heads < 1:
        kept = _columns(_heaviest(_head_weights(size, layer), cut.heads), size.head_width)
        for part in _SELF:
            for end in ("weight", "bias"):
                layer[f"attention.self.{part}.{end}"] = layer[f"attention.self.{part}.{end}"][kept]
        layer["attention.output.dense.weight"] = layer["attention.output.dense.weight"][:, kept]
    if cut.feed_forward < 1:
        inner, outer = layer["intermediate.dense.weight"], layer["output.dense.weight"]
        weights = np.linalg.norm(inner, axis=1) * np.linalg.norm(outer, axis=0)
        kept = _heaviest(weights, cut.feed_forward)
        layer["intermediate.dense.weight"] = inner[kept]
        layer["intermediate.dense.bias"] = layer["intermediate.dense.bias"][kept]
        layer["output.dense.weight"] = outer[:, kept]
    return layer


def _head_weights(size: Architecture, layer: Mapping[str, Array]) -> Array:
    """Of each head (h,): what it reads times what it adds."""
    value = layer["attention.self.value.weight"].reshape(size.heads, -1)
    output = layer["attention.output.dense.weight"].T.reshape(size.heads, -1)
    return np.asarray(np.linalg.norm(value, axis=1) * np.linalg.norm(output, axis=1))


def _heaviest(weights: Array, share: float) -> np.ndarray:
    """Places (k,), rising, of that share of the greatest; at least one."""
    count = max(1, round(share * len(weights)))
    return np.sort(np.argsort(-weights, kind="stable")[:count])


def _columns(heads: np.ndarray, width: int) -> np.ndarray:
    return (heads[:, None] * width + np.arange(width)).reshape(-1)
