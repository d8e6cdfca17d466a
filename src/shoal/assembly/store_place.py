"""A vector store of the API: which collection it is, and what is known of it."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from shoal.assembly.library import Library
from shoal.errors import MalformedRequest, NotFound
from shoal.formats.vector_stores import STORE
from shoal.retrieval.attachments import Attachments, Terms
from shoal.retrieval.collection import NAME
from shoal.retrieval.shelf import Shelf
from shoal.routing.caller import Caller


class StorePlace(Struct, frozen=True, kw_only=True):
    """A collection as a store: its name and folder, what was said of it, and ``terms`` as they were
    when it was looked up (None: none were)."""

    name: str
    folder: Path
    attachments: Attachments
    terms: Terms | None

    @property
    def id(self) -> str:
        """The store's id."""
        return STORE + self.name

    @property
    def is_expired(self) -> bool:
        """Whether it was unused for longer than its terms allow."""
        over = self.terms.expires_at if self.terms else None
        return over is not None and over <= time.time()

    @contextmanager
    def shelf(self) -> Iterator[Shelf]:
        """Its shelf, which needs neither encoder nor indexes.

        Raises:
            NotFound: it has been removed.
            StoreError: it cannot be read.
        """
        with closing(Shelf.open(self.folder)) as shelf:
            yield shelf

    def use(self) -> None:
        """It is used now.

        Raises:
            MalformedRequest: it has expired.
        """
        if self.is_expired:
            raise MalformedRequest(
                f"{self.id} has expired; give it another expires_after to use it again",
                "vector_store_id",
            )
        if self.terms is not None:
            self.attachments.used(self.terms)


def place_of(library: Library, store_id: str, caller: Caller) -> StorePlace:
    """The store of that id.

    Raises:
        NotFound: there is none.
        NotAllowed: it is not for the caller, who is not told whether there is one.
        StoreError: it cannot be read.
    """
    name = name_of(store_id, caller)
    try:
        folder = library.folder(name)
    except NotFound:
        raise not_found(store_id) from None
    attachments = Attachments(folder)
    return StorePlace(name=name, folder=folder, attachments=attachments, terms=attachments.terms())


def name_of(store_id: str, caller: Caller) -> str:
    """The name of the collection that a store is, whether or not there is one.

    Raises:
        NotFound: no store can have this id.
        NotAllowed: it is not for the caller.
    """
    name = store_id.removeprefix(STORE)
    if not store_id.startswith(STORE) or NAME.fullmatch(name) is None:
        raise not_found(store_id)
    caller.require_collection(name)
    return name


def not_found(store_id: str) -> NotFound:
    """What is said of a store that there is not."""
    return NotFound(f"no vector store with id {store_id[:100]!r}")
