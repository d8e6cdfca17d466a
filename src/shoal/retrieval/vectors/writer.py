"""Appending to a vector index: only ever in the one process that holds its lock."""

from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from shoal.retrieval.cursor import Cursor
from shoal.retrieval.vectors.cells import cells_for, nearest_cells, trained
from shoal.retrieval.vectors.codes import Floats, bits_of, coded, unit
from shoal.retrieval.vectors.files import Array, Files, last_generation, unlink_others
from shoal.retrieval.vectors.plans import Limits, blocks
from shoal.retrieval.vectors.state import read_state, write_state
from shoal.retrieval.vectors.view import View

MOST_DEAD = 0.25  # of the rows; then the rest is written anew
FEWEST_DEAD = 256  # below that it is not worth it
RETRAINED = 4  # times as many rows as when the centroids were chosen: choose them anew


class Writer:
    """Appends to the files of ``view``; ``commit`` replaces ``view`` by one of the new state."""

    def __init__(self, folder: Path, view: View, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._fresh = view.state.generation < 0
        if self._fresh:  # there was none that fits: begin under names that nobody reads
            state = replace(view.state, generation=last_generation(folder) + 1)
            view = View(Files(folder, state, new=True), state, limits)
        else:
            unlink_others(folder, view.state.generation)
        self.view = view
        view.files.cut(view.state)
        self._rows, self._removals = view.state.rows, view.state.removals
        self._last = int(view.numbers[-1]) if len(view.numbers) else None
        self._centroids = view.centroids()

    def add(self, numbers: NDArray[np.int64], vectors: Floats) -> None:
        """Append rows; they count from the next commit on."""
        numbers = np.asarray(numbers, np.int64)
        expected = (len(numbers), self.view.state.dim)
        if numbers.ndim != 1 or vectors.shape != expected:
            raise ValueError(f"vectors: expected {expected}, found {vectors.shape}")
        if not len(numbers):
            return
        before = numbers[:1] - 1 if self._last is None else [self._last]
        if np.any(np.diff(numbers, prepend=before) <= 0):
            raise ValueError(f"numbers: expected ascending ones after {self._last}")
        for begin, end in blocks(0, len(numbers)):
            self._append(numbers[begin:end], vectors[begin:end])

    def remove(self, first: int, last: int) -> None:
        """Append a range of numbers to what is removed; what is added after it stays."""
        last = last if self._last is None else min(last, self._last)
        if first > last or self._last is None:
            return
        self.view.files.write("removals", self._removals, np.array([[first, last]], np.int64))
        self._removals += 1

    def commit(self, cursor: Cursor) -> None:
        """Sync the files, replace the state, and compact if it is time."""
        old = self.view.state
        state = replace(old, rows=self._rows, removals=self._removals, cursor=cursor)
        if state == old and not self._fresh:
            return
        self.view.files.sync()
        write_state(self._folder, state)
        if self._fresh:
            unlink_others(self._folder, state.generation)
            self._fresh = False
        self.view.follow(state)
        if self._is_due():
            self._try_to_compact()

    def _try_to_compact(self) -> None:
        """Without the space for it the index stays as it is, and the next commit tries again."""
        generation = self.view.state.generation
        try:
            self._compact()
        except OSError:
            state = read_state(self._folder)
            if state is not None and state.generation == generation:
                unlink_others(self._folder, generation)

    def _append(self, numbers: NDArray[np.int64], vectors: Floats) -> None:
        units = unit(vectors)
        codes, scales = coded(units)
        columns: dict[str, Array] = {"numbers": numbers, "codes": codes, "scales": scales}
        columns["bits"] = bits_of(units)
        if len(self._centroids):
            columns["cells"] = nearest_cells(codes, self._centroids)
        for name, rows in columns.items():
            self.view.files.write(name, self._rows, rows)
        self._rows += len(numbers)
        self._last = int(numbers[-1])

    def _is_due(self) -> bool:
        dead, rows = self.view.dead, self.view.state.rows
        if dead >= FEWEST_DEAD and dead > MOST_DEAD * rows:
            return True
        return self._cells_for(rows - dead) != self.view.state.cells

    def _cells_for(self, rows: int) -> int:
        """How many cells there should be: what there is, unless the rows have outgrown it."""
        now = self.view.state.cells
        if rows <= self._limits.binary * (0.5 if now else 1.0):  # not to and fro at the limit
            return 0
        wanted = cells_for(rows)
        return wanted if not now or wanted >= now * RETRAINED**0.5 else now

    def _compact(self) -> None:
        """Write the living rows into a new generation, and unlink the old one's files."""
        old = self.view
        kept = np.flatnonzero(old.alive)
        state = replace(
            old.state,
            generation=last_generation(self._folder) + 1,
            rows=len(kept),
            removals=0,
            cells=self._cells_for(len(kept)),
        )
        files = Files(self._folder, state, new=True)
        centroids = old.centroids()
        if state.cells != len(centroids):
            codes = old.held.codes if not old.dead else old.held.codes[kept]
            centroids = trained(codes, state.cells) if state.cells else centroids[:0]
        _copy(old, kept, files, centroids)
        files.sync()
        write_state(self._folder, state)
        self.view = View(files, state, self._limits)
        self._rows, self._removals, self._centroids = state.rows, 0, centroids
        unlink_others(self._folder, state.generation)


def _copy(old: View, kept: NDArray[np.int64], files: Files, centroids: Floats) -> None:
    """The rows ``kept`` of ``old`` into new files, block by block."""
    bits = old.files.mapped("bits", old.state.rows)
    for begin, end in blocks(0, len(kept)):
        rows = kept[begin:end]
        codes = old.held.codes[rows]
        files.write("numbers", begin, old.numbers[rows])
        files.write("codes", begin, codes)
        files.write("scales", begin, old.held.scales[rows])
        files.write("bits", begin, bits[rows])
        if len(centroids):
            files.write("cells", begin, nearest_cells(codes, centroids))
    if len(centroids):
        files.write("centroids", 0, centroids)
