"""A tuned specialist's files, packed: matrices in int8, word pieces that its task never used left
out. No training is needed for either: the int8 numbers are those it is served with anyway, and word
vectors are never trained, so those that training did not read may go.

A word whose pieces are gone is put together from shorter ones; so answers to such inputs may
change, and what was packed is certified as a new specialist.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from shoal.encoder.tuned import PIECES, SCALES, WORDS, TunedWeights
from shoal.encoder.vocabulary import needed
from shoal.errors import LearningError
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_encoder import encoder_of, under_encoder

_TERMS = "weights"  # of the machine over words: its greatest array


class Packing(Struct, frozen=True):
    """``int8``: matrices are kept in int8. ``common`` word pieces stay beside those that occur in
    the training texts (0: all stay)."""

    int8: bool = True
    common: int = 0

    @property
    def name(self) -> str:
        """As cards have it: "int8+fewer-pieces"."""
        parts = ["int8"] if self.int8 else []
        return "+".join(parts + (["fewer-pieces"] if self.common else []))


def packed(
    arrays: Mapping[str, Any], packing: Packing, senses: Senses, texts: Sequence[str]
) -> dict[str, Any]:
    """A specialist's arrays, packed; ``texts`` are those it was trained on.

    Raises:
        LearningError: it has no encoder of its own, or is packed already.
    """
    own = encoder_of(dict(arrays))
    if not own:
        raise LearningError("it has no encoder of its own: there is nothing to make smaller")
    if any(name.endswith(SCALES) or name == PIECES for name in own):
        raise LearningError("it is packed already")
    weights = TunedWeights(senses.encoder.weights.folder, own)
    if packing.common:
        seen = {piece for ids, _ in senses.encoder.pieces(texts) for piece in ids}
        kept = needed(weights.tokenizer(), seen, packing.common)
        words = weights.tensors()[WORDS][kept]
        own |= {PIECES: kept, WORDS: words.astype(np.float16)}
    rest = {name: array for name, array in arrays.items() if name not in under_encoder(own)}
    if packing.int8:
        own = in_int8(own)
        if _TERMS in rest:
            rest[_TERMS] = rest[_TERMS].astype(np.float16)
    return rest | under_encoder(own)


def in_int8(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Float tensors under their published names, matrices in int8 with a scale a row, as they are
    served: what was quantised so comes to the same int8 again, so no answer changes. Position
    vectors, norms and biases are served as they are, and stay float16.
    """
    found: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if name == PIECES or tensor.ndim != 2 or "position" in name or "token_type" in name:
            found[name] = tensor if name == PIECES else tensor.astype(np.float16)
            continue
        rows = tensor.astype(np.float32)
        greatest = np.abs(rows).max(1)
        scales = (127 / np.where(greatest == 0, 127, greatest)).astype(np.float32)
        found[name] = np.rint(rows * scales[:, None]).astype(np.int8)
        found[name + SCALES] = scales
    return found
