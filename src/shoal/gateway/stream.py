"""Passes a streamed answer on to the caller, and sees to it that the call is recorded."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from shoal.chat import Answer, AnswerStream, Piece
from shoal.errors import CallerGone, EngineError, EngineUnreachable
from shoal.formats import StreamWriter, WireFormat
from shoal.gateway.replies import CALL_ID, encode_error

T = TypeVar("T")
Finish = Callable[[Answer, EngineError | None, bytes], Awaitable[None]]
"""Told of the answer, why the caller did not get all of it, and with what bytes it began."""

_HUNG_UP = "the client hung up before the answer was whole"
_BROKE_OFF = "the stream ended before the answer was whole"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class _Ending(Struct, frozen=True):
    """How a stream ended: the event still to be sent, and what is recorded as its error."""

    event: bytes = b""
    error: EngineError | None = None
    cause: Exception | None = None


class StreamedReply:
    """An ASGI response that is one streamed answer.

    The event that ends the stream is held back until the call is recorded. A stream that breaks off
    ends in an error event instead. When the client hangs up, the upstream is cancelled and the call
    recorded as incomplete.
    """

    def __init__(
        self,
        stream: AnswerStream,
        wire: WireFormat,
        writer: StreamWriter | None,
        finish: Finish,
        headers: dict[str, str],
    ) -> None:
        """``writer`` None: the stream's own bytes are passed on. ``finish`` records the call."""
        self._stream = stream
        self._wire, self._writer = wire, writer
        self._finish = finish
        self._call_id = headers.get(CALL_ID, "")
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._start = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; returns when all is sent and the upstream let go."""
        relay = asyncio.ensure_future(self._relay(send))
        gone = asyncio.ensure_future(hung_up(receive))
        try:
            await asyncio.wait((relay, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:  # also when the server stops and cancels this: the call is recorded all the same
            gone.cancel()
            relay.cancel()
            try:
                ending = await undisturbed(self._settle(relay))
            except BaseException:  # a failure of ours, or the server's second cancellation
                await self._stream.aclose()
                raise
        try:
            await send({"type": "http.response.body", "body": ending.event, "more_body": False})
        finally:
            await self._stream.aclose()
        if ending.cause is not None:
            raise ending.cause

    async def _relay(self, send: Send) -> _Ending:
        headers = [*_HEADERS, *self._headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last = b""
        try:
            async for piece in self._stream:
                body = self._written(piece)
                if not self._start and b"data:" in body:  # a comment begins nothing
                    self._start = body
                if piece.last:
                    last = body
                elif body:
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        except EngineError as error:
            return self._broken(error)
        if not self._stream.answer.complete:
            return self._broken(EngineUnreachable(_BROKE_OFF))
        return _Ending(last + self._writer.end() if self._writer else last)

    def _written(self, piece: Piece) -> bytes:
        return self._writer.feed(piece.deltas) if self._writer else piece.raw

    def _broken(self, error: EngineError) -> _Ending:
        body = encode_error(error, self._wire, self._call_id)[1]
        return _Ending(self._wire.error_event(body), error)

    async def _settle(self, relay: asyncio.Future[_Ending]) -> _Ending:
        """Wait for the relay to end, and have the call recorded."""
        (result,) = await asyncio.gather(relay, return_exceptions=True)
        if isinstance(result, _Ending):
            ending = result
        else:
            await self._stream.aclose()
            ending = _Ending(error=CallerGone(_HUNG_UP))
            if isinstance(result, Exception):
                failure = EngineUnreachable(f"{_BROKE_OFF}: {type(result).__name__}")
                ending = _Ending(self._broken(failure).event, failure, result)
        await self._finish(self._answer(ending), ending.error, self._start)
        return ending

    def _answer(self, ending: _Ending) -> Answer:
        answer = self._stream.answer
        return replace(answer, complete=False) if ending.error else answer


async def hung_up(receive: Receive) -> None:
    """Returns once the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which goes on to its end even when the caller is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
