"""The upstream of the chaos run: answers, and goes wrong by the clock.

    python -m benchmarks.chaos_upstream PORT JOURNAL BEGAN

It speaks every wire format, over HTTP of its own so that it can break that too. BEGAN is the unix
time at which the run began; ``chaos_script`` says what goes wrong when. For every answer that it
sends to its end it writes a line into JOURNAL first: that is what it would put on the invoice. An
answer that it breaks off, or that nobody takes to its end, stands there as cut.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec

from benchmarks.chaos_script import Asked, answer_to, asked_in, phase_at
from shoal.chat import Answer, CallDelta, Delta
from shoal.formats import FORMATS, Envelope, ErrorText, WireFormat, deltas_of

_SILENCE_S = 20.0
_GARBAGE = (
    b"<html><body>502 Bad Gateway</body></html>",
    b"{}",
    b'{"choices": []}',
    b'{"choices": [{"message": {"content": "half',
    b"[" * 5_000,
    b"\xff\xfe\x00\x01" * 20,
    b"data: {broken\n\n",
    b"null",
    b"",
)
_STATUSES = (429, 500, 502, 503, 529)


class Request:
    """One request, its connection, and how to answer it."""

    def __init__(
        self, wire: WireFormat, body: bytes, asked: Asked, writer: asyncio.StreamWriter
    ) -> None:
        self.wire, self.asked = wire, asked
        self.request = wire.decode_request(body, None)
        self.writer = writer
        self.answer = answer_to(asked)
        self.envelope = Envelope(f"up-{asked.number}", int(time.time()), self.request)

    def whole(self) -> bytes:
        """The answer in one."""
        return self.wire.encode_answer(self.answer, self.envelope)

    def events(self) -> list[bytes]:
        """The answer as a stream, in pieces."""
        writer = self.wire.new_writer(self.envelope)
        pieces = [writer.feed([delta]) for delta in _finely(self.answer)]
        return [piece for piece in [*pieces, writer.end()] if piece]

    def error(self, status: int) -> bytes:
        """An error in the format's own shape."""
        return self.wire.encode_error(ErrorText(status, "scripted trouble", code="scripted"))


class Upstream:
    """Serves connections."""

    def __init__(self, journal: Path, began: float) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._began = began
        self._wires = {f"/v1{wire.path}": wire for wire in FORMATS.values()}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection, until either side ends it."""
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        asked = asked_in(body)
        assert asked is not None, body
        request = Request(self._wires[head.split()[1]], body, asked, writer)
        return await self._way()(request)

    def _way(self) -> Callable[[Request], Awaitable[bool]]:
        # half goes wrong: ten failures in a row are left to the phase in which it is dead
        phase, draw = phase_at(time.time() - self._began), random.random()
        ways: dict[str, tuple[float, Iterable[Callable[[Request], Awaitable[bool]]]]] = {
            "garbage": (0.5, (self._garbage, self._half, self._broken_http)),
            "hang": (0.5, (self._silent, self._silent_midway)),
            "refuse": (0.5, (self._refuse,)),
            "slow": (0.9, (self._slow,)),
        }
        share, wrong = ways.get(phase, (0.02, (self._half, self._refuse, self._slow)))
        return random.choice(list(wrong)) if draw < share else self._well

    async def _well(self, request: Request, pause_s: float = 0.0) -> bool:
        if not request.request.stream:
            self._note(request, "whole")
            await _send(request, _head(200, "application/json", request.whole()))
            return True
        await _send(request, _stream_head())
        *first, last = request.events()
        try:
            for piece in first:
                await _send(request, _chunk(piece))
                await asyncio.sleep(pause_s)
        except ConnectionError:
            self._note(request, "cut")
            raise
        self._note(request, "whole")
        await _send(request, _chunk(last) + b"0\r\n\r\n")
        return True

    async def _slow(self, request: Request) -> bool:
        if not request.request.stream:
            await asyncio.sleep(random.uniform(0.2, 1.0))
        return await self._well(request, random.uniform(0.02, 0.15))

    async def _garbage(self, request: Request) -> bool:
        kind = random.choice(("application/json", "text/event-stream", "text/html"))
        await _send(request, _head(200, kind, random.choice(_GARBAGE)))
        return True

    async def _half(self, request: Request) -> bool:
        """Ends in the midst of the answer, of an event for a stream."""
        self._note(request, "cut")
        if request.request.stream:
            sent = b"".join(_chunk(piece) for piece in request.events()[:-1])
            sent = _stream_head() + sent[: random.randrange(len(sent))]
        else:
            sent = _head(200, "application/json", request.whole())[:-2]
        await _send(request, sent)
        return False

    async def _broken_http(self, request: Request) -> bool:
        await _send(request, random.choice((b"HTTP/9 what\r\n\r\n", b"\x00\x01\x02", b"")))
        return False

    async def _silent(self, request: Request) -> bool:
        await asyncio.sleep(_SILENCE_S)
        return False

    async def _silent_midway(self, request: Request) -> bool:
        self._note(request, "cut")
        if request.request.stream:
            await _send(request, _stream_head() + _chunk(request.events()[0]))
        else:
            await _send(request, _head(200, "application/json", request.whole())[:-10])
        return await self._silent(request)

    async def _refuse(self, request: Request) -> bool:
        status = random.choice(_STATUSES)
        if random.random() < 0.3:
            await _send(request, _head(status, "text/html", b"<h1>overloaded</h1>"))
            return True
        more = "Retry-After: 1\r\n" if random.random() < 0.3 else ""
        await _send(request, _head(status, "application/json", request.error(status), more))
        return True

    def _note(self, request: Request, what: str) -> None:
        line = {"number": request.asked.number, "what": what}
        os.write(self._journal, msgspec.json.encode(line) + b"\n")


def _finely(answer: Answer) -> Iterable[Delta]:
    """The steps of an answer, its texts and arguments cut into pieces."""
    for delta in deltas_of(answer):
        if delta.text:
            yield from (Delta(text=piece) for piece in _cut(delta.text))
        elif delta.calls:
            (call,) = delta.calls
            yield Delta(calls=(CallDelta(call.index, call.id, call.name),))
            for piece in _cut(call.arguments):
                yield Delta(calls=(CallDelta(call.index, arguments=piece),))
        else:
            yield delta


def _cut(text: str) -> Iterable[str]:
    size = random.randint(3, 40)
    return [text[at : at + size] for at in range(0, len(text), size)]


async def _send(request: Request, data: bytes) -> None:
    request.writer.write(data)
    await request.writer.drain()


def _head(status: int, kind: str, body: bytes, more: str = "") -> bytes:
    lines = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
    return lines.encode() + b"\r\n" + body


def _stream_head() -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


async def main(port: int, journal: Path, began: float) -> None:
    """Answer until stopped."""
    server = await asyncio.start_server(
        Upstream(journal, began).serve, "127.0.0.1", port, limit=10_000_000, backlog=512
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
