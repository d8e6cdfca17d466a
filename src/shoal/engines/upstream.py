"""HTTP to one upstream: its address, its key, its time limits; no knowledge of what is said."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import aiohttp
from msgspec import Struct
from yarl import URL

from shoal.engines.options import AnthropicOptions, Endpoint, RemoteOptions
from shoal.engines.reply import NeverAsked
from shoal.errors import ConfigError, EngineError, EngineRefused, EngineTimeout, EngineUnreachable

log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]

_REQUEST_IDS = ("request-id", "x-request-id")  # Anthropic's header, and everybody else's
_LONGEST_ID = 200
_STALE_WITHIN_S = 1.0
_CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError)
_KEEPALIVE_S = 30.0
_SECRET_FROM = 8  # characters; shorter "keys" like "none" protect nothing and occur in any text
_FAILURES = (  # what callers are told of those of aiohttp, the first that fits
    (aiohttp.ClientConnectorDNSError, "its name has no address"),
    (aiohttp.ClientSSLError, "no secure connection"),
    (aiohttp.ClientConnectorError, "no connection"),
    (aiohttp.ClientPayloadError, "the reply broke off"),
    (aiohttp.ClientResponseError, "the reply is not HTTP"),
)
_BROKE = "the connection broke"


class _Sending(Struct):
    """One request, and what aiohttp tells of it: whether it goes over a connection used before, and
    whether it has ``begun`` to be sent."""

    method: str
    url: URL
    body: bytes | None = None
    streamed: bool = False
    headers: Headers = ()
    reused: bool = False
    begun: bool = False


class Upstream:
    """Posts bodies to one endpoint and reads its replies.

    The key is read here, once, and never shown: it is blanked out of everything that the upstream
    says about a failure. The address is the operator's to know: errors, which callers see, name the
    model and what failed, and the log says where.

    Raises:
        ConfigError: ``key_env`` names a variable that is not set, or that holds no key.
    """

    def __init__(
        self,
        name: str,
        options: RemoteOptions | AnthropicOptions,
        endpoint: Endpoint | None = None,
    ) -> None:
        """``endpoint`` is where and with which key to ask, if not as the model itself says."""
        endpoint = endpoint or Endpoint()
        self._name = name
        self._base_url = endpoint.base_url or options.base_url
        self._key = _key(name, endpoint.key_env or options.key_env)
        self._own_headers = options.headers(self._key)
        self._timeout_s = options.timeout_s
        self._limit = int(options.max_reply_mb * 1_000_000)
        connect = options.connect_timeout_s
        self._whole = aiohttp.ClientTimeout(
            total=options.timeout_s, connect=connect, sock_connect=connect
        )
        self._pieces = aiohttp.ClientTimeout(
            total=None, connect=connect, sock_connect=connect, sock_read=options.timeout_s
        )
        self._begin_s = options.first_byte_timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, path: str, body: bytes, streamed: bool = False, headers: Headers = ()
    ) -> aiohttp.ClientResponse:
        """Send ``body``; returns once the headers of a good reply are there. ``headers`` take the
        place of those of the same name that the endpoint gets from its options.

        Raises:
            EngineRefused: the upstream answered with an error.
            EngineUnreachable: it cannot be reached, or wants the request elsewhere.
            EngineTimeout: it did not connect or answer in time.
            NeverAsked: this was cancelled before anything was sent.
        """
        url = URL(self._base_url + path)
        return await self._reach(_Sending("POST", url, body, streamed, headers))

    async def ask(
        self, method: str, path: str, query: Sequence[tuple[str, str]]
    ) -> aiohttp.ClientResponse:
        """The same without a body; raises what ``post`` raises."""
        url = URL(self._base_url + path).with_query(list(query))
        return await self._reach(_Sending(method, url))

    async def _reach(self, sending: _Sending) -> aiohttp.ClientResponse:
        try:
            response = await self._sent(sending)
        except asyncio.CancelledError:
            if sending.begun:
                raise
            raise NeverAsked from None
        if response.status < 300:
            return response
        async with response:
            raise await self._refusal(response)

    async def _sent(self, sending: _Sending) -> aiohttp.ClientResponse:
        """Send it, again over a new connection where that fails for an old one alone."""
        started = time.monotonic()
        with self._explained(sending):
            try:
                return await self._send(sending)
            except _CLOSED:
                # A connection kept alive that the upstream closed just now fails at once. Later
                # than that, or on a new connection, the upstream may have worked on the request:
                # that is not done twice.
                late = time.monotonic() - started > _STALE_WITHIN_S
                if late or not sending.reused:
                    raise
                sending.begun = False
                return await self._send(sending)

    async def read(self, response: aiohttp.ClientResponse, begun: bytes = b"") -> bytes:
        """The whole reply, of which ``begun`` was read before.

        Raises:
            EngineUnreachable: the connection broke, or the reply is over ``max_reply_mb``.
            EngineTimeout: it did not come in time.
        """
        with self._explained():
            async with asyncio.timeout(self._timeout_s):
                return b"".join([piece async for piece in self.pieces(response, begun)])

    async def first(
        self, response: aiohttp.ClientResponse, patience_s: float | None = None
    ) -> bytes:
        """The next piece of the reply; b"" at its end, or if none comes within ``patience_s``.

        Raises what ``read`` raises.
        """
        with self._explained():
            try:
                async with asyncio.timeout(patience_s) as patience:
                    return await response.content.readany()
            except TimeoutError:
                if patience.expired():
                    return b""
                raise

    async def pieces(
        self, response: aiohttp.ClientResponse, begun: bytes = b""
    ) -> AsyncGenerator[bytes, None]:
        """The reply piece by piece, as it arrives, ``begun`` first; raises what ``read`` raises."""
        size = 0
        with self._explained():
            piece = begun or await response.content.readany()
            while piece:
                size += len(piece)
                if size > self._limit:
                    response.close()
                    most = self._limit / 1_000_000
                    raise EngineUnreachable(f"{self._name}: the reply is over {most:g} MB")
                yield piece
                piece = await response.content.readany()

    def request_id(self, response: aiohttp.ClientResponse) -> str:
        """The upstream's own id of an exchange, "" if it told none."""
        ids = [response.headers.get(name, "") for name in _REQUEST_IDS]
        return self.safe_text(next(filter(None, ids), ""))[:_LONGEST_ID]

    def safe(self, text: bytes) -> bytes:
        """What the upstream said, without the key."""
        if len(self._key) < _SECRET_FROM:
            return text
        return text.replace(self._key.encode(), b"***")

    def safe_text(self, text: str) -> str:
        """The same of a text; bytes that were no text are escaped."""
        return self.safe(text.encode(errors="backslashreplace")).decode()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, sending: _Sending) -> aiohttp.ClientResponse:
        if self._session is None:  # made here, because it belongs to the running event loop
            self._session = self._new_session()
        async with asyncio.timeout(self._begin_s if sending.streamed else None):
            return await self._session.request(
                sending.method,
                sending.url,
                data=sending.body,
                headers=sending.headers,
                timeout=self._pieces if sending.streamed else self._whole,
                allow_redirects=False,
                trace_request_ctx=sending,
            )

    def _new_session(self) -> aiohttp.ClientSession:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": "shoal",
            **self._own_headers,
        }
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        trace.on_request_headers_sent.append(_note_beginning)
        return aiohttp.ClientSession(
            trace_configs=[trace],
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
        )

    async def _refusal(self, response: aiohttp.ClientResponse) -> EngineError:
        if response.status < 400:
            target = self.safe_text(response.headers.get("Location", "nowhere"))
            said = f"redirects to {target}; correct base_url"
            log.warning("%s: %s %s", self._name, self._base_url, said)
            return EngineUnreachable(
                f"{self._name}: the upstream wants to be asked elsewhere", False
            )
        body = self.safe(await self.read(response))
        kind, wait = (response.headers.get(name, "") for name in ("Content-Type", "Retry-After"))
        return EngineRefused(response.status, body, kind, wait, self.request_id(response))

    @contextmanager
    def _explained(self, sending: _Sending | None = None) -> Iterator[None]:
        """Turn what aiohttp raises into Shoal's errors, said without the key and the address.
        ``sending`` None: the request was sent."""
        try:
            yield
        except aiohttp.ConnectionTimeoutError:
            raise EngineTimeout(self._logged("no connection in time"), asked=False) from None
        except TimeoutError:
            asked = sending is None or sending.begun
            raise EngineTimeout(self._logged("no answer in time"), asked) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            asked = not isinstance(error, aiohttp.ClientConnectorError)
            said = next((said for kind, said in _FAILURES if isinstance(error, kind)), _BROKE)
            detail = self.safe_text(f"{type(error).__name__}: {error}")
            raise EngineUnreachable(self._logged(said, detail), asked) from None

    def _logged(self, said: str, detail: str = "") -> str:
        """What callers are told of a failure; the log is told where it was, and the ``detail``."""
        log.warning("%s: %s: %s", self._name, self._base_url, detail or said)
        return f"{self._name}: {said}"


async def _note_reuse(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceConnectionReuseconnParams,
) -> None:
    context.trace_request_ctx.reused = True


async def _note_beginning(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    context.trace_request_ctx.begun = True


def _key(name: str, variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"{name}: key_env: the environment variable {variable} is not set; "
            f"export {variable}=… or leave key_env out"
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{name}: key_env: {variable} holds characters that no key has")
    return key
