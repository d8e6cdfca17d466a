"""The local encoder as a model that callers may ask: built when first asked, in a thread."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.encoder import Encoder
from shoal.errors import ArtifactError, EncoderMissing, MalformedRequest
from shoal.routing.receipt import OWN_MODELS

NAME = f"{OWN_MODELS}encoder"
_AT_ONCE = 16  # texts, some 0.1 s at most: then others have their turn, and who hung up is noticed

Vectors = NDArray[np.float32]


class LocalEncoder:
    """Encodes in a thread of its own, one piece of a request at a time."""

    def __init__(self, encoder: LazyEncoder) -> None:
        self._encoder = encoder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-encoder")

    async def encode(
        self, texts: tuple[str, ...], dimensions: int | None = None
    ) -> tuple[Vectors, int]:
        """Unit vectors (n, dim), and how many tokens of the texts counted.

        Raises:
            MalformedRequest: ``dimensions`` other than its own are asked for.
            EncoderMissing: there are no weights; once that is found they are not sought again.
        """
        loop = asyncio.get_running_loop()
        encoder = await loop.run_in_executor(self._pool, self._built)
        if dimensions not in (None, encoder.dim):
            raise MalformedRequest(
                f"dimensions: {NAME} has {encoder.dim}, and was not trained so that fewer of them "
                "would do; leave it out",
                "dimensions",
            )
        vectors, tokens = [np.empty((0, encoder.dim), np.float32)], 0
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            rows, counted = await loop.run_in_executor(self._pool, _encoded, encoder, some)
            vectors.append(rows)
            tokens += counted
        return np.concatenate(vectors), tokens

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False)

    def _built(self) -> Encoder:
        try:
            return self._encoder.built()
        except ArtifactError as error:
            raise EncoderMissing(f"{NAME} cannot answer: {error}") from error


def _encoded(encoder: Encoder, texts: tuple[str, ...]) -> tuple[Vectors, int]:
    return encoder.encode(texts), sum(encoder.lengths(texts))
