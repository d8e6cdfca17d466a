"""The engine that asks an endpoint: one that is OpenAI-compatible, or Anthropic's."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing

import aiohttp
from msgspec.structs import replace

from shoal.chat import Answer, AnswerStream, Format, Piece, Request
from shoal.engines.options import AnthropicOptions, RemoteOptions
from shoal.engines.upstream import Upstream
from shoal.engines.written import WrittenStream
from shoal.errors import EngineError, EngineRefused, EngineUnreachable
from shoal.formats import FORMATS, Target, WireFormat
from shoal.formats.chat_completions import asks_usage
from shoal.formats.reader import StreamReader

_DRAIN_S = 0.5


class RemoteEngine:
    """Forwards the caller's own body, and passes the upstream's own answer back.

    Raises:
        ConfigError: ``key_env`` names a variable that is not set.
    """

    def __init__(self, name: str, options: RemoteOptions | AnthropicOptions) -> None:
        self._name = name
        self._target = Target(options.model or name, options.ask_usage, options.output_tokens)
        self._speaks = options.formats
        self._upstream = Upstream(name, options)

    @property
    def name(self) -> str:
        """Its name in ``shoal.toml``."""
        return self._name

    async def answer(self, request: Request) -> Answer:
        """The upstream's answer to the whole request, its bytes in ``body``.

        Cancelling this closes the connection.

        Raises:
            EngineRefused: the upstream's own error.
            EngineUnreachable: it cannot be reached, or its reply is no answer.
            EngineTimeout: it did not answer in time.
        """
        whole = replace(request, stream=False) if request.stream else request
        wire = self._wire(request)
        async with await self._post(whole, wire) as response:
            return self._decoded(await self._upstream.read(response), wire)

    async def stream(self, request: Request) -> AnswerStream:
        """The upstream's answer as it comes; returns once the upstream has accepted.

        Raises: what ``answer`` raises.
        """
        request = request if request.stream else replace(request, stream=True)
        wire = self._wire(request)
        response = await self._post(request, wire)
        if any(kind in response.content_type for kind in ("json", "html", "plain")):  # no stream
            async with response:
                answer = self._decoded(await self._upstream.read(response), wire)
            return WrittenStream(answer)
        hide_usage = self._target.ask_usage and not asks_usage(request)
        return RemoteStream(self._upstream, response, wire, hide_usage)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._upstream.aclose()

    def _wire(self, request: Request) -> WireFormat:
        """The caller's own format where the upstream speaks it."""
        spoken = request.format if request.format in self._speaks else self._speaks[0]
        return FORMATS[spoken]

    async def _post(self, request: Request, wire: WireFormat) -> aiohttp.ClientResponse:
        body = wire.encode_request(request, self._target)
        return await self._upstream.post(wire.path, body, streamed=request.stream)

    def _decoded(self, reply: bytes, wire: WireFormat) -> Answer:
        try:
            return wire.decode_answer(reply)
        except EngineUnreachable as error:
            said = self._upstream.safe(str(error).encode()).decode()
            raise EngineUnreachable(f"{self._name}: {said}") from None


class RemoteStream:
    """An upstream's stream on its way through; the event that ends it is a piece of its own."""

    def __init__(
        self,
        upstream: Upstream,
        response: aiohttp.ClientResponse,
        wire: WireFormat,
        hide_usage: bool,
    ) -> None:
        self._upstream = upstream
        self._response = response
        self._wire = wire
        self._reader = StreamReader(wire.new_decoder(hide_usage))

    @property
    def format(self) -> Format | None:
        """What the upstream speaks."""
        return self._wire.name

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Whole events, byte for byte as the upstream framed them; those that came together are
        one piece.

        Raises:
            EngineRefused: the upstream sent an error in its stream (it is in ``body``).
            EngineUnreachable: the stream broke off, or is no stream of chunks.
            EngineTimeout: the upstream fell silent.
        """
        reader = self._reader
        async with aclosing(self._upstream.pieces(self._response)) as pieces:
            async for received in pieces:
                for piece in _joined(reader.feed(received)):
                    yield piece
                if reader.failure is not None:
                    raise self._safe(reader.failure)
                if reader.done:
                    return
        for piece in reader.end():
            yield piece
        if not reader.done:
            raise EngineUnreachable("the upstream ended its stream before the answer was whole")

    @property
    def answer(self) -> Answer:
        """What has come so far."""
        return self._reader.answer

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

    def _safe(self, failure: EngineError) -> EngineError:
        if isinstance(failure, EngineRefused):
            return EngineRefused(failure.status, self._upstream.safe(failure.body))
        return EngineUnreachable(self._upstream.safe(str(failure).encode()).decode())


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
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
