"""A collection: documents of one user or matter, searchable by words and by meaning.

One folder: the shelf, which is all that counts, and indexes that can be made again from it.
"""

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import ConfigError, Conflict, NotFound, StoreError
from shoal.retrieval.adapter import Adapter
from shoal.retrieval.chunking import ChunkOptions
from shoal.retrieval.documents import Document, Hit, Piece
from shoal.retrieval.folders import lies_in
from shoal.retrieval.indexes import Indexes, require
from shoal.retrieval.intake import Encodes, Intake, Progress, Summary, vectors_of
from shoal.retrieval.qdrant_place import QdrantPlace
from shoal.retrieval.readers import Reader
from shoal.retrieval.rerank import Reranking, reranked
from shoal.retrieval.search import Search, SearchOptions
from shoal.retrieval.shelf import FILE, Failure, Shelf
from shoal.retrieval.shelf_tables import Encoded, Written
from shoal.retrieval.tuned import FOLDER, Tuned
from shoal.storage.file_lock import FileLock

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_AT_ONCE = 20  # documents that are encoded anew
_LOOK_S = 0.2  # for another process that takes files in


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
        reranking: Reranking | None = None,
        qdrant: QdrantPlace | None = None,
    ) -> None:
        """Open the collection in ``folder``, whose vectors are there too, or in ``qdrant``; with
        ``reranking`` its searches by both are reranked.

        Raises:
            NotFound: there is none.
            Conflict: its vectors are of another encoder.
            MissingExtra: what searches is not installed.
            ConfigError: the key of ``qdrant`` is not there.
            StoreError: it cannot be read.
        """
        self.name, self.folder = folder.name, folder
        self.shelf = Shelf.open(folder)
        if self.shelf.encoder != encoder.digest:
            self.shelf.close()
            raise Conflict(
                f"collection {self.name}: its vectors are of another encoder than the one that is "
                f"installed; encode it anew with `shoal collections rebuild {self.name}`"
            )
        self.encoder = encoder
        self._reader = Reader()
        self.intake = Intake(self.shelf, encoder, self._reader.read)
        self._indexes = Indexes(folder, self.shelf, qdrant)
        self._search = Search(self.shelf, self._indexes, encoder)
        self._tuned, self._reranking = Tuned(folder / FOLDER, encoder.digest), reranking

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
        self._indexes.close()
        self.shelf.close()

    def add_sources(self, paths: list[Path]) -> None:
        """Remember files and folders; ``sync`` takes them in.

        Raises:
            NotFound: there is no such file or folder.
        """
        for path in paths:
            found = path.expanduser().absolute()
            if not found.exists():
                raise NotFound(f"{path}: no such file or folder")
            self.shelf.add_source(str(found))

    def remove_source(self, path: Path) -> int:
        """Forget a file or folder, with the documents that came from it; how many these were.

        Raises:
            NotFound: the collection takes nothing from there.
        """
        source = str(path.expanduser().absolute())
        if not self.shelf.remove_source(source):
            known = ", ".join(self.shelf.sources()) or "nothing"
            raise NotFound(f"{path}: no source of {self.name}; it takes from: {known}")
        others = self.shelf.sources()
        gone = [
            name
            for name in self.shelf.seals()
            if (name == source or lies_in(name, source))
            and not any(name == other or lies_in(name, other) for other in others)
        ]
        return self.shelf.remove(gone)

    def sync(self, tell: Callable[[Progress], None] = lambda progress: None) -> Summary:
        """Bring documents and indexes in line with the sources; one process at a time does so.

        Raises:
            StoreError: something cannot be written.
        """
        lock = FileLock(self.folder / "sync.lock")
        while not lock.take():
            time.sleep(_LOOK_S)
        try:
            summary = self.intake.sync(tell)
        finally:
            lock.release()
        self._indexes.follow()
        return summary

    def search(self, query: str, options: SearchOptions | None = None) -> list[Hit]:
        """The passages that fit a query best, best first; all that was taken in before is searched.

        Raises:
            MalformedRequest: the filter asks for an attribute that no document has.
            StoreError: it cannot be read, or an index cannot be written.
        """
        return self.search_with(query, self._tuned.adapter(), options or SearchOptions())

    def search_with(self, query: str, adapter: Adapter | None, options: SearchOptions) -> list[Hit]:
        """As ``search``, with this adapter or none instead of the one that is certified."""
        self._indexes.follow()
        reranking = self._reranking
        if reranking is None or options.by != "both":
            return self._search.find(query, options, adapter)
        wide = replace(options, k=max(options.k, reranking.most))
        found = self._search.find(query, wide, adapter)
        return reranked(query, found, reranking)[: options.k]

    def follow(self) -> None:
        """Bring the indexes in line with the shelf, as a search does before it begins."""
        self._indexes.follow()

    def size(self) -> Size:
        """How much there is now."""
        return size_of(self.folder, self.shelf)

    def failures(self) -> list[Failure]:
        """The files that could not be taken in."""
        return self.shelf.failures()


def size_of(folder: Path, shelf: Shelf) -> Size:
    """How much there is in a collection's folder."""
    documents, passages = shelf.counts()
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Size(documents, passages, len(shelf.failures()), used)


def remove_collection(folder: Path) -> None:
    """Remove a collection: first what makes it one, so that no half of it is ever found.

    Raises:
        StoreError: it cannot be removed.
    """
    try:
        (folder / FILE).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be removed: {error}") from error


def rebuild(folder: Path, encoder: Encodes) -> int:
    """Encode all passages of a collection anew, and throw its indexes away, to be made again; how
    many passages there are. Until that is done the collection is as it was.

    Raises:
        NotFound: there is none.
        StoreError: it cannot be written.
    """
    old, waiting = Shelf.open(folder), folder / ".rebuilding"
    shutil.rmtree(waiting, ignore_errors=True)
    new = Shelf.create(waiting, encoder.digest, encoder.dim, old.max_tokens)
    after = 0
    while documents := old.documents(after, _AT_ONCE):
        new.put([_encoded_anew(old, one, encoder) for one in documents])
        after = documents[-1].number
    old.copy_rest_to(new)
    count = new.counts()[1]
    new.copy_to(waiting / "whole.db")  # without the log that a file under way has beside it
    old.close()
    new.close()
    try:
        (waiting / "whole.db").replace(folder / FILE)
        for left in ("keywords", "vectors", ".rebuilding"):
            shutil.rmtree(folder / left, ignore_errors=True)
        for left in ("-wal", "-shm"):
            (folder / f"{FILE}{left}").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error}") from error
    return count


def _encoded_anew(shelf: Shelf, document: Document, encoder: Encodes) -> Written:
    pieces = [Piece(p.text, p.headings, p.page) for p in shelf.text_of(document.number)]
    vectors = vectors_of(pieces, encoder)
    passages = tuple(Encoded(*pair) for pair in zip(pieces, vectors, strict=True))
    return Written(
        id=document.id,
        name=document.name,
        title=document.title,
        kind=document.kind,
        digest=document.digest,
        size=document.size,
        modified_ns=document.modified_ns,
        attributes=document.attributes,
        passages=passages,
    )


def import_collection(file: Path, folder: Path) -> None:
    """Make a collection of a file that ``export`` wrote.

    Raises:
        Conflict: there is one of this name.
        ConfigError: the name will not do.
        NotFound, StoreError: the file is not there, is no collection, or is damaged.
    """
    check_name(folder.name)
    if (folder / FILE).exists():
        raise Conflict(f"there is a collection {folder.name} already")
    if not file.is_file():
        raise NotFound(f"{file}: no such file")
    waiting = folder.with_name(f".{folder.name}.importing")
    shutil.rmtree(waiting, ignore_errors=True)
    waiting.mkdir(parents=True)
    try:
        shutil.copyfile(file, waiting / FILE)
        shelf = Shelf.open(waiting)
        shelf.check()
        shelf.forget_sources()  # they are another machine's, and files missing here are not gone
        shelf.close()
        waiting.rename(folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)


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
            shelf = Shelf.open(folder / name)
        except StoreError:  # whoever opens it to search will be told
            continue
        found = shelf.sources()
        shelf.close()
        if found:
            return True
    return False
