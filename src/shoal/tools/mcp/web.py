"""The streams to a server over streamable HTTP, with a most to what one reply may hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from shoal.tools.mcp.options import Address, Limits
from shoal.tools.mcp.trouble import Trouble

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage

_CONNECT_S = 10.0
_SILENT_S = 300.0  # a stream of notices may be; calls have limits of their own


@asynccontextmanager
async def reaching(
    address: Address, limits: Limits, trouble: Trouble
) -> AsyncIterator["tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]"]:
    """The streams, until the end of the block. Redirects to other servers are not followed.

    Raises:
        ConfigError: a variable with the value of a header is missing.
    """
    async with (
        httpx2.AsyncClient(
            headers=address.sent(),
            timeout=httpx2.Timeout(_CONNECT_S, read=_SILENT_S),
            transport=_Bounded(limits.message_bytes, trouble),
            trust_env=False,
        ) as client,
        streamable_http_client(
            address.url, http_client=client, max_sse_event_size=limits.message_bytes
        ) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncBaseTransport):
    """Reads at most so many bytes of a reply in one piece; of a stream, its client does that."""

    def __init__(self, most: int, trouble: Trouble) -> None:
        self._inner, self._most, self._trouble = httpx2.AsyncHTTPTransport(), most, trouble

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass the request on."""
        response = await self._inner.handle_async_request(request)
        if response.status_code >= 400:
            self._trouble.status = response.status_code
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Counted(response.stream, self._most)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    """A reply's bytes, as long as they are not too many."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream, self._left = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx2.StreamError("the reply is longer than message_bytes")
            yield chunk

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
