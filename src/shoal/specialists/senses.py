"""What the encoder gives to specialists: a vector a text, and states a token.

Vectors of recent texts are remembered, because one message is often put through several tasks.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from shoal.encoder import Encoder

Floats = NDArray[np.float32]
Tokens = tuple[NDArray[np.int32], Floats]
"""Character offsets (t, 2) and states (t, d) of a text's t tokens."""


class Senses:
    """An encoder and its memory of the ``remember`` texts last encoded (1.6 KB each)."""

    def __init__(self, encoder: Encoder, remember: int = 20_000) -> None:
        self.encoder, self._remember = encoder, remember
        self._vectors: OrderedDict[bytes, Floats] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def digest(self) -> str:
        """The encoder's: a specialist works with the encoder it was trained with, or not at all."""
        return self.encoder.digest

    def embed(self, texts: Sequence[str]) -> Floats:
        """n texts -> unit rows (n, d)."""
        if not texts:
            return np.empty((0, self.encoder.dim), np.float32)
        keys = [_key(text) for text in texts]
        with self._lock:
            known = {key: self._vectors[key] for key in keys if key in self._vectors}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            fresh = dict(zip(new, self.encoder.encode(list(new.values())), strict=True))
            known |= fresh
            self._keep(fresh)
        return np.stack([known[key] for key in keys])

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """Offsets and states of the tokens of each text."""
        return self.encoder.tokens(texts)

    def _keep(self, vectors: dict[bytes, Floats]) -> None:
        with self._lock:
            self._vectors.update(vectors)
            while len(self._vectors) > self._remember:
                self._vectors.popitem(last=False)


def _key(text: str) -> bytes:
    """Short, however long the text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
