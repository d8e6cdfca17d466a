"""The engine that asks a model on this machine, or an adapter on one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
from msgspec.structs import replace

from shoal.chat import Answer, AnswerStream, Format, Piece, Request
from shoal.engines.local.base_model import Adapter, BaseModel, BaseSettings, Use
from shoal.engines.local.bases import open_base, release_base
from shoal.engines.local.child import Child
from shoal.engines.local.generating import said_in
from shoal.engines.local.guard import local_body
from shoal.engines.local.line import Line
from shoal.engines.options import CHATML, AdapterOptions, LocalOptions
from shoal.engines.remote import joined
from shoal.engines.upstream import Reply
from shoal.errors import (
    ConfigError,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
    Untranslatable,
)
from shoal.formats import FORMATS
from shoal.formats.chat_completions import asks_usage
from shoal.formats.chat_completions.chunks import ChunkDecoder
from shoal.formats.embeddings import Embedded, EmbeddingRequest, decode_embedded, form_of
from shoal.formats.json_text import members_of
from shoal.formats.messages.token_counts import encode_count
from shoal.formats.reader import StreamReader

_CHAT, _EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
_COUNT = "/v1/chat/completions/input_tokens"
_MOST_TEXTS = 2_048
_TRIES = 3


class LocalEngine:
    """Asks a model file, or with ``adapter`` an adapter on it; the file is loaded when it is first
    asked, by a process that all engines of the file share.

    Raises:
        ConfigError: a file is missing, damaged, too large, or does not fit the other.
    """

    def __init__(
        self, name: str, options: LocalOptions, adapter: AdapterOptions | None = None
    ) -> None:
        self._name = name
        self._base = open_base(adapter.base if adapter else name, base_settings(name, options))
        self._adapter: Adapter | None = None
        self._scale = adapter.scale if adapter else 1.0
        if adapter is not None:
            try:
                self._adapter = self._base.add_adapter(adapter.path, f"models.{name}")
            except ConfigError:
                release_base(self._base)
                raise
        self._pooling, self._timeout_s = options.pooling, options.timeout_s
        self._lines: dict[Child, Line] = {}
        self._starting: asyncio.Task[None] | None = None
        self._model = msgspec.json.encode(name)

    @property
    def name(self) -> str:
        """Its name in ``shoal.toml``."""
        return self._name

    @property
    def base(self) -> BaseModel:
        """The model file that it asks."""
        return self._base

    @property
    def context_tokens(self) -> int:
        """Tokens of a request and its answer together, at most."""
        return self._base.context

    async def answer(self, request: Request) -> Answer:
        """The whole answer, its bytes in ``body``. Cancelling this frees the slot.

        Raises:
            MalformedRequest, Untranslatable, ContextLengthExceeded: it cannot be answered as asked.
            EngineBusy: as many calls as may wait do.
            EngineUnreachable: the model cannot be loaded, or its process has ended meanwhile.
            EngineTimeout: it took too long.
        """
        request = replace(request, stream=False) if request.stream else request
        use = await self._use()
        try:
            reply = await self._ask(use, _CHAT, self._body(request, use))
        finally:
            self._base.end(use)
        return FORMATS["chat"].decode_answer(self._renamed(reply, use.child))

    async def stream(self, request: Request) -> AnswerStream:
        """The answer as it comes; raises what ``answer`` raises, once the prompt has been read."""
        request = request if request.stream else replace(request, stream=True)
        use = await self._use()
        try:
            line = self._line(use.child)
            response = await self._post(line, use, _CHAT, self._body(request, use))
        except BaseException:  # a cancelled one too gives its turn back
            self._base.end(use)
            raise
        decoder = _Renaming(self._renaming(use.child), not asks_usage(request))
        return LocalStream(self._name, line, response, decoder, partial(self._base.end, use))

    async def embed(self, request: EmbeddingRequest) -> Embedded:
        """A vector for each text.

        Raises:
            Untranslatable: ``pooling`` is not set, or the engine is an adapter.
            RequestError, EngineError: as ``answer``.
        """
        if self._pooling is None or self._adapter is not None:
            raise Untranslatable(
                f"model: {self._name} has no embeddings; a local model has if pooling is set for "
                "it in shoal.toml",
                "model",
            )
        if form_of(request).dimensions is not None:
            raise Untranslatable("dimensions: a local model gives all that it has", "dimensions")
        if len(request.texts) > _MOST_TEXTS:
            raise Untranslatable(f"input: at most {_MOST_TEXTS:,} texts at once", "input")
        encoding = form_of(request).encoding_format or "float"
        body = msgspec.json.encode({"input": request.texts, "encoding_format": encoding})
        use = await self._use()
        try:
            reply = await self._ask(use, _EMBEDDINGS, body)
        finally:
            self._base.end(use)
        return decode_embedded(self._renamed(reply, use.child))

    @property
    def counts_tokens(self) -> bool:
        """It does."""
        return True

    async def count_tokens(self, request: Request) -> Reply | None:
        """The tokens of a request in the model's own template.

        Raises: what ``answer`` raises.
        """
        use = await self._use()
        try:
            asked = replace(request, stream=False)
            reply = await self._ask(use, _COUNT, self._body(asked, use))
        finally:
            self._base.end(use)
        try:
            return Reply(encode_count(int(bytes(members_of(reply)["input_tokens"]))))
        except (KeyError, ValueError):
            raise EngineUnreachable(f"{self._name}: the reply holds no count") from None

    async def aclose(self) -> None:
        """Close the connections; who is the last to use the file ends its process."""
        for line in self._lines.values():
            await line.aclose()
        self._lines.clear()
        if self._adapter is not None:
            self._base.drop_adapter(self._adapter)
        await asyncio.to_thread(release_base, self._base)

    async def _use(self) -> Use:
        for _ in range(_TRIES):
            if (use := self._base.begin(self._adapter)) is not None:
                return use
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(asyncio.to_thread(self._start))
            # one that is not waited for any more is there for the next call
            await asyncio.shield(self._starting)
        raise EngineUnreachable(f"{self._name}: the model's process ends as it starts", False)

    def _start(self) -> None:
        self._base.end(self._base.start(self._adapter))

    def _body(self, request: Request, use: Use) -> bytes:
        takes_tools = use.child.takes_tools
        return local_body(request, takes_tools, use.adapters, use.adapter, self._scale)

    async def _ask(self, use: Use, path: str, body: bytes) -> bytes:
        line = self._line(use.child)
        async with await self._post(line, use, path, body) as response:
            return await line.read(response)

    async def _post(self, line: Line, use: Use, path: str, body: bytes) -> aiohttp.ClientResponse:
        try:
            return await line.post(path, body, self._base.context)
        except EngineTimeout:
            await asyncio.to_thread(self._base.end_if_stuck, use.child)
            raise

    def _line(self, child: Child) -> Line:
        found = self._lines.get(child)
        if found is None:
            found = self._lines[child] = Line(self._name, child, self._timeout_s)
        return found

    def _renaming(self, child: Child) -> tuple[bytes, bytes]:
        """What stands for the model in what a child sends, and what should."""
        return b'"%s"' % child.alias.encode(), self._model

    def _renamed(self, sent: bytes, child: Child) -> bytes:
        return sent.replace(*self._renaming(child))


class LocalStream:
    """A local model's stream on its way through."""

    def __init__(
        self,
        name: str,
        line: Line,
        response: aiohttp.ClientResponse,
        decoder: "_Renaming",
        end: Callable[[], None],
    ) -> None:
        """``end`` gives the turn back."""
        self._name, self._line, self._response, self._end = name, line, response, end
        self._reader = StreamReader(decoder)
        self._over = False

    @property
    def format(self) -> Format | None:
        """What llama.cpp speaks."""
        return "chat"

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Whole events; those that came together are one piece.

        Raises:
            EngineUnreachable: the model's process has ended, or could not go on.
            EngineTimeout: it fell silent.
        """
        reader = self._reader
        try:
            async with aclosing(self._line.pieces(self._response)) as pieces:
                async for received in pieces:
                    for piece in joined(reader.feed(received)):
                        yield piece
                    if reader.failure is not None:
                        raise self._failed(reader.failure)
                    if reader.done:
                        return
        finally:
            self._give_back()
        raise EngineUnreachable(f"{self._name}: the model's process ended its stream too early")

    @property
    def answer(self) -> Answer:
        """What has come so far."""
        return self._reader.answer

    async def aclose(self) -> None:
        """Stop; llama.cpp notices, and the slot is free."""
        self._response.close()
        self._give_back()

    def _give_back(self) -> None:
        if not self._over:
            self._over = True
            self._end()

    def _failed(self, failure: EngineError) -> EngineError:
        if isinstance(failure, EngineRefused):  # in llama.cpp's own words
            return EngineUnreachable(f"{self._name}: {said_in(failure.body)}")
        return failure


class _Renaming(ChunkDecoder):
    """Reads chunks in which the model has another name."""

    def __init__(self, renaming: tuple[bytes, bytes], hide_usage: bool) -> None:
        super().__init__(hide_usage)
        self._renaming = renaming

    def read(self, event: bytes) -> Piece:
        """One event; raises as its base does."""
        return super().read(event.replace(*self._renaming))


def base_settings(name: str, options: LocalOptions) -> BaseSettings:
    """How a model file is loaded, as ``shoal.toml`` says.

    Raises:
        ConfigError: the file with the chat template cannot be read.
    """
    template = options.chat_template or ""
    if template and template != CHATML:
        try:
            template = Path(template).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"models.{name}.chat_template: cannot be read: {error}") from None
        if "{" not in template:
            raise ConfigError(f"models.{name}.chat_template: the file holds no template")
    return BaseSettings(
        path=options.path,
        context_tokens=options.context_tokens,
        slots=options.slots,
        threads=options.threads or 0,
        queue=options.queue,
        chat_template=template,
        prompt_cache=options.prompt_cache,
        pooling=options.pooling or "",
    )
