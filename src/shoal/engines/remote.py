"""The engine that asks an OpenAI-compatible endpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
from msgspec.structs import replace

from shoal.chat import Answer, AnswerStream, Request
from shoal.engines.chat_completions import (
    StreamAssembler,
    asks_usage,
    begins_event,
    data_of,
    decode_answer,
    encode_request,
)
from shoal.engines.options import RemoteOptions
from shoal.engines.upstream import Upstream
from shoal.engines.written import WrittenStream
from shoal.errors import EngineError, EngineRefused, EngineUnreachable

_DRAIN_S = 0.5
_PATIENCE_S = 0.25  # for the first piece of a stream, so that an error in it still has a status
_BLANKS = 10_000  # bytes, before which a reply of some other type must have begun
_EVENTS = "text/event-stream"


class RemoteEngine:
    """Forwards the caller's own body, and passes the upstream's own answer back.

    Raises:
        ConfigError: ``key_env`` names a variable that is not set.
    """

    def __init__(self, name: str, options: RemoteOptions) -> None:
        self._name = name
        self._model = options.model or name
        self._ask_usage = options.ask_usage
        self._upstream = Upstream(name, options, "/chat/completions")

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
        async with await self._post(whole) as response:
            return self._decoded(await self._upstream.read(response))

    async def stream(self, request: Request) -> AnswerStream:
        """The upstream's answer as it comes; returns once the upstream has accepted.

        A reply that says it is a stream is waited for only a moment: what it begins with, if that
        is no stream or an error, is then raised here, while the caller can be given a status. Any
        other reply is judged by how it begins, and read whole if that is no stream.

        Raises: what ``answer`` raises.
        """
        request = request if request.stream else replace(request, stream=True)
        response = await self._post(request)
        try:
            if response.content_type == _EVENTS:
                begun = await self._upstream.first(response, _PATIENCE_S)
            else:
                begun, is_stream = await self._begin(response)
                if not is_stream:
                    answer = self._decoded(await self._upstream.read(response, begun))
                    response.release()
                    return WrittenStream(answer, request)
            self._check(begun)
            hide_usage = self._ask_usage and not asks_usage(request)
            return RemoteStream(self._upstream, response, hide_usage, begun)
        except BaseException:  # a cancelled one too lets the connection go
            response.close()
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._upstream.aclose()

    async def _post(self, request: Request) -> aiohttp.ClientResponse:
        body = encode_request(request, self._model, self._ask_usage)
        return await self._upstream.post(body, streamed=request.stream)

    def _check(self, begun: bytes) -> None:
        """Raise what a stream begins with, if that is an error or no event.

        Comments and blank lines before it are dropped.
        """
        early = StreamAssembler()
        passed = early.feed(begun)
        if early.failure is not None and not any(map(data_of, passed)):
            raise _safe(early.failure, self._upstream)

    async def _begin(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        """The first bytes of a reply, and whether they begin a stream of events."""
        begun, verdict = b"", None
        while verdict is None:
            piece = await self._upstream.first(response)
            begun += piece
            verdict = begins_event(begun) if piece and len(begun) < _BLANKS else False
        return begun, verdict

    def _decoded(self, reply: bytes) -> Answer:
        try:
            return decode_answer(reply)
        except EngineUnreachable as error:
            said = self._upstream.safe_text(str(error))
            raise EngineUnreachable(f"{self._name}: {said}") from None


class RemoteStream:
    """An upstream's stream on its way through; ``[DONE]`` comes as a piece of its own."""

    def __init__(
        self,
        upstream: Upstream,
        response: aiohttp.ClientResponse,
        hide_usage: bool,
        begun: bytes = b"",
    ) -> None:
        """``begun`` has been read of the reply already."""
        self._upstream = upstream
        self._response = response
        self._begun = begun
        self._assembler = StreamAssembler(hide_usage)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Whole events, byte for byte as the upstream framed them.

        Raises:
            EngineRefused: the upstream sent an error in its stream (it is in ``body``).
            EngineUnreachable: the stream broke off, or is no stream of chunks.
            EngineTimeout: the upstream fell silent.
        """
        assembler = self._assembler
        async with aclosing(self._upstream.pieces(self._response, self._begun)) as pieces:
            async for piece in pieces:
                events = assembler.feed(piece)
                last = events.pop() if assembler.done else b""
                if events:
                    yield b"".join(events)
                if assembler.failure is not None:
                    raise _safe(assembler.failure, self._upstream)
                if last:
                    yield last
                    return
        if last := assembler.end():
            yield last
        if assembler.failure is not None:
            raise _safe(assembler.failure, self._upstream)
        if not assembler.done:
            raise EngineUnreachable("the upstream ended its stream before the answer was whole")

    @property
    def answer(self) -> Answer:
        """What has come so far."""
        return self._assembler.answer

    async def aclose(self) -> None:
        """Stop. A stream that has ended frees its connection for the next request."""
        if self._assembler.done:
            try:
                async with asyncio.timeout(_DRAIN_S):
                    async for _ in self._response.content.iter_any():
                        pass
            except (TimeoutError, aiohttp.ClientError):
                pass
        self._response.close()


def _safe(failure: EngineError, upstream: Upstream) -> EngineError:
    """What an upstream's stream failed with, without the key."""
    if isinstance(failure, EngineRefused):
        return EngineRefused(failure.status, upstream.safe(failure.body))
    return EngineUnreachable(upstream.safe_text(str(failure)))
