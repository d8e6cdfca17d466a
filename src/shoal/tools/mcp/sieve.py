"""What of a server's lines comes through: replies, and that its tools changed.

The official client believes what it gets: it takes lines of any length, parses each message in
full, logs each that is malformed with its traceback, and waits to the end for a reply that could
not be read. Here a line has a most, what answers nothing is counted and thrown away, and a reply
that is none becomes an error of the call that waits for it.
"""

import msgspec
from mcp.shared.message import SessionMessage
from mcp.types import ErrorData, JSONRPCError
from mcp.types.jsonrpc import PARSE_ERROR, jsonrpc_message_adapter
from msgspec import Struct
from pydantic import ValidationError

from shoal.tools.mcp.options import Limits

HEARD = frozenset(("notifications/tools/list_changed", "notifications/subscriptions/acknowledged"))
"""Notices that are of use here."""


class Flooded(Exception):
    """The server sends more than is taken."""


class Counter:
    """Counts what answers nothing, from one reply to the next."""

    def __init__(self, limits: Limits) -> None:
        self._most, self._seen = limits.notices, 0

    def count(self) -> None:
        """One more came.

        Raises:
            Flooded: they are too many.
        """
        self._seen += 1
        if self._seen > self._most:
            raise Flooded(
                f"it sent over {self._most:,} messages that answer nothing; the limit is notices"
            )

    def replied(self) -> None:
        """A reply came."""
        self._seen = 0


class _Head(Struct):
    id: int | str | None = None
    method: str = ""


_heads = msgspec.json.Decoder(_Head)


class Sieve:
    """Takes the bytes of one connection, as they come."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._rest, self._counter = limits, bytearray(), Counter(limits)

    def take(self, data: bytes) -> list[SessionMessage]:
        """The messages that these bytes complete.

        Raises:
            Flooded: a message is too long, or too much came that answers nothing.
        """
        *lines, rest = data.split(b"\n")
        if not lines:
            self._rest += rest
            self._check(len(self._rest))
            return []
        first, self._rest = bytes(self._rest) + lines[0], bytearray(rest)
        found = []
        for line in (first, *lines[1:]):
            self._check(len(line))
            if (message := self._read(line)) is not None:
                found.append(message)
        return found

    def _check(self, length: int) -> None:
        if length > self._limits.message_bytes:
            raise Flooded(
                f"it sent a message of over {self._limits.message_bytes:,} bytes; the limit is "
                "message_bytes"
            )

    def _read(self, line: bytes) -> SessionMessage | None:
        try:
            head = _heads.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            if line.strip():
                self._counter.count()
            return None
        if head.method:
            self._counter.count()
            if head.id is None and head.method not in HEARD:
                return None
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValidationError as error:
            if head.method or head.id is None:
                return None
            said = f"its reply is no JSON-RPC: {error.error_count()} faults"
            wrong = ErrorData(code=PARSE_ERROR, message=said)
            return SessionMessage(JSONRPCError(jsonrpc="2.0", id=head.id, error=wrong))
        if not head.method:
            self._counter.replied()
        return SessionMessage(message)
