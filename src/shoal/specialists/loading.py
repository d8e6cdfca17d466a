"""From a card and its files to a specialist that can serve."""

from pathlib import Path

from shoal.errors import ArtifactError
from shoal.specialists.card import Card
from shoal.specialists.files import read_model
from shoal.specialists.generated import KIND as GENERATED
from shoal.specialists.generated import restore_generated
from shoal.specialists.kinds import kind_of
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist
from shoal.specialists.tuned_encoder import is_tuned
from shoal.specialists.tuned_kinds import restore_tuned


def load_specialist(card: Card, folder: Path, senses: Senses | None) -> Specialist:
    """Load what ``save`` wrote; ``senses`` are the encoder's, None if there is no encoder.

    Raises:
        ArtifactError: files damaged, of an unknown kind, or made for another encoder.
    """
    if card.encoder and (senses is None or senses.digest != card.encoder):
        raise ArtifactError(
            f"specialist {card.id} was trained with another encoder: train the task again"
        )
    kind = kind_of(card.kind)
    if kind is None or not kind.fits(card.contract):
        raise ArtifactError(f"specialist {card.id} is of an unknown kind {card.kind!r}")
    model, arrays = read_model(folder)
    try:
        if kind is GENERATED:
            return restore_generated(card.contract, model, folder)
        restore = restore_tuned if is_tuned(card.recipe) else kind.restore
        return restore(card.contract, model, arrays, senses if card.encoder else None)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"specialist {card.id}: its files do not fit: {error!r}") from error
