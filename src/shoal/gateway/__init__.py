"""Shoal over HTTP, as OpenAI's own API: ``create_app`` over a ``Desk``, ``run`` to serve it."""

from shoal.gateway.app import create_app
from shoal.gateway.desk import Desk
from shoal.gateway.options import GatewayOptions
from shoal.gateway.server import run, serve

__all__ = ["Desk", "GatewayOptions", "create_app", "run", "serve"]
