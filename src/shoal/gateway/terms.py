"""What a caller asks of one call beside the answer: that it costs no more, and takes no longer."""

import asyncio
import math
from collections.abc import AsyncIterator

from msgspec import Struct
from starlette.datastructures import Headers

from shoal.chat import Answer, AnswerStream, Format, Piece
from shoal.errors import MalformedRequest, MaxLatencyExceeded

MAX_COST = "x-shoal-max-cost"
MAX_LATENCY = "x-shoal-max-latency-ms"


class Deadline:
    """When a call must have ended. Made when its request is there."""

    def __init__(self, within_ms: float) -> None:
        self._within_ms = within_ms
        self.at = asyncio.get_running_loop().time() + within_ms / 1e3

    @property
    def left_s(self) -> float:
        """Seconds until then; 0 once it is over."""
        return max(0.0, self.at - asyncio.get_running_loop().time())

    def passed(self) -> MaxLatencyExceeded:
        """The error for the caller."""
        return MaxLatencyExceeded(
            f"the answer was not whole within {self._within_ms:g} ms, as {MAX_LATENCY} asked"
        )


class Terms(Struct, frozen=True):
    """The terms of one call; None where it has none. ``max_cost`` is in USD."""

    max_cost: float | None = None
    deadline: Deadline | None = None


def terms_of(headers: Headers) -> Terms:
    """The terms in the headers of a request.

    Raises:
        MalformedRequest: they are no numbers, or none that can be kept.
    """
    cost, latency = (_number(headers, name) for name in (MAX_COST, MAX_LATENCY))
    if latency == 0:
        raise MalformedRequest(f"{MAX_LATENCY}: expected more than 0", MAX_LATENCY)
    return Terms(cost, None if latency is None else Deadline(latency))


def _number(headers: Headers, name: str) -> float | None:
    given = headers.getlist(name)
    if not given:
        return None
    if len(given) > 1:
        raise MalformedRequest(f"{name}: expected once, found {len(given)} times", name)
    (text,) = given
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise MalformedRequest(f"{name}: expected a number of 0 or more, found {text!r}", name)
    return value


class TimedStream:
    """A stream that fails once its deadline has passed."""

    def __init__(self, stream: AnswerStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    @property
    def format(self) -> Format | None:
        """As the stream has it."""
        return self._stream.format

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """The pieces.

        Raises:
            MaxLatencyExceeded: the next one did not come in time.
        """
        pieces = aiter(self._stream)
        while True:
            try:
                async with asyncio.timeout_at(self._deadline.at):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise self._deadline.passed() from None
            yield piece

    @property
    def answer(self) -> Answer:
        """What has come so far."""
        return self._stream.answer

    async def aclose(self) -> None:
        """Stop, and cancel what is still running upstream."""
        await self._stream.aclose()
