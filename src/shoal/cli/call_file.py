"""Files of calls as commands read and write them: plain or compressed, standard streams too."""

import gzip
import os
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol

from shoal.errors import CallFileError

STREAM = "-"
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_IN_MEMORY = 16_000_000  # bytes kept of what cannot be read twice; beyond, a temporary file
_PIECE = 1 << 20


class Target(Protocol):
    """What can be written to."""

    def write(self, data: bytes, /) -> object:
        """Write all of ``data``."""


class CallFile:
    """A file of lines that can be read again from its beginning."""

    def __init__(self, name: str, source: IO[bytes]) -> None:
        self.name = name
        self._source = source

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Where each line stands, and the line; blank ones are left out.

        Raises:
            CallFileError: the file cannot be read to its end.
        """
        number = 0
        try:
            with self._begin() as source:
                for number, line in enumerate(source, 1):
                    text = line.removeprefix(_BOM) if number == 1 else line
                    if text.strip():
                        yield f"{self.name}, line {number}", text
        except (OSError, EOFError, zlib.error) as error:
            place = f"{self.name}, after line {number}"
            raise CallFileError(f"{place}: cannot be read: {error}") from None

    @contextmanager
    def _begin(self) -> Iterator[Iterable[bytes]]:
        self._source.seek(0)
        compressed = self._source.read(len(_GZIP)) == _GZIP
        self._source.seek(0)
        if not compressed:
            yield self._source
            return
        with gzip.GzipFile(fileobj=self._source, mode="rb") as inflated:
            yield inflated


@contextmanager
def open_source(name: str) -> Iterator[CallFile]:
    """The file of that name, or standard input for "-".

    Raises:
        CallFileError: there is no such file, or it cannot be read.
    """
    with ExitStack() as stack:
        if name == STREAM:
            yield CallFile("standard input", stack.enter_context(_kept(sys.stdin.buffer)))
            return
        try:
            file: IO[bytes] = stack.enter_context(Path(name).open("rb"))
        except FileNotFoundError:
            raise CallFileError(f"{name}: no such file") from None
        except OSError as error:
            raise CallFileError(f"{name}: cannot be read: {error.strerror}") from None
        if not file.seekable():
            file = stack.enter_context(_kept(file))
        yield CallFile(name, file)


@contextmanager
def _kept(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """What a stream holds, so that it can be read twice."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as kept:
        while piece := stream.read(_PIECE):
            kept.write(piece)
        yield kept


@contextmanager
def open_target(path: Path | None) -> Iterator[Target]:
    """A file to write, compressed if its name ends in ``.gz``; None is standard output.

    A file appears, or is replaced, when all is written: a write that fails leaves it as it was.
    It is private to the user, as the store is.

    Raises:
        CallFileError: it cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        if path.exists() and not path.is_file():  # a pipe, a device
            with path.open("wb") as target:
                yield target
            return
        with _replacing(path) as target:
            yield target
    except OSError as error:
        raise CallFileError(f"{path}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _replacing(path: Path) -> Iterator[Target]:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb", opener=_private) as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
                    yield packed
            else:
                yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
