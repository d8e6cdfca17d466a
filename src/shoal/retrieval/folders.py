"""The files of folders: what is there now, found quickly and without following links in circles."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from shoal.retrieval.shelf_rows import Seal, Source

_OWN = frozenset({"collection.db", "shoal.db", "files.db"})
"""What lies in folders of Shoal's own data, which no collection takes in: uploads of others, and
indexes, which would change with every look."""


class Files(Struct, frozen=True):
    """What is under some sources: the ``found`` files by path, and the paths that were
    ``unreadable``, each with its reason. Of what lies under the latter nothing is known, so nothing
    of it is to be taken for removed."""

    found: dict[str, Seal]
    unreadable: dict[str, str]

    def tells_of(self, path: str) -> bool:
        """Whether it is known if this file is there."""
        while path not in self.unreadable:
            parent = os.path.dirname(path)
            if parent == path:
                return True
            path = parent
        return False


def source_of(path: Path) -> Source:
    """A file or folder as what documents come from.

    Raises:
        OSError: it is not there, or cannot be looked at.
    """
    status = path.stat()
    return Source(str(path), status.st_dev if path.is_dir() else None)


def files_of(sources: Sequence[Source], is_wanted: Callable[[Path], bool]) -> Files:
    """Every wanted file of these files and folders. Links to files are followed, links to folders
    are not; a file that is named is wanted whatever it is. ``is_wanted`` is asked of paths relative
    to their source.

    A folder that is not there, or is empty and on another device than it was, is not taken for one
    whose files were removed: its disk may not be mounted.
    """
    files = Files({}, {})
    for source in sources:
        try:
            if source.device is None:
                files.found[source.path] = seal_of(source.path)
            elif why := _absent(source):
                files.unreadable[source.path] = why
            else:
                files.found.update(_within(source.path, is_wanted, files.unreadable))
        except FileNotFoundError:
            if not Path(source.path).parent.is_dir():
                files.unreadable[source.path] = "the folder that it is in is not there"
        except OSError as error:
            files.unreadable[source.path] = _told(error)
    return files


def lies_in(path: str, folder: str) -> bool:
    """Whether a path lies somewhere under a folder."""
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def may_matter(path: str, source: str, is_wanted: Callable[[Path], bool]) -> bool:
    """Whether a change of this path may be one of what a source holds."""
    if path == source:
        return True
    if not lies_in(path, source) or not is_wanted(Path(os.path.relpath(path, source))):
        return False
    while path != source:
        path = os.path.dirname(path)
        if any(os.path.exists(os.path.join(path, name)) for name in _OWN):
            return False
    return True


def seal_of(path: str) -> Seal:
    """As a look from outside tells.

    Raises:
        OSError: there is no such file, or it cannot be looked at.
    """
    status = os.stat(path)
    return Seal(status.st_size, status.st_mtime_ns)


def _absent(source: Source) -> str:
    """Why nothing is known of a folder; "" if it can be looked into."""
    try:
        status = os.stat(source.path)
    except FileNotFoundError:
        return "the folder is not there; what came from it stays until that is removed by command"
    if status.st_dev != source.device and not os.listdir(source.path):
        return "it is empty and on another device than before: is its disk mounted?"
    return ""


def _within(
    folder: str, is_wanted: Callable[[Path], bool], unreadable: dict[str, str]
) -> Iterator[tuple[str, Seal]]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            unreadable[here] = _told(error)
            continue
        if any(entry.name in _OWN for entry in found):
            continue
        for entry in found:
            if not _is_text(entry.path):
                unreadable[ascii(entry.path)[1:-1]] = "its name is no text"
            elif not is_wanted(Path(os.path.relpath(entry.path, folder))):
                continue
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif (seal := _seal(entry, unreadable)) is not None:
                yield entry.path, seal


def _seal(entry: "os.DirEntry[str]", unreadable: dict[str, str]) -> Seal | None:
    """None of what is no regular file, or a link to none."""
    try:
        if not entry.is_file():
            return None
        status = entry.stat()
    except OSError as error:  # a link in a circle among them
        unreadable[entry.path] = _told(error)
        return None
    return Seal(status.st_size, status.st_mtime_ns)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _told(error: OSError) -> str:
    return error.strerror or str(error)
