"""Shoal over HTTP, as OpenAI's own API: ``create_app`` over a ``Desk``, ``run`` to serve it."""

from shoal.gateway.app import create_app
from shoal.gateway.desk import Desk
from shoal.gateway.options import GatewayOptions, TracingOptions
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
