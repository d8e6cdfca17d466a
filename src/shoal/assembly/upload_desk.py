"""Uploaded files as callers see them: each its own, those with the scope admin all of them."""

from pathlib import Path

from shoal.assembly.store_files import StoreFiles, owner_of
from shoal.formats.paging import Page, Paging, page_of, select
from shoal.formats.uploads import UploadOrder, UploadView
from shoal.formats.vector_stores import Removed
from shoal.retrieval.uploads import Incoming, Upload, Uploads
from shoal.routing.caller import Caller


class UploadDesk:
    """Every method may wait for the disk."""

    def __init__(self, uploads: Uploads, files: StoreFiles) -> None:
        self._uploads, self._files = uploads, files

    @property
    def most_bytes(self) -> int:
        """How large a file may be."""
        return self._uploads.most_bytes

    def begin(self, expected: int = 0) -> Incoming:
        """A file of at least ``expected`` bytes that is to come; it must be kept or dropped.

        Raises:
            UploadsFull: there is no room for it.
            StoreError: it cannot be written.
        """
        self.tidy()
        return self._uploads.begin(expected)

    def keep(self, incoming: Incoming, order: UploadOrder, caller: Caller) -> UploadView:
        """Keep one that has come. When this returns it is on disk.

        Raises:
            UploadsFull: there is no room for it any more.
            StoreError: it cannot be written.
        """
        named = order.filename, order.purpose
        return _view(self._uploads.keep(incoming, caller.key, *named, order.expires_s))

    def page(self, paging: Paging, purpose: str, caller: Caller) -> Page[UploadView]:
        """The caller's files; ``purpose`` "": whatever they are for.

        Raises:
            MalformedRequest: a cursor is of no file of the caller's.
            StoreError: they cannot be read.
        """
        self.tidy()
        found = {one.id: one for one in self._uploads.owned(owner_of(caller), purpose)}
        places = [(one.created_at, one.id) for one in found.values()]
        ids, more = select(places, paging, lambda id: self._uploads.gone("files", id))
        return page_of([_view(found[id]) for id in ids], ids, more)

    def get(self, file_id: str, caller: Caller) -> UploadView:
        """One file.

        Raises:
            NotFound: there is no such file of the caller's.
            StoreError: it cannot be read.
        """
        return _view(self._uploads.get(file_id, owner_of(caller)))

    def content(self, file_id: str, caller: Caller) -> tuple[Path, str]:
        """Where its bytes are, and what it is called.

        Raises:
            NotFound, StoreError: as for ``get``.
        """
        upload = self._uploads.get(file_id, owner_of(caller))
        return self._uploads.path(upload.id), upload.filename

    def remove(self, file_id: str, caller: Caller) -> Removed:
        """Remove a file, out of every store too.

        Raises:
            NotFound, StoreError: as for ``get``.
        """
        self._uploads.get(file_id, owner_of(caller))
        self._files.detach_everywhere(file_id)
        self._uploads.remove(file_id)
        return Removed(id=file_id, object="file")

    def tidy(self) -> None:
        """Remove what has expired.

        Raises:
            StoreError: the table of files cannot be read.
        """
        self._files.tidy()


def _view(upload: Upload) -> UploadView:
    over = upload.expires_at
    return UploadView(
        id=upload.id,
        bytes=upload.size,
        created_at=int(upload.created_at),
        expires_at=None if over is None else int(over),
        filename=upload.filename,
        purpose=upload.purpose,
    )
