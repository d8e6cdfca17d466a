"""An encoder that was trained further: the published one, with other tensors in place of its own.

Tokenizer, sizes and every tensor that training left alone stay where they were published, so what
is kept of a fine-tuned encoder is only what differs. A student has fewer layers, heads or word
pieces, which its tensors tell: those of a layer that is not among them are not read.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from shoal.encoder.vocabulary import kept_pieces
from shoal.encoder.weights import Architecture, Array, Weights
from shoal.errors import ArtifactError

PIECES = "pieces"
"""Of a student that knows fewer word pieces: their published numbers, rising, in the place of a
tensor."""
SCALES = "#scales"
"""Ends the name of an int8 matrix's scales, one a row: a number is ``int8 / scale``."""
WORDS = "embeddings.word_embeddings.weight"
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")


@dataclass(frozen=True)
class TunedWeights(Weights):
    """``folder`` with ``replaced``: tensors of any float type, or int8 with scales, under their
    published names."""

    replaced: Mapping[str, Any]

    def digest(self) -> str:
        """sha256 over the published files and every replaced tensor."""
        total = hashlib.sha256(super().digest().encode())
        for name in sorted(self.replaced):
            tensor = np.ascontiguousarray(self.replaced[name])
            total.update(f"\0{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
            total.update(tensor.data)
        return total.hexdigest()

    def tokenizer(self) -> bytes:
        """The published one, of the word pieces that are left."""
        kept = self.replaced.get(PIECES)
        return super().tokenizer() if kept is None else kept_pieces(super().tokenizer(), kept)

    def architecture(self) -> Architecture:
        """The published sizes, where the tensors are not of others.

        Raises:
            ArtifactError: they belong to no encoder of this family.
        """
        return self._architecture

    @cached_property
    def _architecture(self) -> Architecture:
        size = super().architecture()
        layers = {int(found[1]) for name in self.replaced if (found := _LAYER.match(name))}
        if layers and layers != set(range(len(layers))):
            raise ArtifactError("the specialist's encoder lacks a layer: train it again")
        first = "encoder.layer.0."
        query = self.replaced.get(f"{first}attention.self.query.bias")
        inner = self.replaced.get(f"{first}intermediate.dense.bias")
        kept = self.replaced.get(PIECES)
        heads = size.heads if query is None else len(query) // size.head_width
        return replace(
            size,
            layers=len(layers) or size.layers,
            heads=heads,
            feed_forward=size.feed_forward if inner is None else len(inner),
            vocabulary=size.vocabulary if kept is None else len(kept),
            pruned_head_width=0 if heads == size.heads else size.head_width,
        )

    def own_words(self) -> dict[str, Any]:
        """The word pieces that are left and their vectors; nothing where all are."""
        if PIECES not in self.replaced:
            return {}
        return {PIECES: self.replaced[PIECES], WORDS: self.tensors()[WORDS]}

    def tensors(self) -> dict[str, Array]:
        """Every tensor, float32: the replaced ones, else the published ones."""
        # Copies: the conversion changes some in place.
        replaced = {
            name: self._number(name, tensor)
            for name, tensor in self.replaced.items()
            if name != PIECES and not name.endswith(SCALES)
        }
        return super().tensors() | replaced

    def _number(self, name: str, tensor: Any) -> Array:
        numbers = np.array(tensor, np.float32)
        if tensor.dtype == np.int8:
            numbers /= np.asarray(self.replaced[name + SCALES], np.float32)[:, None]
        return numbers
