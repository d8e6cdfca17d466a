"""Keeps web pages of strangers away from a gateway that has no keys yet."""

import ipaddress
import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from shoal.gateway.options import is_loopback
from shoal.gateway.replies import plain_error, wire_of

_FLAGS = re.IGNORECASE | re.ASCII
_NAME = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?"  # or an IPv4 address
_ZONE = r"%(?:25)?(?:[a-z0-9._~-]|%[0-9a-f]{2})+"  # RFC 6874; many write the % as it is
_PORT = r"(?::(?P<port>[0-9]{0,5}))?"
_HOST = re.compile(rf"(?:(?P<name>{_NAME})|\[(?P<ipv6>[0-9a-f:.]+)(?:{_ZONE})?\]){_PORT}", _FLAGS)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", _FLAGS)


class Guard:
    """Refuses requests for another host name, and browsers' requests from other sites.

    The first stops DNS rebinding (a stranger's name that resolves to this machine), the second
    pages that post to loopback behind the user's back: either could spend money, or teach
    specialists wrong answers.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._allowed = frozenset(_plain(host) for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name not in (b"host", b"origin"):
                    continue
                given = value.decode("latin-1")
                if name == b"host" and not self._is_own(given):
                    said = f"this gateway is not called {given!r}; address it as "
                    said += "localhost, or name the host in gateway.allowed_hosts in shoal.toml"
                    refusal = plain_error(403, said, "host_not_allowed", wire_of(scope["path"]))
                    return await refusal(scope, receive, send)
                if name == b"origin" and not self._is_own(_without_scheme(given)):
                    said = f"pages of {given!r} may not call this gateway"
                    refusal = plain_error(403, said, "origin_not_allowed", wire_of(scope["path"]))
                    return await refusal(scope, receive, send)
        await self._app(scope, receive, send)

    def _is_own(self, address: str) -> bool:
        host = host_of(address)
        return host is not None and (is_loopback(host) or host in self._allowed)


def host_of(address: str) -> str | None:
    """The host of ``host[:port]`` (RFC 3986), as hosts are compared here; None if it is no such
    thing, however a lenient parser would read it.

    >>> host_of("Localhost.:8400"), host_of("[0:0::1%25lo]:80"), host_of("localhost/x@evil")
    ('localhost', '::1', None)
    """
    found = _HOST.fullmatch(address)
    if found is None or int(found["port"] or 0) > 65535:
        return None
    if found["ipv6"] is None:
        return _plain(found["name"])
    try:
        return str(ipaddress.IPv6Address(found["ipv6"]))
    except ValueError:
        return None


def _plain(host: str) -> str:
    """A host without brackets, last dot, or zone, which names an interface of the caller's."""
    name = host.lower().strip("[]").removesuffix(".")
    try:
        return str(ipaddress.IPv6Address(name.partition("%")[0]))
    except ValueError:
        return name


def _without_scheme(origin: str) -> str:
    """What follows ``scheme://``; "" if the origin does not begin so."""
    scheme = _SCHEME.match(origin)
    return origin[scheme.end() :] if scheme else ""
