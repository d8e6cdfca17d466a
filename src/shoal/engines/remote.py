"""The engine that asks an endpoint: one that is OpenAI-compatible, or Anthropic's."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing

import aiohttp
from msgspec.structs import replace

from shoal.chat import Answer, AnswerStream, Format, Piece, Request
from shoal.engines.circuit import Circuit
from shoal.engines.options import AnthropicOptions, RemoteOptions
from shoal.engines.pool import Place, Pool
from shoal.engines.upstream import Headers, Reply, Upstream
from shoal.engines.written import WrittenStream
from shoal.errors import EngineError, EngineRefused, EngineUnreachable, Untranslatable
from shoal.formats import FORMATS, Target, WireFormat
from shoal.formats.chat_completions import asks_usage
from shoal.formats.embeddings import (
    PATH,
    Embedded,
    EmbeddingRequest,
    decode_embedded,
    encode_embeddings,
)
from shoal.formats.events import begins_event, data_of
from shoal.formats.messages.token_counts import PATH as COUNTS
from shoal.formats.messages.token_counts import decode_count, encode_count_request
from shoal.formats.reader import StreamReader
from shoal.formats.responses.kept import AskedResponse

_DRAIN_S = 0.5
_PATIENCE_S = 0.25  # for the first piece of a stream, so that an error in it still has a status
_BLANKS = 10_000  # bytes, before which a reply of some other type must have begun
_EVENTS = "text/event-stream"
_NO_SUCH_PATH = (404, 405, 501)


class RemoteEngine:
    """Forwards the caller's own body, and passes the upstream's own answer back.

    Raises:
        ConfigError: ``key_env`` names a variable that is not set.
    """

    def __init__(self, name: str, options: RemoteOptions | AnthropicOptions) -> None:
        self._name = name
        self._target = Target(options.model or name, options.ask_usage, options.output_tokens)
        self._speaks = options.formats
        places = [Place(Upstream(name, options), 1, Circuit())]
        for endpoint in options.endpoints:
            upstream = Upstream(name, options, endpoint)
            places.append(Place(upstream, endpoint.weight, Circuit()))
        self._pool = Pool(name, places, options.retries)
        # by circuits of its own: a path for counts that fails must not keep calls away
        counting = [Place(place.upstream, place.weight, Circuit()) for place in places]
        self._counting = Pool(name, counting, options.retries)

    @property
    def name(self) -> str:
        """Its name in ``shoal.toml``."""
        return self._name

    async def answer(self, request: Request) -> Answer:
        """The upstream's answer to the whole request, its bytes in ``body``.

        Cancelling this closes the connection.

        Raises:
            Untranslatable: it asks for what the upstream's wire format cannot say.
            EngineRefused: the upstream's own error.
            EngineUnreachable: it cannot be reached, or its reply is no answer.
            EngineTimeout: it did not answer in time.
            EngineBusy: it has failed so often that it is not asked now.
        """
        request = replace(request, stream=False) if request.stream else request
        wire = self._wire(request)
        body, headers = wire.encode_request(request, self._target), _told(request, wire)

        async def send(upstream: Upstream) -> Answer:
            async with await upstream.post(wire.path, body, headers=headers) as response:
                return await self._read(response, wire, upstream)

        return await self._pool.ask(send)

    async def stream(self, request: Request) -> AnswerStream:
        """The upstream's answer as it comes; returns once the upstream has accepted.

        A reply that says it is a stream is waited for only a moment: what it begins with, if that
        is no stream or an error, is then raised here, while the caller can be given a status. Any
        other reply is judged by how it begins, and read whole if that is no stream.

        Raises: what ``answer`` raises.
        """
        request = request if request.stream else replace(request, stream=True)
        wire = self._wire(request)
        body, headers = wire.encode_request(request, self._target), _told(request, wire)
        hide_usage = self._target.ask_usage and not asks_usage(request)

        async def send(upstream: Upstream) -> AnswerStream:
            response = await upstream.post(wire.path, body, streamed=True, headers=headers)
            try:
                return await self._begun(upstream, response, wire, hide_usage)
            except BaseException:  # a cancelled one too lets the connection go
                response.close()
                raise

        return await self._pool.ask(send)

    async def embed(self, request: EmbeddingRequest) -> Embedded:
        """The upstream's vectors, its bytes in ``body``.

        Raises: what ``answer`` raises.
        """
        if self._speaks == ("messages",):
            raise Untranslatable(f"model: {self._name} has no embeddings", "model")
        body = encode_embeddings(request, self._target.model)

        async def send(upstream: Upstream) -> Embedded:
            async with await upstream.post(PATH, body) as response:
                reply = await upstream.read(response)
            try:
                return decode_embedded(reply)
            except EngineUnreachable as error:
                said = upstream.safe_text(str(error))
                raise EngineUnreachable(f"{self._name}: {said}") from None

        return await self._pool.ask(send)

    @property
    def counts_tokens(self) -> bool:
        """Whether the upstream speaks Messages."""
        return "messages" in self._speaks

    async def count_tokens(self, request: Request) -> Reply | None:
        """The upstream's own count, as it told it; None if it has no such path, as not every server
        that speaks Messages has.

        Raises: what ``answer`` raises.
        """
        wire = FORMATS["messages"]
        body, headers = encode_count_request(request, self._target), _told(request, wire)

        async def send(upstream: Upstream) -> Reply:
            async with await upstream.post(COUNTS, body, headers=headers) as response:
                reply = Reply(await upstream.read(response), upstream.request_id(response))
            try:
                decode_count(reply.body)
                return reply
            except EngineUnreachable as error:
                said = upstream.safe_text(str(error))
                raise EngineUnreachable(f"{self._name}: {said}") from None

        try:
            return await self._counting.ask(send)
        except EngineRefused as error:
            if error.status in _NO_SUCH_PATH and not wire.is_error(error.body):
                return None
            raise

    async def kept_response(self, asked: AskedResponse) -> Reply:
        """The upstream's own reply; of several endpoints, of the one that has the response.

        Raises:
            Untranslatable: the upstream does not speak Responses.
            EngineError: as ``answer``; nothing is tried again.
        """
        if "responses" not in self._speaks:
            raise Untranslatable(f"{self._name} keeps no responses")

        async def send(upstream: Upstream) -> Reply:
            async with await upstream.ask(asked.method, asked.path, asked.query) as response:
                return Reply(await upstream.read(response), upstream.request_id(response))

        return await self._pool.find(send)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    def _wire(self, request: Request) -> WireFormat:
        """The caller's own format where the upstream speaks it."""
        spoken = request.format if request.format in self._speaks else self._speaks[0]
        return FORMATS[spoken]

    async def _begun(
        self,
        upstream: Upstream,
        response: aiohttp.ClientResponse,
        wire: WireFormat,
        hide_usage: bool,
    ) -> AnswerStream:
        """The stream that a reply is, or the answer that it is instead, as a stream."""
        if response.content_type == _EVENTS:
            begun = await upstream.first(response, _PATIENCE_S)
        else:
            begun, is_stream = await _begin(upstream, response)
            if not is_stream:
                answer = await self._read(response, wire, upstream, begun)
                response.release()
                return WrittenStream(answer)
        _check(begun, wire, upstream, upstream.request_id(response))
        reader = StreamReader(wire.new_decoder(hide_usage))
        return RemoteStream(upstream, response, wire.name, reader, begun)

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        wire: WireFormat,
        upstream: Upstream,
        begun: bytes = b"",
    ) -> Answer:
        reply, told = await upstream.read(response, begun), upstream.request_id(response)
        try:
            return replace(wire.decode_answer(reply), request_id=told)
        except EngineUnreachable as error:
            raise EngineUnreachable(f"{self._name}: {upstream.safe_text(str(error))}") from None
        except EngineRefused as error:  # a reply of status 200 that tells of a failure
            raise error.retold(upstream.safe(error.body), told) from None


class RemoteStream:
    """An upstream's stream on its way through; the event that ends it is a piece of its own."""

    def __init__(
        self,
        upstream: Upstream,
        response: aiohttp.ClientResponse,
        format: Format,
        reader: StreamReader,
        begun: bytes = b"",
    ) -> None:
        """``begun`` has been read of the reply already."""
        self._upstream, self._response = upstream, response
        self._format, self._reader = format, reader
        self._begun = begun

    @property
    def format(self) -> Format | None:
        """What the upstream speaks."""
        return self._format

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Whole events, byte for byte as the upstream framed them; those that came together are
        one piece.

        Raises:
            EngineRefused: the upstream sent an error in its stream (it is in ``body``).
            EngineUnreachable: the stream broke off, or is no stream of chunks.
            EngineTimeout: the upstream fell silent.
        """
        reader = self._reader
        async with aclosing(self._upstream.pieces(self._response, self._begun)) as pieces:
            async for received in pieces:
                for piece in joined(reader.feed(received)):
                    yield piece
                if reader.failure is not None:
                    raise _safe(reader.failure, self._upstream)
                if reader.done:
                    return
        for piece in reader.end():
            yield piece
        if reader.failure is not None:
            raise _safe(reader.failure, self._upstream)
        if not reader.done:
            raise EngineUnreachable("the upstream ended its stream before the answer was whole")

    @property
    def answer(self) -> Answer:
        """What has come so far."""
        told = self._upstream.request_id(self._response)
        return replace(self._reader.answer, request_id=told)

    async def aclose(self) -> None:
        """Stop. A stream that has ended frees its connection for the next request."""
        if self._reader.done:
            try:
                async with asyncio.timeout(_DRAIN_S):
                    async for _ in self._response.content.iter_any():
                        pass
            except (TimeoutError, aiohttp.ClientError):
                pass
        self._response.close()


def _told(request: Request, wire: WireFormat) -> Headers:
    """The caller's headers, which mean something in the caller's own format only."""
    return request.headers if request.format == wire.name else ()


def _check(begun: bytes, wire: WireFormat, upstream: Upstream, request_id: str) -> None:
    """Raise what a stream begins with, if that is an error or no event.

    Comments and blank lines before it are dropped.
    """
    early = StreamReader(wire.new_decoder(False))
    passed = early.feed(begun)
    if early.failure is not None and not any(data_of(piece.raw) for piece in passed):
        raise _safe(early.failure, upstream, request_id)


async def _begin(upstream: Upstream, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The first bytes of a reply, and whether they begin a stream of events."""
    begun, verdict = b"", None
    while verdict is None:
        piece = await upstream.first(response)
        begun += piece
        verdict = begins_event(begun) if piece and len(begun) < _BLANKS else False
    return begun, verdict


def _safe(failure: EngineError, upstream: Upstream, request_id: str = "") -> EngineError:
    """What an upstream's stream failed with, without the key."""
    if isinstance(failure, EngineRefused):
        return failure.retold(upstream.safe(failure.body), request_id)
    return EngineUnreachable(upstream.safe_text(str(failure)))


def joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """One piece of all that came together, and the last one by itself."""
    begun = [piece for piece in pieces if not piece.last]
    if len(begun) > 1:
        yield Piece(
            b"".join(piece.raw for piece in begun),
            tuple(delta for piece in begun for delta in piece.deltas),
        )
    else:
        yield from begun
    yield from pieces[len(begun) :]
