"""A tool of one operation over HTTP. It goes where its operator said, and nowhere else: redirects
are not followed, no proxy of the environment's is used, and no cookie is kept."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from shoal.errors import ConfigError
from shoal.tools.blanks import Blanks
from shoal.tools.http.addresses import REFUSED, PublicResolver, public_sockets
from shoal.tools.http.operation import Operation, Prepared, WrongRequest, check_operation, prepared
from shoal.tools.http.reach import Reach
from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse, failed

_CONNECT_S = 5.0
_MOST_SHOWN = 500  # characters of a reply that is an error
_TEXTS = ("text/", "application/xml", "application/yaml", "application/javascript")
_PIECE = 65_536
_AWAY = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)  # nothing was sent


class HttpTool:
    """Calls one operation.

    Raises:
        WrongRequest: the operation does not hang together, or its host is none of those allowed.
        ConfigError: a variable that holds a secret is not set.
    """

    def __init__(self, operation: Operation, reach: Reach) -> None:
        check_operation(operation)
        _check_host(URL(operation.url.replace("{", "").replace("}", "")), reach.hosts)
        self._operation, self._reach = operation, reach
        self._secrets = {header: _secret(variable) for header, variable in reach.secrets.items()}
        self._blanks = Blanks(self._secrets.values())
        self._session: aiohttp.ClientSession | None = None
        self.spec = ToolSpec(
            name=operation.name,
            description=operation.description,
            takes=operation.takes,
            gives=operation.gives,
            effects="reads" if operation.reads else "writes",
            repeatable=reach.repeatable,
            timeout_s=reach.timeout_s,
        )

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Send the request and read the reply."""
        try:
            request = prepared(self._operation, arguments)
        except WrongRequest as error:
            return failed(f"{self.spec.name}: {error}", "see what it takes")
        limit = max(0.001, min(use.left_s, self.spec.timeout_s))
        try:
            return await self._sent(request, use, limit)
        except _AWAY as error:
            return self._away(error)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            timed_out = isinstance(error, TimeoutError)
            said = f"no reply within {limit:.3g} s" if timed_out else "the connection broke"
            return failed(f"{self.spec.name}: {said}", *self._after(), passing=True,
                          unsure=not self._operation.reads)  # fmt: skip

    async def aclose(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _sent(self, request: Prepared, use: ToolUse, limit: float) -> ToolResult:
        headers = request.headers | self._secrets
        if use.key and not self._operation.reads:
            headers["Idempotency-Key"] = quote(use.key, safe="-_.~:")
        async with self._open().request(
            self._operation.method,
            request.url,
            data=request.body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=limit, connect=min(limit, _CONNECT_S)),
        ) as response:
            body = await _read(response, self._reach.reply_bytes)
            if 200 <= response.status < 300:
                return self._given(response, body)
            return self._refused(response, body or b"")

    def _given(self, response: aiohttp.ClientResponse, body: bytes | None) -> ToolResult:
        done = not self._operation.reads
        also = " It was done." if done else ""
        if body is None:
            most = self._reach.reply_bytes
            return failed(f"{self.spec.name}: the reply is over {most:,} bytes.{also}",
                          "ask for less, page by page", unsure=done)  # fmt: skip
        kind = response.content_type.lower()
        if not body:
            return ToolResult(None)
        try:
            if kind.endswith(("/json", "+json")):
                return self._blanks.result(ToolResult(msgspec.json.decode(body)))
            if kind.startswith(_TEXTS):
                text = body.decode(response.charset or "utf-8")
                return self._blanks.result(ToolResult(text))
        except (msgspec.DecodeError, UnicodeDecodeError, LookupError, RecursionError):
            kind += ", and is broken"
        return failed(f"{self.spec.name}: the reply is neither JSON nor text: {kind[:100]}.{also}",
                      "this tool reads JSON and text only", unsure=done)  # fmt: skip

    def _refused(self, response: aiohttp.ClientResponse, body: bytes) -> ToolResult:
        status, name = response.status, self.spec.name
        if 300 <= status < 400:
            return failed(f"{name}: HTTP {status}: it sends elsewhere, which is not followed",
                          "the tool's address should be corrected")  # fmt: skip
        shown = self._blanks.text(" ".join(body.decode("utf-8", "replace").split()))[:_MOST_SHOWN]
        said = f"{name}: HTTP {status}: {shown}"
        if status == 429:
            wait = response.headers.get("Retry-After", "")
            hint = f"wait {wait} s" if wait.isdecimal() else "wait, and try again"
            return failed(said, hint, passing=True)
        if status >= 500:
            return failed(said, *self._after(), passing=True, unsure=not self._operation.reads)
        if status in (401, 403):
            return failed(said, "the key of this tool is missing, wrong, or may not do this")
        return failed(said, "change the arguments", passing=status in (408, 425))

    def _away(self, error: aiohttp.ClientError) -> ToolResult:
        """Nothing was sent."""
        if REFUSED in str(getattr(error, "os_error", error)):
            return failed(f"{self.spec.name}: its host {REFUSED}", "no tool here may go there")
        return failed(f"{self.spec.name}: nobody could be reached", "try it later", passing=True)

    def _after(self) -> tuple[str]:
        if self._operation.reads:
            return ("try it later",)
        return ("nobody knows whether it was done: look before trying again",)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            permitted = self._reach.permitted
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=PublicResolver(permitted),
                    socket_factory=public_sockets(permitted),
                    limit=32,
                    # aiohttp sends some writing requests again where a kept connection was stale
                    force_close=not self._operation.reads,
                    ttl_dns_cache=10,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": "shoal-tool", "Accept": "application/json, text/*;q=0.5"},
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The body, unpacked; None if it is over the limit, where reading stops."""
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > most:
            response.close()
            return None
        if len(body) % (16 * _PIECE) < len(piece):  # a body that was unpacked comes without a pause
            await asyncio.sleep(0)
    return bytes(body)


def _check_host(url: URL, hosts: Sequence[str]) -> None:
    host = url.host or ""
    named = {host, f"{host}:{url.port}", f"[{host}]:{url.port}"}
    if named.isdisjoint(each.lower() for each in hosts):
        raise WrongRequest(f"url: the host {host} is none of those allowed: {', '.join(hosts)}")


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(f"the environment variable {variable} is not set; export {variable}=…")
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"the environment variable {variable} holds no value of a header")
    return value
