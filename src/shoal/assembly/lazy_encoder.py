"""The encoder of a process: one for all that need it, built when one first does."""

import threading

from shoal.encoder import Encoder
from shoal.errors import ArtifactError, EncoderMissing

_CALLERS = 3  # at once: specialists, embeddings, and collections


class LazyEncoder:
    """Safe to ask from several threads. One that cannot be built is not tried again, as looking for
    weights can take long."""

    def __init__(self, encoder: Encoder | None = None) -> None:
        """``encoder`` None: it is built when first asked for."""
        self._building = threading.Lock()
        self._built, self._failed = encoder, ""

    def built(self) -> Encoder:
        """The encoder.

        Raises:
            ArtifactError: there are no weights, or they are damaged.
        """
        with self._building:
            if self._failed:
                raise ArtifactError(self._failed)
            if self._built is None:
                try:
                    self._built = Encoder(callers=_CALLERS)
                except ArtifactError as error:
                    self._failed = str(error)
                    raise
            return self._built

    def __call__(self) -> Encoder:
        """The encoder, for collections.

        Raises:
            EncoderMissing: there are no weights.
        """
        try:
            return self.built()
        except ArtifactError as error:
            raise EncoderMissing(f"collections need the local encoder: {error}") from error
