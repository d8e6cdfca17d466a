"""``/v1/vector_stores``: OpenAI's vector stores, their files, and search."""

from typing import TypeVar, get_args

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shoal.errors import MalformedRequest
from shoal.formats.paging import Paging, paging_of
from shoal.formats.vector_stores import (
    PATH,
    ChangedStore,
    ChangedStoreFile,
    NewBatch,
    NewStore,
    NewStoreFile,
    Status,
    StoreSearch,
    decode,
)
from shoal.gateway.acts import Acts
from shoal.gateway.body import read_body
from shoal.gateway.key_check import caller_of
from shoal.gateway.replies import PREFIX, json_reply

R = TypeVar("R", bound=Struct)

_STORES = PREFIX + PATH
_ONE = f"{_STORES}/{{vector_store_id}}"
_FILES, _BATCHES = f"{_ONE}/files", f"{_ONE}/file_batches"
_FILE, _BATCH = f"{_FILES}/{{file_id}}", f"{_BATCHES}/{{batch_id}}"
_CANCEL = f"{_BATCH}/cancel"
_POLL_MS = "250"
_STATES: tuple[Status, ...] = get_args(Status)


class StoreRoutes:
    """Reads requests, asks the desk, and tells what it says."""

    def __init__(self, acts: Acts, max_body: int) -> None:
        self._acts, self._max_body = acts, max_body

    def routes(self) -> list[Route]:
        """Every route."""
        told = self._acts.endpoint
        return [
            Route(_STORES, told("stores.create", self._create), methods=["POST"]),
            Route(_STORES, told("stores.list", self._list)),
            Route(_ONE, told("stores.retrieve", self._get)),
            Route(_ONE, told("stores.update", self._change), methods=["POST"]),
            Route(_ONE, told("stores.delete", self._remove), methods=["DELETE"]),
            Route(f"{_ONE}/search", told("stores.search", self._search), methods=["POST"]),
            Route(_FILES, told("stores.files.create", self._attach), methods=["POST"]),
            Route(_FILES, told("stores.files.list", self._files)),
            Route(_FILE, told("stores.files.retrieve", self._file)),
            Route(_FILE, told("stores.files.update", self._describe), methods=["POST"]),
            Route(_FILE, told("stores.files.delete", self._detach), methods=["DELETE"]),
            Route(f"{_FILE}/content", told("stores.files.content", self._text)),
            Route(_BATCHES, told("stores.batches.create", self._attach_batch), methods=["POST"]),
            Route(_BATCH, told("stores.batches.retrieve", self._batch)),
            Route(
                f"{_BATCH}/cancel", told("stores.batches.cancel", self._cancel), methods=["POST"]
            ),
            Route(f"{_BATCH}/files", told("stores.batches.files", self._batch_files)),
        ]

    async def _create(self, http: Request) -> object:
        new = await self._body(http, NewStore)
        return await self._acts.ask(self._acts.desk.stores.create, new, caller_of(http.scope))

    async def _list(self, http: Request) -> object:
        page = self._acts.desk.stores.page
        return await self._acts.ask(page, _paging(http), caller_of(http.scope))

    async def _get(self, http: Request) -> object:
        ask, stores = self._acts.ask, self._acts.desk.stores
        return await ask(stores.get, _store(http), caller_of(http.scope))

    async def _change(self, http: Request) -> object:
        change = await self._body(http, ChangedStore)
        ask, stores = self._acts.ask, self._acts.desk.stores
        return await ask(stores.change, _store(http), change, caller_of(http.scope))

    async def _remove(self, http: Request) -> object:
        ask, stores = self._acts.ask, self._acts.desk.stores
        return await ask(stores.remove, _store(http), caller_of(http.scope))

    async def _search(self, http: Request) -> object:
        asked = await self._body(http, StoreSearch)
        ask, stores = self._acts.ask, self._acts.desk.stores
        return await ask(stores.search, _store(http), asked, caller_of(http.scope))

    async def _attach(self, http: Request) -> object:
        new = await self._body(http, NewStoreFile)
        ask, files = self._acts.ask, self._acts.desk.files
        return await ask(files.attach, _store(http), new, caller_of(http.scope))

    async def _files(self, http: Request) -> object:
        asked = _paging(http, "filter"), _state(http)
        ask, files = self._acts.ask, self._acts.desk.files
        return await ask(files.page, _store(http), *asked, caller_of(http.scope))

    async def _file(self, http: Request) -> object:
        ask, files = self._acts.ask, self._acts.desk.files
        view = await ask(files.get, *_store_and(http, "file_id"), caller_of(http.scope))
        return _polled(view, view.status)

    async def _describe(self, http: Request) -> object:
        change = await self._body(http, ChangedStoreFile)
        ask, files = self._acts.ask, self._acts.desk.files
        which = _store_and(http, "file_id")
        return await ask(files.describe, *which, change, caller_of(http.scope))

    async def _detach(self, http: Request) -> object:
        ask, files = self._acts.ask, self._acts.desk.files
        return await ask(files.detach, *_store_and(http, "file_id"), caller_of(http.scope))

    async def _text(self, http: Request) -> object:
        ask, files = self._acts.ask, self._acts.desk.files
        return await ask(files.text, *_store_and(http, "file_id"), caller_of(http.scope))

    async def _attach_batch(self, http: Request) -> object:
        new = await self._body(http, NewBatch)
        ask, files = self._acts.ask, self._acts.desk.files
        return await ask(files.attach_batch, _store(http), new, caller_of(http.scope))

    async def _batch(self, http: Request) -> object:
        ask, files = self._acts.ask, self._acts.desk.files
        view = await ask(files.batch, *_store_and(http, "batch_id"), caller_of(http.scope))
        return _polled(view, view.status)

    async def _cancel(self, http: Request) -> object:
        ask, files = self._acts.ask, self._acts.desk.files
        return await ask(files.cancel, *_store_and(http, "batch_id"), caller_of(http.scope))

    async def _batch_files(self, http: Request) -> object:
        asked = _paging(http, "filter"), _state(http)
        ask, files = self._acts.ask, self._acts.desk.files
        which = _store_and(http, "batch_id")
        return await ask(files.batch_files, *which, *asked, caller_of(http.scope))

    async def _body(self, http: Request, kind: type[R]) -> R:
        return decode(kind, await read_body(http, self._max_body))


def _polled(view: Struct, status: Status) -> Response:
    """With a word to clients, which else wait for a second, when to ask again."""
    reply = json_reply(view)
    if status == "in_progress":
        reply.headers["openai-poll-after-ms"] = _POLL_MS
    return reply


def _store(http: Request) -> str:
    return str(http.path_params["vector_store_id"])


def _store_and(http: Request, name: str) -> tuple[str, str]:
    return _store(http), str(http.path_params[name])


def _paging(http: Request, *others: str) -> Paging:
    return paging_of(http.query_params, usual=20, most=100, others=others)


def _state(http: Request) -> Status | None:
    given = http.query_params.get("filter")
    for known in _STATES:
        if given == known:
            return known
    if given is not None:
        raise MalformedRequest(
            f"filter: expected {', '.join(_STATES)}, found {given[:40]!r}", "filter"
        )
    return None
