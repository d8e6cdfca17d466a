"""An adapter: how questions to one collection are read, over an encoder that stays as it is.

    q' = unit(q + q @ down @ up)

Only the question's vector is moved, by a map of low rank, so no passage is encoded again and every
index stays as it is. With ``words`` it also has the collection's own weight of words against
meaning. A question costs two thin products more: microseconds.

What it does not know: whether it is any better than nothing; that is ``gain``'s to prove.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from shoal.errors import ArtifactError
from shoal.retrieval.fusion import WORDS, Fusion

Floats = NDArray[np.float32]


class Adapter:
    """``down`` (d, r) and ``up`` (r, d), float32, and the weight of ``words``, 0 to 1.

    Raises:
        ValueError: shapes that do not fit, numbers that are none, or a weight outside 0 to 1.
    """

    def __init__(self, down: Floats, up: Floats, words: float = WORDS) -> None:
        if down.ndim != 2 or down.shape != up.shape[::-1]:
            raise ValueError(f"down {down.shape} and up {up.shape}: expected (d, r) and (r, d)")
        if not (np.isfinite(down).all() and np.isfinite(up).all()):
            raise ValueError("an adapter has numbers that are not finite")
        self.down, self.up = down.astype(np.float32), up.astype(np.float32)
        self.fusion = Fusion(words=words)

    @property
    def dim(self) -> int:
        """Length of the vectors that it reads."""
        return int(self.down.shape[0])

    def apply(self, vectors: Floats) -> Floats:
        """Unit vectors (n, d) or (d,) of questions -> those to search with, of the same shape."""
        moved = vectors + vectors @ self.down @ self.up
        lengths = np.linalg.norm(moved, axis=-1, keepdims=True)
        unit: Floats = (moved / np.maximum(lengths, 1e-12)).astype(np.float32)
        return unit

    def packed(self) -> bytes:
        """As safetensors."""
        words = np.array([self.fusion.words], np.float64)
        arrays = {"down": self.down, "up": self.up, "words": words}
        return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    @classmethod
    def unpacked(cls, data: bytes) -> "Adapter":
        """Of ``packed()``.

        Raises:
            ArtifactError: it is nothing of the kind.
        """
        try:
            arrays = load(data)
            return cls(arrays["down"], arrays["up"], float(arrays["words"][0]))
        except (SafetensorError, KeyError, ValueError, IndexError) as error:
            raise ArtifactError(f"this is no adapter: {error}") from error


def digest_of(data: bytes) -> str:
    """64 hex digits of what was packed."""
    return hashlib.sha256(data).hexdigest()
