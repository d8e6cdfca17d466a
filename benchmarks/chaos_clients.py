"""The clients of the chaos run: plain, streamed and tool-call traffic in every wire format.

Each request's outcome is judged at once, by what the client got: the right answer whole, an error
in the client's own wire format, or something that should not be.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
from msgspec import Struct

from benchmarks.chaos_script import Asked, body_of, is_right
from shoal.chat import Answer
from shoal.errors import EngineRefused, EngineUnreachable
from shoal.formats import FORMATS, WireFormat
from shoal.formats.reader import StreamReader

_PATIENCE_S = 60.0
_THINK_S = 0.12
_HANG_UP = 0.06  # share of requests that the client gives up
_MALFORMED = 0.01
_TOOLS, _STREAMED = 0.3, 0.5
_UPSTREAMS_OWN = (429, 500, 502, 503, 504, 529)
_BUG = b"Shoal failed unexpectedly"

WHOLE, ERROR, BROKEN_STREAM = "whole", "error", "error in the stream"
HUNG_UP, NO_CONNECTION, REFUSED = "client hung up", "no connection", "malformed, 400"
UNEXPECTED = "UNEXPECTED"


class Outcome(Struct, frozen=True):
    """What came of one request; ``detail`` says of an unexpected one what was wrong."""

    number: int
    kind: str
    began: float  # of time.monotonic
    ended: float
    call_id: str = ""
    detail: str = ""


class Clients:
    """So many clients, each asking again after a moment of thought."""

    def __init__(self, port: int, models: Sequence[str]) -> None:
        self.outcomes: list[Outcome] = []
        self._base = f"http://127.0.0.1:{port}/v1"
        self._models = models
        self._numbers = itertools.count(1)
        self._over = asyncio.Event()

    async def run(self, count: int) -> None:
        """Ask until ``end``."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(self._client(session) for _ in range(count)))

    def end(self) -> None:
        """Let every client end what it is at, and no more."""
        self._over.set()

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while not self._over.is_set():
            outcome = await self._one(session)
            self.outcomes.append(outcome)
            pause = 0.3 if outcome.kind == NO_CONNECTION else random.expovariate(1 / _THINK_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause)

    async def _one(self, session: aiohttp.ClientSession) -> Outcome:
        number, began = next(self._numbers), time.monotonic()
        wire = random.choice(list(FORMATS.values()))
        ask = _Ask(session, self._base, wire, random.choice(self._models), number)
        try:
            if random.random() < _MALFORMED:
                kind, call_id, detail = await ask.malformed()
            elif random.random() < _HANG_UP:
                kind, call_id, detail = await ask.hang_up()
            else:
                kind, call_id, detail = await ask.whole()
        except TimeoutError:
            kind, call_id, detail = UNEXPECTED, "", f"no answer within {_PATIENCE_S:g} s"
        except (aiohttp.ClientError, ConnectionError) as error:
            kind, call_id, detail = NO_CONNECTION, "", f"{type(error).__name__}: {error}"
        return Outcome(number, kind, began, time.monotonic(), call_id, detail)


_Told = tuple[str, str, str]  # kind, call id, detail


class _Ask:
    """One request."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        wire: WireFormat,
        model: str,
        number: int,
    ) -> None:
        self._session, self._url, self._wire = session, base + wire.path, wire
        self._asked = Asked(number, random.random() < _TOOLS)
        self._stream = random.random() < _STREAMED
        self._body = body_of(wire.name, model, self._asked, self._stream)
        self._headers = {"content-type": "application/json", "x-shoal-episode": str(number)}

    async def whole(self) -> _Told:
        """Take the answer to its end."""
        async with self._session.post(self._url, data=self._body, headers=self._headers) as reply:
            call_id = reply.headers.get("x-shoal-call-id", "")
            if reply.status != 200:
                return self._refused(reply.status, await reply.read(), call_id)
            if not call_id:
                return UNEXPECTED, "", "an answer without x-shoal-call-id"
            if self._stream:
                return await self._streamed(reply, call_id)
            return self._judged(await reply.read(), call_id)

    async def malformed(self) -> _Told:
        """Send half a body; a 400 is due."""
        half = self._body[: len(self._body) // 2]
        async with self._session.post(self._url, data=half, headers=self._headers) as reply:
            body = await reply.read()
            if reply.status == 400 and self._wire.is_error(body):
                return REFUSED, "", ""
            if reply.status == 503 and self._wire.is_error(body):
                return ERROR, "", ""
            return UNEXPECTED, "", f"half a body: {reply.status} {body[:200]!r}"

    async def hang_up(self) -> _Told:
        """Go away before the end."""
        waited = random.choice((0.0, 0.005, 0.02, 0.1))
        with suppress(TimeoutError):
            async with asyncio.timeout(waited) as patience:
                async with self._session.post(
                    self._url, data=self._body, headers=self._headers
                ) as reply:
                    await reply.content.readany()
                    patience.reschedule(None)
                    reply.close()
        return HUNG_UP, "", ""

    async def _streamed(self, reply: aiohttp.ClientResponse, call_id: str) -> _Told:
        reader, received = StreamReader(self._wire.new_decoder(False)), b""
        async for piece in reply.content.iter_any():
            received += piece
            reader.feed(piece)
        reader.end()
        failure = reader.failure
        if isinstance(failure, EngineRefused):
            if self._wire.is_error(failure.body) and _BUG not in failure.body:
                return BROKEN_STREAM, call_id, ""
            return UNEXPECTED, call_id, f"in a stream: {failure.body[:300]!r}"
        if not reader.done:
            return UNEXPECTED, call_id, f"a stream ended without its end: {received[-300:]!r}"
        return self._compared(reader.answer, received, call_id)

    def _judged(self, body: bytes, call_id: str) -> _Told:
        try:
            answer = self._wire.decode_answer(body)
        except EngineUnreachable as error:
            return UNEXPECTED, call_id, str(error)
        return self._compared(answer, body, call_id)

    def _compared(self, answer: Answer, body: bytes, call_id: str) -> _Told:
        try:
            right = is_right(answer, self._asked)
        except json.JSONDecodeError:
            right = False
        if right:
            return WHOLE, call_id, ""
        return UNEXPECTED, call_id, f"another answer to {self._asked.mark}: {body[:2_000]!r}"

    def _refused(self, status: int, body: bytes, call_id: str) -> _Told:
        well_formed = self._wire.is_error(body) and _BUG not in body
        if status in _UPSTREAMS_OWN and well_formed:
            return ERROR, call_id, ""
        return UNEXPECTED, call_id, f"{status} {body[:300]!r}"
