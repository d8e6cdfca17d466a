"""The collections of one machine, opened when they are first asked for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from shoal.assembly.kept_reranker import open_collection
from shoal.errors import ConfigError, NotFound, StoreError
from shoal.retrieval.collection import Collection, check_name, collections_in
from shoal.retrieval.identity import Identity, identity_of
from shoal.retrieval.intake import Encodes
from shoal.retrieval.leftovers import finish, set_aside, sweep
from shoal.retrieval.qdrant_place import Places, in_folders
from shoal.retrieval.shelf import FILE

T = TypeVar("T")

_ENDS_WITHIN_S = 0.5  # a search of a collection that is removed


class Library:
    """Safe to use from several threads. A collection that another process removes, or makes anew,
    is noticed; it is closed when nobody uses it any more."""

    def __init__(
        self, root: Path, encoder: Callable[[], Encodes], places: Places = in_folders
    ) -> None:
        """``root`` holds a folder for each; ``encoder`` is asked when one is first opened, and so
        is ``places``, for where its vectors are."""
        self._root, self._encoder, self._places = root, encoder, places
        self._open = dict[str, _Opened]()
        self._changing = threading.Lock()  # which collections there are, and which are open
        self._counting = threading.Condition()  # who uses them

    def names(self) -> list[str]:
        """The collections there are."""
        return collections_in(self._root)

    def folder(self, name: str) -> Path:
        """The folder of one, which holds its shelf and its indexes.

        Raises:
            NotFound: there is none of this name.
        """
        if _identity(self._root, name) is None:
            raise _not_found(name)
        return self._root / name

    @contextmanager
    def using(self, name: str) -> Iterator[Collection]:
        """An open collection, which stays open until the end of the block.

        Raises:
            NotFound: there is none of this name, or it was removed or made anew meanwhile, and what
                was done with it failed.
            Conflict, MissingExtra, StoreError, ArtifactError: it cannot be opened.
        """
        opened = self._take(name)
        try:
            yield opened.collection
        except (StoreError, OSError) as error:
            if self._is_current(name, opened):
                raise
            raise _not_found(name) from error  # its files went while they were read
        finally:
            self._give_back(opened)

    def read(self, name: str, work: Callable[[Collection], T]) -> T:
        """What ``work``, which changes nothing, makes of an open collection. If that is removed and
        made anew, or encoded anew, meanwhile, it is done once more, with the new one.

        Raises:
            NotFound: there is none of this name, or it went twice.
            Conflict, MissingExtra, StoreError, ArtifactError: it cannot be opened or read.
        """
        try:
            with self.using(name) as collection:
                return work(collection)
        except NotFound:
            with self.using(name) as collection:
                return work(collection)

    def create(self, name: str) -> None:
        """Make an empty collection.

        Raises:
            Conflict: there is one of this name.
            ConfigError: the name will not do.
            MissingExtra, ArtifactError: it could not be searched.
            StoreError: it cannot be written.
        """
        with self._changing:
            folder = self._root / name
            Collection.create(folder, self._encoder(), qdrant=self._places(name)).close()

    def remove(self, name: str) -> None:
        """Remove a collection with all that is in it; one that is damaged, too.

        Raises:
            NotFound: there is none of this name.
            StoreError: it cannot be removed.
        """
        with self._changing:
            folder = self.folder(name)
            opened = self._retire(name)
            if opened is not None:
                with self._counting:  # searches, which write indexes into the folder
                    self._counting.wait_for(lambda: not opened.uses, _ENDS_WITHIN_S)
            try:
                going = set_aside(folder)
            except StoreError:
                if folder.exists():
                    raise
                return  # another process was quicker
        finish(going, self._places)  # nobody waits for that
        self.sweep()

    def sweep(self) -> None:
        """Finish what somebody was stopped at while removing or importing a collection."""
        sweep(self._root, self._places)

    def close(self) -> None:
        """Close every collection: those in use when they are no longer."""
        with self._changing:
            for name in list(self._open):
                self._retire(name)

    def _take(self, name: str) -> "_Opened":
        with self._changing:
            there = _identity(self._root, name)
            known = self._open.get(name)
            if known is not None and not self._is_current(name, known):
                self._retire(name)
                known = None
            if there is None:
                raise _not_found(name)
            if known is None:
                place = self._places(name)
                collection = open_collection(self._root / name, self._encoder(), place)
                known = self._open[name] = _Opened(collection, there)
            with self._counting:
                known.uses += 1
            return known

    def _is_current(self, name: str, opened: "_Opened") -> bool:
        """Whether it is what there is of this name now: neither another, nor encoded anew."""
        try:
            shelf = opened.collection.shelf
            is_same = (_identity(self._root, name), shelf.made) == (opened.identity, opened.made)
            return is_same and shelf.is_current()
        except NotFound:  # just now
            return False

    def _give_back(self, opened: "_Opened") -> None:
        with self._counting:
            opened.uses -= 1
            is_over = opened.is_retired and not opened.uses
            self._counting.notify_all()
        if is_over:
            opened.collection.close()

    def _retire(self, name: str) -> "_Opened | None":
        """Nobody gets this one any more. Whoever uses it goes on, and the last one closes it: to
        close it under a running search would take the process down."""
        known = self._open.pop(name, None)
        if known is None:
            return None
        with self._counting:
            known.is_retired = True
            is_over = not known.uses
        if is_over:
            known.collection.close()
        return known


class _Opened:
    """An open collection, which file its shelf is, and how many use it now."""

    def __init__(self, collection: Collection, identity: Identity) -> None:
        self.collection, self.identity = collection, identity
        self.made = collection.shelf.made  # it may take up what it becomes by itself
        self.uses, self.is_retired = 0, False


def _not_found(name: str) -> NotFound:
    """Without the names of others, which may be nothing for who asks."""
    return NotFound(f"no collection {name!r}")


def _identity(root: Path, name: str) -> Identity | None:
    """Which file is the shelf of the collection; None if there is none."""
    try:
        check_name(name)
    except ConfigError:
        return None
    return identity_of(root / name / FILE)
