"""What the gateway asks of whoever keeps files and vector stores.

Every method may wait for a disk, or for the encoder when it is first needed: the gateway asks in
threads. Of each, ``NotFound`` says that there is no such thing that the caller may know of,
``NotAllowed`` that it is not for the caller, ``MalformedRequest`` that it cannot be asked so,
``MissingExtra`` and ``EncoderMissing`` what is not installed, and ``StoreError`` that something
cannot be read or written.
"""

from pathlib import Path
from typing import Protocol

from shoal.formats.paging import Page, Paging
from shoal.formats.uploads import UploadOrder, UploadView
from shoal.formats.vector_stores import (
    BatchView,
    ChangedStore,
    ChangedStoreFile,
    NewBatch,
    NewStore,
    NewStoreFile,
    Removed,
    SearchView,
    Status,
    StoreFileView,
    StoreSearch,
    StoreView,
    Text,
    Unpaged,
)
from shoal.retrieval.uploads import Incoming
from shoal.routing.caller import Caller


class Uploading(Protocol):
    """Files that callers send, each their own."""

    @property
    def most_bytes(self) -> int:
        """How large a file may be."""

    def begin(self, expected: int = 0) -> Incoming:
        """A file of at least ``expected`` bytes that is to come; it must be kept or dropped.
        ``UploadsFull`` says that there is no room for it."""

    def keep(self, incoming: Incoming, order: UploadOrder, caller: Caller) -> UploadView:
        """Keep one that has come; it is on disk then."""

    def page(self, paging: Paging, purpose: str, caller: Caller) -> Page[UploadView]:
        """The caller's files."""

    def get(self, file_id: str, caller: Caller) -> UploadView:
        """One of them."""

    def content(self, file_id: str, caller: Caller) -> tuple[Path, str]:
        """Where its bytes are, and what it is called."""

    def remove(self, file_id: str, caller: Caller) -> Removed:
        """Remove one, out of every store too."""


class Storing(Protocol):
    """Vector stores."""

    def create(self, new: NewStore, caller: Caller) -> StoreView:
        """Make one."""

    def get(self, store_id: str, caller: Caller) -> StoreView:
        """One of them."""

    def page(self, paging: Paging, caller: Caller) -> Page[StoreView]:
        """Those that the caller may use."""

    def change(self, store_id: str, change: ChangedStore, caller: Caller) -> StoreView:
        """Say something else of one."""

    def remove(self, store_id: str, caller: Caller) -> Removed:
        """Remove one."""

    def search(self, store_id: str, asked: StoreSearch, caller: Caller) -> SearchView:
        """Search one."""


class Filing(Protocol):
    """The files of vector stores."""

    def attach(self, store_id: str, new: NewStoreFile, caller: Caller) -> StoreFileView:
        """Have a file attached, which goes on after this returns."""

    def page(
        self, store_id: str, paging: Paging, state: Status | None, caller: Caller
    ) -> Page[StoreFileView]:
        """The files of a store."""

    def get(self, store_id: str, file_id: str, caller: Caller) -> StoreFileView:
        """One of them."""

    def describe(
        self, store_id: str, file_id: str, change: ChangedStoreFile, caller: Caller
    ) -> StoreFileView:
        """Give one other attributes."""

    def detach(self, store_id: str, file_id: str, caller: Caller) -> Removed:
        """Take one out of the store."""

    def text(self, store_id: str, file_id: str, caller: Caller) -> Unpaged[Text]:
        """What was read of one."""

    def attach_batch(self, store_id: str, new: NewBatch, caller: Caller) -> BatchView:
        """Have files attached together."""

    def batch(self, store_id: str, batch_id: str, caller: Caller) -> BatchView:
        """How far that is."""

    def cancel(self, store_id: str, batch_id: str, caller: Caller) -> BatchView:
        """Attach no more of them."""

    def batch_files(
        self, store_id: str, batch_id: str, paging: Paging, state: Status | None, caller: Caller
    ) -> Page[StoreFileView]:
        """The files of a batch."""


class StoreDesk(Protocol):
    """All three."""

    @property
    def uploads(self) -> Uploading: ...
    @property
    def stores(self) -> Storing: ...
    @property
    def files(self) -> Filing: ...
