"""Takes files into a collection: only what changed is read, and what is gone goes.

Each batch of documents is on disk before the next begins, so a run that is stopped, however hard,
goes on where it was. A file that cannot be read is told and kept in mind until it changes; the rest
goes on.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import MissingExtra, NotReadNow, ReadError
from shoal.retrieval.chunking import ChunkOptions, cut
from shoal.retrieval.documents import Content, Document, Piece, Value
from shoal.retrieval.folders import Files, files_of, lies_in
from shoal.retrieval.parts import parts_of
from shoal.retrieval.readers import ReadOptions, is_wanted
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_rows import Seal, Source
from shoal.retrieval.shelf_tables import Encoded, Vectors, Written

_BATCH = 256  # passages that are encoded and written at once
_BATCH_FILES = 500
_MAX_BYTES = ReadOptions().max_bytes

Read = Callable[[str, bytes], Content]


class Encodes(Protocol):
    """An encoder, as far as it is needed here."""

    @property
    def digest(self) -> str: ...
    @property
    def dim(self) -> int: ...
    def encode(self, texts: Sequence[str]) -> Vectors: ...
    def lengths(self, texts: Sequence[str]) -> list[int]: ...
    def count_tokens(self, texts: Sequence[str]) -> list[int]: ...


class Progress(Struct, frozen=True):
    """How far a run is: of ``files`` to be read ``done``, of their ``size`` ``read`` bytes, and how
    many ``passages`` were written."""

    files: int = 0
    size: int = 0
    done: int = 0
    read: int = 0
    passages: int = 0


class Summary(Struct, frozen=True):
    """What a run did: how many files are as they were, were written, are gone and failed, how many
    passages were written, and how long it took."""

    unchanged: int = 0
    written: int = 0
    removed: int = 0
    failed: int = 0
    passages: int = 0
    seconds: float = 0.0


class Draft(Struct, frozen=True):
    """A document as it was read, its passages not yet encoded."""

    name: str
    seal: Seal
    digest: bytes
    content: Content
    pieces: tuple[Piece, ...]
    attributes: dict[str, Value]
    id: str = ""


class Intake:
    """Takes documents into the collection on one shelf. One thread at a time."""

    def __init__(
        self, shelf: Shelf, encoder: Encodes, read: Read, options: ChunkOptions | None = None
    ) -> None:
        """``read`` makes text of a file's name and bytes; ``options`` None: as the shelf says."""
        self._shelf, self._encoder, self._read = shelf, encoder, read
        self._options = options or ChunkOptions(max_tokens=shelf.max_tokens)

    def sync(self, tell: Callable[[Progress], None] = lambda progress: None) -> Summary:
        """Bring the collection in line with its sources; ``tell`` hears how far it is. What an
        older Shoal cut is read and cut anew; passages that come out the same keep their vectors.

        Raises:
            StoreError: the collection cannot be written.
        """
        began, shelf = time.monotonic(), self._shelf
        sources, known = shelf.sources(), shelf.seals()
        files = files_of(sources, is_wanted)
        gone = list(_gone(known, sources, files))
        removed = shelf.remove(gone) if gone else 0
        shelf.note(files.unreadable, files.found)
        is_old = shelf.is_outdated
        new = {
            path: seal for path, seal in files.found.items() if is_old or known.get(path) != seal
        }
        whole = Progress(len(new), sum(seal.size for seal in new.values()))
        run = _Run(self, shelf, tell, whole, is_old)
        for path, seal in new.items():
            run.take(path, seal)
        run.flush()
        if is_old:
            shelf.mark_cut()
        return replace(
            run.summary,
            unchanged=run.summary.unchanged + len(files.found) - len(new),
            removed=removed,
            failed=run.summary.failed + len(files.unreadable),
            seconds=time.monotonic() - began,
        )

    def add(
        self, name: str, data: bytes, attributes: dict[str, Value] | None = None, id: str = ""
    ) -> Document:
        """Take in one document that is no file of a source, by a name of its own.

        Raises:
            ReadError: it cannot be read.
            StoreError: the collection cannot be written.
        """
        now = time.time_ns()
        draft = self.draft(name, Seal(len(data), now), data, attributes or {})
        return self.write([replace(draft, id=id)])[0]

    def draft(self, name: str, seal: Seal, data: bytes, attributes: dict[str, Value]) -> Draft:
        """Read one document and cut it.

        Raises:
            ReadError: it cannot be read, or holds no text.
        """
        content = self._read(name, data)
        pieces = tuple(cut(content, self._encoder.count_tokens, self._options))
        digest = hashlib.sha256(data).digest()
        known = {**content.attributes, "kind": content.kind, **attributes}
        return Draft(name, seal, digest, content, pieces, known)

    def write(self, drafts: Sequence[Draft]) -> list[Document]:
        """Encode drafts and put them on the shelf, all or none."""
        vectors = self._vectors([piece for draft in drafts for piece in draft.pieces])
        written = [
            Written(
                id=draft.id,
                name=draft.name,
                title=draft.content.title or Path(draft.name).stem,
                kind=draft.content.kind,
                digest=draft.digest,
                size=draft.seal.size,
                modified_ns=draft.seal.modified_ns,
                attributes=draft.attributes,
                passages=tuple(Encoded(piece, vectors[piece]) for piece in draft.pieces),
            )
            for draft in drafts
        ]
        return self._shelf.put(written)

    def _vectors(self, pieces: Sequence[Piece]) -> dict[Piece, Vectors]:
        """Of equal pieces one is encoded, and none whose words are on the shelf."""
        known = self._shelf.known_vectors(pieces)
        new = [piece for piece in dict.fromkeys(pieces) if piece not in known]
        return known | dict(zip(new, vectors_of(new, self._encoder), strict=True))


def vectors_of(pieces: Sequence[Piece], encoder: Encodes) -> list[Vectors]:
    """Of each piece the vectors (p, dim) of its parts."""
    parts = [parts_of(piece, encoder) for piece in pieces]
    encoded = encoder.encode([part for each in parts for part in each])
    ends = np.cumsum([len(each) for each in parts])
    return np.split(encoded, ends[:-1]) if pieces else []


class _Run:
    """One sync under way."""

    def __init__(
        self,
        intake: Intake,
        shelf: Shelf,
        tell: Callable[[Progress], None],
        progress: Progress,
        is_old: bool,
    ) -> None:
        self._is_old = is_old
        self._intake, self._shelf, self._tell, self._progress = intake, shelf, tell, progress
        self._drafts, self._same = list[Draft](), dict[str, Seal]()
        self.summary = Summary()
        tell(progress)

    def take(self, path: str, seal: Seal) -> None:
        """Read one file; what cannot be read is noted."""
        try:
            data = _bytes_of(path, seal)
            is_same = self._shelf.digest_of(path) == hashlib.sha256(data).digest()
            if is_same and not self._is_old:
                self._same[path] = seal
            else:
                draft = self._intake.draft(path, seal, data, _attributes(path, seal))
                self._drafts.append(draft)
        except (MissingExtra, OSError, NotReadNow) as error:  # it may be read next time
            reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
            self._shelf.note({path: reason.removeprefix(f"{path}: ")})
            self._count(Summary(failed=1))
        except ReadError as error:
            self._shelf.fail(path, seal, str(error).removeprefix(f"{path}: "))
            self._count(Summary(failed=1))
        done, read = self._progress.done + 1, self._progress.read + seal.size
        self._progress = replace(self._progress, done=done, read=read)
        waiting = len(self._drafts) + len(self._same)
        if sum(len(d.pieces) for d in self._drafts) >= _BATCH or waiting >= _BATCH_FILES:
            self.flush()
        else:
            self._tell(self._progress)

    def flush(self) -> None:
        """Write what waits."""
        if self._same:
            self._shelf.reseal(self._same)
        if self._drafts:
            self._intake.write(self._drafts)
        passages = sum(len(draft.pieces) for draft in self._drafts)
        counted = Summary(len(self._same), len(self._drafts), passages=passages)
        self._count(counted)
        self._progress = replace(self._progress, passages=self._progress.passages + passages)
        self._drafts, self._same = [], {}
        self._tell(self._progress)

    def _count(self, more: Summary) -> None:
        s = self.summary
        self.summary = replace(
            s,
            unchanged=s.unchanged + more.unchanged,
            written=s.written + more.written,
            failed=s.failed + more.failed,
            passages=s.passages + more.passages,
        )


def _gone(known: Iterable[str], sources: Sequence[Source], files: Files) -> Iterable[str]:
    """The documents of the sources whose files are not there any more."""
    for name in known:
        if name not in files.found and is_from(name, sources) and files.tells_of(name):
            yield name


def is_from(name: str, sources: Sequence[Source]) -> bool:
    """Whether the document of this name is a file of one of them."""
    return any(name == source.path or lies_in(name, source.path) for source in sources)


def _bytes_of(path: str, seal: Seal) -> bytes:
    if seal.size > _MAX_BYTES:
        raise ReadError(f"{seal.size:,} bytes; at most {_MAX_BYTES:,} are read")
    with open(path, "rb") as file:
        data = file.read(_MAX_BYTES + 1)  # it may have grown since
    if len(data) > _MAX_BYTES:
        raise ReadError(f"over {_MAX_BYTES:,} bytes")
    return data


def _attributes(path: str, seal: Seal) -> dict[str, Value]:
    """What can be filtered by, of any file."""
    moment = datetime.fromtimestamp(seal.modified_ns / 1e9, UTC)
    return {
        "file": Path(path).name,
        "folder": str(Path(path).parent),
        "modified": moment.strftime("%Y-%m-%d"),
    }
