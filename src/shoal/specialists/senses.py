"""What the encoder gives to specialists: a vector a text, and states a token.

Vectors of recent texts are remembered, because one message is often put through several tasks.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.encoder import Encoder

Floats = NDArray[np.float32]
Tokens = tuple[NDArray[np.int32], Floats]
"""Character offsets (t, 2) and states (t, d) of a text's t tokens."""


class Senses:
    """An encoder and its memory of the ``remember`` texts last encoded (1.6 KB each)."""

    def __init__(self, encoder: Encoder, remember: int = 20_000) -> None:
        self._encoder, self._remember = encoder, remember
        self._vectors: OrderedDict[str, Floats] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def digest(self) -> str:
        """The encoder's: a specialist works with the encoder it was trained with, or not at all."""
        return self._encoder.digest

    def embed(self, texts: Sequence[str]) -> Floats:
        """n texts -> unit rows (n, d)."""
        with self._lock:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= zip(new, self._encoder.encode(new), strict=True)
            self._keep({text: known[text] for text in new})
        if not texts:
            return np.empty((0, self._encoder.dim), np.float32)
        return np.stack([known[text] for text in texts])

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """Offsets and states of the tokens of each text."""
        return self._encoder.tokens(texts)

    def _keep(self, vectors: dict[str, Floats]) -> None:
        with self._lock:
            self._vectors.update(vectors)
            while len(self._vectors) > self._remember:
                self._vectors.popitem(last=False)
