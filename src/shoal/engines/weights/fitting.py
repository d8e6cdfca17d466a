"""Which models run well on a machine: whether they fit, and about how fast they would write.

Writing a token reads every active weight once, so the memory's speed bounds it; how much of that a
machine reaches is taken from models that were tried on it (``shoal models bench``), else from what
llama.cpp usually reaches.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from shoal.engines.weights.families import BITS, Family
from shoal.engines.weights.kept import KeptModel
from shoal.engines.weights.machine import Machine

USUAL_SHARE = 0.4
"""Of the memory's speed that llama.cpp reaches on a processor: an assumption, told as "about"."""

_WORKING_BYTES = 300_000_000  # buffers of a model that is run
_SPARE = 0.1  # of the free memory, that stays free
_TELLING_BYTES = 100_000_000  # smaller ones are read from caches, and are bound by other things
_WELL, _SLOWLY = 8.0, 2.0  # tokens a second: about as fast as one reads aloud, and a word a second
_FINEST_FIRST = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")


class Fit(Struct, frozen=True):
    """One model in one quantisation: bytes it takes with a context of ``tokens``, and about how
    many tokens it writes a second. ``verdict``: "well", "slowly", "hardly" or "too large"."""

    family: Family
    quantisation: str
    tokens: int
    size: int
    writing: float
    verdict: str


def weight_bytes(parameters: float, quantisation: str) -> int:
    """Bytes of so many billions of parameters."""
    return int(parameters * 1e9 * BITS[quantisation] / 8)


def fit(family: Family, quantisation: str, tokens: int, machine: Machine, share: float) -> Fit:
    """Whether and how a model runs with a context of so many tokens (or as many as it has);
    ``share`` of the memory's speed is reached."""
    tokens = min(tokens, family.context)
    size = weight_bytes(family.parameters, quantisation) + family.cache_bytes(tokens)
    size += _WORKING_BYTES
    read = weight_bytes(family.active_parameters, quantisation) + family.cache_bytes(tokens) / 2
    writing = share * machine.bandwidth / read
    return Fit(family, quantisation, tokens, size, writing, _verdict(size, writing, machine))


def fits(
    families: Iterable[Family],
    machine: Machine,
    tokens: int,
    quantisations: Sequence[str] = (),
    share: float = USUAL_SHARE,
) -> list[Fit]:
    """For each family all of these quantisations; without any, the finest that runs well, else the
    coarsest."""
    found = []
    for family in families:
        if quantisations:
            found += [fit(family, each, tokens, machine, share) for each in quantisations]
            continue
        tried = [fit(family, each, tokens, machine, share) for each in _FINEST_FIRST]
        found.append(next((one for one in tried if one.verdict == "well"), tried[-1]))
    return found


def measured_share(models: Iterable[KeptModel], machine: Machine) -> float | None:
    """The share of the memory's speed that the models tried here reached, the mean; None if none
    was tried. Adapters and small models tell nothing of it."""
    shares = [
        model.speed.writing * model.size / machine.bandwidth
        for model in models
        if model.speed is not None and model.size >= _TELLING_BYTES
    ]
    return sum(shares) / len(shares) if shares else None


def _verdict(size: int, writing: float, machine: Machine) -> str:
    if machine.free_bytes and size > machine.free_bytes * (1 - _SPARE):
        return "too large"
    if writing >= _WELL:
        return "well"
    return "slowly" if writing >= _SLOWLY else "hardly"
