"""The fine-tuned encoder of a specialist: its tensors beside the specialist's own, served in int8.

Converted to CTranslate2 when it is first loaded, and kept in the cache of the encoder it was tuned
from. Nothing here needs torch.
"""

from typing import Any

from shoal.encoder import Encoder
from shoal.encoder.tuned import PIECES, TunedWeights
from shoal.errors import ArtifactError
from shoal.specialists.senses import Senses

TUNED = "tuned"
"""The name of the recipe that fine-tunes, for every kind that has it. Of one that was made smaller
afterwards, "/" and how follow."""
_PREFIX = "encoder/"


def tuned_encoder(senses: Senses | None, arrays: dict[str, Any]) -> Encoder:
    """The encoder whose tuned tensors are among ``arrays``, over the published one of ``senses``.

    Raises:
        ArtifactError: there is no encoder, no such tensors, or they do not fit it.
    """
    if senses is None:
        raise ArtifactError("this specialist needs the encoder it was tuned from")
    tensors = encoder_of(arrays)
    if not tensors:
        raise ArtifactError("the specialist's files lack its encoder: train it again")
    base = senses.encoder
    return Encoder(TunedWeights(base.weights.folder, tensors), base.cache)


def encoder_arrays(tensors: dict[str, Any]) -> dict[str, Any]:
    """Tuned tensors under the names that ``tuned_encoder`` reads, in float16: int8 serves them."""
    return under_encoder(
        {n: array if n == PIECES else array.astype("float16") for n, array in tensors.items()}
    )


def under_encoder(tensors: dict[str, Any]) -> dict[str, Any]:
    """Tensors of an encoder, under the names that they have among a specialist's arrays."""
    return {_PREFIX + name: tensor for name, tensor in tensors.items()}


def is_tuned(recipe: str) -> bool:
    """Whether a recipe of this name leaves a fine-tuned encoder behind."""
    return recipe.partition("/")[0] == TUNED


def encoder_of(arrays: dict[str, Any]) -> dict[str, Any]:
    """The encoder's among a specialist's arrays, by their published names."""
    return {n.removeprefix(_PREFIX): a for n, a in arrays.items() if n.startswith(_PREFIX)}
