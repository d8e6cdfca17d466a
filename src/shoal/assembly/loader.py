"""Loads specialists, with one encoder for all that need it."""

import threading

from shoal.assembly.lazy_encoder import LazyEncoder
from shoal.errors import ArtifactError
from shoal.routing.trust import Trust
from shoal.specialists.card import Card
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist
from shoal.storage import Store


class Loader:
    """The specialists of one store, for any thread."""

    def __init__(self, store: Store, encoder: LazyEncoder | None = None) -> None:
        """``encoder`` is asked for when the first specialist needs one; None: one of its own."""
        self._store, self._encoder = store, encoder or LazyEncoder()
        self._senses: Senses | None = None
        self._lock = threading.Lock()

    def load(self, card: Card) -> Specialist:
        """Load the specialist of a card from its files.

        Raises:
            ArtifactError: they are damaged, or the encoder's weights are.
        """
        folder = self._store.artifacts.open(card.artifact)
        return load_specialist(card, folder, self._encoder_for(card))

    def load_trust(self, card: Card) -> Trust | None:
        """What the signal of a rung of cheaper models was learned to be; None if nothing was.

        Raises:
            ArtifactError: its files are damaged, or made for another encoder.
        """
        if not card.artifact:
            return None
        senses = self._encoder_for(card)
        if card.encoder and (senses is None or senses.digest != card.encoder):
            raise ArtifactError(f"the signal {card.id} was learned with another encoder")
        folder = self._store.artifacts.open(card.artifact)
        return Trust.restore(folder, senses if card.encoder else None)

    def _encoder_for(self, card: Card) -> Senses | None:
        """The encoder, for the first card that needs it; None if none has yet."""
        with self._lock:
            if card.encoder and self._senses is None:
                self._senses = Senses(self._encoder.built())
            return self._senses
