"""A GGUF file with its matrices in fewer bits: read, quantised and written row by row.

Only ever to fewer: a tensor that has no more bits than asked for stays byte for byte, and so do
vectors. Quantising what was quantised before adds one error to another; the best start is a file in
16 bits.
"""

import logging
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import dequantize
from numpy.typing import NDArray

from shoal.engines.local.header import read_header
from shoal.errors import ArtifactError, LearningError
from shoal.training.gguf.blocks import Blocks
from shoal.training.gguf.conversion import FILE_TYPES
from shoal.training.gguf.files import writing
from shoal.training.gguf.tensors import Precision, Tensor, type_of

_OWN = ("general.file_type", "general.quantization_version", "general.architecture")


class StoredRows:
    """A tensor's rows as they lie in a GGUF file, in whatever type."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor
        self.shape = tuple(int(length) for length in reversed(tensor.shape))

    def read(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """These rows as float32.

        Raises:
            ArtifactError: they are of a type that cannot be read back here.
        """
        kind = self._tensor.tensor_type
        try:
            found = dequantize(self._tensor.data[rows], kind)
        except NotImplementedError:
            raise ArtifactError(
                f"{self._tensor.name}: of type {kind.name}, which is not read back here; start "
                "from a file in f16 or q8_0"
            ) from None
        return np.asarray(found, np.float32)


def requantise(source: Path, path: Path, precision: Precision) -> Path:
    """Write the model in ``source`` to ``path``, its matrices as ``precision`` has them. The memory
    needed is that of some rows, and of the vocabulary.

    Raises:
        ConfigError: ``source`` is no GGUF file, or a truncated one.
        LearningError: no tensor would get smaller.
        ArtifactError: a tensor's type cannot be read back, or the disk is full; ``path`` is then as
            it was.
    """
    logging.getLogger("gguf").setLevel(logging.WARNING)
    read_header(source)  # every length in it is checked
    reader = gguf.GGUFReader(source)
    names = {tensor.name for tensor in reader.tensors}
    kinds = {t.name: _kind(t, precision, "output.weight" not in names) for t in reader.tensors}
    if all(kinds[tensor.name] == tensor.tensor_type for tensor in reader.tensors):
        raise LearningError(f"{source}: has no more bits than {precision} already")
    family = reader.fields["general.architecture"].contents()
    with writing(path, family) as writer:
        for field in reader.fields.values():
            if field.name not in _OWN and not field.name.startswith("GGUF."):
                kind, inner = field.types[0], None
                if kind == gguf.GGUFValueType.ARRAY:
                    inner = field.types[-1]
                writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
        writer.add_file_type(FILE_TYPES[precision])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for tensor in reader.tensors:
            kind = kinds[tensor.name]
            if kind == tensor.tensor_type:
                writer.add_tensor(tensor.name, tensor.data, raw_dtype=kind)
            else:
                blocks = Blocks(Tensor(tensor.name, StoredRows(tensor), kind))
                writer.add_tensor(tensor.name, blocks, raw_dtype=kind)
    return path


def _kind(tensor: Any, precision: Precision, tied: bool) -> gguf.GGMLQuantizationType:
    shape = tuple(int(length) for length in reversed(tensor.shape))
    own: gguf.GGMLQuantizationType = tensor.tensor_type
    wanted = type_of(tensor.name, shape, precision, tied)
    return wanted if len(shape) > 1 and _bits(wanted) < _bits(own) else own


def _bits(kind: gguf.GGMLQuantizationType) -> float:
    values, size = gguf.GGML_QUANT_SIZES[kind]
    return float(8 * size / values)
