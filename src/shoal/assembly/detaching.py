"""Takes files out of collections, and expired ones out of everything."""

import logging
from contextlib import closing
from pathlib import Path

from shoal.assembly.library import Library
from shoal.errors import NotFound, StoreDamaged, StoreError
from shoal.formats.vector_stores import FILE
from shoal.retrieval.attachments import Attachments
from shoal.retrieval.documents import Document
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.uploads import Uploads

log = logging.getLogger(__name__)


def document_of(shelf: Shelf, file_id: str) -> Document | None:
    """The document that a file is; None if it is none of this collection."""
    if not file_id.startswith(FILE):
        return None
    try:
        document = shelf.document(file_id.removeprefix(FILE))
    except NotFound:
        return None
    return document if file_id == FILE + document.id else None


def detach(attachments: Attachments, shelf: Shelf, file_id: str) -> bool:
    """First what would have it attached, then what is; whether it may be being attached just now,
    so that there is something left to take out.

    Raises:
        StoreError: it cannot be written.
    """
    is_left = attachments.detach(file_id)
    document = document_of(shelf, file_id)
    if document is not None:
        shelf.remove([document.name])
    return is_left


def detach_everywhere(library: Library, file_id: str) -> bool:
    """Take an uploaded file out of every collection, but for those that cannot be read, in which
    nobody finds it either; whether something is left to take out, as ``detach`` says.

    Raises:
        StoreError: one that can be read cannot be written; it is taken out of all others.
    """
    is_left, failed = False, list[StoreError]()
    for name in library.names():
        try:
            is_left |= _detach_from(library.folder(name), file_id)
        except NotFound:  # removed meanwhile
            continue
        except StoreDamaged as error:
            log.warning("%s is not taken out of the collection %s: %s", file_id, name, error)
        except StoreError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return is_left


def tidy(library: Library, uploads: Uploads) -> bool:
    """Remove the files that have expired; whether something is left to take out.

    Raises:
        StoreError: the table of files cannot be read.
    """
    is_left = False
    for file_id in uploads.expired():
        try:
            is_left |= detach_everywhere(library, file_id)
            uploads.remove(file_id)
        except NotFound:  # another process was quicker
            continue
        except StoreError as error:  # of a collection; nobody asked for this just now
            log.warning("%s has expired, and stays: %s", file_id, error)
    return is_left


def _detach_from(folder: Path, file_id: str) -> bool:
    is_left, attachments = False, Attachments(folder)
    try:
        is_left = attachments.find(file_id) is not None and attachments.detach(file_id)
    except StoreDamaged as error:  # then nothing is attached there; what was goes all the same
        log.warning("%s: %s", folder.name, error)
    try:
        shelf = Shelf.open(folder)
    except NotFound:
        raise
    except StoreError as error:  # then nothing is found there
        log.warning("%s is not taken out of the collection %s: %s", file_id, folder.name, error)
        return is_left
    with closing(shelf):
        document = document_of(shelf, file_id)
        if document is not None and document.name.startswith(f"{file_id}/"):
            shelf.remove([document.name])
    return is_left
