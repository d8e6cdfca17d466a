"""Watches the sources of collections, and takes in what changes there."""

import logging
import threading
import time
from collections.abc import Iterator
from os.path import exists
from pathlib import Path

from shoal.errors import MissingExtra, ShoalError
from shoal.retrieval.collection import Collection, collections_in
from shoal.retrieval.folders import may_matter
from shoal.retrieval.intake import Encodes, Summary
from shoal.retrieval.qdrant_place import Places, in_folders
from shoal.retrieval.readers import is_wanted
from shoal.retrieval.shelf import Shelf

log = logging.getLogger(__name__)

_LOOK_MS = 2_000  # new collections and sources are noticed so soon
_AGAIN_S = 600.0  # everything is looked at again, for what the system did not tell
_DEBOUNCE_MS = 400


def watch(
    root: Path,
    encoder: Encodes,
    only: str | None = None,
    stop: threading.Event | None = None,
    places: Places = in_folders,
) -> Iterator[tuple[str, Summary]]:
    """Keep the collections in a folder, or ``only`` one, in line with their sources until ``stop``;
    tells which changed, and how. ``places`` says where their vectors are. A collection that fails
    is logged and left for the next change.

    Raises:
        MissingExtra: what watches is not installed.
    """
    try:
        from watchfiles import watch as changes
    except ImportError as error:
        raise MissingExtra("docs", "watching folders") from error
    stop = stop or threading.Event()
    while not stop.is_set():
        known = _sources(root, only)
        for name in known:
            yield from _synced(root / name, encoder, places)
        until = time.monotonic() + _AGAIN_S
        paths = sorted({path for sources in known.values() for path in sources if exists(path)})
        if not paths:
            stop.wait(_LOOK_MS / 1e3)
            continue
        for found in changes(
            *paths,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            stop_event=stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=True,
        ):
            changed = [path for _, path in found]
            for name, sources in known.items():
                if any(may_matter(path, one, is_wanted) for path in changed for one in sources):
                    yield from _synced(root / name, encoder, places)
            if time.monotonic() > until or _sources(root, only) != known:
                break


def _sources(root: Path, only: str | None) -> dict[str, list[str]]:
    """Where each collection takes from."""
    found = {}
    for name in collections_in(root) if only is None else [only]:
        try:
            shelf = Shelf.open(root / name)
        except ShoalError as error:
            log.warning("collection %s is not watched: %s", name, error)
            continue
        found[name] = [source.path for source in shelf.sources()]
        shelf.close()
    return found


def _synced(folder: Path, encoder: Encodes, places: Places) -> Iterator[tuple[str, Summary]]:
    try:
        collection = Collection(folder, encoder, qdrant=places(folder.name))
        try:
            summary = collection.sync()
        finally:
            collection.close()
    except (ShoalError, OSError) as error:  # one that was removed meanwhile among them
        log.warning("collection %s: %s", folder.name, error)
        return
    if summary.written or summary.removed or summary.failed:
        yield folder.name, summary
