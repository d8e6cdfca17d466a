"""Shoal over HTTP, as OpenAI's own API: ``create_app`` over a ``Desk``, ``run`` to serve it.

Its parts are loaded when they are asked for: the settings need the options alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from shoal.gateway.options import GatewayOptions, TracingOptions

if TYPE_CHECKING:
    from shoal.gateway.app import create_app
    from shoal.gateway.desk import Desk
    from shoal.gateway.server import run, serve
    from shoal.gateway.tracing import open_tracer

__all__ = [
    "Desk",
    "GatewayOptions",
    "TracingOptions",
    "create_app",
    "open_tracer",
    "run",
    "serve",
]

_PLACES = {
    "Desk": "desk",
    "create_app": "app",
    "open_tracer": "tracing",
    "run": "server",
    "serve": "server",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
