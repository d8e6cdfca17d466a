"""A tensor that is read, re-ordered and quantised piece by piece as it is written.

``gguf.GGUFWriter`` asks of a tensor its shape, type and size, and that it writes itself to a file;
so the memory holds some rows of a model, and not the model.
"""

from typing import IO

import gguf
import numpy as np
from gguf.quants import quant_shape_to_byte_shape, quantize

from shoal.errors import ArtifactError
from shoal.training.gguf.tensors import Tensor

_NUMBERS_AT_ONCE = 1 << 22


class Blocks:
    """Stands for a numpy array where ``GGUFWriter.add_tensor`` takes one."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        kind = tensor.type
        self.dtype = np.dtype(
            {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
            .get(kind, np.uint8)
        )  # fmt: skip
        is_plain = self.dtype != np.uint8
        shape = tensor.rows.shape
        self.shape = shape if is_plain else quant_shape_to_byte_shape(shape, kind)
        self.nbytes = int(np.prod(self.shape)) * self.dtype.itemsize

    def tofile(self, file: IO[bytes]) -> None:
        """Write all rows.

        Raises:
            ArtifactError: a number is not finite, or too large for float16.
        """
        tensor, count = self._tensor, self._tensor.rows.shape[0]
        width = max(1, int(np.prod(tensor.rows.shape[1:])))
        step = max(1, _NUMBERS_AT_ONCE // width)
        for first in range(0, count, step):
            here = slice(first, first + step)
            rows = tensor.rows.read(here if tensor.order is None else tensor.order[here])
            with np.errstate(over="ignore"):
                packed = quantize(rows + np.float32(tensor.shift), tensor.type)
            if not np.isfinite(rows).all() or (
                packed.dtype == np.float16 and not np.isfinite(packed).all()
            ):
                raise ArtifactError(
                    f"{tensor.name}: holds numbers that are not finite or, for f16, over 65,504; "
                    "if the checkpoint is sound, write bf16 or q8_0"
                )
            file.write(np.ascontiguousarray(packed).data)
