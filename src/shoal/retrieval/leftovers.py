"""What is left in the folder of collections by somebody who was stopped while removing or importing
one, and how a collection is removed so that no more than that is ever left.

A collection that goes loses its name first. What is left then is found under a hidden one, and goes
when the next collection is made, removed or imported, or a gateway begins.
"""

import logging
import shutil
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import msgspec

from shoal.errors import ShoalError, StoreError
from shoal.retrieval.qdrant_place import Places, QdrantPlace, in_folders
from shoal.retrieval.qdrant_points import drop_points, points_of
from shoal.retrieval.shelf import FILE, Shelf

log = logging.getLogger(__name__)

_REMOVING, _IMPORTING = "removing", "importing"
_POINTS = "points.json"  # names of what is left in Qdrant
_IMPORTED_WITHIN_S = 3_600.0  # after so long nobody is still writing it


def set_aside(folder: Path) -> Path:
    """Take its name from a folder that is there, and so all who come later; where it is now.

    Raises:
        StoreError: it cannot be removed.
    """
    going = hidden(folder, _REMOVING)
    try:
        folder.rename(going)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be removed: {error}") from error
    return going


def hidden(folder: Path, why: str = _IMPORTING) -> Path:
    """A name beside ``folder`` that nobody takes for a collection's."""
    return folder.with_name(f".{folder.name}.{uuid4().hex}.{why}")


def sweep(root: Path, places: Places = in_folders) -> None:
    """Finish what somebody was stopped at; ``places`` says where collections have their vectors."""
    for going in root.glob(f".*.{_REMOVING}"):
        finish(going, places)
    before = time.time() - _IMPORTED_WITHIN_S
    for waiting in root.glob(f".*.{_IMPORTING}"):
        if _touched(waiting) < before:
            shutil.rmtree(waiting, ignore_errors=True)


def finish(going: Path, places: Places = in_folders) -> None:
    """Remove what was set aside, with the vectors that it has elsewhere. What is being written
    there is swept next time; so are vectors that cannot be reached now."""
    name = going.name.removeprefix(".").split(".")[0]
    if not _dropped(going, name, places(name)):
        for path in going.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _POINTS:
                path.unlink(missing_ok=True)
        return
    shutil.rmtree(going, ignore_errors=True)


def _dropped(going: Path, name: str, place: QdrantPlace | None) -> bool:
    """Whether Qdrant has nothing of it any more."""
    known = going / _POINTS
    if place is None or not (known.is_file() or (going / FILE).is_file()):
        return True
    try:
        if not known.is_file():
            with closing(Shelf.open(going)) as shelf:
                names = points_of(shelf, name)
            known.write_bytes(msgspec.json.encode(names))
        drop_points(place, msgspec.json.decode(known.read_bytes(), type=list[str]))
    except (ShoalError, OSError, msgspec.DecodeError) as error:
        log.warning("collection %s is removed, its vectors in Qdrant are not yet: %s", name, error)
        return not known.is_file()  # a damaged one does not tell which they are
    return True


def _touched(folder: Path) -> float:
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:
        return time.time()
