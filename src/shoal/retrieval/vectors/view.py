"""What one state of a vector index holds, loaded: it answers searches and never changes a file."""

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from shoal.retrieval.vectors.cells import CellScan
from shoal.retrieval.vectors.codes import Coded, Floats
from shoal.retrieval.vectors.files import Files
from shoal.retrieval.vectors.plans import (
    BinaryScan,
    ExactScan,
    Limits,
    Mask,
    Plan,
    Rows,
    nearest,
)
from shoal.retrieval.vectors.state import State


class View:
    """The rows that ``state`` counts in ``files``; ``follow`` takes it on to a later state.

    Raises ``OSError`` if a file is gone, ``ValueError`` if the files contradict the state: a
    compaction came in between, or they are damaged.
    """

    def __init__(self, files: Files, state: State, limits: Limits) -> None:
        self.files, self.limits = files, limits
        self.state = replace(state, rows=0, removals=0)
        self.numbers: Rows = np.zeros(0, np.int64)
        self.alive: Mask = np.zeros(0, np.bool_)
        self.held = Coded(np.zeros((0, state.dim), np.int8), np.zeros(0, np.float32))
        self._plan: Plan | None = None  # made when it is first searched: a writer needs none
        self._planned = 0  # rows that the plan holds
        self.follow(state)

    @property
    def dead(self) -> int:
        """Rows that were removed and still take up space."""
        return len(self.alive) - int(np.count_nonzero(self.alive))

    def follow(self, state: State) -> None:
        """Take in what a later state of the same generation has more."""
        if not self.files.hold(state):
            raise ValueError("files: shorter than the state says")
        old, new = self.state.rows, state.rows
        numbers = np.concatenate([self.numbers, self.files.read("numbers", old, new)])
        if np.any(np.diff(numbers[max(0, old - 1) :]) <= 0):
            raise ValueError("files: the numbers do not ascend")
        alive = np.concatenate([self.alive, np.ones(new - old, np.bool_)])
        for first, last in self.files.read("removals", self.state.removals, state.removals):
            low = np.searchsorted(numbers, first, "left")
            alive[low : np.searchsorted(numbers, last, "right")] = False
        scales = np.concatenate([self.held.scales, self.files.read("scales", old, new)])
        self.held = Coded(self.files.mapped("codes", new), scales)
        self.numbers, self.alive, self.state = numbers, alive, state

    def search(self, query: Floats, k: int, allowed: Mask | None) -> tuple[Rows, Floats]:
        """Numbers and cosines of the k nearest, best first; ``query`` (d,) is of length 1 or 0."""
        mask = allowed
        if self.dead:
            mask = self.alive if allowed is None else self.alive & allowed
        rows, found = nearest(self._current_plan(), self.held, query, k, mask)
        return self.numbers[rows], found

    def _current_plan(self) -> Plan:
        rows = self.state.rows
        plan = self._plan
        outgrown = isinstance(plan, ExactScan) and rows > self.limits.exact
        if plan is None or outgrown:
            plan, self._planned = self._new_plan(rows), 0
        if self._planned < rows:
            plan.add(self.files, self._planned, rows)
        self._plan, self._planned = plan, rows
        return plan

    def _new_plan(self, rows: int) -> Plan:
        if self.state.cells:
            return CellScan(self.centroids())
        return (ExactScan if rows <= self.limits.exact else BinaryScan)(self.state.dim)

    def centroids(self) -> Floats:
        """(c, d) of the cells, c 0 or more."""
        if not self.state.cells:
            return np.zeros((0, self.state.dim), np.float32)
        found: NDArray[np.float32] = self.files.read("centroids", 0, self.state.cells)
        return found
