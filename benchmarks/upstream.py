"""An upstream that answers at once, for measuring what stands in front of it.

    python -m benchmarks.upstream PORT

It speaks just enough HTTP to answer every Chat Completions request, plain or streamed, from bytes
made beforehand, so that its own cost is small and constant.
"""

import asyncio
import sys
from typing import cast

import uvloop

from shoal.chat import Answer, Request, Usage
from shoal.formats import FORMATS, Envelope, deltas_of

_ANSWER = Answer(text="card_arrival", model="m", usage=Usage(300, 4))
_CHAT = FORMATS["chat"]
_ASKED = Request("m", (), params='{"stream_options":{"include_usage":true}}')
_ENVELOPE = Envelope("1", 1, _ASKED)
_BODY = _CHAT.encode_answer(_ANSWER, _ENVELOPE)
_WRITER = _CHAT.new_writer(_ENVELOPE)
_EVENTS = _WRITER.feed(deltas_of(_ANSWER)) + _WRITER.end()
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_BODY),
    _BODY,
)
STREAMED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"%x\r\n%s\r\n0\r\n\r\n" % (len(_EVENTS), _EVENTS)
)


class Upstream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer once a whole request is in."""
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) >= length:
            streamed = b'"stream":true' in body or b'"stream": true' in body
            self._received = b""
            self._transport.write(STREAMED if streamed else PLAIN)


async def main(port: int) -> None:
    """Answer until stopped."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
