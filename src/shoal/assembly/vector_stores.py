"""Collections as vector stores of the API: made, told of, searched and removed."""

import logging
import re
import time
from collections.abc import Iterable
from contextlib import closing

import uuid_utils
from msgspec import UNSET
from msgspec.structs import replace

from shoal.assembly.library import Library
from shoal.assembly.store_files import StoreFiles, counted, filename_of
from shoal.assembly.store_place import StorePlace, name_of, not_found, place_of
from shoal.errors import Conflict, NotAllowed, NotFound, StoreError
from shoal.formats.paging import Page, Paging, Place, page_of, select
from shoal.formats.vector_stores import (
    FILE,
    STORE,
    ChangedStore,
    ExpiresAfter,
    Found,
    NewStore,
    NewStoreFile,
    Removed,
    SearchView,
    StoreSearch,
    StoreView,
    Text,
    Value,
)
from shoal.retrieval.attachments import Attachments, Terms
from shoal.retrieval.collection import NAME
from shoal.retrieval.documents import Hit
from shoal.retrieval.filters import filter_from_json
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.uploads import Uploads
from shoal.routing.caller import ANYBODY, Caller

log = logging.getLogger(__name__)

_LIST = "vector_stores"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


class VectorStores:
    """Every method may wait: for the disk, and for the encoder when it is first needed."""

    def __init__(self, library: Library, uploads: Uploads, files: StoreFiles) -> None:
        self._library, self._uploads, self._files = library, uploads, files

    def create(self, new: NewStore, caller: Caller) -> StoreView:
        """Make a collection, and have files attached to it.

        Raises:
            NotAllowed: the caller is for certain collections only.
            NotFound: there is no such file of the caller's.
            MalformedRequest: the passages cannot have such sizes.
            MissingExtra, EncoderMissing: what searches is not installed.
            StoreError: it cannot be written.
        """
        if caller.spec.collections:
            raise NotAllowed(
                f"the key {caller.name!r} is for certain collections only, and makes no others",
                "collection_not_allowed",
            )
        files = [
            NewStoreFile(file_id=id, chunking_strategy=new.chunking_strategy)
            for id in dict.fromkeys(new.file_ids)
        ]
        self._files.check(files, caller)
        name = self._made(new.name or "")
        terms = Terms(
            title=new.name or "",
            description=new.description or "",
            metadata=new.metadata or {},
            days=new.expires_after.days if new.expires_after else None,
            active_at=time.time(),
        )
        Attachments(self._library.folder(name)).say(terms)
        place = place_of(self._library, STORE + name, caller)
        if files:
            self._files.attach_all(place, files, caller)
        return _view(place)

    def get(self, store_id: str, caller: Caller) -> StoreView:
        """One store.

        Raises:
            NotFound: there is none.
            NotAllowed: it is not for the caller.
            StoreError: it cannot be read.
        """
        return _view(place_of(self._library, store_id, caller))

    def page(self, paging: Paging, caller: Caller) -> Page[StoreView]:
        """The stores that the caller may use, but for those that cannot be read.

        Raises:
            MalformedRequest: a cursor is of no store.
        """
        own, places = caller.spec.collections, list[Place]()
        for name in self._library.names():
            if not own or name in own:
                places += _created(self._library, STORE + name)
        ids, more = select(places, paging, lambda id: self._uploads.gone(_LIST, id))
        return page_of([one for id in ids for one in self._readable(id, caller)], ids, more)

    def change(self, store_id: str, change: ChangedStore, caller: Caller) -> StoreView:
        """Say something else of a store, which counts as using it.

        Raises:
            NotFound, NotAllowed, StoreError: as for ``get``.
        """
        place = place_of(self._library, store_id, caller)
        terms = replace(place.terms or Terms(), active_at=time.time())
        if change.name is not UNSET:
            terms = replace(terms, title=change.name or "")
        if change.metadata is not UNSET:
            terms = replace(terms, metadata=change.metadata or {})
        if change.expires_after is not UNSET:
            days = change.expires_after.days if change.expires_after else None
            terms = replace(terms, days=days)
        place.attachments.say(terms)
        return self.get(store_id, caller)

    def remove(self, store_id: str, caller: Caller) -> Removed:
        """Remove the collection, be it damaged or not; files that were uploaded stay.

        Raises:
            NotFound: as for ``get``.
            NotAllowed: as for ``get``, or it was made by command, of files of the machine, and the
                caller is no admin.
            StoreError: it cannot be removed.
        """
        name = name_of(store_id, caller)
        if "admin" not in caller.spec.scopes and _takes_from_files(self._library, name):
            raise NotAllowed(
                f"{store_id} takes in files of this machine: `shoal collections remove {name}` "
                "there removes it, or a key with the scope admin",
                "collection_not_allowed",
            )
        created_at = next((at for at, _ in _created(self._library, store_id)), time.time())
        try:
            self._library.remove(name)
        except NotFound:
            raise not_found(store_id) from None
        self._uploads.remember(_LIST, store_id, created_at)
        return Removed(id=store_id, object="vector_store.deleted")

    def search(self, store_id: str, asked: StoreSearch, caller: Caller) -> SearchView:
        """The passages that fit any of the queries best; each once, with its best score.

        Raises:
            NotFound, NotAllowed: as for ``get``.
            MalformedRequest: the filter is none, or asks for an attribute that no document has; or
                the store has expired.
            Conflict, MissingExtra, EncoderMissing, StoreError: it cannot be searched.
        """
        self._tidy()
        where = None if asked.filters is None else filter_from_json(asked.filters)
        place = place_of(self._library, store_id, caller)
        place.use()
        options = SearchOptions(k=asked.max_num_results, where=where)
        try:
            best = self._library.read(
                place.name,
                lambda found: _best(found.search(query, options) for query in asked.queries),
            )
        except NotFound:  # removed meanwhile
            raise not_found(store_id) from None
        ranking = asked.ranking_options
        least = ranking.score_threshold if ranking else None
        gone = set(place.attachments.leaving())
        there = [hit for hit in best if FILE + hit.document.id not in gone]
        kept = [hit for hit in there if least is None or _score(hit) >= least]
        kept = kept[: asked.max_num_results]
        given = place.attachments.given(FILE + hit.document.id for hit in kept)
        return SearchView(search_query=asked.queries, data=[_found(hit, given) for hit in kept])

    def _tidy(self) -> None:
        """What has expired is not to be found."""
        try:
            self._files.tidy()
        except StoreError as error:  # who asks for files is told
            log.warning("files that have expired stay: %s", error)

    def _readable(self, store_id: str, caller: Caller) -> Iterable[StoreView]:
        try:
            yield self.get(store_id, caller)
        except NotFound:  # removed meanwhile
            return
        except StoreError as error:  # the others are told of all the same
            log.warning("%s cannot be read: %s", store_id, error)

    def _made(self, title: str) -> str:
        """The name of a new collection: the title itself if that will do and is free."""
        name = title if NAME.fullmatch(title) else _name_like(title)
        while True:
            try:
                self._library.create(name)
                return name
            except Conflict:
                name = _name_like(title)


def _name_like(title: str) -> str:
    """A name that tells of a title, and is nobody else's."""
    words = _NOT_IN_NAMES.sub("-", title.lower()).strip("-")[:40].strip("-") or "store"
    return f"{words}-{uuid_utils.uuid4().hex[:10]}"


def _takes_from_files(library: Library, name: str) -> bool:
    try:
        with closing(Shelf.open(library.folder(name))) as shelf:
            return bool(shelf.sources())
    except StoreError:  # none, or a damaged one
        return False


def _created(library: Library, store_id: str) -> Iterable[Place]:
    try:
        with place_of(library, store_id, ANYBODY).shelf() as shelf:
            yield shelf.created_at, store_id
    except NotFound:  # removed meanwhile
        return
    except StoreError as error:  # the others are told of all the same
        log.warning("%s cannot be read: %s", store_id, error)


def _view(place: StorePlace) -> StoreView:
    unfinished = place.attachments.unfinished()
    with place.shelf() as shelf:
        left_out = [*(file for file, _ in unfinished), *place.attachments.detached()]
        completed, size = shelf.sizes(file.removeprefix(FILE) for file in left_out)
        created_at = shelf.created_at
    counts = counted([state for _, state in unfinished], completed)
    terms = place.terms or Terms(active_at=created_at)
    over = terms.expires_at
    return StoreView(
        id=place.id,
        created_at=int(created_at),
        name=terms.title or place.name,
        description=terms.description or None,
        usage_bytes=size,
        file_counts=counts,
        status="expired"
        if place.is_expired
        else "in_progress"
        if counts.in_progress
        else "completed",
        expires_after=ExpiresAfter("last_active_at", terms.days) if terms.days else None,
        expires_at=None if over is None else int(over),
        last_active_at=int(terms.active_at),
        metadata=terms.metadata,
    )


def _best(found: Iterable[list[Hit]]) -> list[Hit]:
    best = dict[int, Hit]()
    for hits in found:
        for hit in hits:
            known = best.get(hit.passage.number)
            if known is None or hit.score > known.score:
                best[hit.passage.number] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.passage.number))


def _score(hit: Hit) -> float:
    """From 0 to 1, as clients expect; a cosine can be less, which says as little as 0."""
    return min(1.0, max(0.0, hit.score))


def _found(hit: Hit, given: dict[str, dict[str, Value]]) -> Found:
    document = hit.document
    file_id = FILE + document.id
    return Found(
        file_id=file_id,
        filename=filename_of(document),
        score=_score(hit),
        attributes=given.get(file_id, document.attributes),
        content=(Text(hit.passage.text),),
    )
