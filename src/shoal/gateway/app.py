"""The gateway as an ASGI application."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from shoal.errors import ShoalError
from shoal.gateway.chat import ChatEndpoint
from shoal.gateway.desk import Desk
from shoal.gateway.desk_routes import DeskRoutes
from shoal.gateway.guard import Guard
from shoal.gateway.key_check import KeyCheck
from shoal.gateway.key_desk import KeyDesk
from shoal.gateway.key_routes import KeyRoutes
from shoal.gateway.options import GatewayOptions, is_loopback
from shoal.gateway.wire import error_reply, plain_error

_DRAINED = 64_000_000  # bytes of a refused body that are thrown away to keep the connection


def create_app(desk: Desk, options: GatewayOptions, keys: KeyDesk) -> Starlette:
    """All routes over one desk; every error leaves in OpenAI's shape."""
    max_body = int(options.max_body_mb * 1_000_000)
    chat = ChatEndpoint(desk, max_body)
    other = DeskRoutes(desk, max_body)
    admin = KeyRoutes(keys, max_body)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat.post, methods=["POST"]),
            Route("/v1/models", other.models),
            Route("/v1/models/{name:path}", other.model),
            Route("/healthz", other.health),
            Route("/shoal/calls/{call_id}", other.call),
            Route("/shoal/feedback", other.feedback, methods=["POST"]),
            Route("/shoal/keys", admin.list),
            Route("/shoal/keys", admin.create, methods=["POST"]),
            Route("/shoal/keys/{key_id}", admin.revoke, methods=["DELETE"]),
            Route("/shoal/spend", admin.spend),
        ],
        middleware=[
            Middleware(Guard, allowed_hosts=(*options.allowed_hosts, options.host)),
            Middleware(KeyCheck, keys=keys, open_to_all=is_loopback(options.host)),
        ],
        exception_handlers={
            ShoalError: _shoal_error,
            HTTPException: _http_error,
            ClientDisconnect: _nobody_listens,
            Exception: _unforeseen,
        },
    )
    app.router.redirect_slashes = False
    return app


async def _shoal_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ShoalError)
    reply = error_reply(error)
    declared = request.headers.get("content-length", "")
    if reply.status_code == 413 and not (declared.isdecimal() and int(declared) <= _DRAINED):
        reply.headers["connection"] = "close"
    return reply


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path}"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        reply = plain_error(405, f"{asked}: expected {allowed}", "method_not_allowed")
        reply.headers["allow"] = allowed
        return reply
    return plain_error(error.status_code, f"{asked}: there is no such path", "path_not_found")


async def _nobody_listens(request: Request, error: Exception) -> Response:
    """The client hung up while sending; nobody reads this."""
    return plain_error(400, "the body broke off", "body_incomplete")


async def _unforeseen(request: Request, error: Exception) -> Response:
    """A bug: told without its details, which go to the log."""
    return plain_error(500, "Shoal failed unexpectedly; its log says why", "internal_error")
