"""The fine-tuned encoder of a specialist: its tensors beside the specialist's own, served in int8.

Converted to CTranslate2 when it is first loaded, and kept in the cache of the encoder it was tuned
from. Nothing here needs torch.
"""

from typing import Any

from shoal.encoder import Encoder
from shoal.encoder.tuned import TunedWeights
from shoal.errors import ArtifactError
from shoal.specialists.senses import Senses

TUNED = "tuned"
"""The name of the recipe that fine-tunes, for every kind that has it."""
_PREFIX = "encoder/"


def tuned_encoder(senses: Senses | None, arrays: dict[str, Any]) -> Encoder:
    """The encoder whose tuned tensors are among ``arrays``, over the published one of ``senses``.

    Raises:
        ArtifactError: there is no encoder, no such tensors, or they do not fit it.
    """
    if senses is None:
        raise ArtifactError("this specialist needs the encoder it was tuned from")
    tensors = {
        name.removeprefix(_PREFIX): array
        for name, array in arrays.items()
        if name.startswith(_PREFIX)
    }
    if not tensors:
        raise ArtifactError("the specialist's files lack its encoder: train it again")
    base = senses.encoder
    return Encoder(TunedWeights(base.weights.folder, tensors), base.cache)


def encoder_arrays(tensors: dict[str, Any]) -> dict[str, Any]:
    """Tuned tensors under the names that ``tuned_encoder`` reads, in float16: int8 serves them."""
    return {_PREFIX + name: tensor.astype("float16") for name, tensor in tensors.items()}
