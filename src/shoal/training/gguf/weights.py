"""The tensors of a checkpoint, read row by row from its safetensors files.

Files are mapped into memory, so a model larger than the memory is converted as well as a small one.
The format is the one of https://github.com/huggingface/safetensors: eight bytes with the length of
a JSON header, the header, then the tensors' bytes. ``safetensors`` itself hands numpy no bfloat16.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ArtifactError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
_LONGEST_HEADER = 100_000_000


class Rows(NamedTuple):
    """A tensor as it lies in its file: ``raw`` (n, …), bfloat16 as the 16 bits it has."""

    raw: NDArray[Any]
    bfloat16: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.raw.shape

    def read(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """These rows as float32."""
        piece = self.raw[rows]
        if self.bfloat16:  # the upper half of a float32
            return (piece.astype(np.uint32) << 16).view(np.float32)
        return piece.astype(np.float32)


class Weights:
    """All tensors of a checkpoint by name.

    Raises:
        ArtifactError: a file is missing, truncated, not safetensors, or of a type not read here.
    """

    def __init__(self, files: list[Path]) -> None:
        self._rows: dict[str, Rows] = {}
        for file in files:
            self._rows |= _header(file)

    @classmethod
    def of(cls, folder: Path) -> "Weights":
        """Those of a model's folder, be they in one file or in several."""
        index = folder / INDEX
        if not index.is_file():
            return cls([folder / SINGLE])
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise ArtifactError(f"{index}: no index of safetensors files ({error})") from None
        return cls([folder / name for name in names])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._rows))

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Rows:
        return self._rows[name]


def _header(file: Path) -> dict[str, Rows]:
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if size < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise ArtifactError(f"{file}: truncated, or no safetensors file")
            told = json.loads(opened.read(length))
    except FileNotFoundError:
        raise ArtifactError(f"{file}: no such file; the weights must be safetensors") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file}: cannot be read as safetensors: {error}") from None
    told.pop("__metadata__", None)
    start = 8 + length
    end = max((item["data_offsets"][1] for item in told.values()), default=0)
    if size != start + end:
        raise ArtifactError(
            f"{file}: has {size:,} bytes, its header tells of {start + end:,}; fetch it again"
        )
    mapped = np.memmap(file, np.uint8, "r")
    return {name: _rows(file, name, mapped[start:], item) for name, item in told.items()}


def _rows(file: Path, name: str, data: NDArray[np.uint8], item: dict[str, Any]) -> Rows:
    kind = _TYPES.get(item["dtype"])
    if kind is None:
        raise ArtifactError(
            f"{file}: {name} is of type {item['dtype']}; known are {', '.join(_TYPES)}. "
            "A quantised checkpoint must be turned back into one of these first"
        )
    first, last = item["data_offsets"]
    return Rows(data[first:last].view(kind).reshape(item["shape"]), item["dtype"] == "BF16")
