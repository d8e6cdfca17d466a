"""Keeps web pages of strangers away from a gateway that has no keys yet."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from shoal.gateway.options import is_loopback
from shoal.gateway.replies import plain_error, wire_of


class Guard:
    """Refuses requests for another host name, and browsers' requests from other sites.

    The first stops DNS rebinding (a stranger's name that resolves to this machine), the second
    pages that post to loopback behind the user's back: either could spend money, or teach
    specialists wrong answers.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"host" and not self._is_own(f"//{value.decode('latin-1')}"):
                    said = f"this gateway is not called {value.decode('latin-1')!r}; address it as "
                    said += "localhost, or name the host in gateway.allowed_hosts in shoal.toml"
                    refusal = plain_error(403, said, "host_not_allowed", wire_of(scope["path"]))
                    return await refusal(scope, receive, send)
                if name == b"origin" and not self._is_own(value.decode("latin-1")):
                    said = f"pages of {value.decode('latin-1')!r} may not call this gateway"
                    refusal = plain_error(403, said, "origin_not_allowed", wire_of(scope["path"]))
                    return await refusal(scope, receive, send)
        await self._app(scope, receive, send)

    def _is_own(self, address: str) -> bool:
        try:
            host = urlsplit(address).hostname or ""
        except ValueError:
            return False
        return is_loopback(host) or host in self._allowed
