"""Server-sent events, cut out of a byte stream that may be broken anywhere.

Source: the WHATWG HTML standard, section 9.2.6 (lines end in LF, CRLF or CR; a blank line ends an
event). An event keeps the bytes it came in, its blank line included, so that all events joined are
the stream again.
"""

import re

_END = re.compile(rb"(?>\r\n|\n|\r){2}")


class EventSplitter:
    """Cuts a stream of bytes into whole events."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0

    @property
    def rest(self) -> bytes:
        """What has come since the last whole event."""
        return bytes(self._rest)

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that ``piece`` completes, in order."""
        self._rest += piece
        events: list[bytes] = []
        start = 0
        while end := _END.search(self._rest, max(start, self._searched)):
            events.append(bytes(self._rest[start : end.end()]))
            start = end.end()
        del self._rest[:start]
        self._searched = max(0, len(self._rest) - 3)  # an end may have begun in the last bytes
        return events


def data_of(event: bytes) -> bytes:
    """The data of an event, b"" for a comment or a keep-alive."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]  # what nearly all events look like
    lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(line.removeprefix(b" ") for line in lines)


def is_done(event: bytes) -> bool:
    """Whether this event is the last one, ``data: [DONE]``."""
    return b"[DONE]" in event and data_of(event).startswith(b"[DONE]")
