"""The gateway as an ASGI application."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from shoal.errors import ShoalError
from shoal.formats import FORMATS
from shoal.formats.embeddings import PATH as EMBEDDINGS
from shoal.formats.messages.token_counts import PATH as COUNTS
from shoal.gateway.acts import Acts
from shoal.gateway.desk import Desk
from shoal.gateway.desk_routes import DeskRoutes
from shoal.gateway.embeddings import EmbeddingRoute
from shoal.gateway.exchange import Exchange
from shoal.gateway.guard import Guard
from shoal.gateway.kept_responses import KeptResponseRoutes
from shoal.gateway.key_check import MCP, KeyCheck
from shoal.gateway.key_desk import KeyDesk
from shoal.gateway.key_routes import KeyRoutes
from shoal.gateway.metrics import Metrics
from shoal.gateway.observer import Observer
from shoal.gateway.openapi import openapi
from shoal.gateway.options import GatewayOptions, is_loopback
from shoal.gateway.replies import PREFIX, error_reply, plain_error, wire_of
from shoal.gateway.run_desk import RunDesk
from shoal.gateway.run_routes import RunRoutes
from shoal.gateway.store_desk import StoreDesk
from shoal.gateway.store_routes import StoreRoutes
from shoal.gateway.token_counts import TokenCountRoute
from shoal.gateway.tracing import Tracer
from shoal.gateway.upload_routes import UploadRoutes
from shoal.gateway.valve import Valve

# A refused body is thrown away, so many bytes of it: clients that send all before they read would
# else find the connection broken, and never learn why.
_DRAINED = 1_000_000_000
_DRAINED_UNSAID, _UNSAID_S = 64_000_000, 20.0  # of one whose length is not said, and for how long


class McpApp(Protocol):
    """What answers at /mcp."""

    def join(self, observer: Observer, is_stopping: Callable[[], bool]) -> None:
        """Tell ``observer`` of what is asked; ``is_stopping`` says that streams are to end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""


def create_app(
    desk: Desk,
    options: GatewayOptions,
    keys: KeyDesk,
    tracer: Tracer | None = None,
    stores: StoreDesk | None = None,
    mcp: McpApp | None = None,
    runs: RunDesk | None = None,
) -> Starlette:
    """All routes over one desk; every error leaves in the shape of the format it was asked in.

    ``stores`` None: there are neither files nor vector stores, ``runs`` None: no runs, and their
    routes say so. ``mcp`` is what answers at /mcp, None for nobody.
    """
    observer = Observer(Metrics(desk.health), options.access_log, tracer)
    document = openapi(mcp is not None)
    other = DeskRoutes(desk, keys, options.max_body, observer.metrics, document)
    embeddings = EmbeddingRoute(desk, options, observer)
    counts = TokenCountRoute(desk, options)
    acts = Acts(stores, observer)
    admin = KeyRoutes(keys, options.max_body)
    app = Starlette(
        routes=[
            *(_exchange(Exchange(desk, wire, options, observer)) for wire in FORMATS.values()),
            Route(PREFIX + COUNTS, counts.post, methods=["POST"]),
            Route(PREFIX + EMBEDDINGS, embeddings.post, methods=["POST"]),
            *KeptResponseRoutes(desk).routes(),
            *UploadRoutes(acts).routes(),
            *StoreRoutes(acts, options.max_body).routes(),
            Route("/v1/models", other.models),
            Route("/v1/models/{name:path}", other.model),
            Route("/healthz", other.health),
            Route("/readyz", other.ready),
            Route("/metrics", other.metrics),
            Route("/openapi.json", other.openapi),
            Route("/shoal/calls/{call_id}", other.call),
            Route("/shoal/feedback", other.feedback, methods=["POST"]),
            Route("/shoal/keys", admin.list),
            Route("/shoal/keys", admin.create, methods=["POST"]),
            Route("/shoal/keys/{key_id}", admin.revoke, methods=["DELETE"]),
            Route("/shoal/spend", admin.spend),
            *RunRoutes(runs, observer, options.max_body).routes(),
            *([Route(MCP, mcp, methods=["POST"])] if mcp is not None else []),
        ],
        middleware=[
            Middleware(Guard, allowed_hosts=(*options.allowed_hosts, options.host)),
            Middleware(KeyCheck, keys=keys, open_to_all=is_loopback(options.host)),
            Middleware(
                Valve,
                most=options.max_in_flight,
                most_bytes=int(options.max_in_flight_mb * 1_000_000),
                max_body=options.max_body,
                in_flight=observer.metrics.in_flight,
            ),
        ],
        exception_handlers={
            ShoalError: _shoal_error,
            HTTPException: _http_error,
            ClientDisconnect: _nobody_listens,
            Exception: _unforeseen,
        },
    )
    app.router.redirect_slashes = False
    app.state.is_stopping = lambda: False  # who runs it knows better
    if mcp is not None:
        mcp.join(observer, lambda: bool(app.state.is_stopping()))
    return app


def _exchange(exchange: Exchange) -> Route:
    return Route(PREFIX + exchange.wire.path, exchange.post, methods=["POST"])


async def _shoal_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ShoalError)
    reply = error_reply(error, wire_of(request.url.path))
    declared = request.headers.get("content-length", "")
    if reply.status_code == 413 and not await _ends(request, declared):
        reply.headers["connection"] = "close"
    return reply


async def _ends(request: Request, declared: str) -> bool:
    """Whether the body has come to its end, or will soon: the server throws away what is left."""
    return int(declared) <= _DRAINED if declared.isdecimal() else await _drained(request)


async def _drained(request: Request) -> bool:
    """Whether one of unknown length has come to its end."""
    size = 0
    try:
        async with asyncio.timeout(_UNSAID_S):
            async for piece in request.stream():
                size += len(piece)
                if size > _DRAINED_UNSAID:
                    return False
    except (TimeoutError, ClientDisconnect):
        return False
    return True


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked, wire = f"{request.method} {request.url.path}", wire_of(request.url.path)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        reply = plain_error(405, f"{asked}: expected {allowed}", "method_not_allowed", wire)
        reply.headers["allow"] = allowed
        return reply
    said = f"{asked}: there is no such path"
    return plain_error(error.status_code, said, "path_not_found", wire)


async def _nobody_listens(request: Request, error: Exception) -> Response:
    """The client hung up while sending; nobody reads this."""
    return plain_error(400, "the body broke off", "body_incomplete", wire_of(request.url.path))


async def _unforeseen(request: Request, error: Exception) -> Response:
    """A bug: told without its details, which go to the log."""
    said = "Shoal failed unexpectedly; its log says why"
    return plain_error(500, said, "internal_error", wire_of(request.url.path))
