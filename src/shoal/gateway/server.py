"""Runs the gateway: uvicorn on uvloop."""

import asyncio
import socket

import uvicorn
import uvloop
from starlette.applications import Starlette

from shoal.errors import ConfigError
from shoal.gateway.options import GatewayOptions

_STOP_WITHIN_S = 10  # running calls may go on for so long once the server is told to stop
_KEEPALIVE_S = 60


def run(app: Starlette, options: GatewayOptions) -> None:
    """Serve until a signal stops it; calls that still run after 10 s are broken off.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    uvloop.run(serve(app, options))


async def serve(app: Starlette, options: GatewayOptions) -> None:
    """The same within a running event loop, for whoever has something to close afterwards."""
    listener = listen(options)
    try:
        await serve_on(new_server(app), listener)
    finally:
        listener.close()


def listen(options: GatewayOptions) -> socket.socket:
    """A socket that listens where ``options`` say.

    Raises:
        ConfigError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"gateway: cannot listen on {options.host}:{options.port}: {error.strerror}; "
            "set another gateway.port in shoal.toml"
        ) from None
    listener.setblocking(False)
    return listener


def new_server(app: Starlette, stop_within_s: int = _STOP_WITHIN_S) -> uvicorn.Server:
    """A server that is not running yet; set its ``should_exit`` to stop it."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            server_header=False,
            log_level="warning",
            timeout_keep_alive=_KEEPALIVE_S,
            timeout_graceful_shutdown=stop_within_s,
        )
    )
    app.state.is_stopping = lambda: server.should_exit
    return server


async def serve_on(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve on a socket that listens already; returns when every request has ended."""
    try:
        await server.serve(sockets=[listener])
    finally:
        if running := list(server.server_state.tasks):  # cancelled, still recording their calls
            await asyncio.wait(running, timeout=1)
