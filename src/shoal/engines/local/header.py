"""The head of a GGUF file, read by itself: what a model is, before anything is loaded.

The format is described in ggml's docs/gguf.md. Every length in it is checked against the size of
the file, for llama.cpp ends its process on some that lie.
"""

import mmap
import struct
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from shoal.errors import ConfigError

Value = int | float | bool | str | None

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_NUMBERS[12] = "d"
_STRING, _ARRAY = 8, 9
_MOST = 1_000_000  # of keys, of tensors
_LONGEST_NAME = 65_535
_BLOCKS = {  # of each type of tensor: values and bytes of a block
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4),
    27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class Tensor(Struct, frozen=True):
    """A tensor's shape, as GGUF has it (columns first), its type's number and where it stands."""

    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def size(self) -> int | None:
        """Bytes; None for a type that is not known here."""
        if self.kind not in _BLOCKS:
            return None
        values, size = _BLOCKS[self.kind]
        count = 1
        for length in self.shape:
            count *= length
        return -(-count // values) * size


class Header(Struct, frozen=True, dict=True):
    """Values by key (of lists their lengths), tensors by name, and the size of the file."""

    values: Mapping[str, Value]
    tensors: Mapping[str, Tensor]
    size: int

    @cached_property
    def architecture(self) -> str:
        """What llama.cpp calls the kind of model, "" if the file does not say."""
        found = self.values.get("general.architecture")
        return found if isinstance(found, str) else ""

    def number(self, key: str, default: int = 0) -> int:
        """A whole number of the architecture's own, by its short key."""
        found = self.values.get(f"{self.architecture}.{key}")
        return found if isinstance(found, int) else default


def read_header(path: Path) -> Header:
    """The head of a GGUF file.

    Raises:
        ConfigError: no such file, no GGUF, or one that is truncated or damaged; says which.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 24 or file.read(4) != b"GGUF":
                raise ConfigError(f"{path}: is no GGUF file{_guess(path)}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(path, data).read()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _guess(path: Path) -> str:
    if path.suffix in (".safetensors", ".bin", ".pt", ".onnx"):
        return f" but of the kind {path.suffix}: it has to be converted first"
    return ""


class _Reader:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data = path, data
        self._at = 4

    def read(self) -> Header:
        version = self._number("I")
        if not 2 <= version <= 3:
            raise ConfigError(f"{self._path}: is GGUF of version {version}; 2 and 3 can be read")
        tensors, keys = int(self._number("Q")), int(self._number("Q"))
        if tensors > _MOST or keys > _MOST:
            raise self._damaged(f"it says it has {tensors:,} tensors and {keys:,} keys")
        values = dict(self._pair() for _ in range(keys))
        found = dict(self._tensor() for _ in range(tensors))
        self._check_whole(found, values.get("general.alignment"))
        return Header(values, found, len(self._data))

    def _pair(self) -> tuple[str, Value]:
        key = self._text(_LONGEST_NAME)
        return key, self._value(int(self._number("I")))

    def _tensor(self) -> tuple[str, Tensor]:
        name = self._text(_LONGEST_NAME)
        dimensions = int(self._number("I"))
        if not 1 <= dimensions <= 4:
            raise self._damaged(f"{name} has {dimensions} dimensions")
        shape = tuple(int(self._number("Q")) for _ in range(dimensions))
        return name, Tensor(shape, int(self._number("I")), int(self._number("Q")))

    def _value(self, kind: int, depth: int = 0) -> Value:
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY or depth > 4:
            raise self._damaged(f"a value is of the kind {kind}")
        inner, length = int(self._number("I")), int(self._number("Q"))
        if inner in _NUMBERS:
            self._skip(struct.calcsize(f"<{_NUMBERS[inner]}") * length)
        elif inner == _STRING:
            for _ in range(length):  # the end of the file stops this
                self._skip(int(self._number("Q")))
        else:
            for _ in range(length):
                self._value(inner, depth + 1)
        return length

    def _number(self, code: str) -> int | float:
        start, size = self._at, struct.calcsize(f"<{code}")
        self._skip(size)
        found: int | float = struct.unpack_from(f"<{code}", self._data, start)[0]
        return found

    def _text(self, longest: int | None = None) -> str:
        length, start = int(self._number("Q")), self._at
        if longest is not None and length > longest:
            raise self._damaged(f"a name has {length:,} bytes")
        self._skip(length)
        return self._data[start : start + length].decode(errors="replace")

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise ConfigError(f"{self._path}: is truncated: its head goes beyond its end")

    def _check_whole(self, tensors: dict[str, Tensor], alignment: Value) -> None:
        step = alignment if isinstance(alignment, int) and alignment > 0 else 32
        start = -(-self._at // step) * step
        for name, tensor in tensors.items():
            end = start + tensor.offset + (tensor.size or 0)
            if end > len(self._data):
                missing = end - len(self._data)
                raise ConfigError(
                    f"{self._path}: is truncated: {name} ends {missing:,} bytes beyond the end "
                    "of the file; fetch it again"
                )

    def _damaged(self, why: str) -> ConfigError:
        return ConfigError(f"{self._path}: is damaged: {why}")
