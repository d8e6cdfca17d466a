"""Files below one folder, and none beside it.

A path is walked from the folder's own descriptor, part by part, and no symbolic link is followed
anywhere on the way: there is no moment between checking a path and opening it in which somebody
could put a link there. A hard link is a file of the folder like any other.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

_MOST_PATH = 1_000  # characters
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not hold us up
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry(Struct, frozen=True):
    """A file or folder: its ``path`` from the root with "/", and the ``size`` of a file in
    bytes."""

    path: str
    size: int
    is_folder: bool


class Rooted:
    """Reads and writes below ``root``, which may itself be reached over links.

    All methods block, and raise ``OSError`` where the system refuses, and ``ValueError``, with what
    is wrong, for a path that leads elsewhere or to what is no file or folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str, offset: int, most: int) -> tuple[bytes, int]:
        """At most so many bytes from ``offset`` on, and how many the file has."""
        with self._opened_file(path) as (handle, size):
            return os.pread(handle, most, offset), size

    def entries(self, path: str, most: int) -> tuple[list[Entry], bool]:
        """What stands in a folder, by name, and whether there is more. Links and what is neither
        file nor folder are left out."""
        parts = _parts(path)
        with self._opened_folder(parts) as folder:
            found = list(_entries(folder, "/".join(parts)))
        found.sort(key=lambda entry: entry.path)
        return found[:most], len(found) > most

    def walk(self, path: str, depth: int = 32) -> Iterator[Entry]:
        """All files below a folder, by path."""
        for entry in self.entries(path, 1_000_000)[0]:
            if not entry.is_folder:
                yield entry
            elif depth > 0:
                with suppress(OSError, ValueError):  # gone meanwhile, or not ours to read
                    yield from self.walk(entry.path, depth - 1)

    def write(self, path: str, data: bytes, replace: bool) -> bool:
        """Write a whole file at once, with the folders on the way; nobody ever sees half of it.
        Returns whether there was one before, which ``replace`` must allow.

        Raises:
            FileExistsError: there is something of that name, which may not be replaced.
        """
        *above, name = _parts(path) or [""]
        if not name:
            raise ValueError("the path names no file")
        with self._opened_folder(above, make=True) as folder:
            old = _kind(folder, name)
            if old is not None and (not replace or not stat.S_ISREG(old)):
                raise FileExistsError(path)
            draft = f".{secrets.token_hex(8)}.part"
            try:
                _write_new(folder, draft, data)
                if replace:
                    os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
                else:  # fails if somebody was quicker
                    os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
            os.fsync(folder)
            return old is not None

    @contextmanager
    def _opened_file(self, path: str) -> Iterator[tuple[int, int]]:
        *above, name = _parts(path) or [""]
        if not name:
            raise ValueError("the path names no file")
        with self._opened_folder(above) as folder:
            handle = os.open(name, _FILE, dir_fd=folder)
        try:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                raise ValueError("it is a folder or no file")
            yield handle, state.st_size
        finally:
            os.close(handle)

    @contextmanager
    def _opened_folder(self, parts: list[str], make: bool = False) -> Iterator[int]:
        handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=handle)
                inner = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)


def _parts(path: str) -> list[str]:
    """Of a path as a caller writes it, from the root."""
    if len(path) > _MOST_PATH or "\0" in path or not _can_be_named(path):
        raise ValueError("this is no path")
    if path.startswith(("/", "~")) or "\\" in path:
        raise ValueError("paths start at the folder of this tool and are written with '/'")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("'..' would lead out of the folder of this tool")
    return parts


def _can_be_named(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entries(folder: int, above: str) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        for each in found:
            if not _can_be_named(each.name):
                continue
            path = f"{above}/{each.name}" if above else each.name
            with suppress(FileNotFoundError):
                if each.is_dir(follow_symlinks=False):
                    yield Entry(path, 0, True)
                elif each.is_file(follow_symlinks=False):
                    yield Entry(path, each.stat(follow_symlinks=False).st_size, False)


def _kind(folder: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _write_new(folder: int, name: str, data: bytes) -> None:
    with open(os.open(name, _NEW, 0o644, dir_fd=folder), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
