"""An encoder that was trained further: the published one, with other tensors in place of its own.

Tokenizer, sizes and every tensor that training left alone stay where they were published, so what
is kept of a fine-tuned encoder is only what differs.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal.encoder.weights import Array, Weights


@dataclass(frozen=True)
class TunedWeights(Weights):
    """``folder`` with ``replaced``: tensors of any float type under their published names."""

    replaced: Mapping[str, Any]

    def digest(self) -> str:
        """sha256 over the published files and every replaced tensor."""
        total = hashlib.sha256(super().digest().encode())
        for name in sorted(self.replaced):
            tensor = np.ascontiguousarray(self.replaced[name])
            total.update(f"\0{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
            total.update(tensor.data)
        return total.hexdigest()

    def tensors(self) -> dict[str, Array]:
        """Every tensor, float32: the replaced ones, else the published ones."""
        # Copies: the conversion changes some in place.
        replaced = {name: np.array(tensor, np.float32) for name, tensor in self.replaced.items()}
        return super().tensors() | replaced
