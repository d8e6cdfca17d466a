"""Attaches uploaded files to collections, one after another, beside all else.

What is to be done stands in each collection's table, so a process that ends, however hard, leaves
it to the next. Of several processes one at a time works.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
from msgspec import Struct

from shoal.assembly.detaching import document_of, tidy
from shoal.assembly.library import Library
from shoal.errors import NotFound, ReadError, ShoalError, StoreError
from shoal.retrieval.attachments import Attachment, Attachments
from shoal.retrieval.chunking import ChunkOptions
from shoal.retrieval.intake import Encodes, Intake
from shoal.retrieval.readers import Reader, ReadOptions, kind_of
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_tables import Vectors
from shoal.retrieval.uploads import PREFIX, Upload, Uploads
from shoal.storage.file_lock import FileLock

log = logging.getLogger(__name__)

_MOST_READ = ReadOptions().max_bytes
_LOOK_S = 0.2  # for another process that attaches files
_ENDS_WITHIN_S = 5.0
_TIDY_S = 60.0  # what has expired goes so soon, if nothing else asks for it
_AT_ONCE = 64  # passages; between them searches have their turn, and an end is noticed


def document_name(upload: Upload) -> str:
    """What the document of a file is called in a collection: its own, and tells what it is."""
    return f"{upload.id}/{upload.filename}"


class Attaching:
    """A thread that begins when there is something to do."""

    def __init__(self, library: Library, uploads: Uploads, encoder: Callable[[], Encodes]) -> None:
        self._library, self._uploads, self._encoder = library, uploads, encoder
        self._wanted, self._ending = threading.Event(), threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There may be something to do."""
        self._wanted.set()
        with self._starting:
            if self._thread is None and not self._ending.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="shoal-attaching", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End soon: the file that is being attached will be attached when Shoal runs again."""
        self._ending.set()
        self._wanted.set()
        with self._starting:
            thread = self._thread
        if thread is not None:
            thread.join(_ENDS_WITHIN_S)

    def _run(self) -> None:
        with Reader() as reader:
            while not self._ending.is_set():
                is_wanted = self._wanted.wait(_TIDY_S)
                self._wanted.clear()
                try:
                    if self._tidied() or is_wanted:
                        self._drain(reader)
                except OSError as error:
                    log.warning("files wait to be attached: %s", error)

    def _tidied(self) -> bool:
        """Remove what has expired; whether something is left to take out."""
        try:
            return tidy(self._library, self._uploads)
        except StoreError as error:
            log.warning("files that have expired stay: %s", error)
            return False

    def _drain(self, reader: Reader) -> None:
        """Attach all there is, and take out what was detached; what cannot even be written down
        waits until this is called anew."""
        lock = FileLock(self._uploads.folder / "attaching.lock")
        stuck = set[str]()
        while not self._ending.is_set() and (
            self._detached(stuck) or self._cancelled(stuck) or self._waiting(stuck)
        ):
            self._uploads.folder.mkdir(parents=True, exist_ok=True)
            if not lock.take():
                self._ending.wait(_LOOK_S)
                continue
            try:
                for name, file in self._detached(stuck):
                    with _noted(stuck, name):
                        self._take_out(name, file)
                for name, one in self._cancelled(stuck):
                    with _noted(stuck, name):
                        self._take_out_cancelled(name, one)
                for name, one in self._waiting(stuck):
                    if not self._ending.is_set():
                        with _noted(stuck, name):
                            self._attach(reader, name, one)
            finally:
                lock.release()

    def _waiting(self, stuck: set[str]) -> list[tuple[str, Attachment]]:
        """Of each collection that is not ``stuck`` the file that waits longest."""
        found = []
        for name in self._library.names():
            if name not in stuck:
                with _noted(stuck, name):
                    if one := self._attachments(name).waiting():
                        found.append((name, one))
        return found

    def _detached(self, stuck: set[str]) -> list[tuple[str, str]]:
        """What is to be taken out. Nobody is attaching it, if this process is the one at work."""
        found = []
        for name in self._library.names():
            if name not in stuck:
                with _noted(stuck, name):
                    found += [(name, file) for file in self._attachments(name).detached()]
        return found

    def _cancelled(self, stuck: set[str]) -> list[tuple[str, Attachment]]:
        """What was cancelled, perhaps while somebody who is gone was attaching it."""
        found = []
        for name in self._library.names():
            if name not in stuck:
                with _noted(stuck, name):
                    found += [(name, one) for one in self._attachments(name).cancelled()]
        return found

    def _take_out_cancelled(self, name: str, one: Attachment) -> None:
        """Unless it was there before it was to be attached anew."""
        with closing(Shelf.open(self._library.folder(name))) as shelf:
            document = document_of(shelf, one.file)
            if document is not None and document.at >= one.at:
                shelf.remove([document.name])
        self._attachments(name).settle_cancelled(one)

    def _take_out(self, name: str, file: str) -> None:
        with closing(Shelf.open(self._library.folder(name))) as shelf:
            document = document_of(shelf, file)
            if document is not None:
                shelf.remove([document.name])
        self._attachments(name).forget(file)

    def _attachments(self, name: str) -> Attachments:
        return Attachments(self._library.folder(name))

    def _attach(self, reader: Reader, name: str, one: Attachment) -> None:
        try:
            outcome = self._outcome(reader, name, one)
        except (_Ended, NotFound):  # or the collection was removed meanwhile
            return
        except Exception as error:  # whatever it is, the other files are to be attached
            log.exception("%s: %s could not be attached", name, one.file)
            outcome = _Outcome("server_error", f"Shoal failed unexpectedly: {error}")
        known = self._attachments(name)
        told = outcome.code, outcome.reason
        stays = known.settle(one, "failed" if outcome.code else "completed", *told)
        if outcome.code or not stays:
            now = known.find(one.file)
            if now is None or now.state != "in_progress":  # else it is attached anew, in a moment
                self._take_out(name, one.file)

    def _outcome(self, reader: Reader, name: str, one: Attachment) -> "_Outcome":
        try:
            upload = self._uploads.get(one.file)
            if upload.size > _MOST_READ:
                said = f"the file is over {_MOST_READ / 1_000_000:g} MB, the most that is read"
                return _Outcome("invalid_file", said)
            data = self._uploads.path(one.file).read_bytes()
        except (NotFound, OSError):
            return _Outcome("invalid_file", "the file was removed before it was attached")
        document = document_name(upload)
        try:
            options = ChunkOptions(max_tokens=one.max_tokens, overlap=one.overlap)
            encoder = _Interruptible(self._encoder(), self._ending)
            attributes = {"file": upload.filename, **one.attributes}
            with self._library.using(name) as collection:
                intake = Intake(collection.shelf, encoder, reader.read, options)
                intake.add(document, data, attributes, one.file.removeprefix(PREFIX))
                shelf = collection.shelf
                if not (shelf.is_in_place and shelf.is_current()):  # it went into what was there
                    raise NotFound(f"{name}: the collection was made anew meanwhile")
        except ReadError as error:
            said = str(error).replace(document, upload.filename)
            kind = "invalid_file" if _is_known(document, data) else "unsupported_file"
            return _Outcome(kind, said)
        except NotFound:
            raise
        except ShoalError as error:
            return _Outcome("server_error", str(error))
        return _Outcome()


@contextmanager
def _noted(stuck: set[str], name: str) -> Iterator[None]:
    """A collection that fails is told of, and left alone; one that is gone is just that."""
    try:
        yield
    except NotFound:
        pass
    except (ShoalError, OSError) as error:
        log.warning("collection %s: files wait to be attached: %s", name, error)
        stuck.add(name)


class _Outcome(Struct, frozen=True):
    """``code`` "": it is attached."""

    code: str = ""
    reason: str = ""


class _Ended(Exception):
    """Shoal ends."""


class _Interruptible:
    """An encoder that stops when Shoal ends."""

    def __init__(self, encoder: Encodes, ending: threading.Event) -> None:
        self._encoder, self._ending = encoder, ending
        self.digest, self.dim = encoder.digest, encoder.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (n, dim)."""
        rows = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(texts), _AT_ONCE):
            if self._ending.is_set():
                raise _Ended
            rows.append(self._encoder.encode(texts[start : start + _AT_ONCE]))
        return np.concatenate(rows)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """As the encoder counts what it reads."""
        return self._encoder.lengths(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As the encoder counts."""
        return self._encoder.count_tokens(texts)


def _is_known(name: str, data: bytes) -> bool:
    """Whether files of this kind can be read at all."""
    try:
        kind_of(name, data)
    except ReadError:
        return False
    return True
