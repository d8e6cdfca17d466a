"""A collection: documents of one user or matter, searchable by words and by meaning.

One folder: the shelf, which is all that counts, and indexes that can be made again from it.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import ConfigError, Conflict, NotFound, StoreError
from shoal.retrieval.adapter import Adapter
from shoal.retrieval.chunking import ChunkOptions
from shoal.retrieval.documents import Hit
from shoal.retrieval.folders import source_of
from shoal.retrieval.indexes import Indexes, require
from shoal.retrieval.intake import Encodes, Intake, Progress, Summary, is_from, vectors_of
from shoal.retrieval.leftovers import finish, set_aside, sweep
from shoal.retrieval.qdrant_place import Places, QdrantPlace, in_folders
from shoal.retrieval.readers import Reader
from shoal.retrieval.rerank import Rerankers, reranked
from shoal.retrieval.search import Search, SearchOptions
from shoal.retrieval.shelf import FILE, Shelf
from shoal.retrieval.shelf_rows import Failure
from shoal.retrieval.tuned import FOLDER, Adapted, Tuned
from shoal.storage.file_lock import FileLock

log = logging.getLogger(__name__)

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_LOOK_S = 0.2  # for another process that takes files in
_PATIENCE_S = 600.0  # for another process that brings an index up to date
_TRIES = 3  # of a search that meets an encoding anew
_SEARCH_WAITS_S = 1.0  # for the same; then it is made do with what the index has


class Size(Struct, frozen=True):
    """How much a collection holds."""

    documents: int
    passages: int
    failures: int
    bytes: int


class Collection:
    """An open collection. Searches may come from several threads; several processes may have it
    open, and what one has taken in all others find."""

    def __init__(
        self,
        folder: Path,
        encoder: Encodes,
        rerankers: Rerankers | None = None,
        qdrant: QdrantPlace | None = None,
    ) -> None:
        """Open the collection in ``folder``, whose vectors are there too, or in ``qdrant``; with
        ``rerankers`` its searches by both are reranked when one of them is in force.

        Raises:
            NotFound: there is none.
            Conflict: its vectors are of another encoder.
            MissingExtra: what searches is not installed.
            ConfigError: the key of ``qdrant`` is not there.
            StoreError: it cannot be read.
        """
        self.name, self.folder, self.encoder = folder.name, folder, encoder
        self._qdrant, self._reader = qdrant, Reader()
        self._opening, self._past = threading.Lock(), list[_State]()
        self._now = self._opened()
        self._tuned, self._rerankers = Tuned(folder / FOLDER, encoder.digest), rerankers

    @property
    def shelf(self) -> Shelf:
        """All that counts."""
        return self._now.shelf

    @property
    def intake(self) -> Intake:
        """Takes documents in."""
        return self._now.intake

    @classmethod
    def create(
        cls,
        folder: Path,
        encoder: Encodes,
        max_tokens: int = ChunkOptions().max_tokens,
        qdrant: QdrantPlace | None = None,
    ) -> "Collection":
        """Make an empty collection, whose passages have at most so many tokens.

        Raises:
            Conflict: there is one of this name.
            ConfigError: the name will not do.
            MissingExtra, StoreError: as when one is opened.
        """
        check_name(folder.name)
        require(qdrant)
        Shelf.create(folder, encoder.digest, encoder.dim, max_tokens).close()
        return cls(folder, encoder, qdrant=qdrant)

    def close(self) -> None:
        """Close the shelf, and end the process that reads files."""
        self._reader.close()
        for each in (*self._past, self._now):
            each.close()

    def add_sources(self, paths: list[Path]) -> None:
        """Remember files and folders; ``sync`` takes them in.

        Raises:
            NotFound: there is no such file or folder.
        """
        for source in [source_of(path) for path in paths]:  # all, or none
            self.shelf.add_source(source)

    def remove_source(self, path: Path) -> int:
        """Forget a file or folder, with the documents that came from it; how many these were.

        Raises:
            NotFound: the collection takes nothing from there.
        """
        plain = path.expanduser().absolute()
        with self._alone():
            known = self.shelf.sources()
            own = [one for one in known if one.path in (str(plain), str(plain.resolve()))]
            if not own:
                there = ", ".join(one.path for one in known) or "nothing"
                raise NotFound(f"{path}: no source of {self.name}; it takes from: {there}")
            for source in own:
                self.shelf.remove_source(source.path)
            others = self.shelf.sources()
            names = self.shelf.seals()
            gone = [name for name in names if is_from(name, own) and not is_from(name, others)]
            return self.shelf.remove(gone)

    def sync(self, tell: Callable[[Progress], None] = lambda progress: None) -> Summary:
        """Bring documents and indexes in line with the sources; one process at a time does so.

        Raises:
            StoreError: something cannot be written.
        """
        with self._alone():
            summary = self.intake.sync(tell)
        self.follow()
        return summary

    def search(self, query: str, options: SearchOptions | None = None) -> list[Hit]:
        """The passages that fit a query best, best first; all that was taken in before is searched,
        but for what another process is indexing for more than a second.

        Raises:
            MalformedRequest: the filter asks for an attribute that no document has.
            Conflict: it was encoded anew, by another encoder, since it was opened.
            StoreError: it cannot be read, or an index cannot be written.
        """
        options, adapted = options or SearchOptions(), self.adapted()
        reranking = None
        if self._rerankers is not None and options.by == "both":
            reranking = self._rerankers.in_force(adapted.model)
        if reranking is None:
            return self.search_with(query, adapted.adapter, options)
        wide = replace(options, k=max(options.k, reranking.most))
        found = self.search_with(query, adapted.adapter, wide)
        return reranked(query, found, reranking)[: options.k]

    def adapted(self) -> Adapted:
        """The adapter that searches by both use now."""
        return self._tuned.now()

    def search_with(self, query: str, adapter: Adapter | None, options: SearchOptions) -> list[Hit]:
        """As ``search``, with this adapter or none instead of the one that is certified, and no
        reranker."""
        for _ in range(_TRIES):
            now = self._current()
            try:
                if not now.indexes.follow(_SEARCH_WAITS_S):
                    log.info("collection %s is searched as far as it is indexed", self.name)
                found = now.search.find(query, options, adapter)
            except StoreError:
                if now.shelf.is_current():
                    raise
                continue
            if now.shelf.is_current():  # else vectors went while they were read
                return found
        raise Conflict(f"collection {self.name} is encoded anew again and again; ask later")

    def follow(self) -> None:
        """Bring the indexes in line with the shelf.

        Raises:
            Conflict: it was encoded anew, by another encoder, since it was opened.
            StoreError: an index cannot be written, or another process is at it all along.
        """
        if not self._current().indexes.follow(_PATIENCE_S):
            raise StoreError(f"collection {self.name}: another process is indexing it; try again")

    def _current(self) -> "_State":
        """What is open, or what it has become by being encoded anew. Searches that run go on with
        what they have, so that stays open."""
        with self._opening:
            if not self._now.shelf.is_current():
                try:
                    anew = self._opened()
                except Conflict as error:
                    said = "was encoded anew meanwhile, by another encoder: open it with that one"
                    raise Conflict(f"collection {self.name} {said}") from error
                self._past.append(self._now)
                self._now = anew
            return self._now

    def _opened(self) -> "_State":
        shelf = Shelf.open(self.folder)
        try:
            if shelf.encoder != self.encoder.digest:
                raise Conflict(
                    f"collection {self.name}: its vectors are of another encoder than the one "
                    "that is installed; encode it anew with "
                    f"`shoal collections rebuild {self.name}`"
                )
            indexes = Indexes(self.folder, shelf, self._qdrant)
        except BaseException:  # whatever it was, nothing stays open
            shelf.close()
            raise
        intake = Intake(shelf, self.encoder, self._reader.read)
        return _State(shelf, indexes, intake, Search(shelf, indexes, self.encoder))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While this process alone takes in or removes what comes from sources."""
        lock = FileLock(self.folder / "sync.lock")
        try:
            taken = lock.take()
            if not taken:
                log.warning("another process takes files into %s: waiting for it", self.name)
            while not taken:
                time.sleep(_LOOK_S)
                taken = lock.take()
        except OSError as error:
            raise StoreError(f"collection {self.name}: {error}") from error
        try:
            yield
        finally:
            lock.release()

    def size(self) -> Size:
        """How much there is now."""
        return size_of(self.folder, self.shelf)

    def failures(self) -> list[Failure]:
        """The files that could not be taken in."""
        return self.shelf.failures()


class _State(Struct, frozen=True):
    """What is open of a collection as it was made once."""

    shelf: Shelf
    indexes: Indexes
    intake: Intake
    search: Search

    def close(self) -> None:
        self.indexes.close()
        self.shelf.close()


def size_of(folder: Path, shelf: Shelf) -> Size:
    """How much there is in a collection's folder."""
    documents, passages = shelf.counts()
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Size(documents, passages, len(shelf.failures()), used)


def remove_collection(folder: Path, places: Places = in_folders) -> None:
    """Remove a collection, whole or damaged, and what ``places`` says that it has elsewhere: first
    its name, so that no half of it is ever found.

    Raises:
        NotFound: there is none.
        StoreError: it cannot be removed.
    """
    if not folder.is_dir():
        raise NotFound(f"no collection {folder.name!r}")
    finish(set_aside(folder), places)
    sweep(folder.parent, places)


def rebuild(folder: Path, encoder: Encodes) -> int:
    """Encode all passages of a collection anew; its indexes are made again by who searches it next.
    How many passages there are. Until that is done the collection is as it was.

    Raises:
        NotFound: there is none.
        Conflict: another process does so.
        StoreError: it cannot be written.
    """
    shelf, lock = Shelf.open(folder), FileLock(folder / "rebuild.lock")
    try:
        if not lock.take():
            raise Conflict(f"another process encodes {folder.name} anew")
        return shelf.encode_anew(
            encoder.digest, encoder.dim, lambda pieces: vectors_of(pieces, encoder)
        )
    finally:
        lock.release()
        shelf.close()


def check_name(name: str) -> None:
    """Raise ``ConfigError`` if a collection may not be called so."""
    if NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r}: a collection's name has lower case letters, digits, - and _, begins and "
            "ends with a letter or digit, and has at most 64 of them"
        )


def collections_in(folder: Path) -> list[str]:
    """The names of the collections in a folder."""
    if not folder.is_dir():
        return []
    found = [path.parent.name for path in folder.glob(f"*/{FILE}")]
    return sorted(name for name in found if NAME.fullmatch(name))


def has_sources(folder: Path) -> bool:
    """Whether any collection in a folder takes from files or folders."""
    for name in collections_in(folder):
        try:
            with closing(Shelf.open(folder / name)) as shelf:
                if shelf.sources():
                    return True
        except StoreError:  # whoever opens it to search will be told
            continue
    return False
