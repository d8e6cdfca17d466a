"""A request answered as a stream on a run's behalf, and recorded when that ends."""

import asyncio
from collections.abc import AsyncIterator

from shoal.assembly.handled import Handled
from shoal.assembly.shoal import Shoal
from shoal.chat import Answer, AnswerStream, Format, Piece, Request
from shoal.engines.written import WrittenStream
from shoal.errors import EngineError
from shoal.routing.caller import Caller


class RecordedStream:
    """The stream of a call; whoever takes it iterates to its end, or closes it."""

    def __init__(self, shoal: Shoal, handled: Handled) -> None:
        self._shoal, self._handled = shoal, handled
        self._stream: AnswerStream = handled.stream or WrittenStream(handled.answer or Answer())
        self._is_finished = False

    @property
    def format(self) -> Format | None:
        """That of the bytes."""
        return self._stream.format

    @property
    def answer(self) -> Answer:
        """What has been assembled so far."""
        return self._stream.answer

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """The pieces.

        Raises:
            EngineError: it broke off; that is recorded too.
        """
        try:
            async for piece in self._stream:
                yield piece
        except EngineError as error:
            await self._finish(str(error))
            raise
        await self._finish("")

    async def aclose(self) -> None:
        """Stop, and record what came."""
        await self._stream.aclose()
        await self._finish("" if self._stream.answer.complete else "nobody waited for the rest")

    async def _finish(self, error: str) -> None:
        if not self._is_finished:
            self._is_finished = True
            await asyncio.shield(self._shoal.finish(self._handled, self._stream.answer, error))


async def stream_one(
    shoal: Shoal, request: Request, episode: str, caller: Caller
) -> RecordedStream:
    """Begin to have a request answered.

    Raises:
        ShoalError: what ``Shoal.serve`` raises.
    """
    return RecordedStream(shoal, await shoal.serve(request, episode, caller))
