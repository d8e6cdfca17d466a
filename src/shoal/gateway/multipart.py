"""A form with a file in it (``multipart/form-data``, RFC 7578), read as it comes.

Nothing but the piece at hand is held in memory: the file's bytes go on to whoever wants them.
"""

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from shoal.errors import MalformedRequest

_MOST_HEADERS = 8_192  # bytes of one part's
_MOST_PARTS = 32
_TYPE = re.compile(r"multipart/form-data\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*(name|filename)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.I)
_PERCENT = {"%22": '"', "%0D": "\r", "%0A": "\n"}


class Part(Struct, frozen=True):
    """A part begins: a field, or with a ``filename`` a file."""

    name: str
    filename: str | None


Event = Part | bytes | Literal["end"]
"""A part, then its bytes, then its end."""


def boundary_of(content_type: str) -> bytes:
    """The boundary that a header names.

    Raises:
        MalformedRequest: it is of no form with files.
    """
    found = _BOUNDARY.search(content_type)
    if not _TYPE.fullmatch(content_type) or found is None:
        raise MalformedRequest(
            f"expected a form, multipart/form-data with a boundary, found {content_type[:100]!r}"
        )
    return (found[1] or found[2]).encode("latin-1", "replace")


class FormParser:
    """Takes the pieces of a body in their order, wherever they are cut."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # the first boundary may begin the body
        self._at: Literal["preamble", "boundary", "headers", "data", "end"] = "preamble"
        self._parts = 0

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What is known now.

        Raises:
            MalformedRequest: the body is no such form.
        """
        self._buffer += piece
        while (event := self._step()) is not None:
            if event != b"":
                yield event

    def close(self) -> None:
        """There is no more.

        Raises:
            MalformedRequest: the form is not at its end.
        """
        if self._at != "end":
            raise MalformedRequest("the form breaks off before its last boundary")

    def _step(self) -> Event | None:
        """One event, b"" if there is more to be done, None if more is needed."""
        match self._at:
            case "preamble":
                return self._skip()
            case "boundary":
                return self._after_boundary()
            case "headers":
                return self._part()
            case "data":
                return self._data()
            case "end":
                self._buffer.clear()
                return None

    def _skip(self) -> Event | None:
        found = self._buffer.find(self._delimiter)
        if found < 0:
            del self._buffer[: -len(self._delimiter)]
            return None
        del self._buffer[: found + len(self._delimiter)]
        self._at = "boundary"
        return b""

    def _after_boundary(self) -> Event | None:
        if len(self._buffer) < 2:
            return None
        if self._buffer[:2] == b"--":
            self._at = "end"
            return b""
        end = self._buffer.find(b"\r\n")
        if end < 0 and len(self._buffer) < _MOST_HEADERS:
            return None
        if end < 0 or self._buffer[:end].strip(b" \t"):
            raise MalformedRequest("the form has a boundary that does not end its line")
        del self._buffer[:end]  # a part without headers has an empty line at once
        self._at = "headers"
        return b""

    def _part(self) -> Event | None:
        end = self._buffer.find(b"\r\n\r\n", 0, _MOST_HEADERS + 4)
        if end < 0:
            if len(self._buffer) > _MOST_HEADERS:
                raise MalformedRequest("a part of the form has too long headers")
            return None
        part = _part_of(bytes(self._buffer[2:end]))
        del self._buffer[: end + 4]
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise MalformedRequest(f"the form has more than {_MOST_PARTS} parts")
        self._at = "data"
        return part

    def _data(self) -> Event | None:
        found = self._buffer.find(self._delimiter)
        if found < 0:
            safe = len(self._buffer) - len(self._delimiter) + 1
            return self._taken(safe) if safe > 0 else None
        if found:
            return self._taken(found)
        del self._buffer[: len(self._delimiter)]
        self._at = "boundary"
        return "end"

    def _taken(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data


def _part_of(headers: bytes) -> Part:
    for line in headers.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            found = {key.lower(): _plain(quoted, token) for key, quoted, token in _found(value)}
            if "name" in found:
                return Part(found["name"], found.get("filename"))
    raise MalformedRequest("a part of the form has no name")


def _found(value: str) -> list[tuple[str, str, str]]:
    return _PARAMETER.findall(value)


def _plain(quoted: str, token: str) -> str:
    """As browsers and clients write names: a quote is ``%22``, or behind a backslash."""
    text = re.sub(r'\\(["\\])', r"\1", quoted) or token
    return re.sub("%22|%0D|%0A", lambda found: _PERCENT[found[0]], text)
