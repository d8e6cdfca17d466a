"""The vectors of a collection, derived from its store, searchable and rebuildable.

One process at a time writes, any number read. What is added is found after the next ``commit``,
here, and in other processes after their next ``refresh``.
"""

from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from shoal.errors import Conflict
from shoal.retrieval.cursor import Cursor
from shoal.retrieval.vectors.codes import Floats, unit
from shoal.retrieval.vectors.files import Files
from shoal.retrieval.vectors.plans import Limits, Rows
from shoal.retrieval.vectors.state import State, read_state, seen
from shoal.retrieval.vectors.view import View
from shoal.retrieval.vectors.writer import Writer
from shoal.storage.file_lock import FileLock

_TRIES = 5  # at loading files that compactions take away


class VectorIndex:
    """Passage numbers and their vectors in ``folder``, made if it is absent.

    ``dim`` is the length of a vector and ``digest`` the encoder's: an index of another encoder, or
    one that is damaged, counts as empty, with ``cursor`` at zero, and is overwritten by the next
    commit. ``claim`` makes this process the one that writes; without it, only reading is possible.
    A lock guards every method, so threads may share one: they search one after the other.

    ``limits`` says up to how many rows each plan is used. Raises ``OSError`` if the folder cannot
    be read or made.
    """

    def __init__(self, folder: Path, dim: int, digest: str, limits: Limits | None = None) -> None:
        if dim < 1:
            raise ValueError(f"dim: expected 1 or more, found {dim}")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._empty = folder, State(digest=digest, dim=dim)
        self._limits = limits or Limits()
        self._guard = RLock()
        self._lock = FileLock(folder / "lock")
        self._writer: Writer | None = None
        self._seen: tuple[int, int, int] | None = None
        self._view = self._load()

    @classmethod
    def open(cls, folder: Path, dim: int, digest: str, limits: Limits | None = None) -> Self:
        """The same as building one."""
        return cls(folder, dim, digest, limits)

    @property
    def cursor(self) -> Cursor:
        """How far the committed state has read the collection."""
        return self._view.state.cursor

    @property
    def rows(self) -> Rows:
        """The passage number of each row, (n,) int64 ascending, removed ones among them: what
        ``allowed`` of ``search`` is built over. Changes with ``refresh``, ``claim`` and ``commit``
        only."""
        return self._view.numbers

    def __len__(self) -> int:
        """How many passages can be found."""
        return len(self._view.numbers) - self._view.dead

    def search(
        self, query: Floats, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[Rows, Floats]:
        """The passages nearest to ``query`` (d,): numbers (m,) int64 and cosines (m,) float32, best
        first, equal cosines by number.

        m is k, or how many there are if that is less. ``allowed`` (n,) says for each of ``rows``
        whether it may be found. Every cosine with a query of zeros is 0. Raises ``ValueError`` for
        a query or mask of another shape, for NaN, and for a negative k.
        """
        with self._guard:
            view = self._view
            if query.shape != (view.state.dim,):
                raise ValueError(f"query: expected ({view.state.dim},), found {query.shape}")
            if k < 0:
                raise ValueError(f"k: expected 0 or more, found {k}")
            if not np.isfinite(query).all():
                raise ValueError("query: found NaN or an infinite value")
            if allowed is not None and allowed.dtype != np.bool_:
                raise ValueError(f"allowed: expected bool, found {allowed.dtype}")
            if allowed is not None and allowed.shape != view.numbers.shape:
                expected = view.numbers.shape
                raise ValueError(f"allowed: expected {expected}, found {allowed.shape}")
            return view.search(unit(query[None])[0], k, allowed)

    def refresh(self) -> bool:
        """Take in what the writer has committed since; whether there was anything. Without news it
        costs one look at a file's date."""
        with self._guard:
            if self._writer is not None or seen(self._folder) == self._seen:
                return False
            self._view = self._load(self._view)
            return True

    def claim(self) -> bool:
        """Become the one process that writes, until ``release`` or its end; false if another is.

        What a writer left that died before its commit is cut off.
        """
        with self._guard:
            if self._writer is not None:
                return True
            if not self._lock.take():
                return False
            try:
                self.refresh()
                self._writer = Writer(self._folder, self._view, self._limits)
            finally:
                if self._writer is None:
                    self._lock.release()
            return True

    def release(self) -> None:
        """Let another process write. What was not committed is lost."""
        with self._guard:
            self._writer = None
            self._lock.release()

    close = release

    def add(self, numbers: NDArray[np.int64], vectors: Floats) -> None:
        """Append passages: numbers (m,) that ascend and are greater than any before, vectors (m, d)
        of any length but NaN; one of zeros has a cosine of 0 with everything.

        Raises ``ValueError`` for others, and ``Conflict`` if not ``claim``ed.
        """
        with self._guard:
            self._claimed().add(numbers, vectors)

    def remove(self, first: int, last: int) -> None:
        """Remove the passages numbered ``first`` to ``last``, those that there are. Raises
        ``Conflict`` if not ``claim``ed."""
        with self._guard:
            self._claimed().remove(first, last)

    def commit(self, cursor: Cursor) -> None:
        """Make what was added and removed last, all or nothing, with ``cursor``; compact if more
        than a quarter is dead.

        Raises ``OSError`` (the disk is full …): the old state then stays, and the commit can be
        tried again; a compaction that fails is left for the next commit. Raises ``Conflict`` if not
        ``claim``ed.
        """
        with self._guard:
            writer = self._claimed()
            writer.commit(cursor)
            self._view, self._seen = writer.view, seen(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _claimed(self) -> Writer:
        if self._writer is None:
            raise Conflict(f"{self._folder}: another process may be writing; claim the index first")
        return self._writer

    def _load(self, old: View | None = None) -> View:
        """The state on disk; an empty one if that does not fit, or its files do not."""
        for _ in range(_TRIES):
            self._seen = seen(self._folder)
            state = read_state(self._folder)
            if state is None or not state.fits(self._empty.digest, self._empty.dim):
                break
            try:
                if old is not None and _follows(state, old.state):
                    old.follow(state)
                    return old
                return View(Files(self._folder, state), state, self._limits)
            except (OSError, ValueError):
                old = None  # compacted in between: the next state tells where
        empty = msgspec.structs.replace(self._empty, generation=-1)
        return View(Files(self._folder, empty), empty, self._limits)


def _follows(new: State, old: State) -> bool:
    """Whether ``new`` only has more in the same files."""
    same = (new.generation, new.cells) == (old.generation, old.cells)
    return same and new.rows >= old.rows and new.removals >= old.removals
