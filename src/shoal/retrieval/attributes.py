"""What documents say of themselves, in memory beside their shelf, for filters to look at."""

import threading

import numpy as np

from shoal.retrieval.columns import Columns
from shoal.retrieval.filters import Filter
from shoal.retrieval.shelf import Ranges, Shelf


class Attributes:
    """Those of one shelf's documents, as of now. Safe to use from several threads."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._columns, self._changes, self._removal = Columns(), 0, 0
        self._ranges: Ranges | None = None
        self._following = threading.Lock()

    def passing(self, where: Filter) -> Ranges:
        """The ranges of the documents that pass a filter.

        Raises:
            MalformedRequest: no document has an attribute that it asks for.
        """
        with self._following:
            self._follow()
            if self._ranges is None or self._ranges.changes != self._changes:
                self._ranges = self._shelf.ranges()
            known, passing = self._ranges, self._columns.matching(where)
        inside = known.documents < len(passing)
        good = inside & passing[np.where(inside, known.documents, 0)]
        columns = (getattr(known, name)[good] for name in Ranges.__struct_fields__[1:])
        return Ranges(known.changes, *columns)

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
        for number, attributes in rows:
            self._columns.add(number, attributes)
        for removal in self._shelf.removed(self._removal):
            self._columns.remove(removal.document)
            self._removal = removal.number
