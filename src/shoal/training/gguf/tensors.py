"""Which tensor of a checkpoint becomes which of the GGUF, of which type, and how its rows stand."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.training.gguf.architectures import Architecture
from shoal.training.gguf.checkpoint_config import CheckpointConfig
from shoal.training.gguf.weights import Weights

Precision = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]

TYPES: dict[Precision, Type] = {
    "f32": Type.F32,
    "f16": Type.F16,
    "bf16": Type.BF16,
    "q8_0": Type.Q8_0,
    "q4_0": Type.Q4_0,
}
_LEFT_OUT = ("rotary_emb.inv_freq", "masked_bias", "attn.bias")


class Readable(Protocol):
    """The rows of a tensor, wherever they lie."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""

    def read(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """These rows as float32."""


class Tensor(NamedTuple):
    """One tensor to be written: its ``rows`` in this ``order`` (None: as they are), plus ``shift``,
    as ``type``."""

    name: str
    rows: Readable
    type: Type
    order: NDArray[np.intp] | None = None
    shift: float = 0.0


class Names:
    """The names of a model's tensors in its GGUF."""

    def __init__(self, config: CheckpointConfig, architecture: Architecture) -> None:
        self._config, self._architecture = config, architecture
        arches = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
        layers = config.must("num_hidden_layers")
        self._map = gguf.get_tensor_name_map(arches[architecture.family], layers)

    def of(self, name: str) -> str:
        """The name there.

        Raises:
            ArtifactError: the architecture has no such tensor.
        """
        found = self._map.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ArtifactError(
                f"{self._config.path.parent}: a {self._architecture.name} has no tensor {name!r}"
            )
        return str(found)

    def order(self, name: str) -> NDArray[np.intp] | None:
        """Where the rows of a tensor come from, None if they stay.

        transformers turns number i of a head together with number i + half, llama.cpp numbers 2i
        and 2i + 1.
        """
        if not self._architecture.halves_turn:
            return None
        heads = {"q_proj": self._config.heads, "k_proj": self._config.key_heads}
        for layer, count in heads.items():
            if f".{layer}." in name:
                rows = np.arange(count * self._config.head_width)
                return rows.reshape(count, 2, -1).swapaxes(1, 2).reshape(-1)
        return None


def plan(
    weights: Weights, config: CheckpointConfig, architecture: Architecture, precision: Precision
) -> Iterator[Tensor]:
    """All tensors that are to be written, in the order of their names.

    Raises:
        ArtifactError: one is of a name that the architecture does not have.
    """
    names, tied = Names(config, architecture), _is_tied(weights, config)
    for name in weights:
        if name.endswith(_LEFT_OUT) or (tied and name == "lm_head.weight"):
            continue
        rows, written = weights[name], names.of(name)
        kind = type_of(written, rows.shape, precision, tied)
        is_norm = "norm" in name and name.endswith(".weight")
        shift = architecture.norm_shift if is_norm else 0.0
        yield Tensor(written, rows, kind, names.order(name), shift)


def type_of(name: str, shape: tuple[int, ...], precision: Precision, tied: bool) -> Type:
    """What a tensor is written as.

    Vectors stay float32, as llama.cpp wants them. The matrix that gives the logits is the one whose
    rounding shows most: it has 8 bits where the others have 4. Rows that do not divide into blocks
    of 32 stay float16.
    """
    if len(shape) < 2:
        return Type.F32
    kind = TYPES[precision]
    if kind == Type.Q4_0 and name in ("output.weight", *(("token_embd.weight",) if tied else ())):
        kind = Type.Q8_0
    return Type.F16 if shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] else kind


def _is_tied(weights: Weights, config: CheckpointConfig) -> bool:
    return bool(config.get("tie_word_embeddings", False)) or "lm_head.weight" not in weights
