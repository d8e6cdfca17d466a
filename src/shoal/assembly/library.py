"""The collections of one machine, opened when they are first asked for."""

import threading
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from shoal.errors import ConfigError, NotFound
from shoal.retrieval.collection import Collection, check_name, collections_in, remove_collection
from shoal.retrieval.intake import Encodes
from shoal.retrieval.qdrant_place import Places, in_folders
from shoal.retrieval.shelf import FILE


class Library:
    """Safe to use from several threads. A collection that another process removes, or makes anew,
    is noticed."""

    def __init__(
        self, root: Path, encoder: Callable[[], Encodes], places: Places = in_folders
    ) -> None:
        """``root`` holds a folder for each; ``encoder`` is asked when one is first opened, and so
        is ``places``, for where its vectors are."""
        self._root, self._encoder, self._places = root, encoder, places
        self._open = dict[str, _Opened]()
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The collections there are."""
        return collections_in(self._root)

    def folder(self, name: str) -> Path:
        """The folder of one, which holds its shelf and its indexes.

        Raises:
            NotFound: there is none of this name.
        """
        if _identity(self._root, name) is None:
            raise NotFound(f"no collection {name!r}")
        return self._root / name

    def get(self, name: str) -> Collection:
        """An open collection; it is not to be closed by who asks for it.

        Raises:
            NotFound: there is none of this name.
            Conflict, MissingExtra, StoreError, ArtifactError: it cannot be opened.
        """
        with self._lock:
            there = _identity(self._root, name)
            known = self._open.get(name)
            if known is not None and known.identity == there:
                return known.collection
            if known is not None:
                known.collection.close()
                del self._open[name]
            if there is None:
                names = ", ".join(self.names())
                raise NotFound(
                    f"no collection {name!r}; " + (f"there are: {names}" if names else "none is")
                )
            place = self._places(name)
            collection = Collection(self._root / name, self._encoder(), qdrant=place)
            self._open[name] = _Opened(collection, there)
            return collection

    def create(self, name: str) -> Collection:
        """Make an empty collection.

        Raises:
            Conflict: there is one of this name.
            ConfigError: the name will not do.
            StoreError: it cannot be written.
        """
        with self._lock:
            folder = self._root / name
            Collection.create(folder, self._encoder(), qdrant=self._places(name)).close()
        return self.get(name)

    def remove(self, name: str) -> None:
        """Remove a collection with all that is in it.

        Raises:
            NotFound: there is none of this name.
            StoreError: it cannot be removed.
        """
        with self._lock:
            if _identity(self._root, name) is None:
                raise NotFound(f"no collection {name!r}")
            known = self._open.pop(name, None)
            if known is not None:
                known.collection.close()
            remove_collection(self._root / name)

    def close(self) -> None:
        """Close every collection."""
        with self._lock:
            for known in self._open.values():
                known.collection.close()
            self._open.clear()


class _Opened(Struct, frozen=True):
    collection: Collection
    identity: tuple[int, int]


def _identity(root: Path, name: str) -> tuple[int, int] | None:
    """Which file is the shelf of the collection; None if there is none."""
    try:
        check_name(name)
        status = (root / name / FILE).stat()
    except (ConfigError, OSError):
        return None
    return status.st_dev, status.st_ino
