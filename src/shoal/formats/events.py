"""Server-sent events, cut out of a byte stream that may be broken anywhere.

Source: the WHATWG HTML standard, section 9.2.6 (lines end in LF, CRLF or CR; a blank line ends an
event). An event keeps the bytes it came in, its blank line included, so that all events joined are
the stream again. Where a stream is cut makes no difference: a CR behind an LF waits, while it is
the last byte, for the one that may belong to it, and an LF behind two CRs never belongs to them.
"""

import re

_END = re.compile(rb"\r\r|\n(?:\n|\r\n|\r(?=[^\n]))")
_NAME = re.compile(rb"[A-Za-z0-9_-]*")
_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")  # the last is a comment
_LONGEST = max(map(len, _FIELDS))


class EventSplitter:
    """Cuts a stream of bytes into whole events."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._returns = False  # whether a CR has come: most streams have none

    @property
    def rest(self) -> bytes:
        """What has come since the last whole event."""
        return bytes(self._rest)

    @property
    def start(self) -> bytes:
        """The first bytes of ``rest``, enough for ``begins_event`` to judge."""
        return bytes(self._rest[: 2 * _LONGEST])

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that ``piece`` completes, in order."""
        self._rest += piece
        self._returns = self._returns or b"\r" in piece
        events: list[bytes] = []
        start = 0
        while end := self._end(max(start, self._searched)):
            events.append(bytes(self._rest[start:end]))
            start = end
        del self._rest[:start]
        self._searched = max(0, len(self._rest) - 3)  # an end may have begun in the last bytes
        return events

    def _end(self, start: int) -> int:
        """Where the first event ends whose blank line begins at ``start`` or later; 0 if none does.

        The regular expression takes longer than all else that is done to read an event.
        """
        if not self._returns:
            at = self._rest.find(b"\n\n", start)
            return at + 2 if at >= 0 else 0
        found = _END.search(self._rest, start)
        return found.end() if found else 0


def data_of(event: bytes) -> bytes:
    """The data of an event, b"" for a comment or a keep-alive."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]  # what nearly all events look like
    lines = [line[5:] for line in _lines(event) if line.startswith(b"data:")]
    return b"\n".join(line.removeprefix(b" ") for line in lines)


def begins_event(start: bytes) -> bool | None:
    """Whether what starts like this can be an event; None: too little has come to tell.

    The first line must be a field that the standard names, or a comment.
    """
    if start and _BOM.startswith(start):
        return None
    line = start.removeprefix(_BOM).lstrip(b"\r\n")[:_LONGEST]
    if line.startswith(_FIELDS):
        return True
    return None if any(field.startswith(line) for field in _FIELDS) else False


def is_event(event: bytes) -> bool:
    """Whether these bytes are an event, or nothing but blank lines.

    Fields that the standard does not name are allowed behind one that it does: it says to ignore
    them.
    """
    lines = _lines(event)
    if not any(lines):
        return True
    named = all(_NAME.fullmatch(line.partition(b":")[0]) for line in lines)
    return named and begins_event(event) is True and _is_text(event)


def closed(event: bytes) -> bytes:
    """An event that a stream ended in before its blank line, with that line."""
    return event + (b"\n" if event.endswith(b"\n") else b"\n\n")


def _lines(event: bytes) -> list[bytes]:
    return event.removeprefix(_BOM).splitlines()


def _is_text(event: bytes) -> bool:
    try:
        event.decode()
    except UnicodeDecodeError:
        return False
    return True
