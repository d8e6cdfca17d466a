"""Lets in as many requests as memory allows; past that callers are told to come back."""

from prometheus_client import Gauge
from starlette.types import ASGIApp, Receive, Scope, Send

from shoal.gateway.replies import plain_error, wire_of

_RETRY_AFTER_S = 1


class Valve:
    """Refuses with 503 beyond ``most`` requests under way, or ``most_bytes`` of their bodies.

    A body of unknown length counts as ``max_body``. Requests without a body always pass: health
    and figures are wanted most when much is going on. A request alone always passes too.
    """

    def __init__(
        self, app: ASGIApp, most: int, most_bytes: int, max_body: int, in_flight: Gauge
    ) -> None:
        self._app = app
        self._most, self._most_bytes, self._max_body = most, most_bytes, max_body
        self._count = self._bytes = 0
        self._gauge = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 503."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self._app(scope, receive, send)
        size = self._size(scope)
        full = self._count >= self._most or self._bytes + size > self._most_bytes
        if full and self._count:
            said = f"{self._count} requests are under way, as many as this gateway takes; try again"
            refusal = plain_error(503, said, "overloaded", wire_of(scope["path"]))
            refusal.headers["retry-after"] = str(_RETRY_AFTER_S)
            return await refusal(scope, receive, send)
        self._move(1, size)
        try:
            await self._app(scope, receive, send)
        finally:
            self._move(-1, -size)

    def _move(self, count: int, size: int) -> None:
        self._count += count
        self._bytes += size
        self._gauge.set(self._count)

    def _size(self, scope: Scope) -> int:
        """Bytes of the body; the most there may be where that is not said, and none where nothing
        says that there is one (RFC 9112, section 6.3)."""
        size = 0
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return min(int(value), self._max_body)
            if name in (b"content-length", b"transfer-encoding"):
                size = self._max_body
        return size
