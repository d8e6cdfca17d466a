"""Watches the sources of collections, and takes in what changes there."""

import logging
import threading
import time
from collections.abc import Iterator
from os.path import exists
from pathlib import Path
from typing import TypeVar

from shoal.errors import MissingExtra, ShoalError
from shoal.retrieval.collection import Collection, collections_in
from shoal.retrieval.folders import may_matter
from shoal.retrieval.intake import Encodes, Summary
from shoal.retrieval.qdrant_place import Places, in_folders
from shoal.retrieval.readers import is_wanted
from shoal.retrieval.shelf import Shelf

log = logging.getLogger(__name__)
T = TypeVar("T")

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
    stop, told = stop or threading.Event(), dict[str, str]()
    while not stop.is_set():
        known = _sources(root, only, told)
        for name in known:
            yield from _synced(root / name, encoder, places)
        until = time.monotonic() + _AGAIN_S
        paths = sorted({path for sources in known.values() for path in sources if exists(path)})
        if not paths:
            stop.wait(_LOOK_MS / 1e3)
            continue
        looks = changes(
            *paths,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            stop_event=stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=True,
        )
        fresh = True
        for found in _as_long_as_it_works(looks, stop):
            changed = [path for _, path in found]
            for name, sources in known.items():
                # At the first look also what came between the reading and the watching.
                if fresh or any(
                    may_matter(path, s, is_wanted) for path in changed for s in sources
                ):
                    yield from _synced(root / name, encoder, places)
            fresh = False
            if time.monotonic() > until or _sources(root, only, told) != known:
                break


def _as_long_as_it_works(looks: Iterator[T], stop: threading.Event) -> Iterator[T]:
    """What a watcher tells, until it fails, as of a name that is no text; then after a while."""
    try:
        yield from looks
    except RuntimeError as error:  # the watcher's own, of which it exports no name
        log.warning("what changed is not told (%s): all is looked at again", error)
        stop.wait(_LOOK_MS / 1e3)


def _sources(root: Path, only: str | None, told: dict[str, str]) -> dict[str, list[str]]:
    """Where each collection takes from; ``told`` are those that cannot be opened, with why."""
    found = {}
    for name in collections_in(root) if only is None else [only]:
        try:
            shelf = Shelf.open(root / name)
        except ShoalError as error:
            if str(error) != told.get(name):  # once, not at every look
                log.warning("collection %s is not watched: %s", name, error)
            told[name] = str(error)
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
