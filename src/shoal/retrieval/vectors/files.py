"""The append-only files of a vector index: one row after the other, and nothing else in them.

Each compaction begins a new generation under new names and unlinks the old files. Whoever has them
mapped keeps what they held; a file that somebody may have mapped is never cut within the rows that
count.
"""

import os
import re
import weakref
from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.retrieval.vectors.state import State

Array = NDArray[Any]

_OURS = re.compile(r"(numbers|codes|scales|bits|cells|centroids|removals)-(\d+)\.\w+")


class Files:
    """The files of one generation: ``numbers`` (n,) int64, ``codes`` (n, d) int8, ``scales`` (n,)
    float32, ``bits`` (n, ⌈d/8⌉) uint8, ``removals`` (m, 2) int64, first and last number of a range;
    and once rows are shared out, ``cells`` (n,) int32 and ``centroids`` (c, d) float32."""

    def __init__(self, folder: Path, state: State, new: bool = False) -> None:
        """``new`` makes them; otherwise raises ``FileNotFoundError`` if one is missing. A negative
        generation has none."""
        self.folder, self.generation = folder, state.generation
        self.layout: dict[str, tuple[str, str, tuple[int, ...]]] = {
            "numbers": ("i64", "<i8", ()),
            "codes": ("i8", "|i1", (state.dim,)),
            "scales": ("f32", "<f4", ()),
            "bits": ("u8", "|u1", ((state.dim + 7) // 8,)),
            "removals": ("i64", "<i8", (2,)),
        }
        if state.cells:
            self.layout["cells"] = ("i32", "<i4", ())
            self.layout["centroids"] = ("f32", "<f4", (state.dim,))
        # held open: once a compaction has unlinked them, only who has them open can read them
        self._open: dict[str, int] = {}
        weakref.finalize(self, _close, self._open)
        for name in self.layout if self.generation >= 0 else ():
            mode = os.O_RDWR | os.O_CREAT if new else os.O_RDONLY
            self._open[name] = os.open(self.path(name), mode, 0o600)

    def read(self, name: str, start: int, stop: int) -> Array:
        """Rows ``start`` to ``stop`` of a file, in memory."""
        _, dtype, shape = self.layout[name]
        if stop <= start:
            return np.zeros((0, *shape), dtype)
        width = self._width(name)
        rows = np.empty((stop - start, *shape), dtype)
        data, offset = rows.view(np.uint8).reshape(-1).data, start * width
        while data:
            count = os.preadv(self._open[name], [data], offset)
            if count == 0:
                raise ValueError(f"{self.path(name)}: ends before row {stop}")
            data, offset = data[count:], offset + count
        return rows

    def mapped(self, name: str, stop: int) -> Array:
        """The first ``stop`` rows of a file, read when they are looked at."""
        _, dtype, shape = self.layout[name]
        if stop == 0:
            return np.zeros((0, *shape), dtype)
        mapping = mmap(self._open[name], stop * self._width(name), access=ACCESS_READ)
        return np.frombuffer(mapping, dtype).reshape(stop, *shape)

    def write(self, name: str, row: int, rows: Array) -> None:
        """Put rows at ``row``, over what may stand there; ``sync`` makes them last."""
        plain = np.ascontiguousarray(rows, self.layout[name][1])
        data = plain.view(np.uint8).reshape(-1).data
        descriptor = os.open(self.path(name), os.O_RDWR)
        try:
            offset = row * self._width(name)
            while data:
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Return when the disk has what was written."""
        for name in self.layout:
            os.fsync(self._open[name])

    def hold(self, state: State) -> bool:
        """Whether all rows that count are there."""
        return all(
            count == 0 or os.fstat(self._open[name]).st_size >= count * self._width(name)
            for name, count in self._counts(state).items()
        )

    def cut(self, state: State) -> None:
        """Take off what a writer that died had appended past the rows that count."""
        for name, count in self._counts(state).items():
            size = count * self._width(name)
            if os.fstat(self._open[name]).st_size > size:
                os.truncate(self.path(name), size)

    def path(self, name: str) -> Path:
        """Of one of the files."""
        return self.folder / f"{name}-{self.generation}.{self.layout[name][0]}"

    def _width(self, name: str) -> int:
        _, dtype, shape = self.layout[name]
        return int(np.dtype(dtype).itemsize * np.prod(shape, dtype=int))

    def _counts(self, state: State) -> dict[str, int]:
        special = {"removals": state.removals, "centroids": state.cells}
        return {name: special.get(name, state.rows) for name in self.layout}


def last_generation(folder: Path) -> int:
    """The highest of which there is any file; 0 if there is none."""
    return max((int(match[2]) for match in _matches(folder)), default=0)


def unlink_others(folder: Path, generation: int) -> None:
    """Remove the files of every other generation."""
    for match in _matches(folder):
        if int(match[2]) != generation:
            (folder / match[0]).unlink(missing_ok=True)


def _close(descriptors: Mapping[str, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


def _matches(folder: Path) -> list[re.Match[str]]:
    found = (_OURS.fullmatch(path.name) for path in folder.iterdir())
    return [match for match in found if match is not None]
