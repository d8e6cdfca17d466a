"""HTTP to a child over its socket, from an event loop; its errors in Shoal's words."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import aiohttp

from shoal.engines.local.child import Child
from shoal.engines.local.generating import said_in
from shoal.errors import (
    ContextLengthExceeded,
    EngineTimeout,
    EngineUnreachable,
    MalformedRequest,
    ShoalError,
)

_JSON = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
_TOO_LONG = "exceed_context_size_error"


class Line:
    """The connections of one engine to one child; belongs to the running event loop."""

    def __init__(self, name: str, child: Child, timeout_s: float) -> None:
        self._name, self._timeout_s = name, timeout_s
        self._session = aiohttp.ClientSession(
            "http://shoal",
            # llama.cpp ends a connection after a stream, after 5 s and after 100 requests
            connector=aiohttp.UnixConnector(child.socket, limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_JSON,
            timeout=aiohttp.ClientTimeout(total=None, sock_read=timeout_s, sock_connect=5),
        )

    async def post(self, path: str, body: bytes, window: int) -> aiohttp.ClientResponse:
        """Send ``body``; returns once a good reply has begun. ``window`` is the context, in tokens.

        Raises:
            MalformedRequest, ContextLengthExceeded: llama.cpp refuses the request.
            EngineUnreachable: the child has ended, or is ending.
            EngineTimeout: it did not answer in time.
        """
        with self._explained():
            response = await self._session.post(path, data=body)
        if response.status == 200:
            return response
        async with response:
            raise self._refusal(response.status, await self.read(response), window)

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole reply; raises as ``post`` does."""
        with self._explained():
            async with asyncio.timeout(self._timeout_s):
                return await response.read()

    async def pieces(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """The reply as it comes; raises as ``post`` does."""
        with self._explained():
            while piece := await response.content.readany():
                yield piece

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()

    def _refusal(self, status: int, reply: bytes, window: int) -> ShoalError:
        said = said_in(reply)
        if _TOO_LONG.encode() in reply:
            found = 0
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found = int(json.loads(reply)["error"]["n_prompt_tokens"])
            return ContextLengthExceeded(self._name, window, found, 0)
        if status < 500 or "not supported" in said or "Failed to parse" in said:
            return MalformedRequest(f"{self._name}: {said}")
        return EngineUnreachable(f"{self._name}: {said}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise EngineTimeout(f"{self._name}: no answer in time") from None
        except (aiohttp.ClientError, ConnectionError):
            raise EngineUnreachable(f"{self._name}: the model's process has ended") from None
