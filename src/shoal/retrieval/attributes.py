"""What documents say of themselves, in memory beside their shelf, for filters to look at."""

import threading

import numpy as np
from numpy.typing import NDArray

from shoal.retrieval.columns import Columns, Mask
from shoal.retrieval.filters import Filter
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_rows import Ranges


class Attributes:
    """Those of one shelf's documents, as of now. Safe to use from several threads."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._columns, self._changes, self._removal = Columns(), 0, 0
        self._ranges: Ranges | None = None
        self._following = threading.Lock()

    def matching(self, where: Filter) -> tuple[Ranges, Mask]:
        """The ranges of m documents, the same object until any changes, and which of them pass a
        filter (m,).

        Raises:
            MalformedRequest: no document has an attribute that it asks for.
        """
        with self._following:
            self._follow()
            if self._ranges is None or self._ranges.changes != self._changes:
                self._ranges = self._shelf.ranges()
            known, passing = self._ranges, self._columns.matching(where)
        if not len(passing):
            return known, np.zeros(len(known.documents), np.bool_)
        return known, passing.take(known.documents, mode="clip") & (known.documents < len(passing))

    def passages(self, where: Filter) -> NDArray[np.int64]:
        """The numbers (n,), ascending, of the passages whose documents pass.

        Raises:
            MalformedRequest: no document has an attribute that it asks for.
        """
        known, good = self.matching(where)
        return spread(known.first[good], known.passages[good])

    def texts(self, where: Filter) -> dict[str, list[str]]:
        """Of each attribute that a filter names, the texts that documents have there, in order;
        some that documents had once may be among them.

        Raises:
            MalformedRequest: no document has an attribute that it asks for.
        """
        with self._following:
            self._follow()
            return self._columns.texts(where)

    def _follow(self) -> None:
        self._changes, rows = self._shelf.changed(self._changes)
        if not self._columns.size:
            self._columns = Columns(rows)  # all at once, in a quarter of the time
        else:
            for number, attributes in rows:
                self._columns.add(number, attributes)
        for removal in self._shelf.removed(self._removal):
            self._columns.remove(removal.document)
            self._removal = removal.number


def spread(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of all ranges, one after the other."""
    total = int(count.sum())
    starts = np.repeat(first - np.concatenate(([0], np.cumsum(count)[:-1])), count)
    return starts + np.arange(total)
