"""Lets in who has a key, and tells the rest of the gateway whose it is."""

import time

from msgspec.structs import replace
from starlette.types import ASGIApp, Receive, Scope, Send

from shoal.errors import InvalidKey, RequestError
from shoal.formats.runs import PATH as RUNS
from shoal.gateway.key_desk import KeyDesk
from shoal.gateway.replies import error_reply, wire_of
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.caller import Scope as KeyScope

MCP = "/mcp"
CALLER = "shoal.caller"  # where the ASGI scope holds the Caller
_FREE = frozenset({"/healthz", "/readyz"})
_NO_KEY_YET = (
    "this gateway listens beyond this machine and has no key yet; make one with "
    "`shoal keys create NAME`"
)


class KeyCheck:
    """Looks each request's key up in the ring in memory; it never waits for the store.

    As long as no key was ever made, callers need none if ``open_to_all``, which is for gateways
    that listen on loopback only. They may call and read, but not make keys: that is for commands.
    """

    def __init__(self, app: ASGIApp, keys: KeyDesk, open_to_all: bool) -> None:
        self._app, self._keys, self._open_to_all = app, keys, open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with its ``Caller`` in the scope, or answer 401 or 403. What is free
        is passed on without one too."""
        if scope["type"] == "http":
            try:
                caller = self._caller(scope)
                if needed := scope_of(scope["path"]):
                    caller.require(needed)
                scope[CALLER] = caller
            except RequestError as error:
                if scope["path"] not in _FREE:
                    return await error_reply(error, wire_of(scope["path"]))(scope, receive, send)
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        ring = self._keys.ring
        if len(ring):
            return ring.find(_sent(scope), time.time())
        if not self._open_to_all:
            raise InvalidKey(_NO_KEY_YET)
        return ANYBODY


def caller_of(scope: Scope, max_cost: float | None = None) -> Caller:
    """Who sent the request of an ASGI scope, and what it may cost."""
    caller = scope.get(CALLER, ANYBODY)
    assert isinstance(caller, Caller)
    return caller if max_cost is None else replace(caller, max_cost=max_cost)


def is_let_in(scope: Scope) -> bool:
    """Whether whoever sent the request of an ASGI scope may have asked for more than is free."""
    return CALLER in scope


def scope_of(path: str) -> KeyScope | None:
    """What a key must be for to ask for a path; None for those that are nobody's.

    >>> scope_of("/v1/messages"), scope_of("/mcp"), scope_of("/shoal/calls/1"), scope_of("/")
    ('call', 'call', 'read', None)
    >>> scope_of("/shoal/keys"), scope_of("/shoal/whatever-comes"), scope_of("/healthz")
    ('admin', 'admin', 'read')
    """
    if path.startswith("/v1/") or path in ("/shoal/feedback", MCP):
        return "call"
    if path in ("/metrics", "/shoal/spend", "/healthz") or path.startswith("/shoal/calls/"):
        return "read"
    if path == RUNS or path.startswith(f"{RUNS}/"):
        return None  # the routes ask: what a key began it may see, and admin sees all
    return "admin" if path.startswith("/shoal/") else None


def _sent(scope: Scope) -> str:
    """The key that was sent, "" if none: the header ``authorization`` counts before the other."""
    other = ""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, key = value.decode("latin-1").partition(" ")
            if kind.lower() == "bearer":
                return str(key.strip())
        elif name == b"x-api-key":
            other = value.decode("latin-1").strip()
    return other
