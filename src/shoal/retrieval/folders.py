"""The files of folders: what is there now, found quickly and without following links in circles."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from shoal.retrieval.shelf import Seal


class Unreadable(Struct, frozen=True):
    """A file or folder that cannot be looked at, and why."""

    path: str
    reason: str


class Files(Struct, frozen=True):
    """What is under some sources: the ``found`` files by path, and what was ``unreadable``. Of what
    lies under the latter nothing is known, so nothing of it is to be taken for removed."""

    found: dict[str, Seal]
    unreadable: list[Unreadable]

    def tells_of(self, path: str) -> bool:
        """Whether it is known if this file is there."""
        return not any(path == one.path or lies_in(path, one.path) for one in self.unreadable)


def files_of(sources: Sequence[str], is_wanted: Callable[[Path], bool]) -> Files:
    """Every wanted file of these files and folders. Links to files are followed, links to folders
    are not; a file that is named is wanted whatever it is. ``is_wanted`` is asked of paths relative
    to their source."""
    found, unreadable = dict[str, Seal](), list[Unreadable]()
    for source in sources:
        try:
            if Path(source).is_dir():
                found.update(_within(source, is_wanted, unreadable))
            else:
                found[source] = seal_of(source)
        except FileNotFoundError:
            if not Path(source).parent.is_dir():  # a disk that is not mounted, not a removed file
                unreadable.append(Unreadable(source, "the folder that it is in is not there"))
        except OSError as error:
            unreadable.append(Unreadable(source, _told(error)))
    return Files(found, unreadable)


def lies_in(path: str, folder: str) -> bool:
    """Whether a path lies somewhere under a folder."""
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def seal_of(path: str) -> Seal:
    """As a look from outside tells.

    Raises:
        OSError: there is no such file, or it cannot be looked at.
    """
    status = os.stat(path)
    return Seal(status.st_size, status.st_mtime_ns)


def _within(
    folder: str, is_wanted: Callable[[Path], bool], unreadable: list[Unreadable]
) -> Iterator[tuple[str, Seal]]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if not is_wanted(Path(os.path.relpath(entry.path, folder))):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif (seal := _seal(entry, unreadable)) is not None:
                        yield entry.path, seal
        except OSError as error:
            unreadable.append(Unreadable(here, _told(error)))


def _seal(entry: "os.DirEntry[str]", unreadable: list[Unreadable]) -> Seal | None:
    """None of what is no regular file, or a link to none."""
    try:
        if not entry.is_file():
            return None
        status = entry.stat()
    except OSError as error:  # a link in a circle among them
        unreadable.append(Unreadable(entry.path, _told(error)))
        return None
    return Seal(status.st_size, status.st_mtime_ns)


def _told(error: OSError) -> str:
    return error.strerror or str(error)
