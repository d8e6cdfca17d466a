"""``/v1/files``: files are sent, told of, fetched and removed, in OpenAI's form."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from shoal.errors import BodyTooLarge, MalformedRequest
from shoal.formats.paging import paging_of
from shoal.formats.uploads import FIELDS, PATH, upload_order
from shoal.gateway.acts import Acts
from shoal.gateway.body import check_body
from shoal.gateway.key_check import caller_of
from shoal.gateway.multipart import FormParser, Part, boundary_of
from shoal.gateway.replies import PREFIX
from shoal.retrieval.uploads import Incoming

UPLOADS = PREFIX + PATH
_ONE = f"{UPLOADS}/{{file_id}}"
_MOST = 10_000  # files of one page
_BYTES = "application/octet-stream"
_WRITTEN = 1_000_000  # bytes that are held before they are written
_MOST_FIELD = 1_000  # bytes
_MOST_AROUND = 100_000  # bytes of a form besides its file


class UploadRoutes:
    """A file goes to disk as it comes: some two megabytes of it are held at a time, so it may be
    larger than other bodies."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    def routes(self) -> list[Route]:
        """Every route."""
        told = self._acts.endpoint
        return [
            Route(UPLOADS, told("files.create", self._create), methods=["POST"]),
            Route(UPLOADS, told("files.list", self._list)),
            Route(_ONE, told("files.retrieve", self._get)),
            Route(_ONE, told("files.delete", self._remove), methods=["DELETE"]),
            Route(f"{_ONE}/content", told("files.content", self._content)),
        ]

    async def _create(self, http: Request) -> object:
        ask, uploads = self._acts.ask, self._acts.desk.uploads
        check_body(http)
        parser = FormParser(boundary_of(http.headers.get("content-type", "")))
        incoming = await ask(uploads.begin, _expected(http, uploads.most_bytes))
        try:
            form = _Form(self._acts, incoming)
            async for piece in _pieces(http, uploads.most_bytes):
                for event in parser.feed(piece):
                    await form.take(event)
            parser.close()
            order = upload_order(form.whole(), form.fields)
            return await ask(uploads.keep, incoming, order, caller_of(http.scope))
        except BaseException:  # whatever it was, also that the client hung up: nothing stays behind
            await ask(incoming.drop)
            raise

    async def _list(self, http: Request) -> object:
        paging = paging_of(http.query_params, usual=_MOST, most=_MOST, others=("purpose",))
        purpose = http.query_params.get("purpose", "")
        ask, uploads = self._acts.ask, self._acts.desk.uploads
        return await ask(uploads.page, paging, purpose, caller_of(http.scope))

    async def _get(self, http: Request) -> object:
        ask, uploads = self._acts.ask, self._acts.desk.uploads
        return await ask(uploads.get, _file(http), caller_of(http.scope))

    async def _remove(self, http: Request) -> object:
        ask, uploads = self._acts.ask, self._acts.desk.uploads
        return await ask(uploads.remove, _file(http), caller_of(http.scope))

    async def _content(self, http: Request) -> Response:
        ask, uploads = self._acts.ask, self._acts.desk.uploads
        path, name = await ask(uploads.content, _file(http), caller_of(http.scope))
        headers = {"x-content-type-options": "nosniff"}  # never a page of this gateway's own
        return FileResponse(
            path, headers=headers, media_type="application/octet-stream", filename=name
        )


class _Form:
    """A form as it comes in: its file goes to disk, its fields are kept."""

    def __init__(self, acts: Acts, incoming: Incoming) -> None:
        self.fields = dict[str, str]()
        self._acts, self._incoming = acts, incoming
        self._part: Part | None = None
        self._filename: str | None = None
        self._held = bytearray()

    async def take(self, event: Part | bytes | str) -> None:
        """One event of the parser's.

        Raises:
            MalformedRequest: the form has another field or file than it should.
            BodyTooLarge: the file is too large.
        """
        if isinstance(event, Part):
            self._begin(event)
        elif isinstance(event, bytes):
            self._held += event
            await self._check()
        else:
            await self._end()

    def whole(self) -> str:
        """The file's name, when the form is at its end.

        Raises:
            MalformedRequest: there was no file.
        """
        if self._filename is None:
            raise MalformedRequest("file: the form holds no file", "file")
        return self._filename

    def _begin(self, part: Part) -> None:
        known = "file" if part.filename is not None else "a field"
        if part.filename is None and part.name not in FIELDS:
            names = ", ".join(("file", *FIELDS))
            raise MalformedRequest(f"{part.name[:40]!r}: {known} of no use; expected {names}")
        if part.filename is not None and (part.name != "file" or self._filename is not None):
            raise MalformedRequest("expected one file, called 'file'", "file")
        if part.name in self.fields:
            raise MalformedRequest(f"{part.name}: there is more than one", part.name)
        self._part = part
        self._filename = self._filename if part.filename is None else part.filename

    async def _check(self) -> None:
        assert self._part is not None
        if self._part.filename is None and len(self._held) > _MOST_FIELD:
            raise MalformedRequest(f"{self._part.name}: over {_MOST_FIELD} bytes", self._part.name)
        if self._part.filename is not None and len(self._held) >= _WRITTEN:
            await self._write()

    async def _end(self) -> None:
        assert self._part is not None
        if self._part.filename is None:
            self.fields[self._part.name] = self._held.decode("utf-8", "replace")
            self._held.clear()
        else:
            await self._write()
        self._part = None

    async def _write(self) -> None:
        data = bytes(self._held)
        self._held.clear()
        await self._acts.ask(self._incoming.write, data)


def _file(http: Request) -> str:
    return str(http.path_params["file_id"])


def _expected(http: Request, most: int) -> int:
    """How many bytes the file has at the least, by what is said of the form."""
    declared = http.headers.get("content-length", "")
    least = int(declared) - _MOST_AROUND if declared.isdecimal() else 0
    if least > most:
        raise _too_large(most)
    return max(least, 0)


async def _pieces(http: Request, most: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in http.stream():
        size += len(piece)
        if size > most + _MOST_AROUND:
            raise _too_large(most)
        yield piece


def _too_large(most: int) -> BodyTooLarge:
    said = f"the file is over {most / 1_000_000:g} MB (gateway.max_file_mb), the most that is taken"
    return BodyTooLarge(said)
