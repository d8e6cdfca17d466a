"""The files of vector stores: those that were uploaded, and the documents that came otherwise.

A document that was not uploaded is the file ``file-`` and its id.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.attaching import Attaching
from shoal.assembly.detaching import detach, detach_everywhere, document_of, tidy
from shoal.assembly.library import Library
from shoal.assembly.store_place import StorePlace, place_of
from shoal.errors import MalformedRequest, NotFound
from shoal.formats.paging import Page, Paging, page_of, select
from shoal.formats.vector_stores import (
    ERROR_CODES,
    FILE,
    BatchView,
    ChangedStoreFile,
    Chunks,
    ChunkSizes,
    FileCounts,
    LastError,
    NewBatch,
    NewStoreFile,
    Removed,
    StaticChunks,
    Status,
    StoreFileView,
    Text,
    Unpaged,
)
from shoal.retrieval.attachments import Attachment
from shoal.retrieval.chunking import ChunkOptions
from shoal.retrieval.documents import Document, Passage
from shoal.retrieval.intake import is_from
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.uploads import Uploads
from shoal.routing.caller import Caller

MOST_TOKENS = 254  # of a passage: the encoder reads no further


class StoreFiles:
    """Attaches, tells of and removes files of stores. Every method may wait for the disk."""

    def __init__(self, library: Library, uploads: Uploads, attaching: Attaching) -> None:
        self._library, self._uploads, self._attaching = library, uploads, attaching

    def attach(self, store_id: str, new: NewStoreFile, caller: Caller) -> StoreFileView:
        """Have a file attached, which goes on after this returns.

        Raises:
            NotFound: there is no such store, or no such file of the caller's.
            NotAllowed: the store is not for the caller.
            MalformedRequest: the passages cannot have such sizes, or the store has expired.
            StoreError: that cannot be read or written.
        """
        place = place_of(self._library, store_id, caller)
        self.attach_all(place, [new], caller)
        return self.get(store_id, new.file_id, caller)

    def attach_all(
        self,
        place: StorePlace,
        files: Sequence[NewStoreFile],
        caller: Caller,
        together: bool = False,
    ) -> str:
        """Have several attached, all or none; the id of their batch, "" unless ``together``.

        Raises:
            NotFound, MalformedRequest, StoreError: as for one.
        """
        place.use()
        self.check(files, caller)
        with place.shelf() as shelf:
            most = shelf.max_tokens
        now = time.time()
        rows = [_attachment(one, most, now + 1e-6 * at) for at, one in enumerate(files)]
        batch = place.attachments.attach(rows, together)
        self._attaching.wake()
        return batch

    def check(self, files: Sequence[NewStoreFile], caller: Caller) -> None:
        """See that files could be attached.

        Raises:
            NotFound: there is no such file of the caller's.
            MalformedRequest: the passages cannot have such sizes.
        """
        own = owner_of(caller)
        for one in files:
            self._uploads.get(one.file_id, own)
            _sizes(one.chunking_strategy, MOST_TOKENS)

    def page(
        self,
        store_id: str,
        paging: Paging,
        state: Status | None,
        caller: Caller,
        batch: str = "",
    ) -> Page[StoreFileView]:
        """The files of a store in that ``state`` (None: in any), or only those of a ``batch``.

        Raises:
            NotFound, NotAllowed, StoreError: as for one.
            MalformedRequest: a cursor is of no file of the store.
        """
        place = place_of(self._library, store_id, caller)
        said = {one.file: one for one in place.attachments.said(batch)}
        with place.shelf() as shelf:
            gone = set(place.attachments.detached())
            known = {FILE + id: at for at, id in shelf.ids()}
            documents = {file: at for file, at in known.items() if file not in gone}
            places = [
                (one.at, one.file)
                for one in said.values()
                if state in (None, one.state) and _is_there(one, documents)
            ]
            if not batch and state in (None, "completed"):
                places += [(at, file) for file, at in documents.items() if file not in said]
            ids, more = select(places, paging, lambda id: self._uploads.gone(store_id, id))
            views = [_view(place, shelf, file, said.get(file)) for file in ids]
        return page_of(views, ids, more)

    def get(self, store_id: str, file_id: str, caller: Caller) -> StoreFileView:
        """One file of a store.

        Raises:
            NotFound, NotAllowed, StoreError: as when one is attached.
        """
        place = place_of(self._library, store_id, caller)
        with place.shelf() as shelf:
            _refuse_detached(place, file_id)
            return _view(place, shelf, file_id, place.attachments.find(file_id))

    def describe(
        self, store_id: str, file_id: str, change: ChangedStoreFile, caller: Caller
    ) -> StoreFileView:
        """Give a file other attributes instead of those that were given before.

        Raises:
            NotFound, NotAllowed, StoreError: as when one is attached.
            MalformedRequest: it is not attached yet, or comes from a folder.
        """
        place = place_of(self._library, store_id, caller)
        place.use()
        given = change.attributes or {}
        with place.shelf() as shelf:
            document, said = _known(place, shelf, file_id)
            _refuse_of_folder(shelf, document, "has the attributes of its file")
            if document is None or (said and said.state != "completed"):
                raise MalformedRequest(f"{file_id} is not attached yet", "file_id")
            before = said.attributes if said else {}
            own = {key: one for key, one in document.attributes.items() if key not in before}
            first = {"kind": document.kind, "file": filename_of(document)}
            shelf.describe(document.id, {**first, **own, **given})
            said = said or _of_document(shelf, document)
            place.attachments.describe(replace(said, attributes=given))
            return _view(place, shelf, file_id, place.attachments.find(file_id))

    def detach(self, store_id: str, file_id: str, caller: Caller) -> Removed:
        """Take a file out of a store; the upload stays.

        Raises:
            NotFound, NotAllowed, StoreError: as when one is attached.
            MalformedRequest: it comes from a folder, which it would come from again.
        """
        place = place_of(self._library, store_id, caller)
        with place.shelf() as shelf:
            document, said = _known(place, shelf, file_id)
            _refuse_of_folder(shelf, document, "would be taken in again; remove that file")
            created_at = said.at if said else document.at if document else 0.0
            if detach(place.attachments, shelf, file_id):
                self._attaching.wake()
        self._uploads.remember(store_id, file_id, created_at)
        return Removed(id=file_id, object="vector_store.file.deleted")

    def detach_everywhere(self, file_id: str) -> None:
        """Take a file out of every store, as when it is removed itself.

        Raises:
            StoreError: a store that is not damaged cannot be written.
        """
        if detach_everywhere(self._library, file_id):
            self._attaching.wake()

    def tidy(self) -> None:
        """Remove the files that have expired, out of every store too.

        Raises:
            StoreError: the table of files cannot be read.
        """
        if tidy(self._library, self._uploads):
            self._attaching.wake()

    def text(self, store_id: str, file_id: str, caller: Caller) -> Unpaged[Text]:
        """The passages of a file, with the headings that are new above each.

        Raises:
            NotFound, NotAllowed, StoreError: as when one is attached.
        """
        place = place_of(self._library, store_id, caller)
        with place.shelf() as shelf:
            document, _ = _known(place, shelf, file_id)
            passages = shelf.text_of(document.number) if document else []
        return Unpaged(object="vector_store.file_content.page", data=_texts(passages))

    def attach_batch(self, store_id: str, new: NewBatch, caller: Caller) -> BatchView:
        """Have files attached together.

        Raises:
            NotFound, NotAllowed, MalformedRequest, StoreError: as for one.
        """
        place = place_of(self._library, store_id, caller)
        files = list({one.file_id: one for one in new.each()}.values())
        batch = self.attach_all(place, files, caller, together=True)
        return self.batch(store_id, batch, caller)

    def batch(self, store_id: str, batch_id: str, caller: Caller) -> BatchView:
        """How far a batch is.

        Raises:
            NotFound: there is no such batch, or no such store.
            NotAllowed, StoreError: as when a file is attached.
        """
        place = place_of(self._library, store_id, caller)
        batch = place.attachments.batch(batch_id)
        counts = counted([one.state for one in place.attachments.said(batch_id)])
        status: Status = "in_progress" if counts.in_progress else "completed"
        return BatchView(
            id=batch_id,
            created_at=int(batch.at),
            vector_store_id=store_id,
            status="cancelled" if batch.cancelled else status,
            file_counts=counts,
        )

    def cancel(self, store_id: str, batch_id: str, caller: Caller) -> BatchView:
        """Attach no more files of a batch; those that are attached stay.

        Raises:
            NotFound, NotAllowed, StoreError: as for ``batch``.
        """
        found = self.batch(store_id, batch_id, caller)
        if found.status == "in_progress":
            place_of(self._library, store_id, caller).attachments.cancel(batch_id)
            self._attaching.wake()
            found = self.batch(store_id, batch_id, caller)
        return found

    def batch_files(
        self,
        store_id: str,
        batch_id: str,
        paging: Paging,
        state: Status | None,
        caller: Caller,
    ) -> Page[StoreFileView]:
        """The files of a batch.

        Raises:
            NotFound, NotAllowed, MalformedRequest, StoreError: as for ``page``.
        """
        self.batch(store_id, batch_id, caller)
        return self.page(store_id, paging, state, caller, batch_id)


def owner_of(caller: Caller) -> str | None:
    """Whose uploads a caller may use; None: everybody's."""
    return None if "admin" in caller.spec.scopes else caller.key


def counted(states: Iterable[str], completed: int = 0) -> FileCounts:
    """How many are in which state, with so many more that are ``completed``."""
    found = list(states)
    return FileCounts(
        in_progress=found.count("in_progress"),
        completed=found.count("completed") + completed,
        failed=found.count("failed"),
        cancelled=found.count("cancelled"),
        total=len(found) + completed,
    )


def filename_of(document: Document) -> str:
    """The name of a document's file, without the place it came from."""
    head, _, rest = document.name.partition("/")
    return rest if head == FILE + document.id else Path(document.name).name or document.name


class _Sizes(Struct, frozen=True):
    max_tokens: int
    overlap: int


def _sizes(chunks: Chunks | None, usual: int) -> _Sizes:
    """What is made of the sizes asked for: passages are no longer than what the encoder reads, and
    share a quarter at most."""
    if not isinstance(chunks, StaticChunks):
        return _Sizes(usual, ChunkOptions().overlap)
    asked = chunks.static
    if 2 * asked.chunk_overlap_tokens > asked.max_chunk_size_tokens:
        raise MalformedRequest(
            "chunking_strategy.static.chunk_overlap_tokens: at most half of max_chunk_size_tokens",
            "chunking_strategy",
        )
    most = min(asked.max_chunk_size_tokens, MOST_TOKENS)
    return _Sizes(most, min(asked.chunk_overlap_tokens, most // 4))


def _attachment(new: NewStoreFile, usual: int, at: float) -> Attachment:
    sizes = _sizes(new.chunking_strategy, usual)
    return Attachment(
        file=new.file_id,
        at=at,
        attributes=new.attributes or {},
        max_tokens=sizes.max_tokens,
        overlap=sizes.overlap,
    )


def _of_document(shelf: Shelf, document: Document) -> Attachment:
    return Attachment(
        file=FILE + document.id,
        at=document.at,
        state="completed",
        max_tokens=shelf.max_tokens,
        overlap=ChunkOptions().overlap,
    )


def _is_there(one: Attachment, documents: dict[str, float]) -> bool:
    """A document may have been removed by other ways than this."""
    return one.state != "completed" or one.file in documents


def _known(
    place: StorePlace, shelf: Shelf, file_id: str
) -> tuple[Document | None, Attachment | None]:
    """What there is of a file, at least one of the two."""
    _refuse_detached(place, file_id)
    document, said = document_of(shelf, file_id), place.attachments.find(file_id)
    if document is None and (said is None or said.state == "completed"):
        raise _no_file(place, file_id)
    return document, said


def _refuse_detached(place: StorePlace, file_id: str) -> None:
    """One that was detached while it was being attached may still be there for a moment."""
    if file_id in place.attachments.detached():
        raise _no_file(place, file_id)


def _no_file(place: StorePlace, file_id: str) -> NotFound:
    return NotFound(f"no file with id {file_id[:100]!r} in {place.id}")


def _refuse_of_folder(shelf: Shelf, document: Document | None, why: str) -> None:
    if document is not None and is_from(document.name, shelf.sources()):
        raise MalformedRequest(
            f"the file comes from a folder that the collection takes in, and {why}", "file_id"
        )


def _view(place: StorePlace, shelf: Shelf, file_id: str, said: Attachment | None) -> StoreFileView:
    document = document_of(shelf, file_id)
    if said is None:
        if document is None:
            raise _no_file(place, file_id)
        said = replace(_of_document(shelf, document), attributes=document.attributes)
    if said.state == "completed" and document is None:
        raise _no_file(place, file_id)
    sizes = ChunkSizes(said.max_tokens, said.overlap)
    return StoreFileView(
        id=file_id,
        usage_bytes=document.size if document else 0,
        created_at=int(said.at),
        vector_store_id=place.id,
        status=said.state,
        last_error=_last_error(said),
        chunking_strategy=StaticChunks(sizes),
        attributes=said.attributes,
    )


def _last_error(said: Attachment) -> LastError | None:
    if said.state != "failed":
        return None
    for code in ERROR_CODES:
        if said.code == code:
            return LastError(code, said.reason)
    return LastError("server_error", said.reason)


def _texts(passages: Sequence[Passage]) -> list[Text]:
    found, above = list[Text](), tuple[str, ...]()
    for one in passages:
        same = 0
        while same < min(len(above), len(one.headings)) and above[same] == one.headings[same]:
            same += 1
        found.append(Text("\n".join((*one.headings[same:], one.text))))
        above = one.headings
    return found
